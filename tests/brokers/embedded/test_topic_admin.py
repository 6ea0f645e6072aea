from __future__ import annotations

import uuid
from typing import Any

import pytest

from pytest_msk.brokers.embedded import topic_admin  # noqa: F401  # registers its handlers
from pytest_msk.brokers.embedded.cluster import Cluster
from pytest_msk.brokers.wire import errors
from pytest_msk.brokers.wire.message import NO_ID, Message
from tests.brokers.embedded.clusters import ask, cluster_of, make


def wanted(name: str, partitions: int = -1, replication_factor: int = -1, **configs: str | None) -> Message:
    return Message(
        name=name,
        num_partitions=partitions,
        replication_factor=replication_factor,
        assignments=[],
        configs=[Message(name=key.replace("_", "."), value=value) for key, value in configs.items()],
    )


def outcomes(entries: list[Message]) -> dict[str | None, str | None]:
    return {entry.name: errors.name(entry.error_code) if entry.error_code else None for entry in entries}


def names(cluster: Cluster) -> set[str]:
    return {topic.name for topic in cluster.topics.all()}


@pytest.mark.parametrize("version", range(2, 8))
def test_topics_are_made_in_every_version(version: int) -> None:
    cluster = cluster_of()
    topics = [wanted("t", 4, 2, cleanup_policy="compact"), wanted("u", 1, 9)]
    answer = ask(cluster, "CreateTopics", version, topics=topics)
    assert outcomes(answer.topics) == {"t": None, "u": "INVALID_REPLICATION_FACTOR"}
    made, failed = answer.topics
    assert failed.error_message
    topic = cluster.topics.get("t")
    assert topic is not None
    assert topic.configs == {"cleanup.policy": "compact"}
    if version >= 5:
        assert (made.num_partitions, made.replication_factor) == (4, 2)
        assert {config.name: config.value for config in made.configs}["cleanup.policy"] == "compact"
        assert failed.configs == []
    if version >= 7:
        assert made.topic_id == topic.id
        assert failed.topic_id == NO_ID


def test_each_topic_is_made_or_refused_by_itself() -> None:
    cluster = cluster_of()
    make(cluster, "there", [1])
    topics = [
        wanted("good"),
        wanted("there"),
        wanted("twice", 1),
        wanted("bad/name"),
        wanted("twice", 2),
        wanted("__cluster_metadata"),
        wanted("none", retention_ms=None),
        wanted("odd", no_such="1"),
        wanted("zero", 0),
    ]
    answer = ask(cluster, "CreateTopics", 7, topics=topics)
    assert len(answer.topics) == 8
    assert outcomes(answer.topics) == {
        "good": None,
        "there": "TOPIC_ALREADY_EXISTS",
        "twice": "INVALID_REQUEST",
        "bad/name": "INVALID_TOPIC_EXCEPTION",
        "__cluster_metadata": "INVALID_REQUEST",
        "none": "INVALID_CONFIG",
        "odd": "INVALID_CONFIG",
        "zero": "INVALID_PARTITIONS",
    }
    assert names(cluster) == {"there", "good"}


def test_topics_with_manual_assignments() -> None:
    cluster = cluster_of()

    def assigned(name: str, *replicas: tuple[int, list[int]], **other: Any) -> Message:
        entry = wanted(name, **other)
        entry.assignments = [
            Message(partition_index=number, broker_ids=brokers) for number, brokers in replicas
        ]
        return entry

    topics = [
        assigned("t", (1, [2, 3]), (0, [3, 1])),
        assigned("twice", (0, [1]), (0, [2])),
        assigned("both", (0, [1]), partitions=1),
    ]
    answer = ask(cluster, "CreateTopics", 7, topics=topics)
    assert outcomes(answer.topics) == {
        "t": None,
        "twice": "INVALID_REPLICA_ASSIGNMENT",
        "both": "INVALID_REQUEST",
    }
    topic = cluster.topics.get("t")
    assert topic is not None
    assert [partition.replicas for partition in topic.partitions] == [(3, 1), (2, 3)]


def test_checking_topics_makes_none() -> None:
    cluster = cluster_of()
    answer = ask(cluster, "CreateTopics", 7, topics=[wanted("t"), wanted("u", 0)], validate_only=True)
    assert outcomes(answer.topics) == {"t": None, "u": "INVALID_PARTITIONS"}
    assert names(cluster) == set()


def test_a_request_for_too_many_partitions_is_refused_whole() -> None:
    cluster = cluster_of()
    answer = ask(cluster, "CreateTopics", 7, topics=[wanted("t", 2**31 - 1), wanted("u")])
    assert outcomes(answer.topics) == {"t": "POLICY_VIOLATION", "u": "POLICY_VIOLATION"}
    make(cluster, "t", [1])
    added = ask(
        cluster,
        "CreatePartitions",
        3,
        topics=[Message(name="t", count=2**31 - 1, assignments=None)],
    )
    assert outcomes(added.results) == {"t": "POLICY_VIOLATION"}


