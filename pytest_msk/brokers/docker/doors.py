"""What stands in front of containers and lets in who logs in with IAM, of which Kafka knows nothing.

A door speaks TLS and SASL as embedded brokers do, with the same code, and hands on what clients who are in
ask for to the broker behind it. The broker advertises the door in its own place.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable

from pytest_msk.brokers.auth.logins import Logins
from pytest_msk.brokers.auth.sasl import SaslSession
from pytest_msk.brokers.clock import LoopClock
from pytest_msk.brokers.embedded import loop
from pytest_msk.brokers.embedded.api import CloseConnection
from pytest_msk.brokers.embedded.connection import Connection, Reply
from pytest_msk.brokers.embedded.frames import BadFrameSizeError, Frames
from pytest_msk.brokers.embedded.listener import Listener
from pytest_msk.brokers.embedded.sasl import Sasl
from pytest_msk.brokers.plane import Endpoint
from pytest_msk.brokers.wire import codec

_PRODUCE = codec.api_key("Produce").to_bytes(2, "big")


class IamDoors:
    """The doors of one cluster. Every method may be called from any thread.

    Args:
        logins: what clients prove themselves with.
    """

    def __init__(self, logins: Logins) -> None:
        self._logins = logins
        self._lock = threading.Lock()
        self._thread: loop.BrokerThread | None = None
        self._doors: dict[int, _Door] = {}

    def address(self, broker_id: int) -> Endpoint:
        """Where clients find a broker's door: the same whenever asked, and held from the first time on.

        Raises:
            OSError: there is no port for it.
        """
        with self._lock:
            if self._thread is None:
                self._thread = loop.hold()
            if broker_id not in self._doors:
                self._doors[broker_id] = self._thread.call(_Door, self._logins)
            return self._doors[broker_id].listener.endpoint

    def lead(self, broker_id: int, target: Endpoint) -> None:
        """Let clients in from now on.

        Args:
            broker_id: whose door, which has an address.
            target: the broker's own listener, which speaks plaintext. It need not be open yet.
        """
        with self._lock:
            if self._thread is not None:
                self._thread.call(self._doors[broker_id].lead, target)

    def close(self) -> None:
        """Let nobody in any more, end the connections, and give the addresses back. Safe more than once."""
        with self._lock:
            thread, self._thread = self._thread, None
            doors, self._doors = self._doors, {}
            if thread is not None:
                for door in doors.values():
                    thread.call(door.close)
                loop.release(thread)


class _Door:
    """The door of one broker. Lives in the brokers' thread."""

    def __init__(self, logins: Logins) -> None:
        self._clock = LoopClock(asyncio.get_running_loop(), _ignored)
        self._mechanisms = logins.iam(self._clock)
        self._target: Endpoint | None = None
        self._rooms: dict[Connection, _Room] = {}
        sasl = Sasl(self._serve, _ignored, _ignored)
        self.listener = Listener(sasl.serve, self._session, lambda: logins.keys.plain_context)

    def lead(self, target: Endpoint) -> None:
        self._target = target
        if not self.listener.is_open:
            self.listener.open()

    def close(self) -> None:
        self.listener.release()
        for room in list(self._rooms.values()):
            room.leave()

    def _session(self) -> SaslSession:
        return SaslSession(self._mechanisms, self._clock)

    def _serve(self, connection: Connection, frame: memoryview) -> Reply | Awaitable[Reply]:
        room = self._rooms.get(connection)
        if room is None:
            room = self._rooms[connection] = _Room(connection, self._rooms)
        return room.ask(self._target, frame)


class _Room(asyncio.BufferedProtocol):
    """A client's connection to the broker behind the door, one request at a time, as Kafka serves them."""

    def __init__(self, client: Connection, rooms: dict[Connection, _Room]) -> None:
        self._client = client
        self._rooms = rooms
        self._frames = Frames()
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[bytes] | None = None
        client.on_lost.append(self.leave)

    async def ask(self, target: Endpoint | None, frame: memoryview) -> Reply:
        """Have the broker answer a request."""
        if self._transport is None:
            await self._enter(target)
        assert self._transport is not None  # noqa: S101
        self._transport.writelines((len(frame).to_bytes(4, "big"), frame))
        if not _is_answered(frame):
            return None
        self._answer = asyncio.get_running_loop().create_future()
        return await self._answer

    def leave(self) -> None:
        """End the connection to the broker."""
        self._rooms.pop(self._client, None)
        if self._transport is not None:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by asyncio: the client loses its broker, as it would without a door."""
        self._transport = None
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(CloseConnection("the broker has ended the connection"))
        self._client.close()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Called by asyncio: where to put what the broker sends."""
        return self._frames.room()

    def buffer_updated(self, nbytes: int) -> None:
        """Called by asyncio: it is there."""
        self._frames.written(nbytes)
        try:
            frame = self._frames.take()
        except BadFrameSizeError:
            self.leave()
            return
        if frame is not None and self._answer is not None and not self._answer.done():
            self._answer.set_result(b"".join((len(frame).to_bytes(4, "big"), frame)))

    async def _enter(self, target: Endpoint | None) -> None:
        assert target is not None  # noqa: S101  # the door is shut until it leads somewhere
        running = asyncio.get_running_loop()
        try:
            transport, _ = await running.create_connection(lambda: self, target.host, target.port)
        except OSError as error:
            raise CloseConnection(f"the broker does not answer: {error}") from error
        self._transport = transport


def _is_answered(frame: memoryview) -> bool:
    """Whether Kafka answers a request: all but Produce with ``acks=0``."""
    if frame[:2] != _PRODUCE:
        return True
    header = codec.decode_request_header(frame)
    if header.api is None or header.version not in codec.versions(header.api):
        return True
    acks: int = codec.decode_request(header.api, header.version, header.body).acks
    return acks != 0


def _ignored(*_: object) -> None:
    """Who is refused is told so."""
