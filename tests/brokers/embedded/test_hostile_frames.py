"""Clients that mean harm: it ends their connection at most, harms no other, and takes little memory."""

from __future__ import annotations

import socket
import struct
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_msk.brokers import versions
from pytest_msk.brokers.clock import real_monotonic
from pytest_msk.brokers.embedded.dispatch import served_versions
from pytest_msk.brokers.embedded.plane import EmbeddedBrokers
from pytest_msk.brokers.wire import codec
from pytest_msk.brokers.wire.message import Message
from tests.brokers.embedded.record_requests import batch
from tests.brokers.embedded.test_server import client, frame_of, is_closed, request, resident, until
from tests.brokers.wire import messages
from tests.brokers.wire.test_hostile import HUGE

Connect = Callable[[], socket.socket]

LITTLE = 50 << 20
NEXT = 0x7A7A7A7A
PATIENCE = 10.0
RELEASES = ["2.8.1", "3.9.1", "4.3.1"]

# Keys of APIs, and versions whose bodies begin with the field that is told of below.
PRODUCE, FETCH, METADATA, API_VERSIONS, JOIN_GROUP, CREATE_TOPICS = 0, 1, 3, 18, 11, 19
MOST, LONGEST = b"\x7f\xff\xff\xff", b"\x7f\xff"
MOST_VARINT, ENDLESS_VARINT = b"\xff\xff\xff\xff\x07", b"\xff" * 1000


def framed(key: int, version: int, rest: bytes) -> bytes:
    """A frame with a header that is right up to the client id, which is null."""
    data = struct.pack(">hhih", key, version, 1, -1) + rest
    return len(data).to_bytes(4, "big") + data


def end(connection: socket.socket, frame: bytes) -> None:
    """Send a frame and nothing more; whatever comes back, the broker ends the connection then."""
    with suppress(ConnectionError):
        connection.sendall(frame)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(1 << 20):
            pass


def serves(connection: socket.socket) -> bool:
    """Whether another client is served as ever, and soon."""
    began = real_monotonic()
    connection.sendall(request("ApiVersions", 0, NEXT))
    answered = int.from_bytes(frame_of(connection)[:4], "big") == NEXT
    return answered and real_monotonic() - began < PATIENCE


class TestWhatAFrameOnlyAnnounces:
    @pytest.mark.parametrize(
        "frame",
        [
            pytest.param(framed(METADATA, 1, MOST), id="an array of 2^31 - 1 elements"),
            pytest.param(framed(CREATE_TOPICS, 0, b"\x80\0\0\0"), id="an array of -2^31 elements"),
            pytest.param(framed(METADATA, 9, b"\0" + MOST_VARINT), id="a compact array"),
            pytest.param(framed(METADATA, 9, b"\0" + ENDLESS_VARINT), id="a number without end"),
            pytest.param(framed(METADATA, 9, MOST_VARINT), id="tagged fields of a header"),
            pytest.param(framed(METADATA, 9, b"\1\x63" + MOST_VARINT), id="a tagged field's size"),
            pytest.param(framed(METADATA, 9, ENDLESS_VARINT), id="endless tagged fields of a header"),
            pytest.param(framed(METADATA, 9, b"\0\1\0\0\0" + MOST_VARINT), id="tagged fields of a body"),
            pytest.param(framed(METADATA, 1, b"\0\0\0\1" + LONGEST), id="a string"),
            pytest.param(framed(METADATA, 9, b"\0\2" + MOST_VARINT), id="a compact string"),
            pytest.param(framed(API_VERSIONS, 3, b"\0" + MOST_VARINT), id="a client's name"),
            pytest.param(struct.pack(">ihhih", 10, METADATA, 1, 1, 0x7FFF), id="a client id"),
            pytest.param(
                framed(PRODUCE, 3, b"\xff\xff\0\1\0\0\0\1\0\0\0\1\0\1t\0\0\0\1\0\0\0\0" + MOST), id="records"
            ),
            pytest.param(
                framed(PRODUCE, 9, b"\0\0\0\1\0\0\0\1\2\2t\2\0\0\0\0" + MOST_VARINT), id="compact records"
            ),
            pytest.param(
                framed(FETCH, 4, b"\xff" * 4 + bytes(13) + b"\0\0\0\1\0\1t" + MOST), id="an array in an array"
            ),
            pytest.param(
                framed(JOIN_GROUP, 0, b"\0\1g\0\0\0\0\0\0\0\1c\0\0\0\1\0\1r" + MOST), id="bytes in an array"
            ),
            pytest.param(framed(CREATE_TOPICS, 0, MOST + bytes(400)), id="an array of large elements"),
        ],
    )
    def test_closes_the_connection_at_no_cost(
        self, one: EmbeddedBrokers, connect: Connect, frame: bytes
    ) -> None:
        other, bad = connect(), connect()
        assert serves(other)
        tracemalloc.start()
        try:
            bad.sendall(frame)
            assert is_closed(bad)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 5_000_000
        assert serves(other)

    @pytest.mark.parametrize("length", [2**31 - 1, 104_857_601, 0, -1, -(2**31)])
    def test_an_impossible_length_is_not_waited_for(
        self, one: EmbeddedBrokers, connect: Connect, length: int
    ) -> None:
        other, bad = connect(), connect()
        bad.sendall(struct.pack(">i", length))
        assert is_closed(bad)
        assert serves(other)

    def test_one_that_is_large_is_waited_for_without_memory_for_it(
        self, one: EmbeddedBrokers, connect: Connect
    ) -> None:
        other = connect()
        before = resident()
        waiting = [connect() for _ in range(50)]
        for connection in waiting:
            connection.sendall(struct.pack(">i", 104_857_600) + bytes(10_000))
        assert serves(other)
        assert resident() - before < LITTLE


