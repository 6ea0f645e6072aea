from __future__ import annotations

from typing import Any

import pytest

from pytest_msk.brokers.embedded.cluster import Cluster
from pytest_msk.brokers.embedded.topics import check_name
from pytest_msk.brokers.wire.errors import KafkaError
from tests.brokers.embedded.clusters import append, cluster_of, make


def refused(cluster: Cluster, name: str, **arguments: Any) -> str:
    before = cluster.topics.all()
    with pytest.raises(KafkaError) as caught:
        cluster.topics.create(name, **arguments)
    assert cluster.topics.all() == before
    assert caught.value.message
    return caught.value.name


@pytest.mark.parametrize("name", ["a", "A.b_c-9", "x" * 249, "__mine", "..."])
def test_names_that_kafka_takes(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize("name", ["", ".", "..", "a b", "a/b", "ä", "x" * 250, "a\n", "a\0"])
def test_names_that_kafka_refuses(name: str) -> None:
    with pytest.raises(KafkaError, match="INVALID_TOPIC_EXCEPTION"):
        check_name(name)


def test_defaults_are_the_brokers() -> None:
    cluster = cluster_of(num_partitions="5", default_replication_factor="2")
    topic = cluster.topics.create("t")
    assert [len(partition.replicas) for partition in topic.partitions] == [2] * 5
    assert [partition.id for partition in topic.partitions] == list(range(5))
    assert all(partition.leader == partition.replicas[0] for partition in topic.partitions)


def test_names_that_are_one_in_metrics_collide() -> None:
    cluster = cluster_of()
    cluster.topics.create("a.b_c")
    for other in ("a_b_c", "a.b.c", "a_b.c"):
        assert refused(cluster, other) == "INVALID_TOPIC_EXCEPTION"
    assert refused(cluster, "a.b_c") == "TOPIC_ALREADY_EXISTS"
    cluster.topics.create("a-b-c")
    cluster.topics.delete("a.b_c")
    cluster.topics.create("a_b_c")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"partitions": 0}, "INVALID_PARTITIONS"),
        ({"partitions": -2}, "INVALID_PARTITIONS"),
        ({"replication_factor": 0}, "INVALID_REPLICATION_FACTOR"),
        ({"replication_factor": -2, "partitions": 0}, "INVALID_REPLICATION_FACTOR"),
        ({"replication_factor": 4}, "INVALID_REPLICATION_FACTOR"),
        ({"assignments": {0: [1]}, "partitions": 1}, "INVALID_REQUEST"),
        ({"assignments": {0: [1]}, "replication_factor": 1}, "INVALID_REQUEST"),
        ({"assignments": {0: [1], 2: [1]}}, "INVALID_REPLICA_ASSIGNMENT"),
        ({"assignments": {1: [1]}}, "INVALID_REPLICA_ASSIGNMENT"),
        ({"assignments": {0: []}}, "INVALID_REPLICA_ASSIGNMENT"),
        ({"assignments": {0: [1, 1]}}, "INVALID_REPLICA_ASSIGNMENT"),
        ({"assignments": {0: [1, 9]}}, "INVALID_REPLICA_ASSIGNMENT"),
        ({"assignments": {0: [1, 2], 1: [1]}}, "INVALID_REPLICA_ASSIGNMENT"),
        ({"configs": {"retention.ms": None}}, "INVALID_CONFIG"),
        ({"configs": {"no.such.setting": "1"}}, "INVALID_CONFIG"),
    ],
)
def test_what_cannot_be_made(arguments: dict[str, Any], error: str) -> None:
    cluster = cluster_of()
    assert refused(cluster, "t", **arguments) == error
    assert refused(cluster, "t", **arguments, validate_only=True) == error


def test_nothing_is_placed_where_all_are_down() -> None:
    cluster = cluster_of()
    cluster.stop_broker(1)
    assert refused(cluster, "t", assignments={0: [1]}) == "INVALID_REPLICA_ASSIGNMENT"
    (partition,) = make(cluster, "u", [1, 2])
    assert (partition.leader, partition.isr) == (2, (2,))
    cluster.stop_broker(2)
    cluster.stop_broker(3)
    assert refused(cluster, "t") == "INVALID_REPLICATION_FACTOR"


