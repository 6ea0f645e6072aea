from __future__ import annotations

import gc
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from pytest_msk.brokers.embedded import describe_topics, metadata  # noqa: F401  # register their handlers
from pytest_msk.brokers.embedded.api import SERVED, Peer, Request
from pytest_msk.brokers.embedded.cluster import Cluster
from pytest_msk.brokers.wire import codec, errors
from pytest_msk.brokers.wire.message import NO_ID, Message
from tests.brokers.embedded.clusters import ask, cluster_of, make

NEWEST = 12
VERSIONS = range(14)


def described(
    cluster: Cluster, *names: str, version: int = NEWEST, **fields: Any
) -> dict[str | None, Message]:
    topics = [Message(name=name) for name in names] if names else None
    if version == 0 and topics is None:
        topics = []
    answer = ask(cluster, "Metadata", version, topics=topics, **fields)
    return {topic.name: topic for topic in answer.topics}


def error(message: Message) -> str:
    return errors.name(message.error_code) if message.error_code else "NONE"


@pytest.mark.parametrize("version", VERSIONS)
def test_brokers_and_topics_in_every_version(version: int) -> None:
    cluster = cluster_of()
    make(cluster, "t", [2, 3, 1], [3, 1, 2])
    answer = ask(cluster, "Metadata", version, topics=[] if version == 0 else None)
    assert [(broker.node_id, broker.host, broker.port) for broker in answer.brokers] == [
        (1, "127.0.0.1", 9001),
        (2, "127.0.0.1", 9002),
        (3, "127.0.0.1", 9003),
    ]
    (topic,) = answer.topics
    assert [
        (entry.partition_index, entry.leader_id, entry.replica_nodes, entry.isr_nodes)
        for entry in topic.partitions
    ] == [(0, 2, [2, 3, 1], [2, 3, 1]), (1, 3, [3, 1, 2], [3, 1, 2])]
    assert not any(entry.error_code for entry in (topic, *topic.partitions))
    if version >= 1:
        assert [broker.rack for broker in answer.brokers] == ["a", "b", "c"]
        assert answer.controller_id == 1
    if version >= 2:
        assert answer.cluster_id == cluster.id
    if version >= 10:
        found = cluster.topics.get("t")
        assert found is not None
        assert topic.topic_id == found.id


def test_an_empty_list_asks_for_nothing_but_in_version_0() -> None:
    cluster = cluster_of()
    make(cluster, "t", [1])
    assert ask(cluster, "Metadata", 1, topics=[]).topics == []
    assert len(ask(cluster, "Metadata", 0, topics=[]).topics) == 1


def test_only_endpoints_of_the_listener_that_the_request_came_by() -> None:
    cluster = cluster_of(listeners=("plaintext", "tls"))
    make(cluster, "t", [1, 2])
    del cluster.brokers[1].endpoints["tls"]
    by_tls = ask(cluster, "Metadata", 12, 2, listener="tls", topics=None)
    assert [(broker.node_id, broker.port) for broker in by_tls.brokers] == [(2, 9102), (3, 9103)]
    (partition,) = by_tls.topics[0].partitions
    assert (error(partition), partition.leader_id) == ("LISTENER_NOT_FOUND", -1)
    assert partition.offline_replicas == [1]
    older = ask(cluster, "Metadata", 5, 2, listener="tls", topics=None)
    assert error(older.topics[0].partitions[0]) == "LEADER_NOT_AVAILABLE"
    assert not ask(cluster, "Metadata", 12, topics=None).topics[0].partitions[0].error_code


def test_what_is_down_shows_and_what_comes_back_too() -> None:
    cluster = cluster_of()
    make(cluster, "t", [1, 2])
    make(cluster, "alone", [3])
    before = described(cluster, "t")
    cluster.stop_broker(3)
    (led,) = described(cluster, "t")["t"].partitions
    (lost,) = described(cluster, "alone")["alone"].partitions
    assert not led.error_code
    assert (error(lost), lost.leader_id, lost.offline_replicas) == ("LEADER_NOT_AVAILABLE", -1, [3])
    assert lost.leader_epoch == 1
    assert [broker.node_id for broker in ask(cluster, "Metadata", 12, topics=[]).brokers] == [1, 2]
    cluster.stop_broker(1)
    (moved,) = described(cluster, "t")["t"].partitions
    assert (moved.leader_id, moved.isr_nodes, moved.offline_replicas) == (2, [2], [1])
    first = described(cluster, "t", version=0)["t"].partitions[0]
    assert (error(first), first.replica_nodes) == ("REPLICA_NOT_AVAILABLE", [2])
    cluster.start_broker(1)
    cluster.start_broker(3)
    again = described(cluster, "t", "alone")
    assert [again[name].partitions[0].leader_id for name in ("t", "alone")] == [2, 3]
    assert before["t"].partitions[0].leader_id == 1


