"""A listening socket of one broker, and the connections that came in by it."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress

from pytest_msk.brokers.embedded.connection import Connection, Serve
from pytest_msk.brokers.plane import Endpoint

LOOPBACK = "127.0.0.1"
_BACKLOG = 1024
_SEND_BUFFER = 4 << 20


class Listener:
    """Keeps one port of the loopback interface from `__init__` to `release`, open or not.

    Args:
        serve: answers a frame of a connection.
    """

    def __init__(self, serve: Serve) -> None:
        self._serve = serve
        self._socket = _bound(0)
        self.endpoint = Endpoint(LOOPBACK, self._socket.getsockname()[1])
        self._server: asyncio.Server | None = None
        self._connections: set[Connection] = set()

    async def open(self) -> None:
        """Let clients in."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._connection, sock=self._socket, backlog=_BACKLOG)

    def close(self, *, graceful: bool = True) -> None:
        """Let no client in, and end the connections; the port stays taken, and refuses whoever knocks.

        Args:
            graceful: let what was answered go out first; otherwise connections are reset.
        """
        if self._server is None:
            return
        # Closing is not enough where a forked child has inherited the socket.
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._server = None
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

    def _connection(self) -> Connection:
        connection = Connection(self._serve, self._connections.discard)
        self._connections.add(connection)
        return connection


def _bound(port: int) -> socket.socket:
    """A socket that has a port and does not listen yet: to connect to it is refused."""
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Accepted sockets inherit it. A fetch's answer that fits costs one turn of the loop, not one a slice.
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
    bound.bind((LOOPBACK, port))
    return bound
