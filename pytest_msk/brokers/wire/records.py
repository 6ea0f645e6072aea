"""Record batches of format 2: reading them, and making them (KIP-98; `DefaultRecordBatch`)."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pytest_msk.brokers.wire import compression as codecs
from pytest_msk.brokers.wire.crc import crc32c
from pytest_msk.brokers.wire.errors import KafkaError
from pytest_msk.brokers.wire.record_coding import Record, RecordOutline, decode, encode, outline

__all__ = [
    "HEADER_SIZE",
    "MAGIC",
    "NO_TIMESTAMP",
    "Batch",
    "Marker",
    "Record",
    "RecordOutline",
    "batches",
    "build",
    "build_marker",
    "crc32c",
    "emptied",
    "rebuilt",
    "restamped",
]

MAGIC = 2
NO_TIMESTAMP = -1
_NO_PRODUCER = -1

# Base offset, length of what follows, leader epoch, magic, CRC of what follows; and then: attributes, last
# offset delta, base and maximum timestamp, producer id and epoch, base sequence, number of records.
_OUTER = struct.Struct(">qiibI")
_INNER = struct.Struct(">hiqqqhii")
_HEADER = struct.Struct(">qiibIhiqqqhii")
HEADER_SIZE = _HEADER.size
_CRC_COVERS_FROM = _OUTER.size
_LENGTH_ENDS = 12
_LENGTH_AT = 8
_MAGIC_AT = 16
_LEAST_LENGTH = 14
"""What a record of the oldest format takes."""

_CODEC = 0x07
_LOG_APPEND_TIME = 0x08
_TRANSACTIONAL = 0x10
_CONTROL = 0x20
_DELETE_HORIZON = 0x40

_MAX_INT = 0x7FFFFFFF

# The keys of markers are a version and a type; their values a version and the coordinator's epoch.
_ABORT, _COMMIT = bytes(4), b"\0\0\0\1"
_ENDS: dict[bytes | None, bool] = {_ABORT: False, _COMMIT: True}
_MARKER_VALUE = struct.Struct(">hi")


class Marker(NamedTuple):
    """How a transaction ended (`EndTransactionMarker`)."""

    commit: bool
    coordinator_epoch: int


class Batch:
    """A view of one batch: the header's fields are read, the records are not.

    Args:
        data: begins with the batch's first byte, and holds all of it.

    Attributes:
        data: the batch's bytes.
        attributes: Kafka's bit field, of which `compression`, `transactional`, `control` and
            `log_append_time` are parts.
        base_timestamp: of the first record; of a batch that the cleaner has been at, perhaps the
            time from which it may drop deletions (`delete_horizon`).
        producer_id: -1 where the producer is not idempotent. So are its epoch and sequence.
        count: how many records the batch says it has.
        size: of all of it, in bytes.
    """

    __slots__ = (
        "attributes",
        "base_offset",
        "base_sequence",
        "base_timestamp",
        "count",
        "crc",
        "data",
        "last_offset_delta",
        "leader_epoch",
        "magic",
        "max_timestamp",
        "producer_epoch",
        "producer_id",
        "size",
    )

    def __init__(self, data: bytes | memoryview) -> None:
        self.base_offset: int
        self.leader_epoch: int
        self.magic: int
        self.crc: int
        self.attributes: int
        self.last_offset_delta: int
        self.base_timestamp: int
        self.max_timestamp: int
        self.producer_id: int
        self.producer_epoch: int
        self.base_sequence: int
        self.count: int
        (
            self.base_offset,
            length,
            self.leader_epoch,
            self.magic,
            self.crc,
            self.attributes,
            self.last_offset_delta,
            self.base_timestamp,
            self.max_timestamp,
            self.producer_id,
            self.producer_epoch,
            self.base_sequence,
            self.count,
        ) = _HEADER.unpack_from(data)
        self.size: int = _LENGTH_ENDS + length
        self.data = memoryview(data)[: self.size]

    def __repr__(self) -> str:
        return f"Batch(offsets {self.base_offset} to {self.last_offset}, {self.count} records)"

    @property
    def last_offset(self) -> int:
        """The offset of its last record, which the cleaner may since have removed."""
        return self.base_offset + self.last_offset_delta

    @property
    def last_sequence(self) -> int:
        """The sequence number of its last record, which after 2^31 - 1 goes on from 0; -1 for none."""
        if self.base_sequence < 0:
            return self.base_sequence
        return (self.base_sequence + self.last_offset_delta) & _MAX_INT

    @property
    def compression(self) -> str:
        """``none``, ``gzip``, ``snappy``, ``lz4`` or ``zstd``.

        Raises:
            KafkaError: ``UNKNOWN_SERVER_ERROR``, as of a broker: there is no such codec.
        """
        try:
            return codecs.NAMES[self.attributes & _CODEC]
        except IndexError:
            text = f"unknown compression type {self.attributes & _CODEC}"
            raise KafkaError("UNKNOWN_SERVER_ERROR", text) from None

    @property
    def transactional(self) -> bool:
        """Whether its records are part of a transaction."""
        return self.attributes & _TRANSACTIONAL != 0

    @property
    def control(self) -> bool:
        """Whether it holds a marker and not records of a producer."""
        return self.attributes & _CONTROL != 0

    @property
    def log_append_time(self) -> bool:
        """Whether all records have the broker's time, which is `max_timestamp`."""
        return self.attributes & _LOG_APPEND_TIME != 0

    @property
    def delete_horizon(self) -> int | None:
        """The time, in milliseconds since 1970, from which the cleaner may drop deletions (KIP-534)."""
        return self.base_timestamp if self.attributes & _DELETE_HORIZON else None

    def intact(self) -> bool:
        """Whether the CRC is that of the content."""
        return self.size >= HEADER_SIZE and crc32c(self.data[_CRC_COVERS_FROM:]) == self.crc

    def records(self) -> list[Record]:
        """Its records, decompressed.

        Raises:
            CodecNotInstalledError: there is no library for the codec; the message names those that will do.
            KafkaError: ``CORRUPT_MESSAGE`` or ``INVALID_RECORD``: they are no records.
        """
        if self.count == 0:
            return []
        time = self.max_timestamp if self.log_append_time else None
        return decode(self._payload(), self.count, self.base_offset, self.base_timestamp, time)

    def outlines(self) -> Iterator[RecordOutline]:
        """What a broker looks at in each record, one by one: quicker than `records`, and raises the same."""
        time = self.max_timestamp if self.log_append_time else None
        return outline(self._payload(), self.count, self.base_timestamp, time)

    def marker(self) -> Marker | None:
        """The marker in a control batch; None where the cleaner has removed it, or in any other batch."""
        if not self.control or self.count == 0:
            return None
        record = self.records()[0]
        if record.key not in _ENDS or record.value is None:
            return None
        _, coordinator_epoch = _MARKER_VALUE.unpack_from(record.value)
        return Marker(_ENDS[record.key], coordinator_epoch)

    def _payload(self) -> bytes:
        return codecs.decompress(self.compression, bytes(self.data[HEADER_SIZE:]))


