from __future__ import annotations

from typing import Any

import pytest

from pytest_msk.brokers.embedded.cluster import Cluster
from pytest_msk.brokers.embedded.replicas import Partition
from pytest_msk.brokers.wire.message import Message
from tests.brokers.embedded.clusters import cluster_of, make
from tests.brokers.embedded.record_requests import asked, batch, error_name

LATEST, EARLIEST, MAX_TIMESTAMP, EARLIEST_LOCAL, LATEST_TIERED, PENDING_UPLOAD = range(-1, -7, -1)
COMMITTED = 1


@pytest.fixture
def cluster() -> Cluster:
    return cluster_of(3, kafka_version="4.0.0")


@pytest.fixture
def partition(cluster: Cluster) -> Partition:
    """Led by broker 1; records at 1,000, 3,000 and 2,000, the first deleted."""
    [partition] = make(cluster, "t", [1, 2, 3])
    for timestamp in (500, 1000, 3000, 2000):
        write(partition, timestamp=timestamp)
    partition.log.delete_records(1)
    return partition


def write(partition: Partition, **fields: Any) -> None:
    partition.log.append(memoryview(batch(b"a", **fields)), partition.leader_epoch)


def ask(
    cluster: Cluster, timestamp: int, *, version: int = 11, broker: int = 1, index: int = 0, **fields: Any
) -> Message:
    epoch = fields.pop("current_leader_epoch", -1)
    part = Message(partition_index=index, timestamp=timestamp, current_leader_epoch=epoch)
    topics = [Message(name="t", partitions=[part])]
    fields.setdefault("replica_id", -1)
    [topic] = asked(cluster, "ListOffsets", version, broker, topics=topics, **fields).answer.topics
    found: Message
    [found] = topic.partitions
    assert (topic.name, found.partition_index) == ("t", index)
    found.error = error_name(found)
    return found


def found(answer: Message) -> tuple[str, int, int, int]:
    return answer.error, answer.timestamp, answer.offset, answer.leader_epoch


@pytest.mark.parametrize("version", range(1, 12))
def test_where_it_begins_and_ends(cluster: Cluster, partition: Partition, version: int) -> None:
    epoch = 0 if version >= 4 else -1

    assert found(ask(cluster, EARLIEST, version=version)) == ("NONE", -1, 1, epoch)
    assert found(ask(cluster, LATEST, version=version)) == ("NONE", -1, 4, epoch)


@pytest.mark.parametrize(
    ("timestamp", "answer"),
    [
        (0, (1000, 1)),
        (1000, (1000, 1)),
        (1001, (3000, 2)),
        (3000, (3000, 2)),
        (3001, (-1, -1)),
        (MAX_TIMESTAMP, (3000, 2)),
    ],
)
def test_the_first_record_at_or_after_a_time(
    cluster: Cluster, partition: Partition, timestamp: int, answer: tuple[int, int]
) -> None:
    assert found(ask(cluster, timestamp)) == ("NONE", *answer, 0 if answer[1] >= 0 else -1)


def test_of_an_empty_partition(cluster: Cluster) -> None:
    make(cluster, "t", [1])

    assert found(ask(cluster, EARLIEST)) == ("NONE", -1, 0, 0)
    assert found(ask(cluster, LATEST)) == ("NONE", -1, 0, 0)
    assert found(ask(cluster, MAX_TIMESTAMP)) == ("NONE", -1, -1, -1)
    assert found(ask(cluster, 0)) == ("NONE", -1, -1, -1)


def test_without_tiered_storage(cluster: Cluster, partition: Partition) -> None:
    assert found(ask(cluster, EARLIEST_LOCAL)) == ("NONE", -1, 1, 0)
    assert found(ask(cluster, LATEST_TIERED)) == ("NONE", -1, -1, -1)
    assert found(ask(cluster, PENDING_UPLOAD)) == ("NONE", -1, -1, -1)


@pytest.mark.parametrize(
    ("timestamp", "since"),
    [(MAX_TIMESTAMP, 7), (EARLIEST_LOCAL, 8), (LATEST_TIERED, 9), (PENDING_UPLOAD, 11), (-7, 12)],
)
def test_what_a_version_does_not_know(
    cluster: Cluster, partition: Partition, timestamp: int, since: int
) -> None:
    assert ask(cluster, timestamp, version=since - 1).error == "UNSUPPORTED_VERSION"
    if since <= 11:
        assert ask(cluster, timestamp, version=since).error == "NONE"


