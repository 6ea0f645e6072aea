from __future__ import annotations

import pytest

from pytest_msk.brokers.embedded import quorum  # noqa: F401  # registers its handler
from pytest_msk.brokers.embedded.cluster import Cluster
from pytest_msk.brokers.wire import errors
from pytest_msk.brokers.wire.message import Message
from tests.brokers.embedded.clusters import ask, cluster_of, make


def described(cluster: Cluster, version: int, topic: str = "__cluster_metadata", broker: int = 1) -> Message:
    topics = [Message(topic_name=topic, partitions=[Message(partition_index=0)])]
    return ask(cluster, "DescribeQuorum", version, broker, topics=topics)


@pytest.mark.parametrize("version", range(3))
def test_the_quorum(version: int) -> None:
    cluster = cluster_of(4)
    answer = described(cluster, version)
    ((partition,),) = (topic.partitions for topic in answer.topics)
    assert (answer.error_code, partition.error_code, partition.leader_id) == (0, 0, 1)
    assert [voter.replica_id for voter in partition.current_voters] == [1, 2, 3]
    assert [observer.replica_id for observer in partition.observers] == [4]
    if version >= 2:
        assert [node.node_id for node in answer.nodes] == [1, 2, 3]


def test_the_leader_is_alive_and_the_log_grows() -> None:
    cluster = cluster_of()
    cluster.stop_broker(1)
    before = described(cluster, 2, broker=2).topics[0].partitions[0]
    assert before.leader_id == 2
    make(cluster, "t", [2])
    after = described(cluster, 2, broker=2).topics[0].partitions[0]
    assert after.high_watermark > before.high_watermark


def test_no_other_topic_is_the_quorums() -> None:
    cluster = cluster_of()
    make(cluster, "t", [1])
    ((partition,),) = (topic.partitions for topic in described(cluster, 2, "t").topics)
    assert errors.name(partition.error_code) == "UNKNOWN_TOPIC_OR_PARTITION"
