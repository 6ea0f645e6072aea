from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from pytest_msk.brokers.embedded.validation import RecordsRefusedError
from pytest_msk.brokers.wire import compression, crc
from pytest_msk.brokers.wire.errors import KafkaError
from pytest_msk.brokers.wire.records import Batch, Record, build, crc32c
from tests.brokers.embedded.logs import NO_LIMIT, START, TestLog, batch, log, records, refused

HOUR = 3_600_000


def changed(data: bytes, at: int, value: bytes) -> bytes:
    """A batch with other bytes in it, and a CRC that fits."""
    changed = bytearray(data)
    changed[at : at + len(value)] = value
    changed[17:21] = crc32c(bytes(changed[21:])).to_bytes(4, "big")
    return bytes(changed)


def refuse(error: str, data: bytes, **settings: Any) -> KafkaError:
    """The error with which a log refuses a batch; nothing is left of that."""
    written = log(**settings)
    found = refused(error, lambda: written.append(memoryview(data), 0))
    assert (written.end_offset, written.size, written.producers()) == (0, 0, [])
    return found


@pytest.fixture(params=["installed", "python"])
def _each_checksum(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "python":
        monkeypatch.setattr(crc, "_checksum", crc.python_crc32c)


@pytest.mark.usefixtures("_each_checksum")
@pytest.mark.parametrize("size", [10, 100_000])
def test_a_wrong_checksum(size: int) -> None:
    data = bytearray(batch(bytes(size)))
    data[-2] ^= 1
    refuse("CORRUPT_MESSAGE", bytes(data))
    data[-2] ^= 1
    assert log().append(memoryview(bytes(data)), 0).base_offset == 0


def test_bytes_that_are_no_batch() -> None:
    refuse("INVALID_RECORD", b"")
    refuse("INVALID_RECORD", batch(b"a")[:-1])
    refuse("CORRUPT_MESSAGE", bytes(100))
    refuse("CORRUPT_MESSAGE", batch(b"a")[:8] + b"\xff\xff\xff\xff" + batch(b"a")[12:])


def test_old_formats() -> None:
    data = bytearray(batch(b"a"))
    data[16] = 1
    refuse("UNSUPPORTED_FOR_MESSAGE_FORMAT", bytes(data))


def test_exactly_one_batch() -> None:
    refuse("INVALID_RECORD", batch(b"a") + batch(b"b"))
    written = log()
    written.append(memoryview(batch(b"a") + batch(b"b")[:-1]), 0)
    assert written.values() == [b"a"]
    assert written.size == len(batch(b"a"))


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(build(records(b"a", base_offset=1), base_offset=1), id="base offset"),
        pytest.param(batch(b"a", control=True), id="control"),
        pytest.param(batch(b"a", producer_id=1, base_sequence=-1), id="no sequence"),
        pytest.param(changed(batch(b"a", b"b"), 57, bytes(4)), id="no records"),
        pytest.param(changed(batch(b"a"), 57, b"\xff\xff\xff\xff"), id="negative count"),
        pytest.param(changed(batch(b"a", b"b"), 57, b"\x00\x00\x00\x01"), id="count and offsets differ"),
        pytest.param(changed(batch(b"a"), 23, b"\xff\xff\xff\xff"), id="negative offsets"),
        pytest.param(
            changed(changed(batch(b"a", b"b"), 57, b"\x00\x00\x00\x03"), 23, b"\x00\x00\x00\x02"),
            id="fewer records than said",
        ),
        pytest.param(
            changed(changed(batch(b"a", b"b"), 57, b"\x00\x00\x00\x01"), 23, bytes(4)),
            id="more records than said",
        ),
    ],
)
def test_batches_that_contradict_themselves(data: bytes) -> None:
    assert not isinstance(refuse("INVALID_RECORD", data), RecordsRefusedError)


def test_an_unknown_codec() -> None:
    refuse("UNKNOWN_SERVER_ERROR", changed(batch(b"a"), 21, b"\x00\x05"))


def test_the_size_of_a_batch() -> None:
    data = batch(b"a")
    refuse("MESSAGE_TOO_LARGE", data, max_message_bytes=len(data) - 1)
    log(max_message_bytes=len(data)).append(memoryview(data), 0)
    refuse("RECORD_LIST_TOO_LARGE", data, segment_bytes=len(data) - 1)
    log(segment_bytes=len(data)).append(memoryview(data), 0)


def test_the_order_of_checks() -> None:
    small = {"max_message_bytes": 10}
    data = bytearray(build(records(b"a", base_offset=1), base_offset=1, control=True))
    data[-1] ^= 1
    refuse("INVALID_RECORD", bytes(data), **small)
    data[:8] = bytes(8)
    refuse("MESSAGE_TOO_LARGE", bytes(data), **small)
    refuse("CORRUPT_MESSAGE", bytes(data))


