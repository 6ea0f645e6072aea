"""Faults of every API that is served, in every version: the answer is one that the client can read."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest

from pytest_msk import MskCluster, MskUsageError
from pytest_msk.brokers import versions
from pytest_msk.brokers.embedded.dispatch import served_versions
from pytest_msk.brokers.wire import codec, errors
from pytest_msk.brokers.wire.message import Message
from pytest_msk.mock import MockMsk
from tests.brokers.embedded.record_requests import batch
from tests.brokers.embedded.test_server import frame_of, is_closed, request
from tests.brokers.wire import messages

ERROR = "KAFKA_STORAGE_ERROR"
RELEASES = ["2.8.1", "3.9.1", "4.3.1"]
ATTEMPTS = 20
UNTOLD = {("DescribeLogDirs", 1), ("DescribeLogDirs", 2)}
"""Answers that have room for errors of directories alone."""


@pytest.fixture
def cluster(msk: MockMsk) -> MskCluster:
    return msk.cluster()


@pytest.fixture
def connect(cluster: MskCluster) -> Iterator[Callable[[], socket.socket]]:
    opened = []

    def connected() -> socket.socket:
        broker = cluster.brokers[0]
        opened.append(socket.create_connection((broker.host, broker.port), timeout=10))
        return opened[-1]

    yield connected
    for connection in opened:
        connection.close()


def asked(random: Random, api: str, version: int) -> Message:
    """A request of an API that wants an answer."""
    if api == "ApiVersions":
        return Message(client_software_name="tests", client_software_version="1")
    body = messages.message(random, api + "Request", version)
    if api == "Produce":
        body.acks = 1
    return body


def answer_to(connection: socket.socket, api: str, version: int, body: Message) -> Message:
    connection.sendall(bytes(codec.request_frame(api, version, 1, "tests", body)))
    _, rest = codec.decode_response_header(api, version, memoryview(frame_of(connection)))
    return codec.decode_response(api, version, rest)


def tells_error(found: Any) -> bool:
    """Whether the error stands anywhere in an answer."""
    if isinstance(found, list):
        return any(map(tells_error, found))
    return isinstance(found, Message) and any(
        (name.endswith("error_code") and value == errors.code(ERROR)) or tells_error(value)
        for name, value in vars(found).items()
    )


@pytest.mark.parametrize("release", RELEASES)
def test_an_error_is_told_in_every_version(msk: MockMsk, release: str) -> None:
    cluster = msk.cluster(kafka_version=release)
    broker = cluster.brokers[0]
    random = Random(7)  # noqa: S311
    untold = set()
    for api, served in served_versions(versions.release(release)).items():
        with (
            cluster.fail(api, error=ERROR),
            socket.create_connection((broker.host, broker.port), timeout=10) as connection,
        ):
            # Some requests ask for nothing, and have nothing refused.
            untold |= {
                (api, version)
                for version in served
                if not any(
                    tells_error(answer_to(connection, api, version, asked(random, api, version)))
                    for _ in range(ATTEMPTS)
                )
            }
        assert cluster._plane_brokers().failures() == []
    assert untold <= UNTOLD


def test_a_partition_that_cannot_be_added_to_a_transaction(
    cluster: MskCluster, connect: Callable[[], socket.socket]
) -> None:
    cluster.create_topic("orders")
    cluster.fail("AddPartitionsToTxn", error="CONCURRENT_TRANSACTIONS", topic="orders", times=1)
    body = Message(
        v3_and_below_transactional_id="id",
        v3_and_below_producer_id=1,
        v3_and_below_producer_epoch=0,
        v3_and_below_topics=[Message(name="orders", partitions=[0])],
    )
    answer = answer_to(connect(), "AddPartitionsToTxn", 3, body)
    [topic] = answer.results_by_topic_v3_and_below
    [partition] = topic.results_by_partition
    assert (topic.name, partition.partition_index) == ("orders", 0)
    assert errors.name(partition.partition_error_code) == "CONCURRENT_TRANSACTIONS"


def test_who_wants_no_answer_has_the_connection_closed(
    cluster: MskCluster, connect: Callable[[], socket.socket]
) -> None:
    cluster.create_topic("orders")
    part = Message(index=0, records=batch(b"lost"))
    topics = [Message(name="orders", partition_data=[part])]
    failing = request("Produce", 9, 1, acks=0, timeout_ms=1000, topic_data=topics)
    with cluster.fail("Produce", error="NOT_LEADER_OR_FOLLOWER") as fault:
        connection = connect()
        connection.sendall(failing)
        assert is_closed(connection)
        assert fault.fired == 1
    with cluster.on("Produce", lambda _: Message(responses=[])):
        connection = connect()
        connection.sendall(failing + request("ApiVersions", 0, 2))
        assert int.from_bytes(frame_of(connection)[:4], "big") == 2
    assert cluster.records("orders") == []


@pytest.mark.parametrize("api", ["DescribeQuorum", "WriteTxnMarkers"])
def test_answers_without_room_for_a_throttle_time_are_refused_by_name(cluster: MskCluster, api: str) -> None:
    with pytest.raises(MskUsageError, match=f"{api} have no room for a throttle time"):
        cluster.throttle(api, ms=1)
