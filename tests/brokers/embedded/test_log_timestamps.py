from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_msk.brokers.embedded.log import Found
from pytest_msk.brokers.wire import compression
from pytest_msk.brokers.wire.records import Record, build
from tests.brokers.embedded.logs import DAY, START, TestLog, log


def write(written: TestLog, *timestamps: int, codec: str = "none", epoch: int = 0) -> None:
    timed = [Record(number, timestamp, b"k", b"v") for number, timestamp in enumerate(timestamps)]
    written.append(memoryview(build(timed, compression=codec)), epoch)


@pytest.mark.parametrize("codec", ["none", "gzip"])
def test_the_first_record_that_is_as_late(codec: str) -> None:
    written = log()
    write(written, 100, 300, 200, codec=codec, epoch=1)
    write(written, 250, 400, codec=codec, epoch=2)

    def found(timestamp: int) -> Found | None:
        return written.offset_for_timestamp(timestamp, up_to=5)

    assert found(0) == found(100) == Found(100, 0, 1)
    assert found(101) == found(300) == Found(300, 1, 1)
    assert found(301) == Found(400, 4, 2)
    assert found(401) is None


def test_only_what_is_visible_and_not_deleted() -> None:
    written = log()
    write(written, 100, 300, 200)
    write(written, 400)
    assert written.offset_for_timestamp(300, up_to=1) is None
    assert written.offset_for_timestamp(400, up_to=3) is None
    written.delete_records(2)
    assert written.offset_for_timestamp(50, up_to=4) == Found(200, 2, 0)
    assert written.offset_for_timestamp(250, up_to=4) == Found(400, 3, 0)


@pytest.mark.parametrize("codec", ["none", "gzip"])
def test_the_greatest_timestamp(codec: str) -> None:
    written = log()
    write(written, 100, 300, 300, codec=codec)
    write(written, 300, codec=codec)
    assert written.max_timestamp(up_to=4) == Found(300, 1, 0)
    assert written.max_timestamp(up_to=1) is None
    write(written, 200, 301, codec=codec, epoch=3)
    assert written.max_timestamp(up_to=6) == Found(301, 5, 3)
    # Kafka does not look for the greatest of those that are visible.
    assert written.max_timestamp(up_to=5) is None
    written.truncate(4)
    assert written.max_timestamp(up_to=4) == Found(300, 1, 0)


def test_records_without_timestamps() -> None:
    written = log()
    write(written, -1, -1)
    assert written.max_timestamp(up_to=2) is None
    assert written.offset_for_timestamp(0, up_to=2) is None


def test_the_brokers_time() -> None:
    written = log(message_timestamp_type="LogAppendTime")
    write(written, 5, 6)
    written.clock.advance(10)
    write(written, 7)
    assert written.offset_for_timestamp(START, up_to=3) == Found(START, 0, 0)
    assert written.offset_for_timestamp(START + 1, up_to=3) == Found(START + 10, 2, 0)


def test_a_codec_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    written = log()
    write(written, 100, 300, codec="gzip")
    write(written, 400, 500, codec="gzip")
    monkeypatch.setattr(compression, "_codec", lambda _: None)
    assert written.offset_for_timestamp(100, up_to=4) == Found(100, 0, 0)
    assert written.offset_for_timestamp(200, up_to=4) == Found(300, 0, 0)
    assert written.offset_for_timestamp(400, up_to=4) == Found(400, 2, 0)
    assert written.max_timestamp(up_to=4) == Found(500, 2, 0)


@given(
    st.lists(st.lists(st.integers(0, 30), min_size=1, max_size=12), min_size=1, max_size=10),
    st.integers(0, 31),
    st.integers(0, 40),
    st.integers(0, 40),
)
def test_any_timestamps(sent: list[list[int]], timestamp: int, start: int, up_to: int) -> None:
    written = log()
    for batch in sent:
        write(written, *batch)
    written.delete_records(min(start, written.end_offset))
    visible = [
        (record.timestamp, record.offset)
        for record in written.records()
        if record.timestamp >= timestamp and record.offset < up_to
    ]
    expected = Found(*min(visible, key=lambda pair: pair[1]), 0) if visible else None
    assert written.offset_for_timestamp(timestamp, up_to=up_to) == expected


def old(written: TestLog, *ages: int) -> None:
    for age in ages:
        write(written, written.clock.now_ms() - age)


def test_retention_by_time() -> None:
    written = log(retention_ms=100)
    written.clock.advance(DAY)
    old(written, 500, 101, 100, 300, 0)
    heard: list[int] = []
    written.on_append.append(lambda: heard.append(written.start_offset))
    written.apply_retention()
    # As Kafka goes from segment to segment, what is behind a young one stays.
    assert written.offsets() == [2, 3, 4]
    assert heard == [2]
    written.apply_retention()
    assert heard == [2]
    written.clock.advance(DAY)
    written.apply_retention()
    assert (written.start_offset, written.end_offset, written.size) == (5, 5, 0)


def test_retention_of_nothing() -> None:
    written = log(retention_ms=0)
    old(written, 1, 0)
    written.apply_retention()
    assert written.offsets() == [1]


def test_retention_by_size() -> None:
    written = log()
    old(written, 0, 0, 0, 0)
    one = written.size // 4
    for limit, left in ((4 * one, 4), (3 * one + 1, 4), (3 * one, 3), (one - 1, 1), (0, 0)):
        written.settings["retention.bytes"] = limit
        written.apply_retention()
        assert len(written.offsets()) == left
    assert written.start_offset == 4


def test_retention_by_both() -> None:
    written = log(retention_ms=100)
    written.clock.advance(DAY)
    old(written, 0, 500, 0, 500)
    written.settings["retention.bytes"] = written.size * 3 // 4
    written.apply_retention()
    assert written.offsets() == [2, 3]


@pytest.mark.parametrize("settings", [{"cleanup_policy": ["compact"]}, {"retention_ms": -1}])
def test_no_retention(settings: dict[str, Any]) -> None:
    written = log(**settings)
    written.clock.advance(100 * DAY)
    old(written, 90 * DAY)
    written.apply_retention()
    assert written.offsets() == [0]


def test_retention_stops_at_what_is_not_committed() -> None:
    written = log(retention_ms=100)
    written.clock.advance(DAY)
    old(written, 500, 500, 500)
    written.apply_retention(up_to=2)
    assert written.offsets() == [2]


def test_retention_keeps_records_without_timestamps() -> None:
    written = log(retention_ms=100)
    write(written, -1)
    written.apply_retention()
    assert written.offsets() == [0]
