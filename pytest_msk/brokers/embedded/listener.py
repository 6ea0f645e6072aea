"""A listening socket of one broker, and the connections that came in by it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from pytest_msk.brokers.embedded.connection import Connection, Serve
from pytest_msk.brokers.plane import Endpoint

if TYPE_CHECKING:
    import ssl

    from pytest_msk.brokers.auth.sasl import SaslSession

LOOPBACK = "127.0.0.1"
_BACKLOG = 1024
_SEND_BUFFER = 4 << 20
_PAUSE = 0.1


def _ignored(connection: Connection, why: str) -> None:
    """For listeners that refuse nobody."""


class Listener:
    """Keeps one port of the loopback interface from `__init__` to `release`, open or not.

    It accepts by itself: what asyncio's own server has accepted just before it is closed, it loses.

    Args:
        serve: answers a frame of a connection.
        session: makes a connection's SASL session; None for no SASL.
        context: TLS as clients have to speak it, asked for with each connection; None for none.
        refused: called with a connection that has no TLS in common with us, and the reason.

    Attributes:
        endpoint: where it is.
        is_open: whether it lets clients in.
    """

    def __init__(
        self,
        serve: Serve,
        session: Callable[[], SaslSession] | None = None,
        context: Callable[[], ssl.SSLContext] | None = None,
        refused: Callable[[Connection, str], object] = _ignored,
    ) -> None:
        self._serve = serve
        self._session = session
        self._context = context
        self._refused = refused
        self._loop = asyncio.get_running_loop()
        self._socket = _bound(0)
        self.endpoint = Endpoint(LOOPBACK, self._socket.getsockname()[1])
        self.is_open = False
        self._connections: set[Connection] = set()
        self._arriving: set[asyncio.Task[object]] = set()

    def open(self) -> None:
        """Let clients in.

        Raises:
            OSError: the port is not ours any more.
        """
        self._socket.listen(_BACKLOG)
        self.is_open = True
        self._watch()

    def close(self, *, graceful: bool = True) -> None:
        """Let no client in, and end the connections; the port stays taken, and refuses whoever knocks.

        Args:
            graceful: let what was answered go out first; otherwise connections are reset.
        """
        if not self.is_open:
            return
        self.is_open = False
        self._loop.remove_reader(self._socket)
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

    def _watch(self) -> None:
        if self.is_open:
            self._loop.add_reader(self._socket, self._accept)

    def _accept(self) -> None:
        """Take in whoever has come."""
        for _ in range(_BACKLOG):
            try:
                accepted, _ = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:
                # Too many open files, say: there may be fewer in a moment.
                self._loop.remove_reader(self._socket)
                self._loop.call_later(_PAUSE, self._watch)
                return
            # From now on, though it is made in the loop's next turns: the door may be closed by then, or
            # closed and open again.
            session = self._session() if self._session else None
            connection = Connection(self._serve, self._connections.discard, session)
            self._connections.add(connection)
            task: asyncio.Task[object] = self._loop.create_task(self._made(connection, accepted))
            self._arriving.add(task)
            task.add_done_callback(self._arriving.discard)

    async def _made(self, connection: Connection, accepted: socket.socket) -> None:
        try:
            protocol = self._protocol(connection)
            await self._loop.connect_accepted_socket(lambda: protocol, accepted)
        except Exception as error:  # certificates that are none, say
            accepted.close()
            self._connections.discard(connection)
            self._refused(connection, str(error))

    def _protocol(self, connection: Connection) -> asyncio.BufferedProtocol:
        if self._context is None:
            return connection
        from pytest_msk.brokers.embedded.tls import Tls

        return Tls(connection, self._context(), self._refused)


def _bound(port: int) -> socket.socket:
    """A socket that has a port and does not listen yet: to connect to it is refused."""
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Accepted sockets inherit it. A fetch's answer that fits costs one turn of the loop, not one a slice.
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
    bound.bind((LOOPBACK, port))
    bound.settimeout(0)
    return bound
