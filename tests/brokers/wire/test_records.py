from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka.record import MemoryRecords
from kafka.record.default_records import DefaultRecordBatchBuilder

from pytest_msk.brokers.wire import compression
from pytest_msk.brokers.wire.errors import KafkaError
from pytest_msk.brokers.wire.records import (
    Batch,
    Marker,
    Record,
    batches,
    build,
    build_marker,
    emptied,
    rebuilt,
    restamped,
)

CODECS = [codec for codec in compression.NAMES if compression.installed(codec)]
MAX_LONG = 2**63 - 1
NOW = 1_700_000_000_000

some_bytes = st.none() | st.binary(max_size=200)
headers = st.lists(st.tuples(st.text(max_size=10), some_bytes), max_size=3).map(tuple)
contents = st.builds(Record, st.just(0), st.integers(-1, 2**62), some_bytes, some_bytes, headers)


@st.composite
def rising(draw: st.DrawFn, base: int = 0) -> list[Record]:
    """Records at rising offsets, with gaps as the cleaner leaves them."""
    records, offset = [], base
    for record in draw(st.lists(contents, min_size=1, max_size=20)):
        offset += draw(st.integers(0, 3))
        records.append(replace(record, offset=offset))
        offset += 1
    return records


def at(*offsets: int, value: bytes | None = b"v") -> list[Record]:
    return [Record(offset, NOW + offset, b"k%d" % offset, value) for offset in offsets]


@given(rising(base=70), st.sampled_from(CODECS), st.booleans())
def test_what_is_built_is_read(records: list[Record], codec: str, transactional: bool) -> None:
    data = build(
        records,
        base_offset=70,
        leader_epoch=4,
        compression=codec,
        producer_id=12,
        producer_epoch=3,
        base_sequence=5,
        transactional=transactional,
    )
    (batch,) = batches(data)
    assert batch.records() == records
    assert batch.intact()
    assert (batch.base_offset, batch.last_offset, batch.leader_epoch) == (70, records[-1].offset, 4)
    assert (batch.producer_id, batch.producer_epoch, batch.base_sequence) == (12, 3, 5)
    assert batch.last_sequence == 5 + records[-1].offset - 70
    assert (batch.compression, batch.transactional, batch.control) == (codec, transactional, False)
    assert (batch.count, batch.size, batch.magic) == (len(records), len(data), 2)
    assert batch.base_timestamp == records[0].timestamp
    assert batch.max_timestamp == max(record.timestamp for record in records)
    assert [
        (outline.offset_delta + 70, outline.timestamp, outline.has_key) for outline in batch.outlines()
    ] == [(record.offset, record.timestamp, record.key is not None) for record in records]


@given(st.lists(contents, min_size=1, max_size=20), st.sampled_from([("none", 0), ("gzip", 1)]))
def test_kafka_python_reads_what_is_built(records: list[Record], codec: tuple[str, int]) -> None:
    records = [replace(record, offset=number) for number, record in enumerate(records)]
    found = MemoryRecords(
        build(records, compression=codec[0], producer_id=7, producer_epoch=1, base_sequence=9)
    )
    batch: Any = found.next_batch()
    assert not found.has_next()
    assert batch.validate_crc()
    assert (batch.producer_id, batch.producer_epoch, batch.base_sequence) == (7, 1, 9)
    assert [
        Record(read.offset, read.timestamp, read.key, read.value, tuple(read.headers)) for read in batch
    ] == records


@given(
    st.lists(contents, min_size=1, max_size=20),
    st.sampled_from(CODECS),
    st.booleans(),
    st.sampled_from([(-1, -1, -1), (2**40, 2**15 - 1, 2**31 - 1)]),
)
def test_what_kafka_python_builds_is_read(
    records: list[Record], codec: str, transactional: bool, producer: tuple[int, int, int]
) -> None:
    builder: Any = DefaultRecordBatchBuilder(
        2, compression.NAMES.index(codec), transactional, *producer, 1 << 20
    )
    for number, record in enumerate(records):
        builder.append(number, record.timestamp, record.key, record.value, list(record.headers))
    (batch,) = batches(bytes(builder.build()))
    records = [replace(record, offset=number) for number, record in enumerate(records)]
    assert batch.intact()
    assert batch.records() == records
    if codec == "none":
        ours = build(
            records,
            leader_epoch=batch.leader_epoch,
            producer_id=producer[0],
            producer_epoch=producer[1],
            base_sequence=producer[2],
            transactional=transactional,
        )
        assert ours == bytes(batch.data)
    assert (batch.producer_id, batch.producer_epoch, batch.base_sequence) == producer
    assert batch.max_timestamp == max(record.timestamp for record in records)


