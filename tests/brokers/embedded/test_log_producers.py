from __future__ import annotations

from typing import Any

import pytest

from pytest_msk.brokers.embedded.log import Appended, ProducerState
from tests.brokers.embedded.logs import DAY, START, TestLog, batch, log, refused

MAX_SEQUENCE = 2**31 - 1
OUT_OF_ORDER = "OUT_OF_ORDER_SEQUENCE_NUMBER"
TEN_MINUTES = 600_000


def send(written: TestLog, sequence: int, count: int = 1, producer: int = 1, **more: Any) -> Appended:
    more = {"producer_epoch": 0, **more}
    from_zero = more.pop("from_zero", False)
    data = batch(*[b"v"] * count, producer_id=producer, base_sequence=sequence, **more)
    return written.append(memoryview(data), 0, from_zero=from_zero)


def test_sequences_follow_each_other() -> None:
    written = log()
    assert send(written, 0, 3).base_offset == 0
    assert send(written, 3, 2).base_offset == 3
    for wrong in (4, 6, 1):
        refused(OUT_OF_ORDER, lambda wrong=wrong: send(written, wrong, 7))  # type: ignore[misc]
    assert send(written, 5).base_offset == 5
    assert written.producers() == [ProducerState(1, 0, 5, START, -1, -1)]


def test_producers_do_not_disturb_each_other() -> None:
    written = log()
    for sequence in range(3):
        for producer in (1, 2):
            send(written, sequence, producer=producer)
    written.put(b"not idempotent")
    assert [(state.producer_id, state.last_sequence) for state in written.producers()] == [(1, 2), (2, 2)]


def test_a_repeated_batch_gets_the_first_ones_answer() -> None:
    written, heard = log(), []
    for sequence in range(8):
        send(written, 2 * sequence, 2)
    written.on_append.append(lambda: heard.append(1))
    written.delete_records(2)
    heard.clear()
    for sequence in range(3, 8):
        # Kafka tells the batch's own greatest timestamp as the time of append.
        assert send(written, 2 * sequence, 2) == Appended(2 * sequence, START, 2)
    assert written.end_offset == 16
    assert heard == []
    # Only five are remembered.
    refused(OUT_OF_ORDER, lambda: send(written, 4, 2))
    # Another batch, though it begins as one did.
    refused(OUT_OF_ORDER, lambda: send(written, 14, 1))
    assert send(written, 16).base_offset == 16


def test_a_repeated_batch_with_the_brokers_time() -> None:
    written = log(message_timestamp_type="LogAppendTime")
    send(written, 0)
    written.clock.advance(5)
    assert send(written, 0).log_append_time == START
    assert send(written, 1).log_append_time == START + 5


def test_sequences_begin_anew_behind_the_greatest() -> None:
    written = log()
    send(written, MAX_SEQUENCE - 3, 3)
    refused(OUT_OF_ORDER, lambda: send(written, 0))
    send(written, MAX_SEQUENCE)
    send(written, 0, 2)
    assert send(written, 0, 2).base_offset == 4
    assert written.producers()[0].last_sequence == 1


def test_a_batch_across_the_greatest_sequence() -> None:
    written = log()
    send(written, MAX_SEQUENCE - 1, 4)
    assert written.producers()[0].last_sequence == 1
    assert send(written, MAX_SEQUENCE - 1, 4).base_offset == 0
    assert send(written, 2).base_offset == 4


def test_an_unknown_producer_may_begin_anywhere() -> None:
    """KIP-360: what the log knew of it may have been deleted."""
    written = log()
    assert send(written, 17).base_offset == 0
    refused(OUT_OF_ORDER, lambda: send(written, 19))


def test_a_newer_epoch_begins_with_zero() -> None:
    written = log()
    send(written, 0, producer_epoch=3)
    refused(OUT_OF_ORDER, lambda: send(written, 1, producer_epoch=4))
    send(written, 0, producer_epoch=4)
    # It is not the batch of epoch 3 that had this sequence.
    assert written.end_offset == 2
    assert send(written, 0, producer_epoch=4).base_offset == 1
    refused("INVALID_PRODUCER_EPOCH", lambda: send(written, 0, producer_epoch=3))
    refused("INVALID_PRODUCER_EPOCH", lambda: send(written, 1, producer_epoch=3))
    assert written.producers() == [ProducerState(1, 4, 0, START, -1, -1)]


