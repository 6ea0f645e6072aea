"""One client's connection to one broker: frames in, answers out, in order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from pytest_msk.brokers.embedded.api import CloseConnection

MAX_FRAME = 104_857_600
"""Bytes of the largest request: Kafka's default of ``socket.request.max.bytes``."""

_SIZE = 4
_MUCH = 1 << 20

Reply = bytes | None


class Connection(asyncio.Protocol):
    """Reads frames and has them served in turn, as Kafka does: a request that waits holds up the next.

    Args:
        serve: answers a frame, at once or later; None where there is no answer. Raises `CloseConnection`
            to have the connection closed.
        lost: called with the connection when it has ended.
    """

    def __init__(self, serve: Serve, lost: Callable[[Connection], object]) -> None:
        self._serve = serve
        self._lost = lost
        self._buffer = bytearray()
        self._waiting: asyncio.Future[Reply] | None = None
        self._transport: asyncio.Transport | None = None
        self.host = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101
        self._transport = transport
        self.host = transport.get_extra_info("peername")[0]

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by asyncio: whatever the client waited for has nobody to go to."""
        self._transport = None
        self._buffer.clear()
        if self._waiting is not None:
            self._waiting.cancel()
        self._lost(self)

    def data_received(self, data: bytes) -> None:
        """Called by asyncio."""
        self._buffer += data
        if self._waiting is None:
            self._serve_frames()
        elif len(self._buffer) > _MUCH and self._transport is not None:
            self._transport.pause_reading()

    def close(self) -> None:
        """End the connection after what was answered has gone out."""
        if self._transport is not None:
            self._transport.close()

    def reset(self) -> None:
        """End the connection at once, as when the broker's process dies."""
        if self._transport is not None:
            self._transport.abort()

    def _serve_frames(self) -> None:
        while self._waiting is None and self._transport is not None:
            frame = self._next_frame()
            if frame is None:
                return
            try:
                reply = self._serve(self, frame)
            except CloseConnection:
                self.close()
                return
            if reply is None:
                continue
            if isinstance(reply, bytes):
                self._transport.write(reply)
            else:
                self._waiting = asyncio.ensure_future(reply)
                self._waiting.add_done_callback(self._answered)

    def _next_frame(self) -> memoryview | None:
        if len(self._buffer) < _SIZE:
            return None
        size = int.from_bytes(self._buffer[:_SIZE], "big", signed=True)
        if not 0 < size <= MAX_FRAME:
            # No request of Kafka's: a TLS handshake, HTTP, garbage. Kafka closes too.
            self.close()
            self._buffer.clear()
            return None
        end = _SIZE + size
        if len(self._buffer) < end:
            return None
        frame = memoryview(bytes(memoryview(self._buffer)[_SIZE:end]))
        del self._buffer[:end]
        return frame

    def _answered(self, waiting: asyncio.Future[Reply]) -> None:
        self._waiting = None
        if waiting.cancelled() or self._transport is None:
            return
        if isinstance(waiting.exception(), CloseConnection):
            self.close()
            return
        reply = waiting.result()
        if reply is not None:
            self._transport.write(reply)
        self._transport.resume_reading()
        self._serve_frames()


Serve = Callable[[Connection, memoryview], Reply | Awaitable[Reply]]
