"""Where the batches of a log are kept: in few long byte strings, with an index of numbers for each."""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from pytest_msk.brokers.wire.records import Batch

_SEGMENT_BYTES = 1 << 20
"""How much a segment takes up before the next one begins. It has nothing to do with ``segment.bytes``."""

_STAMP = struct.Struct(">qii")
"""What a batch begins with: its offset, the length of what follows that length, the leader's epoch."""
_LENGTH_ENDS = 12
_DELTA_AT = 23
_DELTA_ENDS = 27
"""Where a batch tells how far its last offset is from its first."""


@dataclass(slots=True, eq=False)
class Segment:
    """Batches one behind the other.

    Attributes:
        start: where it begins in the log, in bytes from a moment in the past.
        data: the batches.
        offsets: of each batch the first offset.
        positions: of each batch where it begins in `data`.
        timestamps: of each batch the greatest timestamp.
        max_timestamp: the greatest of these.
    """

    start: int
    data: bytearray = field(default_factory=bytearray)
    offsets: array[int] = field(default_factory=lambda: array("q"))
    positions: array[int] = field(default_factory=lambda: array("I"))
    timestamps: array[int] = field(default_factory=lambda: array("q"))
    max_timestamp: int = -1

    def __len__(self) -> int:
        return len(self.offsets)

    def position(self, index: int) -> int:
        """Where a batch begins in `data`, and the one before it ends."""
        return self.positions[index] if index < len(self.positions) else len(self.data)

    def last_offset(self, index: int) -> int:
        """The last offset of a batch."""
        at = self.positions[index]
        delta = int.from_bytes(self.data[at + _DELTA_AT : at + _DELTA_ENDS], "big")
        return self.offsets[index] + delta

    def batch(self, index: int) -> Batch:
        """A copy of a batch."""
        return Batch(self.slice(self.positions[index], self.position(index + 1)))

    def slice(self, first: int, end: int) -> bytes:
        """Some of the bytes, copied once."""
        # The view must be gone before the next append, which may move the bytes.
        with memoryview(self.data) as view:
            return bytes(view[first:end])

    def find(self, offset: int) -> int:
        """The index of the first batch that ends at ``offset`` or later."""
        index = bisect_right(self.offsets, offset) - 1
        if index < 0:
            return 0
        return index if self.last_offset(index) >= offset else index + 1

    def cut_head(self, index: int) -> None:
        """Drop the batches before ``index``."""
        dropped = self.positions[index]
        del self.data[:dropped]
        self.start += dropped
        del self.offsets[:index], self.timestamps[:index]
        self.positions = array("I", (at - dropped for at in self.positions[index:]))
        self.max_timestamp = max(self.timestamps)

    def cut_tail(self, index: int) -> None:
        """Drop the batches from ``index`` on; some are left."""
        del self.data[self.positions[index] :]
        del self.offsets[index:], self.positions[index:], self.timestamps[index:]
        self.max_timestamp = max(self.timestamps)


class Place(NamedTuple):
    """A batch, by its segment's number and its own number in that; or behind the last."""

    segment: int
    number: int


