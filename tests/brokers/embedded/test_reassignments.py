from __future__ import annotations

from typing import Any

import pytest

from pytest_msk.brokers.embedded import reassignments  # noqa: F401  # registers its handlers
from pytest_msk.brokers.embedded.cluster import Cluster
from pytest_msk.brokers.wire import errors
from pytest_msk.brokers.wire.message import Message
from tests.brokers.embedded.clusters import advance, append, ask, cluster_of, make, values


def elect(
    cluster: Cluster, election_type: int, topics: dict[str, list[int]] | None
) -> dict[tuple[str, int], str]:
    wanted = None
    if topics is not None:
        wanted = [Message(topic=name, partitions=numbers) for name, numbers in topics.items()]
    answer = ask(cluster, "ElectLeaders", 2, election_type=election_type, topic_partitions=wanted)
    assert answer.error_code == 0
    return {
        (result.topic, entry.partition_id): errors.name(entry.error_code) if entry.error_code else ""
        for result in answer.replica_election_results
        for entry in result.partition_result
    }


def alter(
    cluster: Cluster, replicas: list[int] | None, *, version: int = 1, number: int = 0, **fields: Any
) -> str:
    topics = [Message(name="t", partitions=[Message(partition_index=number, replicas=replicas)])]
    answer = ask(cluster, "AlterPartitionReassignments", version, topics=topics, **fields)
    assert answer.error_code == 0
    ((entry,),) = (topic.partitions for topic in answer.responses)
    return errors.name(entry.error_code) if entry.error_code else ""


def listed(
    cluster: Cluster, topics: list[Message] | None = None
) -> dict[tuple[str, int], tuple[list[int], list[int], list[int]]]:
    answer = ask(cluster, "ListPartitionReassignments", 0, 2, topics=topics)
    return {
        (topic.name, entry.partition_index): (
            entry.replicas,
            entry.adding_replicas,
            entry.removing_replicas,
        )
        for topic in answer.topics
        for entry in topic.partitions
    }


def test_preferred_leaders_are_elected() -> None:
    cluster = cluster_of()
    moved, stays = make(cluster, "t", [1, 2], [2, 1])
    cluster.stop_broker(1)
    assert elect(cluster, 0, {"t": [0, 1, 2], "no": [0]}) == {
        ("t", 0): "PREFERRED_LEADER_NOT_AVAILABLE",
        ("t", 1): "ELECTION_NOT_NEEDED",
        ("t", 2): "UNKNOWN_TOPIC_OR_PARTITION",
        ("no", 0): "UNKNOWN_TOPIC_OR_PARTITION",
    }
    cluster.start_broker(1)
    assert elect(cluster, 0, {"t": [0, 1]}) == {("t", 0): "", ("t", 1): "ELECTION_NOT_NEEDED"}
    assert (moved.leader, moved.leader_epoch, stays.leader_epoch) == (1, 2, 0)


def test_elections_for_all_tell_only_of_those_that_were_held() -> None:
    cluster = cluster_of()
    make(cluster, "t", [1, 2], [2, 1])
    make(cluster, "u", [3, 2])
    cluster.stop_broker(1)
    cluster.start_broker(1)
    assert elect(cluster, 0, None) == {("t", 0): ""}
    assert elect(cluster, 0, None) == {}


def test_an_unclean_election_on_demand() -> None:
    cluster = cluster_of(min_insync_replicas="1")
    (partition,) = make(cluster, "t", [1, 2])
    append(partition, b"1")
    cluster.stop_broker(2)
    append(partition, b"2")
    assert elect(cluster, 1, {"t": [0]}) == {("t", 0): "ELECTION_NOT_NEEDED"}
    cluster.stop_broker(1)
    assert elect(cluster, 1, {"t": [0]}) == {("t", 0): "ELIGIBLE_LEADERS_NOT_AVAILABLE"}
    cluster.start_broker(2)
    assert partition.leader == -1
    assert elect(cluster, 1, {"t": [0]}) == {("t", 0): ""}
    assert (partition.leader, partition.isr, values(partition)) == (2, (2,), [b"1"])


def test_version_0_elects_preferred_leaders() -> None:
    cluster = cluster_of()
    (partition,) = make(cluster, "t", [1, 2])
    cluster.stop_broker(1)
    cluster.start_broker(1)
    ask(cluster, "ElectLeaders", 0, topic_partitions=[Message(topic="t", partitions=[0])])
    assert partition.leader == 1


def test_names_as_long_as_the_protocol_allows_are_answered() -> None:
    wanted = [Message(topic="x" * 32_767, partitions=[0])]
    answer = ask(cluster_of(), "ElectLeaders", 0, topic_partitions=wanted)
    ((entry,),) = (result.partition_result for result in answer.replica_election_results)
    assert errors.name(entry.error_code) == "UNKNOWN_TOPIC_OR_PARTITION"