def test_a_broker_that_died_is_listed_until_it_is_fenced() -> None:
    cluster = cluster_of()
    cluster.stop_broker(3, graceful=False)
    assert [broker.node_id for broker in ask(cluster, "Metadata", 12, topics=[]).brokers] == [1, 2, 3]
    cluster.controller.fence(cluster.brokers[3])
    assert [broker.node_id for broker in ask(cluster, "Metadata", 12, topics=[]).brokers] == [1, 2]


def test_topics_by_id() -> None:
    cluster = cluster_of()
    (partition,) = make(cluster, "t", [1])
    make(cluster, "u", [1])
    unknown = uuid.uuid4()
    topics = [Message(topic_id=partition.topic.id, name=None), Message(topic_id=unknown, name=None)]
    answer = ask(cluster, "Metadata", 12, topics=topics)
    assert {topic.topic_id: (error(topic), topic.name) for topic in answer.topics} == {
        partition.topic.id: ("NONE", "t"),
        unknown: ("UNKNOWN_TOPIC_ID", None),
    }


def test_topic_ids_are_for_later_versions() -> None:
    cluster = cluster_of()
    (partition,) = make(cluster, "t", [1])
    answer = ask(cluster, "Metadata", 10, topics=[Message(topic_id=partition.topic.id, name="t")])
    assert [error(topic) for topic in answer.topics] == ["INVALID_REQUEST"]
    nameless = ask(cluster, "Metadata", 13, topics=[Message(topic_id=NO_ID, name=None)])
    assert error(nameless) == "INVALID_REQUEST"


def test_topics_that_are_not_there_are_made_and_shown_the_next_time() -> None:
    cluster = cluster_of(num_partitions="4")
    assert error(described(cluster, "new")["new"]) == "UNKNOWN_TOPIC_OR_PARTITION"
    made = described(cluster, "new")["new"]
    assert error(made) == "NONE"
    assert [len(partition.replica_nodes) for partition in made.partitions] == [3] * 4


@pytest.mark.parametrize("how", ["request", "cluster"])
def test_topics_that_are_not_there_are_not_made_unless_both_want_it(how: str) -> None:
    wanted = how == "cluster"
    cluster = cluster_of(auto_create_topics_enable=str(not wanted).lower())
    for _ in range(2):
        found = described(cluster, "new", "bad name", allow_auto_topic_creation=wanted)
        assert error(found["new"]) == "UNKNOWN_TOPIC_OR_PARTITION"
        assert error(found["bad name"]) == "INVALID_TOPIC_EXCEPTION"
    assert cluster.topics.all() == []


def test_a_name_that_cannot_be_is_told_from_one_that_is_not() -> None:
    cluster = cluster_of()
    found = described(cluster, "a/b", "x" * 250, "..", "")
    assert {error(topic) for topic in found.values()} == {"INVALID_TOPIC_EXCEPTION"}
    assert cluster.topics.all() == []


def test_a_topic_that_cannot_be_made_stays_unknown() -> None:
    cluster = cluster_of(default_replication_factor="5")
    for _ in range(2):
        assert error(described(cluster, "new")["new"]) == "UNKNOWN_TOPIC_OR_PARTITION"


def test_internal_topics_are_made_as_kafka_makes_them() -> None:
    cluster = cluster_of(offsets_topic_num_partitions="5")
    first = described(cluster, "__consumer_offsets")["__consumer_offsets"]
    assert (error(first), first.is_internal) == ("UNKNOWN_TOPIC_OR_PARTITION", True)
    made = described(cluster, "__consumer_offsets")["__consumer_offsets"]
    assert made.is_internal
    assert len(made.partitions) == 5


def test_operations_are_told_only_when_asked_for() -> None:
    cluster = cluster_of()
    make(cluster, "t", [1])
    plain = ask(cluster, "Metadata", 8, topics=None)
    assert plain.cluster_authorized_operations == plain.topics[0].topic_authorized_operations == -(2**31)
    full = ask(
        cluster,
        "Metadata",
        8,
        topics=None,
        include_cluster_authorized_operations=True,
        include_topic_authorized_operations=True,
    )
    read, create, idempotent_write = 3, 5, 12
    assert full.topics[0].topic_authorized_operations & (1 << read)
    assert full.cluster_authorized_operations & (1 << create)
    assert full.cluster_authorized_operations & (1 << idempotent_write)
    again = ask(cluster, "Metadata", 8, topics=None)
    assert again.topics[0].topic_authorized_operations == -(2**31)


def test_answers_of_before_do_not_outlive_a_change() -> None:
    cluster = cluster_of(4)
    (partition,) = make(cluster, "t", [1, 2])
    assert described(cluster, "t")["t"].partitions[0].replica_nodes == [1, 2]
    cluster.controller.reassign(partition, [2, 1])
    assert described(cluster, "t")["t"].partitions[0].replica_nodes == [2, 1]
    cluster.topics.add_partitions("t", 3)
    assert len(described(cluster, "t")["t"].partitions) == 3
    cluster.topics.delete("t")
    assert (
        error(described(cluster, "t", allow_auto_topic_creation=False)["t"]) == "UNKNOWN_TOPIC_OR_PARTITION"
    )