def test_a_batch_of_a_plain_producer() -> None:
    (batch,) = batches(build(at(0)))
    assert [batch.transactional, batch.control, batch.log_append_time] == [False] * 3
    assert (batch.compression, batch.attributes, batch.delete_horizon) == ("none", 0, None)
    assert (batch.producer_id, batch.producer_epoch, batch.base_sequence, batch.leader_epoch) == (-1,) * 4


@pytest.mark.parametrize(("base", "last"), [(2**31 - 1, 1), (2**31 - 2, 0), (0, 2), (-1, -1)])
def test_sequences_go_on_from_zero(base: int, last: int) -> None:
    assert Batch(build(at(0, 1, 2), base_sequence=base)).last_sequence == last


def test_the_brokers_time() -> None:
    batch = Batch(build(at(3, 4), base_offset=3, log_append_time=NOW + 99))
    assert batch.log_append_time
    assert [record.timestamp for record in batch.records()] == [NOW + 99] * 2
    assert {outline.timestamp for outline in batch.outlines()} == {NOW + 99}


@pytest.mark.parametrize("commit", [True, False])
def test_markers(commit: bool) -> None:
    marker = Marker(commit, coordinator_epoch=17)
    batch = Batch(
        build_marker(marker, offset=8, leader_epoch=2, timestamp=NOW, producer_id=5, producer_epoch=6)
    )
    assert batch.control
    assert batch.transactional
    assert batch.intact()
    assert batch.marker() == marker
    assert batch.records() == [Record(8, NOW, bytes([0, 0, 0, commit]), bytes([0, 0, 0, 0, 0, 17]))]
    assert (batch.base_offset, batch.last_offset, batch.leader_epoch) == (8, 8, 2)
    assert (batch.producer_id, batch.producer_epoch, batch.base_sequence, batch.last_sequence) == (
        5,
        6,
        -1,
        -1,
    )
    read: Any = MemoryRecords(bytes(batch.data)).next_batch()
    assert read.is_control_batch
    (record,) = read
    assert (record.commit, record.abort) == (commit, not commit)


def test_batches_that_are_no_markers() -> None:
    assert Batch(build(at(0))).marker() is None
    assert Batch(emptied(Batch(build(at(0), control=True)))).marker() is None
    assert Batch(build(at(0), control=True)).marker() is None


@pytest.mark.parametrize("codec", ["none", "gzip"])
def test_other_timestamps(codec: str) -> None:
    before = Batch(build(at(0, 1), compression=codec, producer_id=3, producer_epoch=0, base_sequence=0))
    after = Batch(restamped(before, log_append_time=True, max_timestamp=5))
    assert after.intact()
    assert [record.timestamp for record in after.records()] == [5, 5]
    assert (after.producer_id, after.compression) == (3, codec)
    again = Batch(restamped(after, log_append_time=False, max_timestamp=before.max_timestamp))
    assert bytes(again.data) == bytes(before.data)


@pytest.mark.parametrize("codec", ["none", "gzip"])
def test_some_of_the_records(codec: str) -> None:
    records = at(10, 11, 12, 13)
    before = Batch(
        build(records, base_offset=10, compression=codec, producer_id=3, producer_epoch=1, base_sequence=40)
    )
    after = Batch(rebuilt(before, records[1:3], None))
    assert after.records() == records[1:3]
    assert after.intact()
    assert (after.base_offset, after.last_offset, after.last_sequence) == (10, 13, 43)
    assert (after.base_timestamp, after.max_timestamp) == (records[1].timestamp, records[2].timestamp)
    assert after.delete_horizon is None
    with_horizon = Batch(rebuilt(after, records[1:2], NOW + 5000))
    assert with_horizon.delete_horizon == NOW + 5000
    assert with_horizon.records() == records[1:2]
    assert Batch(rebuilt(with_horizon, records[1:2], None)).delete_horizon is None


def test_some_records_with_the_brokers_time() -> None:
    before = Batch(build(at(0, 1), log_append_time=NOW))
    after = Batch(rebuilt(before, before.records()[:1], None))
    assert after.log_append_time
    assert after.records() == before.records()[:1]
    assert after.max_timestamp == NOW


def test_none_of_the_records() -> None:
    before = Batch(
        build(
            at(10, 11),
            base_offset=10,
            compression="gzip",
            producer_id=3,
            producer_epoch=1,
            base_sequence=40,
            transactional=True,
        )
    )
    (after,) = batches(emptied(before))
    assert after.records() == []
    assert after.intact()
    assert (after.size, after.count, after.compression, after.transactional) == (61, 0, "none", True)
    assert (after.base_offset, after.last_offset, after.last_sequence) == (10, 11, 41)
    assert after.max_timestamp == before.max_timestamp


def test_several_batches_and_a_cut_one() -> None:
    one, two = build(at(0)), build(at(5), base_offset=5)
    for cut in (b"", one[:1], one[:16], one[:17], one[:60], one[:-1]):
        found = batches(one + two + cut)
        assert [batch.base_offset for batch in found] == [0, 5]
        assert b"".join(bytes(batch.data) for batch in found) == one + two
    assert batches(b"") == []


