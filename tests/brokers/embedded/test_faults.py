"""Faults on command, seen through a client that makes no second attempt."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from pytest_msk import MskCluster, MskUsageError
from pytest_msk.brokers.clock import real_monotonic
from pytest_msk.brokers.embedded.api import Request
from pytest_msk.brokers.wire import codec, errors, records
from pytest_msk.brokers.wire.client import Connection
from pytest_msk.brokers.wire.errors import KafkaError
from pytest_msk.brokers.wire.message import Message
from pytest_msk.mock import MockMsk


@pytest.fixture
def cluster(msk: MockMsk) -> MskCluster:
    cluster = msk.cluster(brokers=3)
    cluster.create_topic("orders")
    cluster.create_topic("invoices")
    return cluster


class Client:
    """Asks the leader of a topic's first partition."""

    def __init__(self, cluster: MskCluster) -> None:
        self.cluster = cluster

    def leader(self, topic: str) -> int:
        found = self.ask("Metadata", 1, topics=[Message(name=topic)])
        return int(found.topics[0].partitions[0].leader_id)

    def ask(self, api: str, broker: int, **fields: Any) -> Message:
        at = self.cluster.brokers[broker - 1]
        with Connection((at.host, at.port), client_id="tester") as connection:
            return connection.ask(api, Message(**fields), real_monotonic() + 10)

    def produce(self, *topics: str) -> dict[str, str]:
        """Topic to the error that its partition got, where one broker leads all."""
        batch = records.build([records.Record(0, 0, None, b"value", ())])
        answer = self.ask(
            "Produce",
            self.leader(topics[0]),
            acks=-1,
            timeout_ms=1000,
            topic_data=[
                Message(name=topic, partition_data=[Message(index=0, records=batch)]) for topic in topics
            ],
        )
        return {
            topic.name: errors.name(topic.partition_responses[0].error_code) for topic in answer.responses
        }


@pytest.fixture
def client(cluster: MskCluster) -> Client:
    return Client(cluster)


def test_an_error_as_often_as_asked(cluster: MskCluster, client: Client) -> None:
    fault = cluster.fail("Produce", error="NOT_LEADER_OR_FOLLOWER", times=2, topic="orders")
    assert [client.produce("orders")["orders"] for _ in range(3)] == [
        "NOT_LEADER_OR_FOLLOWER",
        "NOT_LEADER_OR_FOLLOWER",
        "NONE",
    ]
    assert fault.fired == 2
    assert len(cluster.records("orders")) == 1


def test_of_several_topics_only_the_one_fails(cluster: MskCluster, client: Client) -> None:
    for topic in ("orders", "invoices"):
        cluster.move_leader(topic, 0, 2)
    cluster.fail("Produce", error="KAFKA_STORAGE_ERROR", topic="orders")
    assert client.produce("orders", "invoices") == {"orders": "KAFKA_STORAGE_ERROR", "invoices": "NONE"}
    assert cluster.records("orders") == []
    assert len(cluster.records("invoices")) == 1


def test_only_the_broker_that_is_named_fails(cluster: MskCluster, client: Client) -> None:
    other = client.leader("orders") % 3 + 1
    fault = cluster.fail("Produce", error="UNKNOWN_SERVER_ERROR", broker=other)
    assert client.produce("orders") == {"orders": "NONE"}
    assert fault.fired == 0


def test_a_fault_ends_with_its_block(cluster: MskCluster, client: Client) -> None:
    with cluster.fail("Produce", error="REQUEST_TIMED_OUT") as fault:
        assert client.produce("orders") == {"orders": "REQUEST_TIMED_OUT"}
    assert client.produce("orders") == {"orders": "NONE"}
    assert fault.fired == 1


def test_a_dropped_connection_did_nothing(cluster: MskCluster, client: Client) -> None:
    with cluster.drop("Produce", times=1), pytest.raises(KafkaError, match="NETWORK_EXCEPTION"):
        client.produce("orders")
    assert cluster.records("orders") == []


def test_a_dropped_connection_is_reset(cluster: MskCluster) -> None:
    at = cluster.brokers[0]
    with cluster.drop("ApiVersions") as fault, socket.create_connection((at.host, at.port), 10) as connected:
        connected.sendall(codec.request_frame("ApiVersions", 0, 1, "tester", Message()))
        with pytest.raises(ConnectionResetError):
            connected.recv(1)
        assert fault.fired == 1


def test_nobody_is_cut_off_beside_a_broker_that_there_is_not(cluster: MskCluster, client: Client) -> None:
    with pytest.raises(MskUsageError, match="no broker 9: it has 1, 2, 3"):
        cluster.partition(1, 9)
    assert client.ask("Metadata", 1, topics=[]).brokers


def test_a_delayed_answer_comes_late(cluster: MskCluster, client: Client) -> None:
    cluster.delay("ListGroups", 0.2)
    began = real_monotonic()
    client.ask("ListGroups", 1)
    assert 0.2 <= real_monotonic() - began < 5


def test_a_throttled_client_is_told_so(cluster: MskCluster, client: Client) -> None:
    cluster.throttle("ListGroups", ms=1500)
    assert client.ask("ListGroups", 1).throttle_time_ms == 1500