def test_a_setting_that_changes() -> None:
    written = log()
    written.put(b"a")
    written.settings["max.message.bytes"] = 10
    refused("MESSAGE_TOO_LARGE", lambda: written.put(b"a"))


def keyed(*keys: bytes | None, **more: Any) -> bytes:
    return batch(*[(key, b"v") for key in keys], **more)


@pytest.mark.parametrize("policy", [["compact"], ["compact", "delete"], "compact,delete"])
@pytest.mark.parametrize("codec", ["none", "gzip"])
def test_compacted_topics_want_keys(policy: Any, codec: str) -> None:
    data = keyed(b"k", None, b"", None, compression=codec)
    error = refuse("INVALID_RECORD", data, cleanup_policy=policy)
    assert isinstance(error, RecordsRefusedError)
    assert [number for number, _ in error.record_errors] == [1, 3]
    assert all("key" in text for _, text in error.record_errors)
    log(cleanup_policy=policy).append(memoryview(keyed(b"k", b"", compression=codec)), 0)
    log().append(memoryview(data), 0)


def test_keys_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    data = keyed(None, compression="gzip")
    monkeypatch.setattr(compression, "_codec", lambda _: None)
    log(cleanup_policy=["compact"]).append(memoryview(data), 0)


def timed(*timestamps: int, **more: Any) -> bytes:
    return build([Record(number, time, None, b"v") for number, time in enumerate(timestamps)], **more)


LIMITS: list[tuple[dict[str, Any], int, int]] = [
    # Kafka 4: no limit backwards, an hour forwards.
    ({}, -START, HOUR),
    ({"message_timestamp_before_max_ms": 500, "message_timestamp_after_max_ms": 70}, -500, 70),
    # 3.6 to 3.9: limits for each side that are not set give way to the limit for both.
    (
        {
            "message_timestamp_before_max_ms": NO_LIMIT,
            "message_timestamp_after_max_ms": NO_LIMIT,
            "message_timestamp_difference_max_ms": 300,
        },
        -300,
        300,
    ),
    (
        {
            "message_timestamp_before_max_ms": 50,
            "message_timestamp_after_max_ms": NO_LIMIT,
            "message_timestamp_difference_max_ms": 300,
        },
        -50,
        300,
    ),
    # Before 3.6.
    (
        {
            "without": ["message.timestamp.before.max.ms", "message.timestamp.after.max.ms"],
            "message_timestamp_difference_max_ms": 300,
        },
        -300,
        300,
    ),
]


@pytest.mark.parametrize("count", [1, 20], ids=["few", "many"])
@pytest.mark.parametrize("codec", ["none", "gzip"])
@pytest.mark.parametrize(("settings", "earliest", "latest"), LIMITS)
def test_timestamps_out_of_range(
    settings: dict[str, Any], earliest: int, latest: int, codec: str, count: int
) -> None:
    good = [START] * count
    written = log(**settings)
    edges = timed(START, START + earliest, *good, START + latest, compression=codec)
    assert written.append(memoryview(edges), 0) == (0, -1, 0)
    # Not even a second time is a setting asked for that the release lacks.
    written.append(memoryview(edges), 0)
    beyond = [START + latest + 1, *good, *([START + earliest - 1] if earliest > -START else [])]
    error = refuse("INVALID_TIMESTAMP", timed(*beyond, compression=codec), **settings)
    assert isinstance(error, RecordsRefusedError)
    assert [number for number, _ in error.record_errors] == [
        number for number, time in enumerate(beyond) if time != START
    ]


def test_records_without_a_timestamp_are_never_out_of_range() -> None:
    log(message_timestamp_before_max_ms=5).append(memoryview(timed(-1, START)), 0)


def test_timestamps_and_keys_at_fault() -> None:
    data = build([Record(0, START, None, b"v"), Record(1, START + 2 * HOUR, b"k", b"v")])
    error = refuse("INVALID_TIMESTAMP", data, cleanup_policy=["compact"])
    assert isinstance(error, RecordsRefusedError)
    assert [number for number, _ in error.record_errors] == [0, 1]


def test_timestamps_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    late, early = timed(START + 2 * HOUR, compression="gzip"), timed(START - 9, compression="gzip")
    good = timed(START, compression="gzip")
    monkeypatch.setattr(compression, "_codec", lambda _: None)
    refuse("INVALID_TIMESTAMP", late)
    refuse("INVALID_TIMESTAMP", early, message_timestamp_before_max_ms=5)
    log(message_timestamp_before_max_ms=5).append(memoryview(good), 0)


@pytest.mark.parametrize("codec", ["none", "gzip"])
def test_the_brokers_time(codec: str) -> None:
    written = log(message_timestamp_type="LogAppendTime", message_timestamp_before_max_ms=5)
    written.clock.advance(10 * HOUR)
    now = START + 10 * HOUR
    data = timed(
        START, START + 99 * HOUR, compression=codec, producer_id=1, producer_epoch=0, base_sequence=0
    )
    assert written.append(memoryview(data), 0).log_append_time == now
    (stored,) = written.batches()
    assert stored.log_append_time
    assert stored.intact()
    assert stored.max_timestamp == now
    assert [record.timestamp for record in stored.records()] == [now, now]
    assert (stored.producer_id, stored.compression, stored.count) == (1, codec, 2)