def test_after_a_marker_with_a_newer_epoch_sequences_begin_with_zero() -> None:
    written = log()
    send(written, 0, 5, transactional=True)
    written.end(1, commit=False, producer_epoch=1, coordinator_epoch=7)
    assert written.producers() == [ProducerState(1, 1, -1, START, 7, -1)]
    refused("INVALID_PRODUCER_EPOCH", lambda: send(written, 5, transactional=True))
    refused(OUT_OF_ORDER, lambda: send(written, 5, producer_epoch=1, transactional=True))
    send(written, 0, producer_epoch=1, transactional=True)


def test_after_a_marker_of_the_same_epoch_sequences_go_on() -> None:
    written = log()
    send(written, 0, 5, transactional=True)
    written.end(1)
    refused(OUT_OF_ORDER, lambda: send(written, 0, 1, transactional=True))
    assert send(written, 0, 5, transactional=True).base_offset == 0
    assert send(written, 5, transactional=True).base_offset == 6


def test_a_new_transactional_producer_must_begin_with_zero_where_asked() -> None:
    """Kafka 4.1 and later, with transactions of version 2."""
    written = log()
    refused(OUT_OF_ORDER, lambda: send(written, 3, transactional=True, from_zero=True))
    assert send(written, 3, producer=2, from_zero=True).base_offset == 0
    assert send(written, 0, transactional=True, from_zero=True).base_offset == 1
    assert send(written, 1, transactional=True, from_zero=True).base_offset == 2
    written.end(1, producer_epoch=5)
    refused(OUT_OF_ORDER, lambda: send(written, 1, transactional=True, producer_epoch=6, from_zero=True))


def test_an_open_transaction_wants_transactional_batches() -> None:
    written = log()
    send(written, 0, transactional=True)
    refused("INVALID_TXN_STATE", lambda: send(written, 1))
    assert send(written, 0).base_offset == 0
    written.end(1)
    send(written, 1)


def test_a_transactional_batch_without_a_producer_is_only_a_batch() -> None:
    written = log()
    written.put(b"a", transactional=True)
    assert written.last_stable_offset == written.end_offset == 1
    assert written.producers() == []


def test_a_refused_batch_changes_nothing() -> None:
    written = log()
    send(written, 0)
    before = written.producers(), written.end_offset, written.size
    refused(OUT_OF_ORDER, lambda: send(written, 5))
    written.settings["max.message.bytes"] = 10
    refused("MESSAGE_TOO_LARGE", lambda: send(written, 1))
    assert (written.producers(), written.end_offset, written.size) == before


def test_markers_of_older_epochs_are_refused() -> None:
    written = log()
    send(written, 0, producer_epoch=5, transactional=True)
    refused("INVALID_PRODUCER_EPOCH", lambda: written.end(1, producer_epoch=4))
    written.end(1, producer_epoch=5, coordinator_epoch=3)
    refused("INVALID_PRODUCER_EPOCH", lambda: written.end(1, producer_epoch=4, coordinator_epoch=9))
    error = "TRANSACTION_COORDINATOR_FENCED"
    refused(error, lambda: written.end(1, producer_epoch=5, coordinator_epoch=2))
    assert written.end_offset == 2
    assert written.end(1, producer_epoch=6, coordinator_epoch=3) == 2


def test_markers_of_transactions_of_version_2() -> None:
    written = log()
    send(written, 0, producer_epoch=5, transactional=True)
    for epoch in (4, 5):
        refused(
            "INVALID_PRODUCER_EPOCH",
            lambda epoch=epoch: written.end(1, producer_epoch=epoch, transaction_version=2),  # type: ignore[misc]
        )
    assert written.end(1, producer_epoch=6, transaction_version=2) == 1
    # Once more, because the coordinator did not get the answer.
    assert written.end(1, producer_epoch=6, transaction_version=2) == 2
    refused("INVALID_PRODUCER_EPOCH", lambda: written.end(1, producer_epoch=5, transaction_version=2))


