"""One client's connection to one broker: frames in, answers out, in order."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress

from pytest_msk.brokers.auth import sasl
from pytest_msk.brokers.auth.sasl import SaslSession
from pytest_msk.brokers.embedded.api import ANONYMOUS, CloseConnection, ResetConnection
from pytest_msk.brokers.embedded.frames import MAX_FRAME, BadFrameSizeError, Frames

_MUCH = 1 << 20
_AT_ONCE = struct.pack("ii", 1, 0)
"""For ``SO_LINGER``: what was not sent yet is dropped, and the client told so."""

Reply = bytes | None


class Connection(asyncio.BufferedProtocol):
    """Reads frames and has them served in turn, as Kafka does: a request that waits holds up the next.

    So does an answer that the client does not read.

    Args:
        serve: answers a frame, at once or later; None where there is no answer. Raises `CloseConnection`
            to have the connection closed.
        lost: called with the connection when it has ended.
        session: its SASL session, on listeners that have SASL.

    Attributes:
        host: the client's address.
        principal: who the client is, as Kafka writes it.
        on_lost: called when it has ended.
    """

    def __init__(
        self, serve: Serve, lost: Callable[[Connection], object], session: SaslSession | None = None
    ) -> None:
        self._serve = serve
        self._lost = lost
        self._frames = Frames()
        self._waiting: asyncio.Future[Reply] | None = None
        self._unread = False
        self._transport: asyncio.Transport | None = None
        self._unwanted = False
        self.session = session
        self.host = ""
        self.principal = ANONYMOUS
        self.on_lost: list[Callable[[], object]] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101
        self._transport = transport
        self.host = (transport.get_extra_info("peername") or ("",))[0]
        if self._unwanted:
            self.reset()

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by asyncio: whatever the client waited for has nobody to go to."""
        if self._transport is not None:
            # The client is to see the end also where a forked child has inherited the socket.
            # (One that is to be reset says no goodbye first.)
            connected = self._transport.get_extra_info("socket")
            with suppress(OSError):
                if connected.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, len(_AT_ONCE)) != _AT_ONCE:
                    connected.shutdown(socket.SHUT_RDWR)
        self._transport = None
        self._frames.clear()
        if self._waiting is not None:
            self._waiting.cancel()
        for lost in self.on_lost:
            lost()
        self._lost(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Called by asyncio: where to put what the client sends."""
        return self._frames.room()

    def buffer_updated(self, nbytes: int) -> None:
        """Called by asyncio: it is there."""
        self._frames.written(nbytes)
        if self._is_free():
            self._serve_frames()
        elif len(self._frames) > _MUCH and self._transport is not None:
            self._transport.pause_reading()

    def pause_writing(self) -> None:
        """Called by asyncio: the client has not read what it was answered."""
        self._unread = True

    def resume_writing(self) -> None:
        """Called by asyncio: it has."""
        self._unread = False
        if self._waiting is None:
            self._go_on()

    def close(self) -> None:
        """End the connection after what was answered has gone out."""
        self._unwanted = True
        if self._transport is not None:
            self._transport.close()

    def reset(self) -> None:
        """Break the connection at once; one that is still being made, as soon as it is."""
        self._unwanted = True
        if self._transport is not None:
            connected = self._transport.get_extra_info("socket")
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
            self._transport.abort()

    def _end(self, why: CloseConnection) -> None:
        if isinstance(why, ResetConnection):
            self.reset()
            return
        if why.last and self._transport is not None:
            self._transport.write(why.last)
        self.close()

    def _is_free(self) -> bool:
        """Whether the next request may be served."""
        return self._waiting is None and not self._unread

    def _go_on(self) -> None:
        if self._transport is not None:
            self._transport.resume_reading()
            self._serve_frames()

    def _serve_frames(self) -> None:
        while self._is_free() and self._transport is not None:
            frame = self._next_frame()
            if frame is None:
                return
            try:
                reply = self._serve(self, frame)
            except CloseConnection as why:
                self._end(why)
                return
            if reply is None:
                continue
            if isinstance(reply, bytes):
                self._transport.write(reply)
            else:
                self._waiting = asyncio.ensure_future(reply)
                self._waiting.add_done_callback(self._answered)

    def _next_frame(self) -> memoryview | None:
        is_stranger = self.session is not None and self.session.principal is None
        try:
            return self._frames.take(sasl.MAX_FRAME if is_stranger else MAX_FRAME)
        except BadFrameSizeError:
            self.close()  # as Kafka does
            return None

    def _answered(self, waiting: asyncio.Future[Reply]) -> None:
        self._waiting = None
        if waiting.cancelled() or self._transport is None:
            return
        if isinstance(why := waiting.exception(), CloseConnection):
            self._end(why)
            return
        reply = waiting.result()
        if reply is not None:
            self._transport.write(reply)
        self._go_on()


Serve = Callable[[Connection, memoryview], Reply | Awaitable[Reply]]