@pytest.mark.parametrize("count", [1, 20])
def test_only_the_broker_sets_its_time(count: int) -> None:
    data = timed(*[START] * count, log_append_time=START)
    error = refuse("INVALID_TIMESTAMP", data, message_timestamp_type="LogAppendTime")
    assert isinstance(error, RecordsRefusedError)
    assert len(error.record_errors) == count
    # Where the producer's time counts, Kafka only takes the mark away.
    written = log()
    written.append(memoryview(data), 0)
    (stored,) = written.batches()
    assert not stored.log_append_time
    assert stored.intact()


def test_a_greatest_timestamp_that_is_too_small() -> None:
    """As old versions of sarama send it."""
    times = [START + number for number in range(20)]
    written = log()
    written.append(memoryview(changed(timed(*times), 35, (-1).to_bytes(8, "big", signed=True))), 0)
    (stored,) = written.batches()
    assert stored.max_timestamp == START + 19
    assert stored.intact()


def test_a_greatest_timestamp_that_is_too_large() -> None:
    written = log()
    written.append(memoryview(changed(timed(START, START + 1), 35, (START + 50).to_bytes(8, "big"))), 0)
    assert written.batches()[0].max_timestamp == START + 1


def stored(written: TestLog) -> Batch:
    (batch,) = written.batches()
    assert batch.intact()
    return batch


@pytest.mark.parametrize(
    ("wanted", "sent", "kept"),
    [
        ("producer", "gzip", "gzip"),
        ("producer", "none", "none"),
        ("gzip", "none", "gzip"),
        ("gzip", "gzip", "gzip"),
        ("uncompressed", "gzip", "none"),
    ],
)
def test_compression_by_the_broker(wanted: str, sent: str, kept: str) -> None:
    written = log(compression_type=wanted)
    data = batch(b"a", b"b", compression=sent, producer_id=3, base_sequence=7, transactional=True)
    written.append(memoryview(data), 5)
    found = stored(written)
    assert found.compression == kept
    assert found.records() == records(b"a", b"b")
    assert (found.producer_id, found.base_sequence, found.last_sequence, found.transactional) == (
        3,
        7,
        8,
        True,
    )
    assert (bytes(found.data[61:]) == data[61:]) == (sent == kept)


def test_compression_by_the_broker_with_its_time() -> None:
    written = log(compression_type="gzip", message_timestamp_type="LogAppendTime")
    written.clock.advance(5)
    written.put(b"a")
    assert stored(written).log_append_time
    assert stored(written).records() == records(b"a", timestamp=START + 5)


@pytest.mark.parametrize(("wanted", "sent"), [("lz4", "gzip"), ("zstd", "none"), ("uncompressed", "gzip")])
def test_a_codec_that_is_not_installed_changes_nothing(
    wanted: str, sent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    written, data = log(compression_type=wanted), batch(b"a", compression=sent)
    monkeypatch.setattr(compression, "_codec", lambda _: None)
    written.append(memoryview(data), 0)
    assert stored(written).compression == sent


def test_a_batch_that_grows_too_large() -> None:
    data = batch(bytes(10_000), compression="gzip")
    refuse("MESSAGE_TOO_LARGE", data, compression_type="uncompressed", max_message_bytes=1000)


def test_offsets_in_a_batch_are_made_consecutive_when_it_is_rewritten() -> None:
    data = bytearray(batch(b"a", b"b", b"c"))
    second = data.index(b"b") - 4
    data[second] = 8
    written = log(compression_type="gzip")
    written.append(memoryview(changed(bytes(data), second, b"\x08")), 0)
    assert written.offsets() == [0, 1, 2]


def test_records_that_are_not_in_their_codec() -> None:
    data = batch(b"a" * 100, compression="gzip")
    broken = changed(data, len(data) - 10, b"\xff" * 10)
    refuse("UNKNOWN_SERVER_ERROR", broken)
    refuse("UNKNOWN_SERVER_ERROR", broken, cleanup_policy=["compact"])


def test_large_batches_are_passed_on_as_they_came() -> None:
    data = batch(random.Random(7).randbytes(5000), compression="gzip")  # noqa: S311
    log().append(memoryview(changed(data, len(data) - 10, b"\xff" * 10)), 0)


@pytest.mark.parametrize("make", [lambda: timed(START), lambda: batch(b"a", compression="gzip")])
def test_a_good_batch_is_stored_as_it_came(make: Callable[[], bytes]) -> None:
    written = log()
    written.append(memoryview(make()), 0)
    assert bytes(stored(written).data[16:]) == make()[16:]
