"""OffsetCommit, OffsetFetch and OffsetDelete, and how long offsets last."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from pytest_msk.brokers.embedded.cluster import Cluster
from pytest_msk.brokers.embedded.groups.offsets import CommittedOffset
from pytest_msk.brokers.wire import errors
from pytest_msk.brokers.wire.message import Message
from tests.brokers.embedded.clusters import advance
from tests.brokers.embedded.groups.classic_members import (
    GROUP,
    Answer,
    Client,
    assign,
    cluster_with,
    commit_of,
    coordinator,
    fetch,
    form,
    group_of,
    send,
    subscription,
)

MINUTE = 60.0
DAY = 24 * 60 * MINUTE


def ask(cluster: Cluster, api: str, version: int, **fields: Any) -> Answer:
    return send(cluster, api, version, coordinator(cluster), **fields)


def committed(answer: Answer) -> dict[tuple[str, int], str]:
    """The errors of an OffsetCommit or OffsetDelete."""
    return {
        (topic.name, partition.partition_index): errors.name(partition.error_code)
        for topic in answer.topics
        for partition in topic.partitions
    }


def commit(cluster: Cluster, *topics: Message, group: str = GROUP, version: int = 9, **fields: Any) -> Answer:
    return send(
        cluster,
        "OffsetCommit",
        version,
        coordinator(cluster, group),
        group_id=group,
        topics=list(topics),
        **fields,
    )


def delete(cluster: Cluster, *partitions: tuple[str, int], group: str = GROUP) -> Answer:
    topics = [Message(name=name, partitions=[Message(partition_index=index)]) for name, index in partitions]
    return send(cluster, "OffsetDelete", 0, coordinator(cluster, group), group_id=group, topics=topics)


def pending(cluster: Cluster, topic: str, partition: int, offset: int) -> None:
    staged = {(topic, partition): CommittedOffset(offset, -1, "", cluster.clock.now_ms())}
    cluster.groups.stage_offsets(GROUP, 4711, 0, staged)


def consumers(cluster: Cluster, count: int = 1, *topics: str) -> list[Client]:
    return form(*(Client(cluster, protocols={"range": subscription(*topics)}) for _ in range(count)))


@pytest.mark.parametrize("version", range(2, 10))
def test_consumers_without_group_management_commit(version: int) -> None:
    cluster = cluster_with("t")
    assert committed(commit(cluster, commit_of("t", 1, 5), version=version)) == {("t", 1): "NONE"}
    assert fetch(cluster) == {("t", 1): 5}
    group = group_of(cluster)
    assert (group.state, group.protocol_type) == ("Empty", "")


@pytest.mark.parametrize("version", range(2, 10))
def test_members_commit(version: int) -> None:
    cluster = cluster_with("t")
    (client,) = consumers(cluster)
    assert client.commit(8, version=version) == "NONE"
    assert fetch(cluster) == {("t", 0): 8}


def test_partitions_that_there_are_not() -> None:
    cluster = cluster_with("t")
    answer = commit(cluster, commit_of("t", 0, 5), commit_of("t", 2, 5), commit_of("u", 0, 5))
    assert committed(answer) == {
        ("t", 0): "NONE",
        ("t", 2): "UNKNOWN_TOPIC_OR_PARTITION",
        ("u", 0): "UNKNOWN_TOPIC_OR_PARTITION",
    }
    assert fetch(cluster) == {("t", 0): 5}


def test_with_unknown_partitions_only_nobody_looks_at_the_group() -> None:
    cluster = cluster_with()
    answer = commit(cluster, commit_of("u", 0, 5), generation_id_or_member_epoch=3, member_id="nobody")
    assert committed(answer) == {("u", 0): "UNKNOWN_TOPIC_OR_PARTITION"}


def test_the_groups_error_is_that_of_each_known_partition() -> None:
    cluster = cluster_with("t")
    consumers(cluster)
    answer = commit(cluster, commit_of("t", 0, 5), commit_of("u", 0, 5))
    assert committed(answer) == {("t", 0): "UNKNOWN_MEMBER_ID", ("u", 0): "UNKNOWN_TOPIC_OR_PARTITION"}


def test_metadata_has_a_limit() -> None:
    cluster = cluster_with("t", offset_metadata_max_bytes="4")
    answer = commit(
        cluster,
        commit_of("t", 0, 5, "\N{GRINNING FACE}ab"),
        commit_of("t", 1, 5, "\N{GRINNING FACE}abc"),  # 5 characters to Java
    )
    assert committed(answer) == {("t", 0): "NONE", ("t", 1): "OFFSET_METADATA_TOO_LARGE"}
    assert fetch(cluster) == {("t", 0): 5}


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"member_id": "nobody"}, "UNKNOWN_MEMBER_ID"),
        ({"generation_id_or_member_epoch": 0}, "ILLEGAL_GENERATION"),
        ({"generation_id_or_member_epoch": -1}, "ILLEGAL_GENERATION"),
        ({"generation_id_or_member_epoch": -1, "member_id": ""}, "UNKNOWN_MEMBER_ID"),
        ({"group_instance_id": "nobody's"}, "UNKNOWN_MEMBER_ID"),
    ],
)
def test_who_may_not_commit_to_a_group_with_members(fields: dict[str, Any], error: str) -> None:
    cluster = cluster_with("t")
    (client,) = consumers(cluster)
    assert client.commit(8, **fields) == error
    assert fetch(cluster) == {}


def test_commits_during_a_rebalance() -> None:
    cluster = cluster_with("t")
    leader, follower = consumers(cluster, 2)
    leader.join()
    assert follower.commit(1) == "NONE"  # it has yet to join again
    follower.join()
    assert follower.commit(2) == "ILLEGAL_GENERATION"
    leader.accept()
    follower.accept()
    assert follower.commit(3) == "REBALANCE_IN_PROGRESS"
    assert fetch(cluster) == {("t", 0): 1}


def test_a_commit_is_a_sign_of_life() -> None:
    cluster = cluster_with("t")
    (client,) = consumers(cluster)
    for offset in range(5):
        advance(cluster, 9)
        assert client.commit(offset) == "NONE"


@pytest.mark.parametrize(
    ("kafka_version", "version", "error"),
    [
        ("4.1.2", 9, "GROUP_ID_NOT_FOUND"),
        ("4.1.2", 8, "ILLEGAL_GENERATION"),
        ("3.9.1", 9, "ILLEGAL_GENERATION"),
    ],
)
def test_members_of_a_group_that_there_is_not(kafka_version: str, version: int, error: str) -> None:
    cluster = cluster_with("t", kafka_version=kafka_version)
    answer = commit(
        cluster, commit_of("t", 0, 1), version=version, generation_id_or_member_epoch=3, member_id="m"
    )
    assert committed(answer) == {("t", 0): error}
    assert cluster.groups.groups == {}


def test_too_few_replicas_to_keep_offsets() -> None:
    cluster = cluster_with("t", brokers=3)
    for broker in set(cluster.brokers) - {coordinator(cluster)}:
        cluster.stop_broker(broker)
    assert committed(commit(cluster, commit_of("t", 0, 1))) == {("t", 0): "COORDINATOR_NOT_AVAILABLE"}
    assert cluster.groups.groups == {}


def test_only_the_coordinator_takes_commits_and_tells_offsets() -> None:
    cluster = cluster_with("t", brokers=3)
    other = next(broker for broker in cluster.brokers if broker != coordinator(cluster))
    answer = send(cluster, "OffsetCommit", 9, other, group_id=GROUP, topics=[commit_of("t", 0, 1)])
    assert committed(answer) == {("t", 0): "NOT_COORDINATOR"}
    answer = send(cluster, "OffsetFetch", 8, other, groups=[Message(group_id=GROUP, topics=None)])
    assert errors.name(answer.groups[0].error_code) == "NOT_COORDINATOR"
    topics = [Message(name="t", partition_indexes=[0])]
    assert send(cluster, "OffsetFetch", 7, other, group_id=GROUP, topics=topics).error == "NOT_COORDINATOR"
    oldest = send(cluster, "OffsetFetch", 1, other, group_id=GROUP, topics=topics)
    assert committed(oldest) == {("t", 0): "NOT_COORDINATOR"}
    assert send(cluster, "OffsetDelete", 0, other, group_id=GROUP, topics=[]).error == "NOT_COORDINATOR"


@pytest.mark.parametrize("version", range(1, 8))
def test_clients_fetch_the_offsets_of_one_group(version: int) -> None:
    cluster = cluster_with("t")
    topic = commit_of("t", 1, 5, "why")
    topic.partitions[0].committed_leader_epoch = 3
    commit(cluster, topic)
    asked = [Message(name="t", partition_indexes=[0, 1])]
    answer = ask(cluster, "OffsetFetch", version, group_id=GROUP, topics=asked)
    assert answer.error_code == 0
    missing, found = answer.topics[0].partitions
    assert (missing.committed_offset, missing.metadata, missing.error_code) == (-1, "", 0)
    assert (found.committed_offset, found.metadata, found.error_code) == (5, "why", 0)
    assert found.committed_leader_epoch == (3 if version >= 5 else -1)


@pytest.mark.parametrize("version", range(2, 8))
def test_clients_fetch_all_offsets_of_one_group(version: int) -> None:
    cluster = cluster_with("t", "u")
    commit(cluster, commit_of("t", 1, 5), commit_of("u", 0, 6))
    answer = ask(cluster, "OffsetFetch", version, group_id=GROUP, topics=None)
    assert [topic.name for topic in answer.topics] == ["t", "u"]


def test_a_group_that_there_is_not_has_no_offsets() -> None:
    cluster = cluster_with("t")
    assert fetch(cluster) == {}
    answer = ask(cluster, "OffsetFetch", 7, group_id=GROUP, topics=[Message(name="t", partition_indexes=[0])])
    assert (answer.error, answer.topics[0].partitions[0].committed_offset) == ("NONE", -1)
    assert cluster.groups.groups == {}


def test_clients_fetch_the_offsets_of_several_groups() -> None:
    cluster = cluster_with("t")
    commit(cluster, commit_of("t", 0, 5))
    commit(cluster, commit_of("t", 1, 6), group="others")
    asked = [
        Message(group_id=GROUP, topics=[Message(name="t", partition_indexes=[0, 1])]),
        Message(group_id="others", topics=None),
    ]
    first, second = ask(cluster, "OffsetFetch", 8, groups=asked).groups
    assert [partition.committed_offset for partition in first.topics[0].partitions] == [5, -1]
    assert [partition.committed_offset for partition in second.topics[0].partitions] == [6]


def test_offsets_that_a_transaction_may_change_are_unstable() -> None:
    cluster = cluster_with("t")
    commit(cluster, commit_of("t", 0, 5), commit_of("t", 1, 6))
    pending(cluster, "t", 0, 9)
    asked = [Message(group_id=GROUP, topics=None)]
    assert fetch(cluster) == {("t", 0): 5, ("t", 1): 6}
    answer = ask(cluster, "OffsetFetch", 8, groups=asked, require_stable=True)
    partitions = [partition for topic in answer.groups[0].topics for partition in topic.partitions]
    assert [errors.name(partition.error_code) for partition in partitions] == [
        "UNSTABLE_OFFSET_COMMIT",
        "NONE",
    ]
    assert [partition.committed_offset for partition in partitions] == [-1, 6]
    cluster.groups.complete_transaction(GROUP, 4711, commit=True)
    assert fetch(cluster, require_stable=True) == {("t", 0): 9, ("t", 1): 6}


def test_a_transaction_makes_the_group_that_it_commits_for() -> None:
    cluster = cluster_with("t")
    pending(cluster, "t", 0, 9)
    assert fetch(cluster) == {}
    cluster.groups.complete_transaction(GROUP, 4711, commit=True)
    cluster.groups.complete_transaction("no group", 4711, commit=True)
    assert fetch(cluster) == {("t", 0): 9}


def test_topics_by_id() -> None:
    cluster = cluster_with("t")
    topic = cluster.topics.get("t")
    assert topic is not None
    unknown = uuid.UUID(int=5)
    topics = [
        Message(topic_id=topic_id, partitions=[Message(partition_index=0, committed_offset=7)])
        for topic_id in (topic.id, unknown)
    ]
    answer = commit(cluster, *topics, version=10)
    assert [(each.topic_id, errors.name(each.partitions[0].error_code)) for each in answer.topics] == [
        (topic.id, "NONE"),
        (unknown, "UNKNOWN_TOPIC_ID"),
    ]
    wanted = [Message(topic_id=topic_id, partition_indexes=[0]) for topic_id in (topic.id, unknown)]
    asked = [Message(group_id=GROUP, topics=wanted), Message(group_id=GROUP, topics=None)]
    named, everything = ask(cluster, "OffsetFetch", 10, groups=asked).groups
    assert [
        (each.topic_id, each.partitions[0].committed_offset, errors.name(each.partitions[0].error_code))
        for each in named.topics
    ] == [(topic.id, 7, "NONE"), (unknown, -1, "UNKNOWN_TOPIC_ID")]
    assert [each.topic_id for each in everything.topics] == [topic.id]


def test_a_deleted_topic_takes_its_offsets_along() -> None:
    cluster = cluster_with("t", "u")
    commit(cluster, commit_of("t", 0, 5), commit_of("u", 0, 6))
    pending(cluster, "t", 1, 9)
    cluster.topics.delete("t")
    cluster.groups.complete_transaction(GROUP, 4711, commit=True)
    assert fetch(cluster) == {("u", 0): 6}


def test_offsets_of_an_empty_group_are_deleted() -> None:
    cluster = cluster_with("t")
    commit(cluster, commit_of("t", 0, 5), commit_of("t", 1, 6))
    answer = delete(cluster, ("t", 0), ("t", 5), ("u", 0))
    assert answer.error == "NONE"
    assert committed(answer) == {
        ("t", 0): "NONE",
        ("t", 5): "UNKNOWN_TOPIC_OR_PARTITION",
        ("u", 0): "UNKNOWN_TOPIC_OR_PARTITION",
    }
    assert fetch(cluster) == {("t", 1): 6}


def test_offsets_of_topics_that_somebody_reads_are_not_deleted() -> None:
    cluster = cluster_with("t", "u")
    (client,) = consumers(cluster, 1, "t")
    client.commit(1, "t")
    client.commit(2, "u")
    answer = delete(cluster, ("t", 0), ("u", 0))
    assert committed(answer) == {("t", 0): "GROUP_SUBSCRIBED_TO_TOPIC", ("u", 0): "NONE"}
    assert fetch(cluster) == {("t", 0): 1}


def test_before_consumers_have_said_what_they_read_no_offsets_are_deleted() -> None:
    cluster = cluster_with("t")
    commit(cluster, commit_of("t", 0, 5))
    Client(cluster, protocols={"range": subscription()}).join()
    assert committed(delete(cluster, ("t", 0))) == {("t", 0): "GROUP_SUBSCRIBED_TO_TOPIC"}


def test_who_cannot_be_understood_reads_everything() -> None:
    cluster = cluster_with("t")
    form(Client(cluster, protocols={"range": b"\x00\x01\x00"}))
    assert committed(delete(cluster, ("t", 0))) == {("t", 0): "GROUP_SUBSCRIBED_TO_TOPIC"}


@pytest.mark.parametrize("group", ["", "nobody's"])
def test_offsets_of_a_group_that_there_is_not(group: str) -> None:
    answer = delete(cluster_with("t"), ("t", 0), group=group)
    assert answer.error == ("GROUP_ID_NOT_FOUND" if group else "INVALID_GROUP_ID")


def test_offsets_of_other_clients_than_consumers_are_not_deleted_while_there_are_any() -> None:
    cluster = cluster_with("t")
    form(Client(cluster, protocol_type="connect"))
    assert delete(cluster, ("t", 0)).error == "NON_EMPTY_GROUP"


def test_offsets_of_consumers_without_a_group_expire() -> None:
    cluster = cluster_with("t", offsets_retention_minutes="60", offsets_retention_check_interval_ms="600000")
    commit(cluster, commit_of("t", 0, 5))
    advance(cluster, 55 * MINUTE)
    commit(cluster, commit_of("t", 1, 6))
    advance(cluster, 4 * MINUTE)
    assert fetch(cluster) == {("t", 0): 5, ("t", 1): 6}
    advance(cluster, 1 * MINUTE)
    assert fetch(cluster) == {("t", 1): 6}
    advance(cluster, 60 * MINUTE)
    assert cluster.groups.groups == {}
    assert cluster.clock.pending == 0  # type: ignore[attr-defined]


def test_offsets_of_an_empty_group_last_from_when_it_became_empty() -> None:
    cluster = cluster_with("t", offsets_retention_minutes="60", offsets_retention_check_interval_ms="600000")
    (client,) = consumers(cluster, 1, "t")
    client.commit(5)
    for _ in range(11 * 60):
        advance(cluster, 6)
        client.heartbeat()
    client.leave()
    advance(cluster, 54 * MINUTE)
    assert fetch(cluster) == {("t", 0): 5}
    advance(cluster, 20 * MINUTE)
    assert cluster.groups.groups == {}


@pytest.mark.parametrize(("topic", "expires"), [("t", False), ("u", True)])
def test_offsets_that_a_group_still_needs_do_not_expire(topic: str, expires: bool) -> None:
    cluster = cluster_with("t", "u", offsets_retention_minutes="60")
    (client,) = form(Client(cluster, protocols={"range": subscription("t")}, session_ms=1_800_000))
    client.commit(5, topic)
    for _ in range(5):
        advance(cluster, 20 * MINUTE)
        client.heartbeat()
    assert fetch(cluster) == ({} if expires else {(topic, 0): 5})
    assert group_of(cluster).state == "Stable"


def test_nothing_expires_during_a_rebalance_or_of_other_clients() -> None:
    cluster = cluster_with("t", offsets_retention_minutes="1")
    leader, _ = form(*(Client(cluster, protocol_type="connect", session_ms=1_800_000) for _ in range(2)))
    leader.commit(5)
    advance(cluster, 5 * MINUTE)
    cluster.groups.expire_offsets()
    assert fetch(cluster) == {("t", 0): 5}


def test_an_offset_with_a_transaction_pending_does_not_expire() -> None:
    cluster = cluster_with("t", offsets_retention_minutes="1")
    commit(cluster, commit_of("t", 0, 5))
    pending(cluster, "t", 0, 9)
    advance(cluster, 5 * MINUTE)
    cluster.groups.expire_offsets()
    assert fetch(cluster) == {("t", 0): 5}


@pytest.mark.parametrize(("retention_ms", "left"), [(-1, True), (30_000, False), (10**10, True)])
def test_older_clients_say_how_long_offsets_are_to_last(retention_ms: int, left: bool) -> None:
    cluster = cluster_with("t", offsets_retention_minutes="1000")
    commit(cluster, commit_of("t", 0, 5), version=4, retention_time_ms=retention_ms)
    advance(cluster, 40)
    cluster.groups.expire_offsets()
    assert bool(fetch(cluster)) is left


def test_nothing_expires_while_the_coordinator_is_down() -> None:
    cluster = cluster_with("t", offsets_retention_minutes="1")
    commit(cluster, commit_of("t", 0, 5))
    cluster.stop_broker(1)
    advance(cluster, DAY)
    cluster.start_broker(1)
    assert fetch(cluster) == {("t", 0): 5}


def test_a_stable_group_after_a_rebalance_still_has_its_offsets() -> None:
    cluster = cluster_with("t")
    leader, follower = consumers(cluster, 2)
    leader.commit(5)
    follower.leave()
    leader.join()
    assign([leader])
    assert fetch(cluster) == {("t", 0): 5}


@pytest.mark.parametrize(("kafka_version", "left"), [("3.9.1", False), ("4.1.2", True)])
def test_an_empty_group_and_its_last_offset(kafka_version: str, left: bool) -> None:
    cluster = cluster_with("t", "u", kafka_version=kafka_version)
    commit(cluster, commit_of("t", 0, 5))
    commit(cluster, commit_of("u", 0, 5), group="other")
    assert delete(cluster, ("t", 0)).error == "NONE"
    cluster.topics.delete("u")
    assert set(cluster.groups.groups) == ({GROUP, "other"} if left else set())