def test_names_as_long_as_the_protocol_allows_are_answered() -> None:
    cluster = cluster_of()
    name = "x" * 32_767
    created = ask(cluster, "CreateTopics", 2, topics=[wanted(name)])
    assert outcomes(created.topics) == {name: "INVALID_TOPIC_EXCEPTION"}
    odd = wanted("t")
    odd.configs = [Message(name=name, value=None)]
    refused = ask(cluster, "CreateTopics", 2, topics=[odd])
    assert outcomes(refused.topics) == {"t": "INVALID_CONFIG"}
    added = ask(cluster, "CreatePartitions", 0, topics=[Message(name=name, count=1, assignments=None)])
    assert outcomes(added.results) == {name: "UNKNOWN_TOPIC_OR_PARTITION"}


@pytest.mark.parametrize("version", range(4))
def test_partitions_are_added_in_every_version(version: int) -> None:
    cluster = cluster_of()
    for name in ("t", "u", "v"):
        make(cluster, name, [1, 2])
    topics = [
        Message(name="t", count=3, assignments=[Message(broker_ids=[2, 3]), Message(broker_ids=[3, 1])]),
        Message(name="u", count=1, assignments=None),
        Message(name="v", count=2, assignments=None),
        Message(name="w", count=2, assignments=None),
    ]
    answer = ask(cluster, "CreatePartitions", version, topics=topics)
    assert outcomes(answer.results) == {
        "t": None,
        "u": "INVALID_PARTITIONS",
        "v": None,
        "w": "UNKNOWN_TOPIC_OR_PARTITION",
    }
    topic = cluster.topics.get("t")
    assert topic is not None
    assert [partition.replicas for partition in topic.partitions] == [(1, 2), (2, 3), (3, 1)]


def test_partitions_are_not_added_twice_or_for_a_check() -> None:
    cluster = cluster_of()
    (partition,) = make(cluster, "t", [1])
    entry = Message(name="t", count=2, assignments=None)
    twice = ask(cluster, "CreatePartitions", 3, topics=[entry, entry])
    assert [errors.name(result.error_code) for result in twice.results] == ["INVALID_REQUEST"]
    checked = ask(cluster, "CreatePartitions", 3, topics=[entry], validate_only=True)
    assert outcomes(checked.results) == {"t": None}
    assert len(partition.topic.partitions) == 1


@pytest.mark.parametrize("version", range(1, 6))
def test_topics_are_deleted_by_name(version: int) -> None:
    cluster = cluster_of()
    for name in ("t", "u", "v"):
        make(cluster, name, [1])
    answer = ask(cluster, "DeleteTopics", version, topic_names=["t", "no", "u", "u"])
    assert outcomes(answer.responses) == {
        "t": None,
        "no": "UNKNOWN_TOPIC_OR_PARTITION",
        "u": "INVALID_REQUEST",
    }
    assert len(answer.responses) == 3
    assert names(cluster) == {"u", "v"}


def test_topics_are_deleted_by_name_or_id() -> None:
    cluster = cluster_of()
    ids = {name: make(cluster, name, [1])[0].topic.id for name in ("a", "b", "c", "d", "e")}
    unknown = uuid.uuid4()
    topics = [
        Message(name="a", topic_id=NO_ID),
        Message(name=None, topic_id=ids["b"]),
        Message(name=None, topic_id=NO_ID),
        Message(name="c", topic_id=ids["c"]),
        Message(name=None, topic_id=unknown),
        Message(name=None, topic_id=ids["d"]),
        Message(name="d", topic_id=NO_ID),
        Message(name=None, topic_id=ids["e"]),
        Message(name=None, topic_id=ids["e"]),
    ]
    answer = ask(cluster, "DeleteTopics", 6, topics=topics)
    found = {
        (entry.name, entry.topic_id): errors.name(entry.error_code) if entry.error_code else None
        for entry in answer.responses
    }
    assert found == {
        ("a", ids["a"]): None,
        ("b", ids["b"]): None,
        (None, NO_ID): "INVALID_REQUEST",
        ("c", ids["c"]): "INVALID_REQUEST",
        (None, unknown): "UNKNOWN_TOPIC_ID",
        ("d", ids["d"]): "INVALID_REQUEST",
        (None, ids["e"]): "INVALID_REQUEST",
    }
    assert len(answer.responses) == len(found)
    assert names(cluster) == {"c", "d", "e"}


@pytest.mark.parametrize(("version", "error"), [(2, "INVALID_REQUEST"), (3, "TOPIC_DELETION_DISABLED")])
def test_deletion_may_be_disabled(version: int, error: str) -> None:
    cluster = cluster_of(delete_topic_enable="false")
    make(cluster, "t", [1])
    answer = ask(cluster, "DeleteTopics", version, topic_names=["t"])
    assert outcomes(answer.responses) == {"t": error}
    assert names(cluster) == {"t"}