class TestFloods:
    @pytest.fixture
    def topic(self, one: EmbeddedBrokers) -> str:
        """A topic with one record of nearly a megabyte."""
        with client(one) as asking:
            made = Message(name="large", num_partitions=1, replication_factor=1)
            asking.ask("CreateTopics", Message(topics=[made], timeout_ms=1000), until())
        with client(one) as asking:
            part = Message(index=0, records=batch(bytes(1_000_000)))
            asked = Message(
                acks=1, timeout_ms=1000, topic_data=[Message(name="large", partition_data=[part])]
            )
            answer = asking.ask("Produce", asked, until(), 12)
            assert answer.responses[0].partition_responses[0].error_code == 0
        return "large"

    def test_answers_that_nobody_reads_are_not_made(
        self, one: EmbeddedBrokers, connect: Connect, topic: str
    ) -> None:
        def fetch(number: int) -> bytes:
            part = Message(partition=0, fetch_offset=0, partition_max_bytes=1 << 21)
            asked = [Message(topic=topic, partitions=[part])]
            return request("Fetch", 4, number, max_wait_ms=0, min_bytes=1, max_bytes=1 << 21, topics=asked)

        other, greedy = connect(), connect()
        before = resident()
        greedy.sendall(b"".join(map(fetch, range(300))))
        assert serves(other)
        assert serves(other)
        assert resident() - before < LITTLE
        # Once it reads, it has them all, in their order.
        for number in range(300):
            answer = frame_of(greedy)
            assert int.from_bytes(answer[:4], "big") == number
            assert len(answer) > 1_000_000

    def test_requests_of_a_client_that_reads_nothing_wait_outside(
        self, one: EmbeddedBrokers, connect: Connect
    ) -> None:
        other, flooding = connect(), connect()
        asked = request("ApiVersions", 0, 1)
        before = resident()
        flooding.settimeout(0.3)
        with suppress(TimeoutError):
            for _ in range(2000):
                flooding.sendall(asked * 2000)
        assert serves(other)
        assert resident() - before < LITTLE

    def test_many_who_hang_up_in_the_middle_leave_nothing(
        self, one: EmbeddedBrokers, connect: Connect
    ) -> None:
        other = connect()
        endpoint = one.brokers[0].endpoints["internal"]
        before = resident()
        for _ in range(200):
            with socket.create_connection((endpoint.host, endpoint.port), timeout=PATIENCE) as connection:
                end(connection, struct.pack(">i", 1_000_000) + bytes(500_000))
        assert serves(other)
        assert resident() - before < LITTLE


class TestAnything:
    @pytest.mark.parametrize("release", RELEASES)
    def test_is_answered_or_closes_its_connection(
        self, cluster_of: Callable[..., EmbeddedBrokers], monkeypatch: pytest.MonkeyPatch, release: str
    ) -> None:
        """Requests with all kinds of values, whole or damaged: none is more than a broker can bear."""
        # Names that are there, so that requests get beyond the first check.
        monkeypatch.setattr(messages, "TEXTS", ("orders", "orders", "g", *messages.TEXTS))
        cluster = cluster_of(kafka_version=release)
        served = served_versions(versions.release(release))
        requests = [(api, version) for api, each in served.items() for version in each]
        endpoint = cluster.brokers[0].endpoints["internal"]
        address = (endpoint.host, endpoint.port)
        with client(cluster) as asking:
            made = Message(name="orders", num_partitions=2, replication_factor=1)
            asking.ask("CreateTopics", Message(topics=[made], timeout_ms=1000), until())

        @settings(max_examples=400, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(st.sampled_from(requests), st.randoms(use_true_random=False), st.sampled_from(DAMAGES))
        def run(kind: tuple[str, int], random: Random, damage: Damage) -> None:
            body = messages.message(random, kind[0] + "Request", kind[1])
            frame = bytes(codec.request_frame(*kind, 1, "hostile", body))
            with socket.create_connection(address, timeout=PATIENCE) as bad:
                end(bad, damage(random, frame))
            assert serves(other)
            assert cluster.failures() == []

        with socket.create_connection(address, timeout=PATIENCE) as other:
            assert serves(other)
            before = resident()
            run()
        assert resident() - before < 2 * LITTLE


Damage = Callable[[Random, bytes], bytes]


def whole(random: Random, frame: bytes) -> bytes:
    return frame


def cut(random: Random, frame: bytes) -> bytes:
    return _framed(frame[4 : random.randrange(4, len(frame))])


def cut_and_announced_whole(random: Random, frame: bytes) -> bytes:
    return frame[: random.randrange(4, len(frame))]


def longer(random: Random, frame: bytes) -> bytes:
    return _framed(frame[4:] + random.randbytes(random.randrange(1, 2000)))


def with_wrong_bytes(random: Random, frame: bytes) -> bytes:
    changed = bytearray(frame)
    for _ in range(random.randrange(1, 6)):
        changed[random.randrange(12, len(frame))] = random.randrange(256)
    return bytes(changed)


def with_a_huge_length(random: Random, frame: bytes) -> bytes:
    place, huge = random.randrange(12, len(frame)), random.choice(HUGE)
    return _framed(frame[4:place] + huge + frame[place + len(huge) :])


def _framed(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


DAMAGES = [whole, cut, cut_and_announced_whole, longer, with_wrong_bytes, with_a_huge_length]
