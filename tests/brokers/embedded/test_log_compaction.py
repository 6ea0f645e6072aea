from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_msk.brokers.embedded import segments
from pytest_msk.brokers.wire import compression
from pytest_msk.brokers.wire.compression import CodecNotInstalledError
from pytest_msk.brokers.wire.records import Marker
from tests.brokers.embedded.logs import DAY, START, TestLog, log, refused

A, B, C = b"a", b"b", b"c"


def compacted(**settings: Any) -> TestLog:
    return log(**{"cleanup_policy": ["compact"], **settings})


def content(written: TestLog, **more: Any) -> list[tuple[int, bytes | None, bytes | None]]:
    return [(record.offset, record.key, record.value) for record in written.records(**more)]


@pytest.mark.parametrize("codec", ["none", "gzip"])
def test_the_newest_record_of_each_key_stays(codec: str) -> None:
    written = compacted()
    written.put((A, b"1"), (B, b"1"), (A, b"2"), compression=codec, epoch=3)
    written.put((B, b"2"), compression=codec, epoch=4)
    written.put((C, b"1"), (B, b"3"), (C, b"2"), compression=codec, epoch=4, timestamp=START + 7)
    written.compact()
    assert content(written) == [(2, A, b"2"), (5, B, b"3"), (6, C, b"2")]
    first, second = written.batches()
    assert (first.base_offset, first.last_offset, first.leader_epoch, first.compression) == (0, 2, 3, codec)
    assert (second.base_offset, second.last_offset, second.max_timestamp) == (4, 6, START + 7)
    assert first.intact()
    assert second.intact()
    assert (written.start_offset, written.end_offset) == (0, 7)
    # What was removed is passed over.
    assert written.read(3, 10_000, up_to=7) == bytes(second.data)
    assert written.put((A, b"3")) == 7


def test_a_clean_log_stays_as_it_is() -> None:
    written = compacted()
    written.put((A, b"1"), (B, b"1"))
    written.put((C, b"1"))
    before = written.read(0, 10_000, up_to=3)
    written.compact()
    assert written.read(0, 10_000, up_to=3) == before


@pytest.mark.parametrize(
    ("policy", "cleaned"), [(["delete"], False), ("compact,delete", True), (["compact", "delete"], True)]
)
def test_only_compacted_topics(policy: Any, cleaned: bool) -> None:
    written = log(cleanup_policy=policy)
    written.put((A, b"1"))
    written.put((A, b"2"))
    written.compact()
    assert written.offsets() == ([1] if cleaned else [0, 1])


def test_what_is_not_committed_stays() -> None:
    written = compacted()
    for number in range(4):
        written.put((A, b"%d" % number))
    written.compact(up_to=2)
    assert written.offsets() == [1, 2, 3]
    written.compact()
    assert written.offsets() == [3]


def test_young_records_stay() -> None:
    written = compacted(min_compaction_lag_ms=100)
    written.put((A, b"1"), timestamp=START)
    written.put((A, b"2"), timestamp=START + 10)
    written.put((A, b"3"), timestamp=START + 60)
    written.put((A, b"4"), timestamp=START + 20)
    written.clock.advance(110)
    written.compact()
    assert written.offsets() == [1, 2, 3]
    written.clock.advance(DAY)
    written.compact()
    assert written.offsets() == [3]


@pytest.mark.parametrize(("age", "left"), [(100, [1]), (99, [0, 1])])
def test_how_young_records_are_that_stay(age: int, left: list[int]) -> None:
    written = compacted(min_compaction_lag_ms=100)
    written.clock.advance(DAY)
    written.put((A, b"1"), timestamp=START + DAY - 100)
    written.put((A, b"2"), timestamp=START + DAY - age)
    written.compact()
    assert written.offsets() == left


def test_records_from_the_future_are_cleaned_without_a_lag() -> None:
    written = compacted()
    written.put((A, b"1"), timestamp=START + 1000)
    written.put((A, b"2"))
    written.compact()
    assert written.offsets() == [1]


def test_records_without_keys_go() -> None:
    written = log()
    written.put(b"no key", (A, b"1"))
    written.put(b"none either")
    written.put((B, b"1"))
    written.settings["cleanup.policy"] = ["compact"]
    written.compact()
    assert content(written) == [(1, A, b"1"), (3, B, b"1")]


@pytest.mark.parametrize("codec", ["none", "gzip"])
def test_deletions_stay_for_a_time(codec: str) -> None:
    written = compacted(delete_retention_ms=500)
    written.put((A, b"1"), (B, b"1"))
    written.put((A, None), (C, b"1"), compression=codec)
    written.put((C, b"2"))
    written.clock.advance(100)
    written.compact()
    # From the first cleaning on the time runs, which the batch says.
    assert content(written) == [(1, B, b"1"), (2, A, None), (4, C, b"2")]
    horizon = written.batches()[1].delete_horizon
    assert horizon == START + 600
    assert written.records()[1].timestamp == START
    written.clock.advance(499)
    written.compact()
    assert written.offsets() == [1, 2, 4]
    assert written.batches()[1].delete_horizon == horizon
    written.clock.advance(1)
    written.compact()
    assert written.offsets() == [1, 4]
    assert [batch.base_offset for batch in written.batches()] == [0, 4]