def batches(data: bytes | memoryview) -> list[Batch]:
    """The batches that lie one behind the other in ``data``; the last one is left out if it is cut off.

    Neither CRCs nor records are looked at.

    Raises:
        KafkaError: ``CORRUPT_MESSAGE``: these are no batches; ``UNSUPPORTED_FOR_MESSAGE_FORMAT``: they are in
            a format older than 2.
    """
    view = memoryview(data)
    found: list[Batch] = []
    at = 0
    while len(view) - at > _MAGIC_AT:
        length = int.from_bytes(view[at + _LENGTH_AT : at + _LENGTH_ENDS], "big", signed=True)
        if length < _LEAST_LENGTH or not 0 <= view[at + _MAGIC_AT] <= MAGIC:
            raise KafkaError("CORRUPT_MESSAGE", f"no record batch at byte {at}")
        if length > len(view) - at - _LENGTH_ENDS:
            break
        if view[at + _MAGIC_AT] < MAGIC:
            raise KafkaError("UNSUPPORTED_FOR_MESSAGE_FORMAT", f"format {view[at + _MAGIC_AT]} at byte {at}")
        if length < HEADER_SIZE - _LENGTH_ENDS:
            raise KafkaError("CORRUPT_MESSAGE", f"a batch shorter than its header at byte {at}")
        found.append(Batch(view[at:]))
        at += found[-1].size
    return found


