"""The frames in what a client sends: a size of four bytes, then so many bytes."""

from __future__ import annotations

MAX_FRAME = 104_857_600
"""Bytes of the largest request: Kafka's default of ``socket.request.max.bytes``."""

_SIZE = 4
_SMALL = 1 << 16
_TRUSTED = 1 << 20
"""Bytes that a client is given room for because it announces them; beyond, it must have sent half of them."""


class BadFrameSizeError(Exception):
    """No request of Kafka's begins so: a TLS handshake, HTTP, garbage."""


class Frames:
    """What has come in on a connection and was not taken yet.

    The socket writes right into the room that there is, and a large frame is handed on as it lies there:
    each copy would be made under the interpreter's lock, which the client of the same process needs too.
    """

    def __init__(self) -> None:
        self._buffer = bytearray(_SMALL)
        self._begin = 0
        self._end = 0

    def __len__(self) -> int:
        """Bytes that were not taken yet."""
        return self._end - self._begin

    def room(self) -> memoryview:
        """Where to write what comes next; never empty."""
        if self._end == len(self._buffer):
            self._grow()
        return memoryview(self._buffer)[self._end :]

    def written(self, size: int) -> None:
        """So many bytes of the last `room` are filled."""
        self._end += size

    def take(self, largest: int = MAX_FRAME) -> memoryview | None:
        """The next frame without its size, or None as long as it is not whole.

        Args:
            largest: the bytes of the largest frame that is taken.

        Raises:
            BadFrameSizeError: what comes next is no frame.
        """
        if len(self) < _SIZE:
            return None
        size = self._announced()
        if not 0 < size <= largest:
            raise BadFrameSizeError(f"a frame of {size} bytes")
        begin, end = self._begin + _SIZE, self._begin + _SIZE + size
        if self._end < end:
            return None
        if self._begin == 0 and end == len(self._buffer):
            frame = memoryview(self._buffer)[begin:].toreadonly()
            self._buffer = bytearray(_SMALL)
        else:
            frame = memoryview(bytes(memoryview(self._buffer)[begin:end]))
        self._begin = end
        if self._end == end:
            self._begin = self._end = 0
        return frame

    def clear(self) -> None:
        """Forget what there is; frames that were taken stay as they are."""
        self._buffer = bytearray(_SMALL)
        self._begin = self._end = 0

    def _announced(self) -> int:
        return int.from_bytes(self._buffer[self._begin : self._begin + _SIZE], "big", signed=True)

    def _grow(self) -> None:
        unread = memoryview(self._buffer)[self._begin :]
        wanted = min(_SIZE + self._announced(), max(_TRUSTED, 2 * len(unread)))
        if wanted <= len(unread):
            wanted = 2 * len(unread)
        self._buffer = bytearray(max(wanted, _SMALL))
        self._buffer[: len(unread)] = unread
        self._begin, self._end = 0, len(unread)