def test_checking_makes_nothing() -> None:
    cluster = cluster_of()
    topic = cluster.topics.create("t", partitions=3, validate_only=True)
    assert len(topic.partitions) == 3
    assert cluster.topics.all() == []
    assert cluster.topics.by_id(topic.id) is None


def test_topics_are_found_by_name_and_id() -> None:
    cluster = cluster_of()
    topic = cluster.topics.create("t", partitions=2)
    assert cluster.topics.get("t") is cluster.topics.by_id(topic.id) is topic
    assert cluster.topics.partition("t", 1) is topic.partitions[1]
    assert cluster.topics.partition("t", 2) is cluster.topics.partition("t", -1) is None
    assert cluster.topics.partition("u", 0) is None
    cluster.topics.delete("t")
    assert cluster.topics.get("t") is cluster.topics.by_id(topic.id) is None
    assert cluster.topics.create("t").id != topic.id
    with pytest.raises(KafkaError, match="UNKNOWN_TOPIC_OR_PARTITION"):
        cluster.topics.delete("u")


def test_a_deleted_topic_leaves_nothing_to_the_next_of_its_name() -> None:
    cluster = cluster_of()
    (partition,) = make(cluster, "t", [1, 2])
    append(partition, b"1")
    told: list[str] = []
    partition.on_change.append(lambda: told.append("partition"))
    cluster.topics.on_change.append(lambda: told.append("topics"))
    cluster.topics.delete("t")
    assert told == ["partition", "topics"]
    (again,) = make(cluster, "t", [1, 2])
    assert (again.log.end_offset, again.leader_epoch) == (0, 0)
    assert told == ["partition", "topics", "topics"]


def test_partitions_are_added() -> None:
    cluster = cluster_of()
    (first,) = make(cluster, "t", [1, 2])
    told: list[int] = []
    cluster.topics.on_change.append(lambda: told.append(len(first.topic.partitions)))
    cluster.topics.add_partitions("t", 3, validate_only=True)
    assert told == []
    cluster.topics.add_partitions("t", 3)
    cluster.topics.add_partitions("t", 4, assignments=[[3, 1]])
    assert told == [3, 4]
    assert [len(partition.replicas) for partition in first.topic.partitions] == [2] * 4
    assert first.topic.partitions[3].replicas == (3, 1)
    assert first.topic.partitions[0] is first


@pytest.mark.parametrize(
    ("name", "total", "assignments", "error"),
    [
        ("u", 2, None, "UNKNOWN_TOPIC_OR_PARTITION"),
        ("t", 2, None, "INVALID_PARTITIONS"),
        ("t", 1, None, "INVALID_PARTITIONS"),
        ("t", 4, [[1, 2]], "INVALID_REPLICA_ASSIGNMENT"),
        ("t", 3, [[1]], "INVALID_REPLICA_ASSIGNMENT"),
        ("t", 3, [[1, 9]], "INVALID_REPLICA_ASSIGNMENT"),
    ],
)
def test_partitions_that_cannot_be_added(
    name: str, total: int, assignments: list[list[int]] | None, error: str
) -> None:
    cluster = cluster_of()
    make(cluster, "t", [1, 2], [2, 1])
    with pytest.raises(KafkaError) as caught:
        cluster.topics.add_partitions(name, total, assignments=assignments)
    assert caught.value.name == error
    topic = cluster.topics.get("t")
    assert topic is not None
    assert len(topic.partitions) == 2


def test_the_same_cluster_places_the_same_way() -> None:
    def places() -> list[tuple[int, ...]]:
        cluster = cluster_of(6)
        return [
            partition.replicas
            for number in range(5)
            for partition in cluster.topics.create(
                f"t{number}", partitions=4, replication_factor=3
            ).partitions
        ]

    assert places() == places()
