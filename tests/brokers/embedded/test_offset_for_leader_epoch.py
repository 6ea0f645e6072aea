from __future__ import annotations

from typing import Any

import pytest

from pytest_msk.brokers.embedded.cluster import Cluster
from pytest_msk.brokers.embedded.replicas import Partition
from pytest_msk.brokers.wire.message import Message
from tests.brokers.embedded.clusters import append, cluster_of, make
from tests.brokers.embedded.record_requests import asked, error_name


@pytest.fixture
def cluster() -> Cluster:
    return cluster_of(3)


@pytest.fixture
def partition(cluster: Cluster) -> Partition:
    """Two records of epoch 0, one of the present epoch; led by broker 2."""
    [partition] = make(cluster, "t", [1, 2, 3])
    append(partition, b"a", b"b")
    cluster.move_leader("t", 0, 2)
    append(partition, b"c")
    return partition


def ask(
    cluster: Cluster,
    epoch: int,
    *,
    known: int = -1,
    index: int = 0,
    broker: int = 2,
    version: int = 4,
    replica_id: int = -1,
) -> tuple[str, int, int]:
    part = Message(partition=index, current_leader_epoch=known, leader_epoch=epoch)
    fields: dict[str, Any] = {"replica_id": replica_id} if version >= 3 else {}
    topics = [Message(topic="t", partitions=[part])]
    [topic] = asked(cluster, "OffsetForLeaderEpoch", version, broker, topics=topics, **fields).answer.topics
    [found] = topic.partitions
    assert (topic.topic, found.partition) == ("t", index)
    return error_name(found), found.leader_epoch, found.end_offset


@pytest.mark.parametrize("version", [2, 3, 4])
@pytest.mark.parametrize("replica_id", [-1, -2])
def test_where_the_records_of_an_epoch_end(
    cluster: Cluster, partition: Partition, version: int, replica_id: int
) -> None:
    now = partition.leader_epoch

    assert ask(cluster, 0, version=version, replica_id=replica_id) == ("NONE", 0, 2)
    assert ask(cluster, now, version=version, replica_id=replica_id) == ("NONE", now, 3)


def test_the_present_epoch_ends_where_the_log_does_though_it_has_no_records(
    cluster: Cluster, partition: Partition
) -> None:
    cluster.move_leader("t", 0, 1)

    assert ask(cluster, partition.leader_epoch, broker=1) == ("NONE", partition.leader_epoch, 3)


def test_an_epoch_that_there_never_was(cluster: Cluster, partition: Partition) -> None:
    assert ask(cluster, partition.leader_epoch + 5) == ("NONE", -1, -1)


def test_partitions_that_are_not_here(cluster: Cluster, partition: Partition) -> None:
    assert ask(cluster, 0, index=3) == ("UNKNOWN_TOPIC_OR_PARTITION", -1, -1)
    assert ask(cluster, 0, broker=1) == ("NOT_LEADER_OR_FOLLOWER", -1, -1)


def test_another_leader_epoch(cluster: Cluster, partition: Partition) -> None:
    now = partition.leader_epoch

    assert ask(cluster, 0, known=now)[0] == "NONE"
    assert ask(cluster, 0, known=now - 1) == ("FENCED_LEADER_EPOCH", -1, -1)
    assert ask(cluster, 0, known=now + 1) == ("UNKNOWN_LEADER_EPOCH", -1, -1)
