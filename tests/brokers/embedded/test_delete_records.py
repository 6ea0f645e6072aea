from __future__ import annotations

import asyncio

import pytest

from pytest_msk.brokers.coordination import GROUP_OFFSETS
from pytest_msk.brokers.embedded.cluster import Cluster
from pytest_msk.brokers.embedded.replicas import Partition
from pytest_msk.brokers.wire.message import Message
from tests.brokers.embedded.clusters import advance, append, cluster_of, make, values
from tests.brokers.embedded.record_requests import Asked, asked, error_name, turns


@pytest.fixture
def cluster() -> Cluster:
    return cluster_of(3)


@pytest.fixture
def partition(cluster: Cluster) -> Partition:
    """Led by broker 1, with three records."""
    [partition] = make(cluster, "t", [1, 2, 3])
    append(partition, b"a", b"b", b"c")
    return partition


def begin(
    cluster: Cluster, offset: int, *, topic: str = "t", index: int = 0, broker: int = 1, version: int = 2
) -> Asked:
    topics = [Message(name=topic, partitions=[Message(partition_index=index, offset=offset)])]
    return asked(cluster, "DeleteRecords", version, broker, topics=topics, timeout_ms=1000)


def result(answer: Message) -> tuple[str, int]:
    [topic] = answer.topics
    [partition] = topic.partitions
    return error_name(partition), partition.low_watermark


@pytest.mark.parametrize("version", [0, 1, 2])
@pytest.mark.parametrize(("offset", "low"), [(0, 0), (2, 2), (3, 3), (-1, 3)])
def test_records_before_an_offset(
    cluster: Cluster, partition: Partition, version: int, offset: int, low: int
) -> None:
    assert result(begin(cluster, offset, version=version).answer) == ("NONE", low)
    assert values(partition) == [b"a", b"b", b"c"][low:]


def test_what_is_gone_stays_gone(cluster: Cluster, partition: Partition) -> None:
    assert result(begin(cluster, 2).answer) == ("NONE", 2)
    assert result(begin(cluster, 1).answer) == ("NONE", 2)


@pytest.mark.parametrize("offset", [4, -2, -(1 << 40)])
def test_offsets_that_are_none(cluster: Cluster, partition: Partition, offset: int) -> None:
    assert result(begin(cluster, offset).answer) == ("OFFSET_OUT_OF_RANGE", -1)
    assert values(partition) == [b"a", b"b", b"c"]


def test_partitions_that_are_not_here(cluster: Cluster, partition: Partition) -> None:
    assert result(begin(cluster, 0, topic="nope").answer) == ("UNKNOWN_TOPIC_OR_PARTITION", -1)
    assert result(begin(cluster, 0, index=1).answer) == ("UNKNOWN_TOPIC_OR_PARTITION", -1)
    assert result(begin(cluster, 0, broker=2).answer) == ("NOT_LEADER_OR_FOLLOWER", -1)


@pytest.mark.parametrize(
    ("policy", "error"), [("compact", "POLICY_VIOLATION"), ("compact,delete", "NONE"), ("delete", "NONE")]
)
def test_compacted_topics_keep_their_records(cluster: Cluster, policy: str, error: str) -> None:
    make(cluster, "t", [1], cleanup_policy=policy)

    assert result(begin(cluster, 0).answer)[0] == error


def test_kafkas_own_topics_keep_theirs(cluster: Cluster) -> None:
    make(cluster, GROUP_OFFSETS, [1])

    assert result(begin(cluster, 0, topic=GROUP_OFFSETS).answer) == ("INVALID_TOPIC_EXCEPTION", -1)
    assert result(begin(cluster, 0, topic=GROUP_OFFSETS, broker=2).answer) == ("INVALID_TOPIC_EXCEPTION", -1)


def test_topics_are_answered_one_by_one(cluster: Cluster, partition: Partition) -> None:
    topics = [
        Message(name="t", partitions=[Message(partition_index=index, offset=1) for index in (0, 7)]),
        Message(name="nope", partitions=[Message(partition_index=0, offset=1)]),
    ]
    answer = asked(cluster, "DeleteRecords", topics=topics, timeout_ms=1000).answer

    assert [
        (topic.name, part.partition_index, error_name(part))
        for topic in answer.topics
        for part in topic.partitions
    ] == [("t", 0, "NONE"), ("t", 7, "UNKNOWN_TOPIC_OR_PARTITION"), ("nope", 0, "UNKNOWN_TOPIC_OR_PARTITION")]


def test_a_broker_that_left_holds_nothing_up(cluster: Cluster, partition: Partition) -> None:
    cluster.stop_broker(3)

    assert result(begin(cluster, 2).answer) == ("NONE", 2)


class TestDeadReplicas:
    @pytest.fixture(autouse=True)
    def _dead(self, cluster: Cluster, partition: Partition) -> None:
        cluster.stop_broker(3, graceful=False)

    def test_the_answer_waits_for_the_end_of_their_session(
        self, cluster: Cluster, partition: Partition
    ) -> None:
        async def run() -> Message:
            waiting = begin(cluster, 2)
            await turns()
            assert waiting.waits
            assert partition.log.start_offset == 2
            cluster.start_broker(3)
            return await waiting.later()

        assert result(asyncio.run(run())) == ("NONE", 2)
        assert partition.on_change == []

    def test_or_until_time_is_up(self, cluster: Cluster, partition: Partition) -> None:
        async def run() -> Message:
            waiting = begin(cluster, 2)
            advance(cluster, 1)
            return await waiting.later()

        assert result(asyncio.run(run())) == ("REQUEST_TIMED_OUT", 0)

    def test_or_until_another_broker_leads(self, cluster: Cluster, partition: Partition) -> None:
        async def run() -> Message:
            waiting = begin(cluster, 2)
            cluster.move_leader("t", 0, 2)
            return await waiting.later()

        assert result(asyncio.run(run())) == ("NOT_LEADER_OR_FOLLOWER", -1)

    def test_where_there_is_nothing_to_delete_it_does_not_wait(
        self, cluster: Cluster, partition: Partition
    ) -> None:
        assert result(begin(cluster, 0).answer) == ("NONE", 0)