@pytest.fixture
def no_garbage_collection() -> Iterator[None]:
    """Else a test pays for what all those before it have left behind."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_garbage_collection")
def test_six_thousand_partitions_are_described_quickly() -> None:
    cluster = cluster_of()
    for number in range(1000):
        cluster.topics.create(f"t{number}", partitions=6, replication_factor=3)
    asked = codec.encode_request("Metadata", NEWEST, Message(topics=None))
    body = codec.decode_request("Metadata", NEWEST, memoryview(asked))
    request = Request(cluster.brokers[1], "Metadata", NEWEST, None, body, Peer("127.0.0.1", "plaintext"))
    for budget in (0.1, 0.01):
        begun = time.thread_time()
        SERVED["Metadata"].handler(request)
        assert time.thread_time() - begun < budget


def test_describe_cluster() -> None:
    cluster = cluster_of()
    cluster.stop_broker(2)
    answer = ask(cluster, "DescribeCluster", 0)
    assert (answer.cluster_id, answer.controller_id) == (cluster.id, 1)
    assert [(broker.broker_id, broker.port, broker.rack) for broker in answer.brokers] == [
        (1, 9001, "a"),
        (3, 9003, "c"),
    ]
    assert answer.cluster_authorized_operations == -(2**31)
    told = ask(cluster, "DescribeCluster", 1, include_cluster_authorized_operations=True)
    assert told.cluster_authorized_operations > 0
    fenced = ask(cluster, "DescribeCluster", 2, include_fenced_brokers=True)
    assert [(broker.broker_id, broker.is_fenced) for broker in fenced.brokers] == [
        (1, False),
        (2, True),
        (3, False),
    ]


@pytest.mark.parametrize(
    ("endpoint_type", "refusal"), [(2, "MISMATCHED_ENDPOINT_TYPE"), (7, "UNSUPPORTED_ENDPOINT_TYPE")]
)
def test_describe_cluster_is_for_brokers(endpoint_type: int, refusal: str) -> None:
    answer = ask(cluster_of(), "DescribeCluster", 1, endpoint_type=endpoint_type)
    assert error(answer) == refusal
    assert answer.error_message


def test_topics_are_described_page_by_page() -> None:
    cluster = cluster_of()
    make(cluster, "b", *[[1, 2]] * 5)
    make(cluster, "a", *[[1, 2]] * 3)
    make(cluster, "c", [1])
    pages = []
    cursor = None
    for _ in range(10):
        answer = ask(
            cluster, "DescribeTopicPartitions", 0, topics=[], response_partition_limit=4, cursor=cursor
        )
        pages.append(
            [(topic.name, [entry.partition_index for entry in topic.partitions]) for topic in answer.topics]
        )
        cursor = answer.next_cursor
        if cursor is None:
            break
    assert pages == [[("a", [0, 1, 2]), ("b", [0])], [("b", [1, 2, 3, 4])], [("c", [0])]]


def test_named_topics_are_described_by_name() -> None:
    cluster = cluster_of()
    make(cluster, "b", [1])
    topics = [Message(name="z"), Message(name="b"), Message(name="a b")]
    answer = ask(cluster, "DescribeTopicPartitions", 0, topics=topics)
    assert [(topic.name, error(topic)) for topic in answer.topics] == [
        ("a b", "INVALID_TOPIC_EXCEPTION"),
        ("b", "NONE"),
        ("z", "UNKNOWN_TOPIC_OR_PARTITION"),
    ]
    assert cluster.topics.get("z") is None


def test_eligible_leaders_are_described() -> None:
    cluster = cluster_of(kafka_version="4.1.2", min_insync_replicas="2")
    make(cluster, "t", [1, 2])
    cluster.stop_broker(2)

    def partition() -> Message:
        answer = ask(cluster, "DescribeTopicPartitions", 0, 3, topics=[Message(name="t")])
        ((found,),) = (topic.partitions for topic in answer.topics)
        assert isinstance(found, Message)
        return found

    assert (partition().isr_nodes, partition().eligible_leader_replicas) == ([1], [2])
    cluster.stop_broker(1)
    assert partition().leader_id == -1
    assert (partition().isr_nodes, sorted(partition().eligible_leader_replicas)) == ([], [1, 2])
    assert partition().last_known_elr == [1]
    assert partition().offline_replicas == [1, 2]


def test_a_cursor_that_cannot_be() -> None:
    cluster = cluster_of()
    make(cluster, "t", [1])
    for cursor in (Message(topic_name="u", partition_index=0), Message(topic_name="t", partition_index=-1)):
        answer = ask(cluster, "DescribeTopicPartitions", 0, topics=[Message(name="t")], cursor=cursor)
        assert [error(topic) for topic in answer.topics] == ["INVALID_REQUEST"]
