"""A listening socket of one broker, and the connections that came in by it."""

from __future__ import annotations

import asyncio
import errno
import socket
from contextlib import suppress
from typing import Any

from pytest_msk.brokers.embedded.connection import Connection, Serve
from pytest_msk.brokers.plane import Endpoint

LOOPBACK = "127.0.0.1"
_BACKLOG = 1024
_SEND_BUFFER = 4 << 20
_TOO_MANY = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_PAUSE = 1.0
"""Seconds after which a process that had no more file descriptors may have some again."""


class Listener:
    """Keeps one port of the loopback interface from `__init__` to `release`, open or not.

    It accepts by itself. A server of asyncio forgets, when it closes, the connections of this very moment,
    which have been accepted and have no transport yet: their clients would wait for ever.

    Args:
        serve: answers a frame of a connection.
    """

    def __init__(self, serve: Serve) -> None:
        self._serve = serve
        self._socket = _bound(0)
        self.endpoint = Endpoint(LOOPBACK, self._socket.getsockname()[1])
        self._loop: asyncio.AbstractEventLoop | None = None
        self._connections: set[Connection] = set()
        self._coming: set[asyncio.Task[Any]] = set()

    async def open(self) -> None:
        """Let clients in. Takes a turn of the loop."""
        self._socket.listen(_BACKLOG)
        self._socket.settimeout(0)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket, self._accept)
        await asyncio.sleep(0)

    def close(self, *, graceful: bool = True) -> None:
        """Let no client in, and end the connections; the port stays taken, and refuses whoever knocks.

        Args:
            graceful: let what was answered go out first; otherwise connections are reset.
        """
        if self._loop is None:
            return
        self._loop.remove_reader(self._socket)
        self._loop = None
        # Closing is not enough where a forked child has inherited the socket.
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for connection in list(self._connections):
            if graceful:
                connection.close()
            else:
                connection.reset()
        self._socket = _bound(self.endpoint.port)

    def release(self) -> None:
        """Give the port back."""
        self.close(graceful=False)
        self._socket.close()

    def _accept(self) -> None:
        """Let in all who knock, and serve them from the loop's next turn on."""
        assert self._loop is not None  # noqa: S101
        for _ in range(_BACKLOG):
            try:
                connected, _ = self._socket.accept()
            except OSError as error:
                if error.errno in _TOO_MANY:
                    self._pause(self._loop)
                return
            connection = Connection(self._serve, self._connections.discard)
            self._connections.add(connection)
            coming = self._loop.create_task(_connect(self._loop, connection, connected))
            self._coming.add(coming)
            coming.add_done_callback(self._coming.discard)

    def _pause(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let nobody in for a while: there are no more file descriptors."""
        waiting = self._socket

        def go_on() -> None:
            if self._loop is loop and self._socket is waiting:
                loop.add_reader(waiting, self._accept)

        loop.remove_reader(waiting)
        loop.call_later(_PAUSE, go_on)


async def _connect(loop: asyncio.AbstractEventLoop, connection: Connection, connected: socket.socket) -> None:
    try:
        await loop.connect_accepted_socket(lambda: connection, connected)
    except OSError:  # it has gone
        connected.close()
        connection.connection_lost(None)


def _bound(port: int) -> socket.socket:
    """A socket that has a port and does not listen yet: to connect to it is refused."""
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Accepted sockets inherit it. A fetch's answer that fits costs one turn of the loop, not one a slice.
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
    bound.bind((LOOPBACK, port))
    return bound
