"""A small client of Kafka's brokers, for the plugin's own questions: blocking, and usable from any thread."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Self

from pytest_msk.brokers.clock import real_monotonic
from pytest_msk.brokers.wire import codec, errors
from pytest_msk.brokers.wire.errors import KafkaError
from pytest_msk.brokers.wire.message import Message
from pytest_msk.errors import MskUsageError

UNREACHABLE = "NETWORK_EXCEPTION"
TIMED_OUT = "REQUEST_TIMED_OUT"

Address = tuple[str, int]

_SIZE = 4
_LARGEST_ANSWER = 1 << 30
_PART = 1 << 16
_PATIENCE = 5.0
"""Seconds that a broker may take to accept a connection and say its first word."""

_POLL = 0.02


class Connection:
    """One connection to one broker, made when it is first needed and again when it was lost.

    Threads take turns: one request at a time. What is said on the way (TLS, SASL) has its place in
    `_connect`.

    Args:
        address: host and port.
        client_id: what the client calls itself.
    """

    def __init__(self, address: Address, client_id: str = "pytest-msk") -> None:
        self._address = address
        self._client_id = client_id
        self._turn = threading.Lock()
        self._socket: socket.socket | None = None
        self._versions: dict[int, range] = {}
        self._correlation_id = 0
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket; a thread that waits for an answer gets an error. Safe more than once."""
        self._closed = True
        connected = self._socket
        if connected is not None:
            with suppress(OSError):
                connected.shutdown(socket.SHUT_RDWR)
        with self._turn:
            self._disconnect()

    def ask(self, api: str, message: Message, until: float, highest: int | None = None) -> Message:
        """Send a request in the highest version that both sides know; return the answer.

        Args:
            api: the API's name.
            message: the request's body.
            until: when to give up, by `real_monotonic`.
            highest: the highest version that the message is meant for; None for any.

        Raises:
            KafkaError: the broker cannot be reached (``NETWORK_EXCEPTION``), has not answered in time
                (``REQUEST_TIMED_OUT``), or knows no such version (``UNSUPPORTED_VERSION``).
            MskUsageError: the connection was closed.
            TypeError: the message is none of the API and version.
        """
        with self._in_turn(api, until):
            connected = self._connected(until)
            version = self._version(api, highest)
            return self._exchange(connected, api, version, message, until)

    @contextmanager
    def _in_turn(self, api: str, until: float) -> Iterator[None]:
        if not self._turn.acquire(timeout=max(0.0, until - real_monotonic())):
            raise KafkaError(TIMED_OUT, f"{self} is busy: {api} was not sent")
        try:
            yield
        except BaseException as error:
            # Whatever is still to come would be taken for the answer to the next request.
            if not isinstance(error, KafkaError):
                self._disconnect()
            if self._closed:
                raise MskUsageError("This connection is closed; open another.") from error
            if isinstance(error, TimeoutError):
                raise KafkaError(TIMED_OUT, f"{self} has not answered {api} in time") from error
            if isinstance(error, OSError):
                raise KafkaError(UNREACHABLE, f"{self}: {error.strerror or error}") from error
            if isinstance(error, codec.Malformed):
                raise KafkaError(UNREACHABLE, f"{self} does not speak Kafka: {error}") from error
            raise
        finally:
            self._turn.release()

    def _connected(self, until: float) -> socket.socket:
        if self._closed:
            raise MskUsageError("This connection is closed; open another.")
        if self._socket is not None and _was_lost(self._socket):
            self._disconnect()
        if self._socket is None:
            self._connect(until)
        assert self._socket is not None  # noqa: S101
        return self._socket

    def _connect(self, until: float) -> None:
        patience = min(until, real_monotonic() + _PATIENCE)
        try:
            self._socket = socket.create_connection(self._address, timeout=_left(patience))
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # Every broker knows the first version.
            answer = self._exchange(self._socket, "ApiVersions", 0, Message(), patience)
        except TimeoutError as error:
            raise ConnectionError("says nothing to a new connection") from error
        if answer.error_code != errors.NONE:
            raise codec.Malformed(f"ApiVersions is answered with {errors.name(answer.error_code)}")
        self._versions = {
            offered.api_key: range(offered.min_version, offered.max_version + 1)
            for offered in answer.api_keys
        }

    def _disconnect(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _version(self, api: str, highest: int | None) -> int:
        offered = self._versions.get(codec.api_key(api), range(0))
        known = codec.versions(api)
        version = min(offered.stop, known.stop) - 1
        if highest is not None:
            version = min(version, highest)
        if version not in offered or version not in known:
            raise KafkaError("UNSUPPORTED_VERSION", f"{self} has no version of {api} that is known here")
        return version

    def _exchange(
        self, connected: socket.socket, api: str, version: int, message: Message, until: float
    ) -> Message:
        self._correlation_id = (self._correlation_id + 1) & 0x7FFFFFFF
        frame = codec.request_frame(api, version, self._correlation_id, self._client_id, message)
        connected.settimeout(_left(until))
        connected.sendall(frame)
        size = int.from_bytes(_receive(connected, _SIZE, until), "big", signed=True)
        if not 0 < size <= _LARGEST_ANSWER:
            raise codec.Malformed(f"an answer of {size} bytes")
        answer = memoryview(_receive(connected, size, until))
        correlation_id, body = codec.decode_response_header(api, version, answer)
        if correlation_id != self._correlation_id:
            raise codec.Malformed("an answer that nobody asked for")
        return codec.decode_response(api, version, body)

    def __str__(self) -> str:
        return f"the broker at {self._address[0]}:{self._address[1]}"


class Client:
    """Connections to the brokers of one cluster. Every method may be called from any thread.

    Args:
        bootstrap: ``host:port`` of one or more brokers, with commas between.
        until: when to give up finding one, by `real_monotonic`.
        client_id: what the client calls itself.

    Raises:
        KafkaError: no broker answers there (``NETWORK_EXCEPTION``).
    """

    def __init__(self, bootstrap: str, *, until: float, client_id: str = "pytest-msk") -> None:
        self._bootstrap = [_address(part) for part in bootstrap.split(",")]
        self._client_id = client_id
        self._lock = threading.Lock()
        self._connections: dict[Address, Connection] = {}
        self._brokers: dict[int, Address] = {}
        self._closed = False
        try:
            while not self.find_brokers(until):
                if real_monotonic() >= until:
                    raise KafkaError(UNREACHABLE, f"no broker answers at {bootstrap}")
                time.sleep(_POLL)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections. Safe more than once."""
        with self._lock:
            self._closed = True
            connections = list(self._connections.values())
        for connection in connections:
            connection.close()

    def brokers(self) -> list[int]:
        """Ids of the brokers that the cluster was last seen to have."""
        return sorted(self._brokers)

    def find_brokers(self, until: float) -> bool:
        """See which brokers the cluster has now; False where none of those known can be asked."""
        for address in dict.fromkeys([*self._brokers.values(), *self._bootstrap]):
            patience = min(until, real_monotonic() + _PATIENCE)
            try:
                answer = self._connection(address).ask("Metadata", Message(topics=[]), patience)
            except KafkaError:
                continue
            found = {broker.node_id: (broker.host, broker.port) for broker in answer.brokers}
            if found:
                self._brokers = found
                return True
        return False

    def ask(
        self, broker: int, api: str, message: Message, until: float, highest: int | None = None
    ) -> Message:
        """Send a request to one broker, as `Connection.ask` does."""
        address = self._brokers.get(broker)
        if address is None:
            raise KafkaError(UNREACHABLE, f"the cluster has no broker {broker}")
        return self._connection(address).ask(api, message, until, highest)

    def _connection(self, address: Address) -> Connection:
        with self._lock:
            if self._closed:
                raise MskUsageError("This client is closed; open another.")
            if address not in self._connections:
                self._connections[address] = Connection(address, self._client_id)
            return self._connections[address]


def _address(text: str) -> Address:
    host, _, port = text.strip().rpartition(":")
    return host, int(port)


def _left(until: float) -> float:
    """Seconds; never zero, which sockets take for not waiting at all."""
    return max(0.001, until - real_monotonic())


def _was_lost(connected: socket.socket) -> bool:
    """Whether the broker has closed a connection on which nothing is expected."""
    connected.settimeout(0)
    try:
        connected.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def _receive(connected: socket.socket, size: int, until: float) -> bytes:
    received = bytearray()
    while len(received) < size:
        connected.settimeout(_left(until))
        part = connected.recv(min(_PART, size - len(received)))
        if not part:
            raise ConnectionError("closed")
        received += part
    return bytes(received)