def test_a_function_sees_and_answers(cluster: MskCluster, client: Client) -> None:
    seen: list[tuple[str, str | None]] = []

    def look(request: Request) -> Message | None:
        seen.append((request.api, request.client_id))
        return Message(error_code=errors.code("COORDINATOR_LOAD_IN_PROGRESS")) if len(seen) > 1 else None

    cluster.on("ListGroups", look)
    assert client.ask("ListGroups", 1).error_code == 0
    assert errors.name(client.ask("ListGroups", 1).error_code) == "COORDINATOR_LOAD_IN_PROGRESS"
    assert seen == [("ListGroups", "tester")] * 2


def test_a_function_sees_topic_names_where_the_client_sends_ids(cluster: MskCluster, client: Client) -> None:
    names: list[str] = []
    cluster.on("Fetch", lambda request: names.extend(topic.topic for topic in request.body.topics))
    (topic,) = client.ask("Metadata", 1, topics=[Message(name="orders")]).topics
    client.ask(
        "Fetch",
        topic.partitions[0].leader_id,
        max_wait_ms=0,
        min_bytes=0,
        topics=[
            Message(
                topic_id=topic.topic_id,
                partitions=[Message(partition=0, fetch_offset=0, partition_max_bytes=1000)],
            )
        ],
    )
    assert names == ["orders"]


def test_an_error_in_a_function_is_kept_for_the_test(cluster: MskCluster, client: Client) -> None:
    def fail(_: Request) -> None:
        raise LookupError("in the hook")

    cluster.on("ListGroups", fail)
    with pytest.raises(KafkaError, match="NETWORK_EXCEPTION"):
        client.ask("ListGroups", 1)
    (failure,) = cluster._plane_brokers().failures()
    assert "ListGroups" in failure
    assert "LookupError: in the hook" in failure


def test_a_broker_that_is_cut_off_is_not_reached_and_does_not_lead(
    cluster: MskCluster, client: Client
) -> None:
    cluster.create_topic("spread", replication_factor=3)
    leader = client.leader("spread")
    other = leader % 3 + 1
    with cluster.partition(leader):
        with pytest.raises(KafkaError, match="NETWORK_EXCEPTION"):
            client.ask("ListGroups", leader)
        until = real_monotonic() + 10
        while leader_by(client, other) in {leader, -1}:
            assert real_monotonic() < until
    assert client.ask("ListGroups", leader).error_code == 0


def leader_by(client: Client, broker: int) -> int:
    found = client.ask("Metadata", broker, topics=[Message(name="spread")])
    return int(found.topics[0].partitions[0].leader_id)


@pytest.mark.parametrize(
    ("api", "fields", "where"),
    [
        ("Metadata", {"topics": [Message(name="orders")]}, "topics"),
        ("FindCoordinator", {"coordinator_keys": ["group"]}, "coordinators"),
        ("DescribeGroups", {"groups": ["group"]}, "groups"),
        ("DeleteGroups", {"groups_names": ["group"]}, "results"),
        ("DescribeConfigs", {"resources": [Message(resource_type=2, resource_name="orders")]}, "results"),
        ("DeleteTopics", {"topics": [Message(name="orders")]}, "responses"),
        ("OffsetFetch", {"groups": [Message(group_id="group", topics=None)]}, "groups"),
        ("InitProducerId", {"transactional_id": None, "transaction_timeout_ms": 1000}, ""),
        ("Heartbeat", {"group_id": "group"}, ""),
    ],
)
def test_an_error_stands_where_the_answer_has_room_for_it(
    cluster: MskCluster, client: Client, api: str, fields: dict[str, Any], where: str
) -> None:
    cluster.fail(api, error="UNKNOWN_SERVER_ERROR", times=1)
    answer = client.ask(api, 1, **fields)
    found = getattr(answer, where)[0] if where else answer
    assert errors.name(found.error_code) == "UNKNOWN_SERVER_ERROR"


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ({"api": "Produces", "error": "NONE"}, "There is no API 'Produces'; the brokers serve .*Produce"),
        ({"api": "Produce", "error": "NOT_LEADER"}, "There is no error 'NOT_LEADER'"),
        ({"api": "Produce", "error": "NOT_CONTROLLER", "topic": "order"}, "There is no topic 'order'"),
        ({"api": "Produce", "error": "NOT_CONTROLLER", "broker": 4}, r"no broker 4; there are \[1, 2, 3\]"),
        ({"api": "Produce", "error": "NOT_CONTROLLER", "times": 0}, "times=0: write 1 or more"),
        ({"api": "ListGroups", "error": "NOT_CONTROLLER", "topic": "orders"}, "is about no topic"),
    ],
)
def test_what_cannot_happen_is_refused(cluster: MskCluster, what: dict[str, Any], message: str) -> None:
    with pytest.raises(MskUsageError, match=message):
        cluster.fail(**what)


def test_requests_are_seen(cluster: MskCluster, client: Client) -> None:
    client.produce("orders")
    (produce,) = cluster.requests("Produce", client_id="tester")
    assert produce.body.topic_data[0].name == "orders"
    assert produce.broker == client.leader("orders")
    assert {seen.api for seen in cluster.requests(client_id="tester")} >= {"Metadata", "Produce"}
