"""Asks a broker over the Kafka protocol whether it is ready.

Two requests of fixed, old versions that every release from 3.7 on answers, so that being ready depends on no
client library. A connection alone proves nothing: Docker's own proxy accepts before Kafka listens.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass

from pytest_msk.brokers.plane import Endpoint

_METADATA, _API_VERSIONS = 3, 18
_CORRELATION_ID = 4
_PATIENCE = 2.0
_LARGEST_REPLY = 1 << 20


@dataclass(frozen=True)
class View:
    """A broker's own view of its cluster.

    Attributes:
        brokers: the ids of the brokers it lists.
        controller: the id of the controller it names; -1 for none.
    """

    brokers: frozenset[int]
    controller: int

    def shows(self, expected: Iterable[int]) -> bool:
        """Whether these brokers, and a controller, are there."""
        return self.brokers.issuperset(expected) and self.controller >= 0


def ask(endpoint: Endpoint) -> View | None:
    """What the broker at an endpoint says; None while it does not answer."""
    try:
        with socket.create_connection((endpoint.host, endpoint.port), timeout=_PATIENCE) as connection:
            versions = _exchange(connection, _API_VERSIONS, 0, b"")
            if struct.unpack_from(">h", versions)[0] != 0:
                return None
            return _view(_exchange(connection, _METADATA, 1, struct.pack(">i", 0)))
    except (OSError, struct.error):
        return None


def _exchange(connection: socket.socket, api: int, version: int, body: bytes) -> bytes:
    client = b"pytest-msk"
    request = struct.pack(">hhih", api, version, 0, len(client)) + client + body
    connection.sendall(struct.pack(">i", len(request)) + request)
    (size,) = struct.unpack(">i", _receive(connection, 4))
    if size > _LARGEST_REPLY:
        raise ConnectionError(f"not Kafka: a reply of {size} bytes")
    return _receive(connection, size)[_CORRELATION_ID:]


def _receive(connection: socket.socket, size: int) -> bytes:
    received = bytearray()
    while len(received) < size:
        part = connection.recv(size - len(received))
        if not part:
            raise ConnectionError("closed")
        received += part
    return bytes(received)


def _view(metadata: bytes) -> View:
    (count,) = struct.unpack_from(">i", metadata)
    at = 4
    ids = set()
    for _ in range(count):
        ids.add(struct.unpack_from(">i", metadata, at)[0])
        at = _after_text(metadata, at + 4) + 4  # host, port
        at = _after_text(metadata, at)  # rack
    return View(frozenset(ids), struct.unpack_from(">i", metadata, at)[0])


def _after_text(message: bytes, at: int) -> int:
    length: int = struct.unpack_from(">h", message, at)[0]
    return at + 2 + max(length, 0)
