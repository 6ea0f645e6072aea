"""The requests that are kept for tests to look at take little memory, however large they are."""

from __future__ import annotations

import socket
from collections.abc import Callable

from pytest_msk.brokers.embedded.plane import EmbeddedBrokers
from pytest_msk.brokers.wire.message import Message
from tests.brokers.embedded.test_server import frame_of, request, resident


def fetch(number: int) -> bytes:
    """A request that names six thousand partitions, as clients without fetch sessions make every time."""
    topics = [
        Message(
            topic=f"topic-{topic}",
            partitions=[
                Message(partition=index, fetch_offset=number, partition_max_bytes=1 << 20)
                for index in range(6)
            ],
        )
        for topic in range(1000)
    ]
    asked = {"max_wait_ms": 0, "min_bytes": 1, "max_bytes": 1 << 20}
    return request("Fetch", 4, number, **asked, topics=topics)


def test_large_requests_are_forgotten_sooner(
    one: EmbeddedBrokers, connect: Callable[[], socket.socket]
) -> None:
    connection = connect()
    before = resident()
    for number in range(60):
        connection.sendall(fetch(number))
        frame_of(connection)
    assert resident() - before < 80 << 20
    kept = one.call("requests", "Fetch", None)
    assert 1 < len(kept) < 60
    assert kept[-1].body.topics[0].partitions[0].fetch_offset == 59


def test_small_requests_are_kept_by_their_number(
    one: EmbeddedBrokers, connect: Callable[[], socket.socket]
) -> None:
    connection = connect()
    asked = b"".join(request("ApiVersions", 0, number) for number in range(2500))
    connection.sendall(asked)
    for _ in range(2500):
        frame_of(connection)
    assert len(one.call("requests", "ApiVersions", None)) == 2000
