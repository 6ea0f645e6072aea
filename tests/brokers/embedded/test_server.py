"""What comes over the wire, well-formed or not: connections, frames, order, brokers that stop and start."""

from __future__ import annotations

import os
import random
import socket
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from pytest_msk.brokers.clock import real_monotonic
from pytest_msk.brokers.embedded.plane import EmbeddedBrokers
from pytest_msk.brokers.wire import codec
from pytest_msk.brokers.wire.client import Connection
from pytest_msk.brokers.wire.message import Message
from pytest_msk.errors import MskUsageError

Connect = Callable[[], socket.socket]

API_VERSIONS = 18
UNSUPPORTED_VERSION = 35


def until() -> float:
    return real_monotonic() + 10


def client(cluster: EmbeddedBrokers, broker: int = 1) -> Connection:
    endpoint = cluster.brokers[broker - 1].endpoints["internal"]
    return Connection((endpoint.host, endpoint.port))


def receive(connection: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        part = connection.recv(size - len(found))
        if not part:
            raise EOFError(found)
        found += part
    return found


def frame_of(connection: socket.socket) -> bytes:
    (size,) = struct.unpack(">i", receive(connection, 4))
    return receive(connection, size)


def request(api: str, version: int, correlation_id: int, **fields: object) -> bytes:
    return bytes(codec.request_frame(api, version, correlation_id, "tester", Message(**fields)))


def is_closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def answers(cluster: EmbeddedBrokers) -> bool:
    with client(cluster) as asking:
        return len(asking.ask("Metadata", Message(topics=[]), until()).brokers) >= 1


class TestFrames:
    @pytest.mark.parametrize(
        "hello",
        [
            pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500), id="TLS"),
            pytest.param(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", id="HTTP"),
            pytest.param(struct.pack(">i", -1), id="negative length"),
            pytest.param(struct.pack(">i", 0), id="no length"),
            pytest.param(struct.pack(">i", 2**31 - 1) + bytes(100), id="2 GiB announced"),
            pytest.param(struct.pack(">ihhi", 8, 999, 0, 1), id="unknown API key"),
            pytest.param(struct.pack(">ihhih", 10, 3, 99, 1, -1), id="version beyond those served"),
            pytest.param(struct.pack(">ihhih", 10, 0, 9, 1, -1), id="truncated body"),
            pytest.param(struct.pack(">ih", 2, 3), id="truncated header"),
        ],
    )
    def test_what_is_no_request_ends_that_connection_and_no_other(
        self, one: EmbeddedBrokers, connect: Connect, hello: bytes
    ) -> None:
        other = connect()
        other.sendall(request("ApiVersions", 0, 7))
        assert frame_of(other)[:4] == struct.pack(">i", 7)
        bad = connect()
        bad.sendall(hello)
        assert is_closed(bad)
        other.sendall(request("ApiVersions", 0, 8))
        assert frame_of(other)[:4] == struct.pack(">i", 8)

    def test_hostile_frames_leave_the_brokers_as_they_were(
        self, one: EmbeddedBrokers, connect: Connect
    ) -> None:
        chance = random.Random(7)  # noqa: S311
        for _ in range(300):
            bad = connect()
            body = chance.randbytes(chance.randrange(200))
            key = chance.choice([chance.randrange(100), chance.randrange(-(2**15), 2**15)])
            head = struct.pack(">hhi", key, chance.randrange(-2, 20), chance.randrange(2**31))
            announced = chance.choice([len(head) + len(body), chance.randrange(2**31)])
            bad.sendall(struct.pack(">i", announced) + head + body)
            bad.close()
        assert answers(one)
        assert one.failures() == []

    def test_announced_lengths_take_no_memory(self, one: EmbeddedBrokers, connect: Connect) -> None:
        before = resident()
        waiting = [connect() for _ in range(50)]
        for connection in waiting:
            connection.sendall(struct.pack(">i", 100_000_000) + bytes(1000))
        assert answers(one)
        assert resident() - before < 20 << 20

    def test_a_request_in_pieces_is_one(self, connect: Connect) -> None:
        connection = connect()
        for byte in request("ApiVersions", 3, 5, client_software_name="x", client_software_version="1"):
            connection.sendall(bytes([byte]))
        assert frame_of(connection)[:4] == struct.pack(">i", 5)

    def test_requests_in_one_piece_are_answered_in_order(self, connect: Connect) -> None:
        connection = connect()
        connection.sendall(b"".join(request("ApiVersions", 0, number) for number in range(50)))
        found = [struct.unpack(">i", frame_of(connection)[:4])[0] for _ in range(50)]
        assert found == list(range(50))

    def test_a_request_that_waits_holds_up_the_next(self, one: EmbeddedBrokers, connect: Connect) -> None:
        with client(one) as asking:
            asking.ask("Metadata", Message(topics=[Message(name="t")]), until())
        connection = connect()
        waiting = request(
            "Fetch",
            4,
            1,
            max_wait_ms=300,
            min_bytes=1,
            max_bytes=1 << 20,
            topics=[
                Message(topic="t", partitions=[Message(partition=0, fetch_offset=0, partition_max_bytes=100)])
            ],
        )
        began = real_monotonic()
        connection.sendall(waiting + request("ApiVersions", 0, 2))
        assert [struct.unpack(">i", frame_of(connection)[:4])[0] for _ in range(2)] == [1, 2]
        assert real_monotonic() - began >= 0.3


