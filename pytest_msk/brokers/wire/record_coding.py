"""Records inside a batch of format 2: numbers of variable length, keys, values, headers (`DefaultRecord`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from pytest_msk.brokers.wire.errors import KafkaError

_MAX_VARINT_BITS = 63


@dataclass(frozen=True, slots=True)
class Record:
    """One record.

    Attributes:
        timestamp: milliseconds since 1970; -1 for none.
        headers: names and values, in the producer's order.
    """

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()


class RecordOutline(NamedTuple):
    """What a broker looks at in a record: its place in the batch, its timestamp, and whether it has a key."""

    offset_delta: int
    timestamp: int
    has_key: bool


def encode(records: Iterable[Record], base_offset: int, base_timestamp: int, *, fixed_time: bool) -> bytes:
    """The records of a batch, not compressed.

    Args:
        records: at least one; their offsets rise, from ``base_offset`` on.
        base_offset: the batch's.
        base_timestamp: the batch's.
        fixed_time: whether all records have the batch's time.

    Raises:
        ValueError: offsets do not rise, or there are no records.
    """
    out = bytearray()
    last = base_offset - 1
    for record in records:
        if record.offset <= last:
            raise ValueError(f"the record at offset {record.offset} has to come after {last}")
        last = record.offset
        body = bytearray(1)
        _put(body, 0 if fixed_time else record.timestamp - base_timestamp)
        _put(body, record.offset - base_offset)
        _put_bytes(body, record.key)
        _put_bytes(body, record.value)
        _put(body, len(record.headers))
        for name, value in record.headers:
            _put_bytes(body, name.encode())
            _put_bytes(body, value)
        _put(out, len(body))
        out += body
    if not out:
        raise ValueError("a batch has records")
    return bytes(out)


def _put(out: bytearray, value: int) -> None:
    """Add a number of variable length, with its sign in the lowest bit."""
    value = value << 1 if value >= 0 else ~(value << 1)
    while value > 0x7F:  # noqa: PLR2004  # seven bits to a byte
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


def _put_bytes(out: bytearray, value: bytes | None) -> None:
    if value is None:
        out.append(1)
    else:
        _put(out, len(value))
        out += value


def _number(data: bytes, at: int) -> tuple[int, int]:
    """A number of variable length, and where it ends."""
    byte = data[at]
    at += 1
    value = byte & 0x7F
    shift = 0
    while byte > 0x7F:  # noqa: PLR2004  # the highest bit says that there is more
        shift += 7
        if shift > _MAX_VARINT_BITS:
            raise _invalid("a number of more than 64 bits")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
    return (value >> 1) ^ -(value & 1), at


def _bytes(data: bytes, at: int, end: int) -> tuple[bytes | None, int]:
    """Bytes behind their length, None where that is negative; and where they end."""
    size, at = _number(data, at)
    if size < 0:
        return None, at
    if size > end - at:
        raise _invalid("a key, a value or a header beyond its record")
    return data[at : at + size], at + size


def decode(data: bytes, count: int, base_offset: int, base_timestamp: int, time: int | None) -> list[Record]:
    """The records of a batch.

    Args:
        data: the records, not compressed.
        count: how many the batch says there are.
        base_offset: the batch's.
        base_timestamp: the batch's.
        time: what all records have for a timestamp; None where each has its own.

    Raises:
        KafkaError: ``INVALID_RECORD``: these are not so many records.
    """
    records = []
    at = 0
    try:
        for _ in range(count):
            at, end = _bounds(data, at)
            delta, at = _number(data, at + 1)
            offset, at = _number(data, at)
            key, at = _bytes(data, at, end)
            value, at = _bytes(data, at, end)
            headers, at = _headers(data, at, end)
            if at != end:
                raise _invalid("a record that is not of the size that it says")
            timestamp = base_timestamp + delta if time is None else time
            records.append(Record(base_offset + offset, timestamp, key, value, headers))
    except IndexError:
        raise _invalid("fewer records than there should be") from None
    _check_end(data, at)
    return records


def _headers(data: bytes, at: int, end: int) -> tuple[tuple[tuple[str, bytes | None], ...], int]:
    number, at = _number(data, at)
    if number == 0:
        return (), at
    if not 0 < number <= end - at:
        raise _invalid(f"{number} headers")
    headers = []
    for _ in range(number):
        name, at = _bytes(data, at, end)
        if name is None:
            raise _invalid("a header without a name")
        value, at = _bytes(data, at, end)
        headers.append((name.decode(errors="replace"), value))
    return tuple(headers), at


def outline(data: bytes, count: int, base_timestamp: int, time: int | None) -> Iterator[RecordOutline]:
    """What a broker looks at in the records of a batch; arguments and errors as of `decode`."""
    at = 0
    try:
        for _ in range(count):
            at, end = _bounds(data, at)
            delta, at = _number(data, at + 1)
            offset, at = _number(data, at)
            timestamp = base_timestamp + delta if time is None else time
            # The lowest bit of the key's length is its sign; there is no key where that is negative.
            yield RecordOutline(offset, timestamp, data[at] & 1 == 0)
            at = end
    except IndexError:
        raise _invalid("fewer records than there should be") from None
    _check_end(data, at)


def _bounds(data: bytes, at: int) -> tuple[int, int]:
    """Where the next record begins, behind its size, and where it ends."""
    size, at = _number(data, at)
    if not 0 <= size <= len(data) - at:
        raise _invalid("a record beyond the end of its batch")
    return at, at + size


def _check_end(data: bytes, at: int) -> None:
    if at != len(data):
        raise _invalid("more than the records that there should be")


def _invalid(what: str) -> KafkaError:
    return KafkaError("INVALID_RECORD", f"The batch holds {what}")