@pytest.mark.parametrize(
    ("at_byte", "value", "error"),
    [
        (8, b"\xff\xff\xff\xff", "CORRUPT_MESSAGE"),
        (8, b"\x00\x00\x00\x0d", "CORRUPT_MESSAGE"),
        (8, b"\x00\x00\x00\x30", "CORRUPT_MESSAGE"),
        (16, b"\x03", "CORRUPT_MESSAGE"),
        (16, b"\xff", "CORRUPT_MESSAGE"),
        (16, b"\x01", "UNSUPPORTED_FOR_MESSAGE_FORMAT"),
        (16, b"\x00", "UNSUPPORTED_FOR_MESSAGE_FORMAT"),
    ],
)
def test_no_batches(at_byte: int, value: bytes, error: str) -> None:
    data = bytearray(build(at(0, 1, 2)))
    data[at_byte : at_byte + len(value)] = value
    with pytest.raises(KafkaError) as raised:
        batches(bytes(data))
    assert raised.value.name == error


def test_a_flipped_bit_is_noticed() -> None:
    data = bytearray(build(at(0, 1)))
    for number in range(21, len(data)):
        data[number] ^= 4
        assert not Batch(bytes(data)).intact()
        data[number] ^= 4
    assert Batch(bytes(data)).intact()


def with_payload(payload: bytes, count: int) -> Batch:
    template = bytearray(build(at(0)))[:61]
    template[57:61] = count.to_bytes(4, "big", signed=True)
    template[8:12] = (61 + len(payload) - 12).to_bytes(4, "big")
    return Batch(bytes(template) + payload)


RECORD = build(at(0))[61:]


@pytest.mark.parametrize(
    ("payload", "count"),
    [
        (RECORD, 2),
        (RECORD, 2**31 - 1),
        (RECORD + RECORD, 1),
        (RECORD, -1),
        (RECORD[:-1], 1),
        (b"", 1),
        (b"\xff" * 12, 1),
        (b"\x01" + RECORD[1:], 1),
        (b"\x7f" + RECORD[1:], 1),
        # Behind the record's size, attributes and deltas: a key or a value beyond its end, a negative
        # number of headers, too many of them, one without a name, or more than the record should have.
        (b"\x0c\x00\x00\x00\x7e\x01\x00", 1),
        (b"\x0c\x00\x00\x00\x01\x7e\x00", 1),
        (b"\x0c\x00\x00\x00\x01\x01\x01", 1),
        (b"\x0c\x00\x00\x00\x01\x01\x08", 1),
        (b"\x10\x00\x00\x00\x01\x01\x02\x01\x01", 1),
        (b"\x0e\x00\x00\x00\x01\x01\x00\x00", 1),
    ],
)
def test_no_records(payload: bytes, count: int) -> None:
    with pytest.raises(KafkaError) as raised:
        with_payload(payload, count).records()
    assert raised.value.name == "INVALID_RECORD"


@given(st.binary(max_size=300), st.integers(-3, 5))
def test_any_bytes_are_records_or_refused(payload: bytes, count: int) -> None:
    batch = with_payload(payload, count)
    try:
        assert len(batch.records()) == max(count, 0)
    except KafkaError as error:
        assert error.name == "INVALID_RECORD"  # noqa: PT017  # either outcome is right


@given(st.binary(max_size=200))
def test_any_bytes_are_batches_or_refused(data: bytes) -> None:
    try:
        assert sum(batch.size for batch in batches(data)) <= len(data)
    except KafkaError as error:
        assert error.name in {"CORRUPT_MESSAGE", "UNSUPPORTED_FOR_MESSAGE_FORMAT"}  # noqa: PT017


def test_an_unknown_codec() -> None:
    data = bytearray(build(at(0)))
    data[22] |= 5
    with pytest.raises(KafkaError) as raised:
        _ = Batch(bytes(data)).compression
    assert raised.value.name == "UNKNOWN_SERVER_ERROR"


@pytest.mark.parametrize("records", [[], at(1, 1), at(2, 1), at(-1)])
def test_what_cannot_be_a_batch(records: list[Record]) -> None:
    with pytest.raises(ValueError, match="come after|has records"):
        build(records)


def test_headers_in_another_encoding() -> None:
    (batch,) = batches(build([Record(0, NOW, None, None, (("é", b""),))]))
    data = bytes(batch.data).replace("é".encode(), b"\xff\xff")
    assert Batch(data).records()[0].headers == (("\ufffd\ufffd", b""),)


def test_a_batch_shows_what_it_is() -> None:
    assert repr(Batch(build(at(4, 5), base_offset=4))) == "Batch(offsets 4 to 5, 2 records)"
