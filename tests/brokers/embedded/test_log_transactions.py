from __future__ import annotations

import pytest

from pytest_msk.brokers.wire.records import Marker
from tests.brokers.embedded.logs import TestLog, log


def write(written: TestLog, producer: int, value: bytes = b"v") -> int:
    """A transactional record, in sequence."""
    known = {state.producer_id: state.last_sequence for state in written.producers()}
    return written.put(
        value, producer_id=producer, base_sequence=known.get(producer, -1) + 1, transactional=True
    )


def test_the_last_stable_offset_waits_for_the_oldest_transaction() -> None:
    written = log()
    written.put(b"a")
    assert written.last_stable_offset == 1
    write(written, 1)
    write(written, 2)
    written.put(b"b")
    assert written.last_stable_offset == 1
    assert written.has_transaction(1)
    assert not written.has_transaction(3)
    written.end(2)
    assert written.last_stable_offset == 1
    write(written, 2)
    written.end(1)
    assert written.last_stable_offset == 5
    written.end(2, commit=False)
    assert written.last_stable_offset == written.end_offset == 8
    assert not written.has_transaction(1)


def test_what_is_not_committed_is_not_stable() -> None:
    written = log()
    written.put(b"a")
    write(written, 1)
    written.put(b"b")
    marker = written.end(1)
    written.put(b"c")
    assert written.last_stable_offset == 5
    # Replicas lag: readers must not see a transaction whose marker might get lost.
    assert [written.stable_offset(high_watermark) for high_watermark in (0, 1, 2, marker)] == [0, 1, 1, 1]
    assert [written.stable_offset(high_watermark) for high_watermark in (marker + 1, 5)] == [4, 5]


def test_an_older_transaction_that_is_not_committed() -> None:
    written = log()
    write(written, 1)
    write(written, 2)
    written.end(1)
    assert written.stable_offset(2) == 0
    assert written.stable_offset(3) == 1
    written.end(2)
    assert written.stable_offset(3) == 1
    assert written.stable_offset(4) == 4


def test_markers_are_control_batches() -> None:
    written = log()
    write(written, 1)
    written.clock.advance(9)
    offset = written.end(1, commit=False, producer_epoch=3, coordinator_epoch=8, leader_epoch=6)
    (marker,) = written.batches(offset)
    assert marker.marker() == Marker(commit=False, coordinator_epoch=8)
    assert (marker.producer_id, marker.producer_epoch, marker.leader_epoch) == (1, 3, 6)
    assert marker.max_timestamp == written.clock.now_ms()
    assert written.end_for_epoch(6) == (6, 2)


def test_aborted_transactions_that_touch_a_range() -> None:
    written = log()
    write(written, 1)  # 0
    write(written, 2)  # 1
    written.end(2, commit=False)  # 2
    write(written, 3)  # 3
    written.end(3)  # 4
    write(written, 2)  # 5
    written.end(1, commit=False)  # 6
    written.put(b"a")  # 7
    written.end(2, commit=False)  # 8
    first, second, third = (2, 1), (1, 0), (2, 5)
    assert written.aborted(0, 8) == [first, second, third]
    assert written.aborted(0, 0) == [second]
    assert written.aborted(0, 1) == [first, second]
    assert written.aborted(3, 4) == [second]
    assert written.aborted(6, 6) == [second, third]
    assert written.aborted(7, 7) == [third]
    assert written.aborted(9, 20) == []


def test_a_search_for_aborted_transactions_ends_where_all_is_decided() -> None:
    written = log()
    for producer in range(200):
        write(written, producer)
        written.end(producer, commit=False)
    assert written.aborted(10, 13) == [(5, 10), (6, 12)]
    assert len(written.aborted(0, 1000)) == 200


def test_an_empty_transaction_is_not_listed() -> None:
    written = log()
    write(written, 1)
    written.end(1)
    written.end(1, commit=False)
    assert written.aborted(0, 10) == []


def test_committed_records() -> None:
    written = log()
    written.put(b"plain")
    write(written, 1, b"aborted")
    write(written, 2, b"committed")
    written.end(1, commit=False)
    written.end(2)
    write(written, 1, b"second committed")
    written.end(1)
    write(written, 3, b"open")
    written.put(b"behind")
    assert written.values() == [b"plain", b"committed", b"second committed"]
    assert written.values(committed=False) == [
        b"plain",
        b"aborted",
        b"committed",
        b"second committed",
        b"open",
        b"behind",
    ]
    assert written.values(up_to=3) == [b"plain"]
    assert written.values(up_to=3, committed=False) == [b"plain", b"aborted", b"committed"]


def test_deletion_within_an_open_transaction() -> None:
    written = log()
    write(written, 1)
    write(written, 1)
    written.put(b"a")
    written.delete_records(1)
    assert written.last_stable_offset == 1
    written.end(1, commit=False)
    assert written.last_stable_offset == 4
    assert written.aborted(1, 3) == [(1, 0)]
    written.delete_records(4)
    assert written.aborted(0, 10) == []


@pytest.mark.parametrize("to", [0, 1, 2, 3, 4, 5])
def test_aborted_transactions_after_truncation(to: int) -> None:
    written = log()
    write(written, 1)
    written.end(1, commit=False)
    write(written, 1)
    written.end(1, commit=False)
    written.put(b"a")
    written.truncate(to)
    assert written.aborted(0, 10) == [(1, 0), (1, 2)][: to // 2]
    assert written.last_stable_offset == {1: 0, 3: 2}.get(to, to)