def build(
    records: Sequence[Record],
    *,
    base_offset: int = 0,
    leader_epoch: int = -1,
    compression: str = "none",
    producer_id: int = _NO_PRODUCER,
    producer_epoch: int = -1,
    base_sequence: int = -1,
    transactional: bool = False,
    control: bool = False,
    log_append_time: int | None = None,
) -> bytes:
    """A batch of records, at least one.

    Args:
        records: their offsets rise, from ``base_offset`` on.
        base_offset: where the batch begins.
        leader_epoch: of the leader that appends it; -1 in what a producer sends.
        compression: ``none``, ``gzip``, ``snappy``, ``lz4`` or ``zstd``.
        producer_id: of an idempotent producer. -1 for none, also for its epoch and sequence.
        producer_epoch: the producer's epoch.
        base_sequence: the sequence number of the first record.
        transactional: whether the records are part of a transaction.
        control: whether they are no records of a producer, but a marker.
        log_append_time: the broker's time, in milliseconds since 1970, in place of the records' timestamps.

    Raises:
        CodecNotInstalledError: there is no library for the codec; the message names those that will do.
        ValueError: offsets do not rise, there are no records, or there is no such codec.
    """
    attributes = codecs.NAMES.index(compression)
    attributes |= _TRANSACTIONAL if transactional else 0
    attributes |= _CONTROL if control else 0
    if log_append_time is None:
        base_timestamp = records[0].timestamp if records else NO_TIMESTAMP
        max_timestamp = max((record.timestamp for record in records), default=NO_TIMESTAMP)
    else:
        attributes |= _LOG_APPEND_TIME
        base_timestamp = max_timestamp = log_append_time
    payload = encode(records, base_offset, base_timestamp, fixed_time=log_append_time is not None)
    return _assembled(
        (base_offset, leader_epoch),
        (attributes, records[-1].offset - base_offset, base_timestamp, max_timestamp),
        (producer_id, producer_epoch, base_sequence, len(records)),
        codecs.compress(compression, payload),
    )


def build_marker(
    marker: Marker, *, offset: int, leader_epoch: int, timestamp: int, producer_id: int, producer_epoch: int
) -> bytes:
    """The control batch that ends a transaction."""
    key = _COMMIT if marker.commit else _ABORT
    value = _MARKER_VALUE.pack(0, marker.coordinator_epoch)
    return build(
        [Record(offset, timestamp, key, value)],
        base_offset=offset,
        leader_epoch=leader_epoch,
        producer_id=producer_id,
        producer_epoch=producer_epoch,
        transactional=True,
        control=True,
    )


def restamped(batch: Batch, *, log_append_time: bool, max_timestamp: int) -> bytes:
    """A batch with another kind of timestamps, or another greatest one; the records stay as they are."""
    attributes = batch.attributes & ~_LOG_APPEND_TIME | (_LOG_APPEND_TIME if log_append_time else 0)
    return _assembled(
        (batch.base_offset, batch.leader_epoch),
        (attributes, batch.last_offset_delta, batch.base_timestamp, max_timestamp),
        (batch.producer_id, batch.producer_epoch, batch.base_sequence, batch.count),
        batch.data[HEADER_SIZE:],
    )


def rebuilt(batch: Batch, kept: Sequence[Record], delete_horizon: int | None) -> bytes:
    """A batch with some of its records only, as the cleaner leaves it (`MemoryRecords.filterTo`).

    It keeps its offsets from first to last, so that the producer's sequence can be told from it.
    """
    attributes = batch.attributes & ~_DELETE_HORIZON
    if delete_horizon is None:
        base_timestamp = kept[0].timestamp
    else:
        base_timestamp = delete_horizon
        attributes |= _DELETE_HORIZON
    max_timestamp = batch.max_timestamp
    if not batch.log_append_time:
        max_timestamp = max(record.timestamp for record in kept)
    payload = encode(kept, batch.base_offset, base_timestamp, fixed_time=False)
    return _assembled(
        (batch.base_offset, batch.leader_epoch),
        (attributes, batch.last_offset_delta, base_timestamp, max_timestamp),
        (batch.producer_id, batch.producer_epoch, batch.base_sequence, len(kept)),
        codecs.compress(batch.compression, payload),
    )


def emptied(batch: Batch) -> bytes:
    """A batch without its records, which tells of its producer and its offsets all the same."""
    attributes = batch.attributes & (_LOG_APPEND_TIME | _TRANSACTIONAL | _CONTROL)
    return _assembled(
        (batch.base_offset, batch.leader_epoch),
        (attributes, batch.last_offset_delta, NO_TIMESTAMP, batch.max_timestamp),
        (batch.producer_id, batch.producer_epoch, batch.base_sequence, 0),
        b"",
    )


def _assembled(
    place: tuple[int, int],
    times: tuple[int, int, int, int],
    producer: tuple[int, int, int, int],
    payload: bytes | memoryview,
) -> bytes:
    base_offset, leader_epoch = place
    inner = b"".join((_INNER.pack(*times, *producer), payload))
    length = _CRC_COVERS_FROM - _LENGTH_ENDS + len(inner)
    return _OUTER.pack(base_offset, length, leader_epoch, MAGIC, crc32c(inner)) + inner