def test_leader_epochs_are_those_of_the_records(cluster: Cluster, partition: Partition) -> None:
    cluster.move_leader("t", 0, 2)
    write(partition, timestamp=5000)
    now = partition.leader_epoch

    assert now > 0
    assert ask(cluster, EARLIEST, broker=2).leader_epoch == 0
    assert ask(cluster, 3000, broker=2).leader_epoch == 0
    assert ask(cluster, MAX_TIMESTAMP, broker=2).leader_epoch == now
    assert ask(cluster, LATEST, broker=2).leader_epoch == now


class TestIsolation:
    def test_transactions_that_are_open(self, cluster: Cluster, partition: Partition) -> None:
        write(partition, producer_id=7, producer_epoch=0, base_sequence=0, transactional=True, timestamp=9000)

        assert ask(cluster, LATEST).offset == 5
        assert ask(cluster, LATEST, isolation_level=COMMITTED).offset == 4
        assert found(ask(cluster, 8000)) == ("NONE", 9000, 4, 0)
        assert found(ask(cluster, 8000, isolation_level=COMMITTED)) == ("NONE", -1, -1, -1)
        assert found(ask(cluster, MAX_TIMESTAMP, isolation_level=COMMITTED)) == ("NONE", -1, -1, -1)

    def test_records_that_are_not_committed_yet(self, cluster: Cluster, partition: Partition) -> None:
        cluster.stop_broker(3, graceful=False)
        write(partition, timestamp=9000)

        assert ask(cluster, LATEST).offset == 4
        assert ask(cluster, LATEST, replica_id=-2).offset == 5
        assert found(ask(cluster, 9000)) == ("NONE", -1, -1, -1)
        assert ask(cluster, 9000, replica_id=-2).offset == 4

    @pytest.mark.parametrize(("version", "error"), [(5, "OFFSET_NOT_AVAILABLE"), (4, "LEADER_NOT_AVAILABLE")])
    def test_a_leader_that_has_not_committed_what_it_took_over(
        self, cluster: Cluster, partition: Partition, version: int, error: str
    ) -> None:
        cluster.stop_broker(3, graceful=False)
        write(partition, timestamp=9000)
        cluster.stop_broker(1)

        assert partition.leader == 2
        assert ask(cluster, LATEST, broker=2, version=version).error == error
        assert ask(cluster, 9000, broker=2, version=version).error == error
        assert ask(cluster, EARLIEST, broker=2, version=version).error == "NONE"
        assert ask(cluster, 2000, broker=2, version=version).error == "NONE"

    def test_a_level_that_kafka_does_not_know(self, cluster: Cluster, partition: Partition) -> None:
        assert ask(cluster, LATEST, isolation_level=5).error == "UNKNOWN_SERVER_ERROR"


class TestRefusals:
    def test_no_such_partition(self, cluster: Cluster, partition: Partition) -> None:
        assert found(ask(cluster, LATEST, index=5)) == ("UNKNOWN_TOPIC_OR_PARTITION", -1, -1, -1)

    def test_another_leader(self, cluster: Cluster, partition: Partition) -> None:
        assert ask(cluster, LATEST, broker=2).error == "NOT_LEADER_OR_FOLLOWER"
        assert ask(cluster, LATEST, broker=2, replica_id=-2).offset == 4

    @pytest.mark.parametrize(
        ("known", "error"), [(-1, "NONE"), (0, "FENCED_LEADER_EPOCH"), (9, "UNKNOWN_LEADER_EPOCH")]
    )
    def test_another_leader_epoch(
        self, cluster: Cluster, partition: Partition, known: int, error: str
    ) -> None:
        cluster.move_leader("t", 0, 2)

        assert ask(cluster, LATEST, broker=2, current_leader_epoch=known).error == error

    def test_partitions_that_are_named_twice(self, cluster: Cluster, partition: Partition) -> None:
        part = Message(partition_index=0, timestamp=LATEST)
        other = Message(partition_index=4, timestamp=LATEST)
        topics = [Message(name="t", partitions=[part, other]), Message(name="t", partitions=[part])]
        [topic] = asked(cluster, "ListOffsets", replica_id=-1, topics=topics).answer.topics

        assert [(each.partition_index, error_name(each)) for each in topic.partitions] == [
            (0, "INVALID_REQUEST"),
            (4, "UNKNOWN_TOPIC_OR_PARTITION"),
        ]
