"""What a broker checks and changes in a producer's batch before it appends it (`LogValidator`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from pytest_msk.brokers.clock import Clock
from pytest_msk.brokers.wire import compression
from pytest_msk.brokers.wire.errors import KafkaError
from pytest_msk.brokers.wire.records import (
    HEADER_SIZE,
    MAGIC,
    NO_TIMESTAMP,
    Batch,
    batches,
    build,
    restamped,
)

Settings = Callable[[str], Any]

_NO_LIMIT = 2**63 - 1
_ALWAYS_READ = 8
_ALWAYS_DECOMPRESSED = 4096
"""Up to so many records, of so many bytes where they are compressed, are read in any case. To read all the
records of large batches takes longer than all else does, so what the header says of them is believed, unless
a setting asks for more."""


class RecordsRefusedError(KafkaError):
    """A batch is refused for some of its records (KIP-467).

    Attributes:
        record_errors: the number of each in the batch, and what is wrong with it.
    """

    def __init__(self, error: str, record_errors: list[tuple[int, str]]) -> None:
        super().__init__(error, f"{len(record_errors)} of the records cannot be taken")
        self.record_errors = record_errors


class Validator:
    """Checks batches by the settings of one topic.

    Args:
        settings: gives the value in effect of a topic's setting; KeyError if the release has no such setting.
    """

    __slots__ = ("_clock", "_missing", "_settings")

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._missing: frozenset[str] = frozenset()

    def accept(self, data: memoryview) -> tuple[Batch, int]:
        """The batch as it is to be appended, and the time that the broker gave its records (-1: none).

        The CRC is always checked. Records are compressed anew where ``compression.type`` asks for
        another codec, and both are installed; if not, they stay as the producer compressed them.

        Raises:
            KafkaError: in this order: ``UNSUPPORTED_FOR_MESSAGE_FORMAT``, ``INVALID_RECORD``,
                ``MESSAGE_TOO_LARGE``, ``CORRUPT_MESSAGE``, ``UNKNOWN_SERVER_ERROR`` (no such codec),
                ``INVALID_RECORD`` for what contradicts itself, `RecordsRefusedError` where single
                records are at fault, ``RECORD_LIST_TOO_LARGE``.
        """
        settings = self._settings
        batch = _single(data)
        limit: int = settings("max.message.bytes")
        if batch.base_offset != 0:
            raise KafkaError("INVALID_RECORD", f"the base offset is {batch.base_offset}, not 0")
        _check_size(batch, limit)
        if not batch.intact():
            raise KafkaError("CORRUPT_MESSAGE", f"the CRC is not {batch.crc}")
        source = batch.compression
        _check_header(batch)
        now = self._clock.now_ms()
        by_broker = settings("message.timestamp.type") == "LogAppendTime"
        greatest = self._check_records(batch, now, by_broker=by_broker)
        target = _target(settings("compression.type"), source)
        if target != source and compression.installed(target) and compression.installed(source):
            batch = _recompressed(batch, target, now if by_broker else None)
            _check_size(batch, limit)
        elif by_broker or batch.log_append_time or batch.max_timestamp != greatest:
            max_timestamp = now if by_broker else greatest
            batch = Batch(restamped(batch, log_append_time=by_broker, max_timestamp=max_timestamp))
        if batch.size > settings("segment.bytes"):
            raise KafkaError("RECORD_LIST_TOO_LARGE", f"{batch.size} bytes are more than a segment can have")
        return batch, now if by_broker else NO_TIMESTAMP

    def _check_records(self, batch: Batch, now: int, *, by_broker: bool) -> int:
        """Check keys and timestamps as far as that needs the records; their greatest timestamp."""
        compacted = "compact" in self._settings("cleanup.policy")
        earliest, latest = (-_NO_LIMIT, _NO_LIMIT) if by_broker else self._times(now)
        doubtful = (
            batch.max_timestamp > latest
            or earliest > -_NO_LIMIT
            or batch.max_timestamp < batch.base_timestamp
            or (by_broker and batch.log_append_time)
        )
        codec = batch.compression
        small = batch.count <= _ALWAYS_READ and (codec == "none" or batch.size <= _ALWAYS_DECOMPRESSED)
        if not (compacted or doubtful or small):
            return batch.max_timestamp
        if not compression.installed(codec):
            if not by_broker and not earliest <= batch.max_timestamp <= latest:
                raise KafkaError("INVALID_TIMESTAMP", "the records' timestamps are out of range")
            return batch.max_timestamp
        if small:
            # Keys, values and headers too; `_checked` looks at times and keys alone.
            batch.records()
        return _checked(batch, (earliest, latest), compacted=compacted, by_broker=by_broker)

    def _times(self, now: int) -> tuple[int, int]:
        """The earliest and the latest timestamp that a record may have.

        Releases from 3.6 on have a limit for each side (KIP-937), those before 4.0 one for both; where
        a release has all three, the limit for a side counts if it was set.
        """
        both = self._limit("message.timestamp.difference.max.ms")
        before = self._limit("message.timestamp.before.max.ms")
        after = self._limit("message.timestamp.after.max.ms")
        before = both if before == _NO_LIMIT else before
        after = both if after == _NO_LIMIT else after
        return -_NO_LIMIT if before == _NO_LIMIT else now - before, now + after

    def _limit(self, name: str) -> int:
        if name in self._missing:
            return _NO_LIMIT
        try:
            limit: int = self._settings(name)
        except KeyError:
            # A release does not change: there is no need to ask again.
            self._missing |= {name}
            return _NO_LIMIT
        return limit


def _single(data: memoryview) -> Batch:
    """The one batch that there must be; what follows it and is no whole batch does not count."""
    if len(data) >= HEADER_SIZE:
        batch = Batch(data)
        if batch.size == len(data) and batch.magic == MAGIC:
            return batch
    found = batches(data)
    if len(found) != 1:
        raise KafkaError("INVALID_RECORD", f"{len(found)} record batches where one is expected")
    return found[0]


def _check_size(batch: Batch, limit: int) -> None:
    if batch.size > limit:
        raise KafkaError("MESSAGE_TOO_LARGE", f"{batch.size} bytes where {limit} are allowed")


def _check_header(batch: Batch) -> None:
    """Check what only the broker itself may say, and what has to agree."""
    if batch.count <= 0 or batch.last_offset_delta != batch.count - 1:
        text = f"{batch.count} records at offsets 0 to {batch.last_offset_delta}"
        raise KafkaError("INVALID_RECORD", text)
    if batch.control:
        raise KafkaError("INVALID_RECORD", "control records from a client")
    if batch.producer_id >= 0 and batch.base_sequence < 0:
        raise KafkaError("INVALID_RECORD", f"sequence {batch.base_sequence} of an idempotent producer")


def _checked(batch: Batch, times: tuple[int, int], *, compacted: bool, by_broker: bool) -> int:
    """Check each record of a batch, and give the greatest timestamp."""
    earliest, latest = times
    keyless: list[tuple[int, str]] = []
    untimely: list[tuple[int, str]] = []
    greatest = NO_TIMESTAMP
    for number, record in enumerate(batch.outlines()):
        timestamp = record.timestamp
        greatest = max(greatest, timestamp)
        if compacted and not record.has_key:
            keyless.append((number, "a record without a key in a compacted topic"))
        elif not by_broker and timestamp != NO_TIMESTAMP:
            if not earliest <= timestamp <= latest:
                text = f"the timestamp {timestamp} is not between {earliest} and {latest}"
                untimely.append((number, text))
        elif batch.log_append_time:
            untimely.append((number, "only the broker may set LogAppendTime"))
    if keyless or untimely:
        raise RecordsRefusedError(
            "INVALID_TIMESTAMP" if untimely else "INVALID_RECORD", sorted(keyless + untimely)
        )
    return greatest


def _target(wanted: str, source: str) -> str:
    """The codec that a topic's ``compression.type`` asks for."""
    if wanted == "producer":
        return source
    return "none" if wanted == "uncompressed" else wanted


def _recompressed(batch: Batch, codec: str, log_append_time: int | None) -> Batch:
    records = [replace(record, offset=number) for number, record in enumerate(batch.records())]
    return Batch(
        build(
            records,
            compression=codec,
            producer_id=batch.producer_id,
            producer_epoch=batch.producer_epoch,
            base_sequence=batch.base_sequence,
            transactional=batch.transactional,
            log_append_time=log_append_time,
        )
    )