class TestApiVersions:
    def test_a_version_that_is_not_known_is_answered_in_the_first(self, connect: Connect) -> None:
        connection = connect()
        connection.sendall(struct.pack(">ihhihb", 11, API_VERSIONS, 99, 3, -1, 0))
        correlation_id, error, count, key, low, high = struct.unpack(">ihihhh", frame_of(connection))
        assert (correlation_id, error, count, key, low) == (3, UNSUPPORTED_VERSION, 1, API_VERSIONS, 0)
        assert high >= 3

    @pytest.mark.parametrize(
        ("version", "newest_fetch"), [("2.8.1", 12), ("3.7.x", 16), ("3.9.1", 17), ("4.1.x.kraft", 18)]
    )
    def test_versions_are_those_of_the_release(
        self, cluster_of: Callable[..., EmbeddedBrokers], version: str, newest_fetch: int
    ) -> None:
        cluster = cluster_of(kafka_version=version)
        with client(cluster) as asking:
            software = Message(client_software_name="tests", client_software_version="1")
            answer = asking.ask("ApiVersions", software, until())
        keys = {codec.api_name(key.api_key): key for key in answer.api_keys}
        assert keys["Fetch"].max_version == newest_fetch
        assert keys["Produce"].min_version == (0 if version.startswith("4") else 3)


class TestBrokers:
    def test_a_stopped_broker_refuses_and_comes_back_on_its_port(self, three: EmbeddedBrokers) -> None:
        before = three.brokers
        three.stop_broker(2)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((before[1].host, before[1].port), timeout=5)
        with client(three) as asking:
            left = asking.ask("Metadata", Message(topics=[]), until()).brokers
        assert [broker.node_id for broker in left] == [1, 3]
        three.start_broker(2)
        assert three.brokers == before
        with client(three, 2) as asking:
            assert len(asking.ask("Metadata", Message(topics=[]), until()).brokers) == 3

    def test_stopping_or_starting_twice_is_once(self, three: EmbeddedBrokers) -> None:
        three.stop_broker(2)
        three.stop_broker(2)
        three.start_broker(2)
        three.start_broker(2)
        with client(three, 2) as asking:
            assert len(asking.ask("Metadata", Message(topics=[]), until()).brokers) == 3

    def test_a_broker_that_there_is_not_is_named(self, three: EmbeddedBrokers) -> None:
        with pytest.raises(MskUsageError, match="no broker 4: it has 1, 2, 3"):
            three.stop_broker(4)

    def test_connections_end_with_their_broker(self, one: EmbeddedBrokers, connect: Connect) -> None:
        connection = connect()
        connection.sendall(request("ApiVersions", 0, 1))
        frame_of(connection)
        one.stop_broker(1)
        assert is_closed(connection)

    def test_many_clients_at_once(self, three: EmbeddedBrokers) -> None:
        def ask(number: int) -> int:
            with client(three, number % 3 + 1) as asking:
                return sum(
                    len(asking.ask("Metadata", Message(topics=[]), until()).brokers) for _ in range(20)
                )

        with ThreadPoolExecutor(16) as threads:
            assert list(threads.map(ask, range(48))) == [60] * 48


def resident() -> int:
    """Bytes of memory that this process holds."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