def test_a_value_behind_a_deletion() -> None:
    written = compacted(delete_retention_ms=0)
    written.put((A, b"1"))
    written.put((A, None))
    written.put((A, b"2"))
    written.compact()
    assert content(written) == [(2, A, b"2")]


def test_the_last_batch_tells_where_the_log_ends() -> None:
    written = compacted(delete_retention_ms=0)
    written.put((A, None))
    written.put((B, None))
    written.compact()
    assert written.offsets() == [0, 1]
    written.compact()
    assert written.offsets() == []
    (last,) = written.batches()
    assert (last.base_offset, last.count) == (1, 0)
    written.put((C, b"1"))
    written.compact()
    assert [batch.base_offset for batch in written.batches()] == [2]


def test_the_newest_batch_of_a_producer_tells_its_sequence() -> None:
    written = compacted()
    for sequence in (0, 2, 4):
        written.put((A, b"%d" % sequence), (B, b""), producer_id=1, base_sequence=sequence)
    written.put((A, b"x"), (B, b"x"))
    before = written.producers()
    written.compact()
    assert content(written) == [(6, A, b"x"), (7, B, b"x")]
    assert [(batch.base_offset, batch.count, batch.last_sequence) for batch in written.batches()] == [
        (4, 0, 5),
        (6, 2, -1),
    ]
    written.truncate(6)
    assert written.producers() == before
    refused("OUT_OF_ORDER_SEQUENCE_NUMBER", lambda: written.put((A, b"y"), producer_id=1, base_sequence=7))
    assert written.put((A, b""), (B, b""), producer_id=1, base_sequence=4) == 4
    assert written.put((A, b"y"), producer_id=1, base_sequence=6) == 6


def test_the_brokers_time_stays() -> None:
    written = compacted(message_timestamp_type="LogAppendTime")
    written.put((A, b"1"), (B, b"1"))
    written.clock.advance(50)
    written.put((A, b"2"))
    written.compact()
    assert [record.timestamp for record in written.records()] == [START, START + 50]
    assert all(batch.log_append_time for batch in written.batches())


def transactional(written: TestLog, producer: int, *pairs: tuple[bytes, bytes | None]) -> None:
    sequence = {state.producer_id: state.last_sequence for state in written.producers()}.get(producer, -1)
    written.put(*pairs, producer_id=producer, base_sequence=sequence + 1, transactional=True)


def test_open_transactions_hold_back_cleaning() -> None:
    written = compacted()
    written.put((A, b"1"))
    written.put((A, b"2"))
    transactional(written, 1, (A, b"3"))
    written.put((A, b"4"))
    written.compact()
    assert written.offsets(committed=False) == [1, 2, 3]


def test_aborted_records_go_and_replace_nothing() -> None:
    written = compacted()
    written.put((A, b"1"), (B, b"1"))
    transactional(written, 1, (A, b"aborted"), (C, b"aborted"))
    written.end(1, commit=False)
    transactional(written, 2, (B, b"2"))
    written.end(2)
    written.put((C, b"1"))
    assert content(written) == [(0, A, b"1"), (1, B, b"1"), (5, B, b"2"), (7, C, b"1")]
    written.compact()
    assert content(written) == [(0, A, b"1"), (5, B, b"2"), (7, C, b"1")]
    assert content(written, committed=False) == content(written)


def kinds(written: TestLog) -> list[tuple[int, bool | None, int]]:
    """Of each batch the offset, of markers whether they commit, and the number of records."""
    found = []
    for batch in written.batches():
        marker = batch.marker()
        found.append((batch.base_offset, marker.commit if marker else None, batch.count))
    return found


def test_the_marker_of_an_aborted_transaction_outlasts_its_records() -> None:
    written = compacted(delete_retention_ms=500)
    transactional(written, 1, (A, b"aborted"))
    transactional(written, 1, (B, b"aborted"))
    written.end(1, commit=False)
    transactional(written, 1, (C, b"1"))
    written.end(1)
    written.put((A, b"1"))
    written.compact()
    # The first time readers may still have read the records; so they are told that these were aborted.
    assert kinds(written) == [(2, False, 1), (3, None, 1), (4, True, 1), (5, None, 1)]
    assert written.aborted(0, 10) == [(1, 0)]
    written.compact()
    # Now no record is there: the marker goes after delete.retention.ms.
    assert written.aborted(0, 10) == []
    assert kinds(written)[0] == (2, False, 1)
    assert written.batches()[0].delete_horizon == START + 500
    assert written.batches()[0].marker() == Marker(commit=False, coordinator_epoch=0)
    written.clock.advance(499)
    written.compact()
    assert kinds(written)[0] == (2, False, 1)
    written.clock.advance(1)
    written.compact()
    assert kinds(written) == [(3, None, 1), (4, True, 1), (5, None, 1)]


