from __future__ import annotations

import pytest

from pytest_msk.brokers.embedded import segments
from pytest_msk.brokers.embedded.log import Appended
from pytest_msk.brokers.wire.records import Batch
from tests.brokers.embedded.logs import START, TestLog, batch, log, records, refused


@pytest.fixture(autouse=True, params=[1 << 20, 200], ids=["one segment", "many segments"])
def _segment_bytes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "_SEGMENT_BYTES", request.param)


def test_an_empty_log() -> None:
    empty = log()
    assert (empty.start_offset, empty.end_offset, empty.last_stable_offset, empty.size) == (0, 0, 0, 0)
    assert empty.read(0, 1000, up_to=0) == b""
    assert empty.available(0, up_to=0) == 0
    assert empty.records() == []
    assert empty.offset_for_timestamp(0, up_to=0) is None
    assert empty.max_timestamp(up_to=0) is None
    assert empty.end_for_epoch(0) == (-1, -1)
    assert empty.epoch_at(0) == -1


def test_batches_get_offsets_and_the_leaders_epoch() -> None:
    written = log()
    assert written.append(memoryview(batch(b"a", b"b")), 3) == Appended(0, -1, 0)
    assert written.append(memoryview(batch(b"c")), 4) == Appended(2, -1, 0)
    first, second = written.batches()
    assert (first.base_offset, first.last_offset, first.leader_epoch) == (0, 1, 3)
    assert (second.base_offset, second.last_offset, second.leader_epoch) == (2, 2, 4)
    assert first.intact()
    assert second.intact()
    assert written.records() == records(b"a", b"b", b"c")
    assert written.end_offset == 3
    assert written.size == len(batch(b"a", b"b")) + len(batch(b"c"))


def test_a_batch_is_copied() -> None:
    data = bytearray(batch(b"a"))
    written = log()
    written.append(memoryview(data), 0)
    data[-2:] = b"xx"
    assert written.values() == [b"a"]


def test_waiting_requests_are_told() -> None:
    written, heard = log(), []
    written.on_append.append(lambda: heard.append((written.start_offset, written.end_offset)))
    written.put(b"a", b"b")
    written.end(5)
    written.append_records([(b"k", b"v")], 0)
    written.delete_records(1)
    written.truncate(2)
    assert heard == [(0, 2), (0, 3), (0, 4), (1, 4), (1, 2)]
    written.delete_records(1)
    written.truncate(2)
    refused("CORRUPT_MESSAGE", lambda: written.append(memoryview(bytes(100)), 0))
    assert len(heard) == 5


def test_records_of_the_brokers_themselves() -> None:
    written = log(cleanup_policy=["compact"])
    written.put((b"k", b"a"))
    assert written.append_records([(b"x", b"1"), (b"y", None)], 2) == 1
    assert [(record.key, record.value) for record in written.records()[1:]] == [(b"x", b"1"), (b"y", None)]
    assert {record.timestamp for record in written.records()} == {START}
    assert written.batches()[1].leader_epoch == 2


def five() -> tuple[list[bytes], TestLog]:
    written = log()
    for number in range(5):
        written.put(*[b"%d" % number] * 2)
    return [bytes(found.data) for found in written.batches()], written