class Segments:
    """The batches of a log, in the order of their offsets, between which there may be gaps."""

    __slots__ = ("_bases", "_segments")

    def __init__(self) -> None:
        self._segments: list[Segment] = []
        self._bases: list[int] = []

    @property
    def size(self) -> int:
        """How many bytes the batches have."""
        return self._end_position() - self._segments[0].start if self._segments else 0

    @property
    def first_offset(self) -> int | None:
        """The first offset of the first batch; None if there is none."""
        return self._bases[0] if self._bases else None

    def append(self, batch: Batch, base_offset: int, leader_epoch: int) -> None:
        """Add a batch behind the last, at an offset that is greater than all there are.

        Both numbers lie outside of what the CRC covers, and are put into the copy.
        """
        segment = self._segments[-1] if self._segments else None
        if segment is None or len(segment.data) + batch.size > _SEGMENT_BYTES:
            segment = Segment(self._end_position())
            self._segments.append(segment)
            self._bases.append(base_offset)
        segment.offsets.append(base_offset)
        segment.positions.append(len(segment.data))
        segment.timestamps.append(batch.max_timestamp)
        segment.max_timestamp = max(segment.max_timestamp, batch.max_timestamp)
        segment.data += _STAMP.pack(base_offset, batch.size - _LENGTH_ENDS, leader_epoch)
        segment.data += batch.data[_STAMP.size :]

    def read(self, offset: int, max_bytes: int, up_to: int) -> bytes:
        """Whole batches from the one that holds ``offset``, all of them ending before ``up_to``.

        Args:
            offset: where to begin. The first batch may begin earlier.
            max_bytes: how much at most; but if there is a batch, it is read whatever its size.
            up_to: where to end.
        """
        place, end = self._find(offset), self._find(up_to)
        parts: list[bytes] = []
        for number in range(place.segment, min(end.segment + 1, len(self._segments))):
            segment = self._segments[number]
            index = place.number if number == place.segment else 0
            first = segment.positions[index]
            last = segment.position(end.number if number == end.segment else len(segment))
            whole = last - first <= max_bytes
            if not whole:
                fitting = bisect_right(segment.positions, first + max_bytes) - 1
                last = segment.position(fitting if parts else max(fitting, index + 1))
            parts.append(segment.slice(first, last))
            max_bytes -= last - first
            if not whole or max_bytes == 0:
                break
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def available(self, offset: int, up_to: int) -> int:
        """How many bytes `read` gives if nothing limits it."""
        return max(0, self._position(self._find(up_to)) - self._position(self._find(offset)))

    def batches(self, first: int, up_to: int) -> Iterator[Batch]:
        """Copies of the batches from the one that holds ``first``, all of them ending before ``up_to``."""
        place, end = self._find(first), self._find(up_to)
        for number in range(place.segment, min(end.segment + 1, len(self._segments))):
            segment = self._segments[number]
            start = place.number if number == place.segment else 0
            stop = end.number if number == end.segment else len(segment)
            for index in range(start, stop):
                yield segment.batch(index)

    def with_timestamp(self, timestamp: int) -> Iterator[Batch]:
        """Copies of the batches that have records with that timestamp or a later one."""
        for segment in self._segments:
            if segment.max_timestamp >= timestamp:
                for index, greatest in enumerate(segment.timestamps):
                    if greatest >= timestamp:
                        yield segment.batch(index)

    @property
    def max_timestamp(self) -> int:
        """The greatest timestamp of all; -1 if there is none."""
        return max((segment.max_timestamp for segment in self._segments), default=-1)

    def heads(self) -> Iterator[tuple[int, int, int]]:
        """Of each batch its last offset, its size and its greatest timestamp."""
        for segment in self._segments:
            for index, at in enumerate(segment.positions):
                yield segment.last_offset(index), segment.position(index + 1) - at, segment.timestamps[index]

    def drop_before(self, offset: int) -> None:
        """Drop the batches that end before ``offset``."""
        number, index = self._find(offset)
        del self._segments[:number], self._bases[:number]
        if index:
            self._segments[0].cut_head(index)
            self._bases[0] = self._segments[0].offsets[0]

    def truncate(self, offset: int) -> None:
        """Drop the batches that end at ``offset`` or later."""
        number, index = self._find(offset)
        if index:
            del self._segments[number + 1 :], self._bases[number + 1 :]
            self._segments[number].cut_tail(index)
        else:
            del self._segments[number:], self._bases[number:]

    def _find(self, offset: int) -> Place:
        """The first batch that ends at ``offset`` or later; behind the last if none does."""
        number = max(bisect_right(self._bases, offset) - 1, 0)
        if number < len(self._segments):
            index = self._segments[number].find(offset)
            if index < len(self._segments[number]):
                return Place(number, index)
            number += 1
        return Place(number, 0)

    def _position(self, place: Place) -> int:
        if place.segment == len(self._segments):
            return self._end_position()
        segment = self._segments[place.segment]
        return segment.start + segment.positions[place.number]

    def _end_position(self) -> int:
        return self._segments[-1].start + len(self._segments[-1].data) if self._segments else 0
