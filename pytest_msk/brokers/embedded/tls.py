"""TLS between a connection and its socket.

asyncio's own TLS drops what OpenSSL has to say when a handshake fails. Kafka's clients are to be told, as
Kafka tells them: an alert names the reason.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

from pytest_msk.brokers.auth.certificates import principal
from pytest_msk.brokers.embedded.connection import Connection

_ROOM = 1 << 18
"""Bytes that are read from the socket, or encrypted, at once."""

_ENDED = 0


class Tls(asyncio.BufferedProtocol):
    """Shakes hands, and hands on to a connection what its client sends.

    Args:
        connection: what the client talks to; it sees a transport like any other.
        context: TLS as the listener speaks it.
        refused: called with the connection and the reason, where the handshake fails.
    """

    def __init__(
        self, connection: Connection, context: ssl.SSLContext, refused: Callable[[Connection, str], object]
    ) -> None:
        self.connection = connection
        self._refused = refused
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._room = memoryview(bytearray(_ROOM))
        self._transport: asyncio.Transport | None = None
        self._open = False
        self._held = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101
        self._transport = transport
        self.connection.connection_made(_TlsTransport(self, transport))

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by asyncio."""
        self.connection.connection_lost(exc)

    def pause_writing(self) -> None:
        """Called by asyncio."""
        self.connection.pause_writing()

    def resume_writing(self) -> None:
        """Called by asyncio."""
        self.connection.resume_writing()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Called by asyncio: where to put what the client sends."""
        return self._room

    def buffer_updated(self, nbytes: int) -> None:
        """Called by asyncio: it is there."""
        self._incoming.write(self._room[:nbytes])
        if not self._open:
            self._shake_hands()
        self.read()

    def read(self) -> None:
        """Hand on what can be read, unless the connection has enough for now."""
        assert self._transport is not None  # noqa: S101
        while self._open and not self._held and not self._transport.is_closing():
            try:
                # typeshed has it return bytes also where it fills a buffer.
                size = cast(int, self._tls.read(_ROOM, cast(Any, self.connection.get_buffer(-1))))
            except ssl.SSLWantReadError:
                break
            except ssl.SSLError:
                size = _ENDED
            if size == _ENDED:
                self.close()
            else:
                self.connection.buffer_updated(size)

    def hold(self) -> None:
        """Hand on nothing for now."""
        self._held = True

    def go_on(self) -> None:
        """Hand on again what comes, and what has come meanwhile."""
        self._held = False
        asyncio.get_running_loop().call_soon(self.read)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Encrypt and send."""
        view = memoryview(data)
        for start in range(0, len(view), _ROOM):
            try:
                self._tls.write(view[start : start + _ROOM])
            except ssl.SSLError:  # the client has ended it, or broken it
                return
            self._send()

    def close(self) -> None:
        """Say goodbye, and end the connection when that has gone out."""
        assert self._transport is not None  # noqa: S101
        if self._open:
            self._open = False
            with suppress(ssl.SSLError):  # it waits for the client's goodbye; we do not
                self._tls.unwrap()
            self._send()
        self._transport.close()

    def _shake_hands(self) -> None:
        assert self._transport is not None  # noqa: S101
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._send()
            return
        except ssl.SSLError as error:
            self._send()  # the alert
            self._refused(self.connection, error.reason or str(error))
            self._transport.close()
            return
        certificate = self._tls.getpeercert(binary_form=True)
        if certificate is not None:
            self.connection.principal = principal(certificate)
        self._open = True
        self._send()

    def _send(self) -> None:
        assert self._transport is not None  # noqa: S101
        if self._outgoing.pending and not self._transport.is_closing():
            self._transport.write(self._outgoing.read())


class _TlsTransport(asyncio.Transport):
    """What a connection behind TLS has in place of its socket's transport."""

    def __init__(self, tls: Tls, transport: asyncio.Transport) -> None:
        super().__init__()
        self._tls = tls
        self._transport = transport

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def close(self) -> None:
        self._tls.close()

    def abort(self) -> None:
        self._transport.abort()

    def pause_reading(self) -> None:
        self._tls.hold()
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()
        self._tls.go_on()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._tls.write(data)