def test_the_marker_of_a_committed_transaction_stays_while_records_do() -> None:
    written = compacted(delete_retention_ms=0)
    transactional(written, 1, (A, b"1"))
    written.end(1)
    written.put((B, b"1"))
    for _ in range(3):
        written.compact()
    assert kinds(written) == [(0, None, 1), (1, True, 1), (2, None, 1)]
    written.clock.advance(10 * DAY)
    assert written.producers() == []
    written.put((A, b"2"))
    # The record goes; then its marker gets a time to go; then it goes.
    written.compact()
    assert kinds(written) == [(1, True, 1), (2, None, 1), (3, None, 1)]
    written.compact()
    assert kinds(written)[0] == (1, True, 1)
    written.compact()
    assert kinds(written) == [(2, None, 1), (3, None, 1)]


def test_a_marker_that_alone_tells_a_producers_epoch_stays() -> None:
    written = compacted(delete_retention_ms=0)
    transactional(written, 1, (B, b"0"))
    written.end(1)
    transactional(written, 1, (A, b"1"))
    written.end(1, producer_epoch=1, commit=False)
    written.put((B, b"1"))
    for _ in range(4):
        written.compact()
    assert [batch.base_offset for batch in written.batches()] == [3, 4]
    refused("INVALID_PRODUCER_EPOCH", lambda: transactional(written, 1, (A, b"2")))


def test_the_newest_batch_of_a_producer_may_be_aborted() -> None:
    written = compacted(delete_retention_ms=0)
    transactional(written, 1, (A, b"aborted"))
    written.end(1, commit=False)
    written.put((B, b"1"))
    for _ in range(3):
        written.compact()
        assert kinds(written) == [(0, None, 0), (1, False, 1), (2, None, 1)]
        assert written.aborted(0, 2) == [(1, 0)]
    assert content(written) == [(2, B, b"1")]


def test_aborted_transactions_behind_what_is_cleaned() -> None:
    written = compacted()
    transactional(written, 1, (A, b"1"))
    written.end(1, commit=False)
    transactional(written, 2, (A, b"2"))
    written.end(2, commit=False)
    written.compact(up_to=2)
    assert written.aborted(0, 10) == [(1, 0), (2, 2)]


def test_records_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    written = compacted()
    written.put((A, b"1"))
    written.put((A, b"2"), compression="gzip")
    before = written.read(0, 10_000, up_to=2)
    monkeypatch.setattr(compression, "_codec", lambda _: None)
    monkeypatch.setitem(compression._LIBRARIES, "gzip", ())
    with pytest.raises(CodecNotInstalledError):
        written.compact()
    assert written.read(0, 10_000, up_to=2) == before


keys = st.sampled_from([A, B, C, b""])
puts = st.lists(st.tuples(keys, st.none() | st.binary(max_size=3)), min_size=1, max_size=5)
transactions = st.tuples(st.integers(1, 3), puts, st.sampled_from(["commit", "abort", "more"]))


@given(st.lists(puts | transactions, max_size=15), st.integers(0, 1), st.integers(1, 3))
def test_cleaning_changes_no_newest_value(steps: list[Any], start: int, times: int) -> None:
    written = compacted(delete_retention_ms=0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segments, "_SEGMENT_BYTES", 300)
        for step in steps:
            if isinstance(step, list):
                written.put(*step)
                continue
            producer, pairs, outcome = step
            transactional(written, producer, *pairs)
            if outcome != "more":
                written.end(producer, commit=outcome == "commit")
        written.delete_records(min(start, written.end_offset))
        before = {record.key: record for record in written.records()}
        unstable = written.records(committed=False)
        end, stable, producers = written.end_offset, written.last_stable_offset, written.producers()
        for _ in range(times):
            written.compact()
        after = {record.key: record for record in written.records()}
        assert len(after) == len(written.records())
    # Deletions go, at the earliest with the second cleaning; all else is there, at its offset.
    for key, record in before.items():
        assert after.get(key) == record or (record.value is None and times > 1 and key not in after)
    assert after.keys() <= before.keys()
    assert (written.end_offset, written.last_stable_offset, written.producers()) == (end, stable, producers)
    assert [record for record in unstable if record.offset >= stable] == [
        record for record in written.records(committed=False) if record.offset >= stable
    ]
    assert all(batch.intact() for batch in written.batches())