def test_the_last_epoch_of_all_ends_transactions_of_version_2() -> None:
    written = log()
    send(written, 0, producer_epoch=2**15 - 1, transactional=True)
    written.end(1, producer_epoch=2**15 - 1, transaction_version=2)


def test_a_marker_for_an_unknown_producer() -> None:
    written = log()
    assert written.end(9, producer_epoch=4, coordinator_epoch=2) == 0
    assert written.producers() == [ProducerState(9, 4, -1, START, 2, -1)]
    assert written.last_stable_offset == 1
    assert written.aborted(0, 10) == []
    refused("INVALID_PRODUCER_EPOCH", lambda: send(written, 0, producer=9, producer_epoch=3))


def test_producers_are_forgotten_in_time() -> None:
    written = log(producer_id_expiration_ms=DAY)
    send(written, 0)
    send(written, 0, producer=2, transactional=True)
    written.clock.advance(DAY - 1)
    assert len(written.producers()) == 2
    written.clock.advance(TEN_MINUTES)
    # One whose transaction is open is kept.
    assert [state.producer_id for state in written.producers()] == [2]
    assert send(written, 50).base_offset == 2


def test_old_timestamps_do_not_make_a_producer_forgotten_at_once() -> None:
    """Brokers look for producers to forget every ten minutes only."""
    written = log()
    written.clock.advance(2 * DAY)
    send(written, 0, timestamp=5)
    written.clock.advance(TEN_MINUTES - 1)
    assert send(written, 0).base_offset == 0
    refused(OUT_OF_ORDER, lambda: send(written, 9))
    written.clock.advance(DAY)
    assert send(written, 9).base_offset == 1


def test_releases_without_a_setting_for_idempotent_producers() -> None:
    written = log(without=["producer.id.expiration.ms"])
    written.settings["transactional.id.expiration.ms"] = 7 * DAY
    send(written, 0)
    written.clock.advance(2 * DAY)
    assert len(written.producers()) == 1
    written.clock.advance(6 * DAY)
    assert written.producers() == []


def test_deletion_from_the_start_forgets_no_producer() -> None:
    written = log()
    send(written, 0)
    written.put(b"a")
    written.delete_records(2)
    refused(OUT_OF_ORDER, lambda: send(written, 5))
    send(written, 1)


def test_truncation_takes_back_what_producers_did() -> None:
    written = log()
    send(written, 0)
    send(written, 1)
    send(written, 0, producer=2)
    send(written, 0, producer_epoch=1)
    written.truncate(2)
    assert written.producers() == [ProducerState(1, 0, 1, START, -1, -1)]
    assert send(written, 1).base_offset == 1
    assert send(written, 2).base_offset == 2


def test_truncation_leaves_other_producers_alone() -> None:
    written = log()
    send(written, 0)
    written.put(b"a")
    send(written, 0, producer=2)
    written.delete_records(1)
    written.truncate(2)
    assert [state.producer_id for state in written.producers()] == [1]


@pytest.mark.parametrize("commit", [True, False])
def test_truncation_opens_a_transaction_again(commit: bool) -> None:
    written = log()
    send(written, 0, transactional=True)
    written.end(1, commit=commit, coordinator_epoch=4)
    send(written, 1, transactional=True)
    written.truncate(2)
    assert written.producers() == [ProducerState(1, 0, 0, START, 4, -1)]
    written.truncate(1)
    assert written.producers() == [ProducerState(1, 0, 0, START, -1, 0)]
    assert written.last_stable_offset == 0
    assert written.has_transaction(1)
    assert written.aborted(0, 5) == []
    written.truncate(0)
    assert written.producers() == []
    assert written.last_stable_offset == 0
    assert not written.has_transaction(1)