def test_reading_begins_with_the_batch_that_holds_the_offset() -> None:
    parts, written = five()
    for offset in range(10):
        assert written.read(offset, 10_000, up_to=10) == b"".join(parts[offset // 2 :])
    assert written.read(10, 10_000, up_to=10) == b""


def test_reading_ends_before_what_is_not_visible() -> None:
    parts, written = five()
    for up_to in range(11):
        assert written.read(0, 10_000, up_to=up_to) == b"".join(parts[: up_to // 2])
        assert written.available(0, up_to=up_to) == sum(map(len, parts[: up_to // 2]))
    assert written.read(4, 10_000, up_to=2) == b""
    assert written.available(4, up_to=2) == 0


def test_reading_stops_at_whole_batches_but_gives_one() -> None:
    parts, written = five()
    size = len(parts[0])
    for most in range(5 * size + 2):
        assert written.read(0, most, up_to=10) == b"".join(parts[: max(1, most // size)])
    assert written.read(2, 0, up_to=2) == b""


@pytest.mark.parametrize("offset", [-1, 2, 11, 2**40])
def test_offsets_that_the_log_does_not_have(offset: int) -> None:
    _, written = five()
    written.delete_records(3)
    refused("OFFSET_OUT_OF_RANGE", lambda: written.read(offset, 100, up_to=10))
    assert written.read(3, 100, up_to=10)


def test_deleting_records() -> None:
    parts, written = five()
    size = written.size
    assert written.delete_records(0) == 0
    assert written.delete_records(3) == 3
    # The batch that the new start lies in stays as it is.
    assert written.read(3, 10_000, up_to=10) == b"".join(parts[1:])
    assert written.values() == [b"1", b"2", b"2", b"3", b"3", b"4", b"4"]
    assert written.size == size - len(parts[0])
    assert written.delete_records(1) == 3
    assert written.delete_records(10) == 10
    assert (written.size, written.end_offset, written.values()) == (0, 10, [])
    assert written.read(10, 100, up_to=10) == b""
    assert written.put(b"next") == 10
    assert written.values() == [b"next"]


@pytest.mark.parametrize("before", [-1, 11])
def test_deleting_beyond_the_end(before: int) -> None:
    _, written = five()
    refused("OFFSET_OUT_OF_RANGE", lambda: written.delete_records(before))
    assert written.start_offset == 0


def test_truncation() -> None:
    parts, written = five()
    written.truncate(10)
    written.truncate(4)
    assert (written.start_offset, written.end_offset) == (0, 4)
    assert written.read(0, 10_000, up_to=4) == b"".join(parts[:2])
    assert written.put(b"other") == 4
    assert written.values() == [b"0", b"0", b"1", b"1", b"other"]


def test_truncation_within_a_batch_leaves_a_gap() -> None:
    parts, written = five()
    written.truncate(3)
    assert written.end_offset == 3
    assert written.read(0, 10_000, up_to=3) == parts[0]
    assert written.put(b"other") == 3
    assert written.offsets() == [0, 1, 3]
    assert Batch(written.read(2, 10_000, up_to=4)).base_offset == 3


def test_truncation_of_everything() -> None:
    _, written = five()
    written.delete_records(6)
    written.truncate(2)
    assert (written.start_offset, written.end_offset, written.size) == (2, 2, 0)
    assert written.put(b"new") == 2


def test_leader_epochs() -> None:
    written = log()
    written.begin_epoch(0)
    assert written.end_for_epoch(0) == (0, 0)
    written.put(b"a", b"b", epoch=0)
    written.begin_epoch(2)
    assert written.epoch_at(2) == 2
    assert written.end_for_epoch(2) == (2, 2)
    written.put(b"c", epoch=2)
    written.put(b"d", epoch=5)
    assert [written.epoch_at(offset) for offset in range(5)] == [0, 0, 2, 5, 5]
    assert [written.end_for_epoch(epoch) for epoch in (-1, 0, 1, 2, 3, 5, 6)] == [
        (-1, -1),
        (0, 2),
        (0, 2),
        (2, 3),
        (2, 3),
        (5, 4),
        (-1, -1),
    ]


def test_an_epoch_that_wrote_nothing_is_replaced() -> None:
    written = log()
    written.put(b"a", epoch=0)
    written.begin_epoch(1)
    written.begin_epoch(2)
    assert written.end_for_epoch(1) == (0, 1)


def test_leader_epochs_after_deletion_and_truncation() -> None:
    written = log()
    for epoch in (1, 3, 5):
        written.put(b"a", b"b", epoch=epoch)
    written.delete_records(3)
    assert written.end_for_epoch(0) == (0, 3)
    assert written.end_for_epoch(1) == (1, 3)
    assert written.end_for_epoch(3) == (3, 4)
    assert written.epoch_at(2) == -1
    written.truncate(4)
    assert written.end_for_epoch(5) == (-1, -1)
    assert written.end_for_epoch(3) == (3, 4)
    written.begin_epoch(6)
    written.truncate(10)
    assert written.end_for_epoch(6) == (-1, -1)
