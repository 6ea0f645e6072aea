"""What producers with each number of acks hear of their records, over the wire."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest

from pytest_msk.brokers.embedded.plane import EmbeddedBrokers
from pytest_msk.brokers.wire import codec, errors
from pytest_msk.brokers.wire.message import Message
from tests.brokers.embedded.record_requests import batch, values
from tests.brokers.embedded.test_server import client, frame_of, is_closed, request, until

Connect = Callable[[], socket.socket]

VERSION = 9
NEXT = 99


@pytest.fixture
def topic(one: EmbeddedBrokers) -> str:
    configs = [Message(name="max.message.bytes", value="1000")]
    made = Message(name="t", num_partitions=1, replication_factor=1, configs=configs)
    with client(one) as asking:
        asking.ask("CreateTopics", Message(topics=[made], timeout_ms=1000), until())
    return "t"


def produce(number: int, acks: int, *records: tuple[str, bytes]) -> bytes:
    topics = [Message(name=topic, partition_data=[Message(index=0, records=data)]) for topic, data in records]
    return request("Produce", VERSION, number, acks=acks, timeout_ms=1000, topic_data=topics)


def written(cluster: EmbeddedBrokers, topic: str) -> list[bytes | None]:
    part = Message(partition=0, fetch_offset=0, partition_max_bytes=1 << 20)
    asked = Message(
        max_wait_ms=0,
        min_bytes=0,
        max_bytes=1 << 20,
        session_epoch=-1,
        topics=[Message(topic=topic, partitions=[part])],
    )
    with client(cluster) as asking:
        answer = asking.ask("Fetch", asked, until(), 12)
    return values(answer.responses[0].partitions[0].records)


def test_without_acks_the_next_request_is_the_first_to_be_answered(
    one: EmbeddedBrokers, connect: Connect, topic: str
) -> None:
    connection = connect()
    sent = [produce(number, 0, (topic, batch(b"%d" % number))) for number in range(3)]
    connection.sendall(b"".join(sent) + request("ApiVersions", 0, NEXT))
    assert int.from_bytes(frame_of(connection)[:4], "big") == NEXT
    assert written(one, topic) == [b"0", b"1", b"2"]


@pytest.mark.parametrize(
    ("name", "records"),
    [
        pytest.param("nowhere", batch(b"a"), id="unknown topic"),
        pytest.param("t", batch(b"a")[:-1] + b"!", id="wrong CRC"),
        pytest.param("t", batch(b"a" * 2000), id="too large"),
        pytest.param("t", b"", id="no records"),
        pytest.param("t", batch(b"a")[:16] + b"\x09" + batch(b"a")[17:], id="unknown format"),
        pytest.param("t", batch(b"a", control=True), id="control records"),
    ],
)
def test_without_acks_an_error_ends_the_connection_and_no_other(
    one: EmbeddedBrokers, connect: Connect, topic: str, name: str, records: bytes
) -> None:
    connection, other = connect(), connect()
    connection.sendall(produce(1, 0, (name, records)))
    assert is_closed(connection)
    other.sendall(produce(2, 1, (topic, batch(b"kept"))))
    assert int.from_bytes(frame_of(other)[:4], "big") == 2
    assert written(one, topic) == [b"kept"]


def test_without_acks_what_could_be_taken_stays(one: EmbeddedBrokers, connect: Connect, topic: str) -> None:
    connection = connect()
    connection.sendall(produce(1, 0, (topic, batch(b"kept")), ("nowhere", batch(b"lost"))))
    assert is_closed(connection)
    assert written(one, topic) == [b"kept"]


@pytest.mark.parametrize("acks", [1, -1])
def test_with_acks_an_error_is_told_and_the_connection_goes_on(
    one: EmbeddedBrokers, connect: Connect, topic: str, acks: int
) -> None:
    connection = connect()
    found = []
    for number, records in enumerate([batch(b"a")[:-1] + b"!", batch(b"a" * 2000), batch(b"a")]):
        connection.sendall(produce(number, acks, (topic, records)))
        _, rest = codec.decode_response_header("Produce", VERSION, memoryview(frame_of(connection)))
        answer = codec.decode_response("Produce", VERSION, rest)
        found.append(errors.name(answer.responses[0].partition_responses[0].error_code))
    assert found == ["CORRUPT_MESSAGE", "MESSAGE_TOO_LARGE", "NONE"]