def test_there_is_no_third_election_type() -> None:
    cluster = cluster_of()
    wanted = [Message(topic="t", partitions=[0])]
    answer = ask(cluster, "ElectLeaders", 2, election_type=2, topic_partitions=wanted)
    assert errors.name(answer.error_code) == "INVALID_REQUEST"
    ((entry,),) = (result.partition_result for result in answer.replica_election_results)
    assert errors.name(entry.error_code) == "INVALID_REQUEST"


def test_a_reassignment_shows_until_the_new_replicas_are_in_sync() -> None:
    cluster = cluster_of(4)
    (partition,) = make(cluster, "t", [1, 2])
    append(partition, b"1")
    assert alter(cluster, [3, 4]) == ""
    assert listed(cluster) == {("t", 0): ([3, 4, 1, 2], [3, 4], [1, 2])}
    assert (partition.leader, partition.isr) == (1, (1, 2))
    advance(cluster)
    assert listed(cluster) == {}
    assert (partition.replicas, set(partition.isr), partition.leader) == ((3, 4), {3, 4}, 3)
    assert values(partition) == [b"1"]


def test_a_reassignment_waits_for_a_broker_that_is_down() -> None:
    cluster = cluster_of(4)
    (partition,) = make(cluster, "t", [1, 2])
    cluster.stop_broker(3)
    alter(cluster, [1, 3])
    advance(cluster, 100)
    wanted = [Message(name="t", partition_indexes=[0, 7]), Message(name="no", partition_indexes=[0])]
    assert listed(cluster, wanted) == {("t", 0): ([1, 3, 2], [3], [2])}
    cluster.start_broker(3)
    assert listed(cluster) == {}
    assert (partition.replicas, set(partition.isr)) == ((1, 3), {1, 3})


def test_a_reassignment_is_cancelled() -> None:
    cluster = cluster_of(4)
    (partition,) = make(cluster, "t", [1, 2])
    assert alter(cluster, None) == "NO_REASSIGNMENT_IN_PROGRESS"
    cluster.stop_broker(3)
    alter(cluster, [4, 3])
    advance(cluster)
    assert set(partition.isr) == {1, 2, 4}
    assert alter(cluster, None) == ""
    assert (partition.replicas, partition.isr, partition.leader) == ((1, 2), (1, 2), 1)
    assert listed(cluster) == {}


def test_a_reassignment_is_not_cancelled_at_the_price_of_records() -> None:
    cluster = cluster_of(4)
    (partition,) = make(cluster, "t", [1])
    cluster.stop_broker(3)
    alter(cluster, [4, 3])
    advance(cluster)
    cluster.stop_broker(1)
    assert (partition.leader, partition.isr) == (4, (4,))
    assert alter(cluster, None) == "INVALID_REPLICA_ASSIGNMENT"
    cluster.configs.set_topic(partition.topic, {"unclean.leader.election.enable": "true"})
    assert alter(cluster, None) == ""
    assert (partition.replicas, partition.leader) == ((1,), -1)


def test_a_reassignment_takes_the_place_of_one_that_goes_on() -> None:
    cluster = cluster_of(4)
    (partition,) = make(cluster, "t", [1, 2])
    cluster.stop_broker(3)
    alter(cluster, [1, 3])
    alter(cluster, [1, 3, 4])
    # As in Kafka, where it names only what is new to the partition, and drops nothing by naming none.
    assert listed(cluster) == {("t", 0): ([1, 3, 4, 2], [4], [2])}
    alter(cluster, [1, 2, 3, 4])
    assert listed(cluster) == {("t", 0): ([1, 2, 3, 4], [4], [2])}
    alter(cluster, [2, 1])
    assert listed(cluster) == {}
    assert (partition.replicas, set(partition.isr)) == ((2, 1), {1, 2})


@pytest.mark.parametrize(
    ("replicas", "number", "error"),
    [
        ([1], 1, "UNKNOWN_TOPIC_OR_PARTITION"),
        ([], 0, "INVALID_REPLICA_ASSIGNMENT"),
        ([1, 1], 0, "INVALID_REPLICA_ASSIGNMENT"),
        ([1, 9], 0, "INVALID_REPLICA_ASSIGNMENT"),
    ],
)
def test_reassignments_that_cannot_be(replicas: list[int], number: int, error: str) -> None:
    cluster = cluster_of()
    (partition,) = make(cluster, "t", [1, 2])
    assert alter(cluster, replicas, number=number) == error
    assert partition.replicas == (1, 2)


def test_the_number_of_replicas_may_be_meant_to_stay() -> None:
    cluster = cluster_of(4)
    (partition,) = make(cluster, "t", [1, 2])
    assert alter(cluster, [1], allow_replication_factor_change=False) == "INVALID_REPLICATION_FACTOR"
    cluster.stop_broker(4)
    assert alter(cluster, [3, 4], allow_replication_factor_change=False) == ""
    assert alter(cluster, [1, 2, 3], allow_replication_factor_change=False) == "INVALID_REPLICATION_FACTOR"
    assert alter(cluster, [1, 3], allow_replication_factor_change=False) == ""
    assert alter(cluster, [1], version=0) == ""
    assert partition.replicas == (1,)
