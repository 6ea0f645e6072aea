from __future__ import annotations

import pytest

from pytest_msk.brokers.embedded import log_dirs  # noqa: F401  # registers its handlers
from pytest_msk.brokers.embedded.cluster import Cluster
from pytest_msk.brokers.wire import errors
from pytest_msk.brokers.wire.message import Message
from tests.brokers.embedded.clusters import append, ask, cluster_of, make

Held = dict[tuple[str, int], Message]


def held(cluster: Cluster, broker: int, version: int = 4, topics: list[Message] | None = None) -> Held:
    (directory,) = ask(cluster, "DescribeLogDirs", version, broker, topics=topics).results
    assert directory.error_code == 0
    return {
        (topic.name, partition.partition_index): partition
        for topic in directory.topics
        for partition in topic.partitions
    }


@pytest.mark.parametrize("version", range(1, 5))
def test_a_broker_tells_what_it_holds(version: int) -> None:
    cluster = cluster_of()
    first, _ = make(cluster, "t", [1, 2], [2, 3])
    append(first, b"x" * 1000)
    assert set(held(cluster, 1, version)) == {("t", 0)}
    assert set(held(cluster, 2, version)) == {("t", 0), ("t", 1)}
    leader, follower = held(cluster, 1, version)["t", 0], held(cluster, 2, version)["t", 0]
    assert leader.partition_size == follower.partition_size == first.log.size > 0
    assert (follower.offset_lag, follower.is_future_key) == (0, False)
    wanted = [Message(topic="t", partitions=[1, 5]), Message(topic="no", partitions=[0])]
    assert set(held(cluster, 2, version, wanted)) == {("t", 1)}


def test_the_volume_fills() -> None:
    cluster = cluster_of()
    (partition,) = make(cluster, "t", [1])

    def usable() -> int:
        (directory,) = ask(cluster, "DescribeLogDirs", 4, topics=None).results
        assert directory.usable_bytes <= directory.total_bytes
        return int(directory.usable_bytes)

    before = usable()
    append(partition, b"x" * 1000)
    assert before - usable() == partition.log.size


def test_a_replica_that_waits_for_its_leader_has_less() -> None:
    cluster = cluster_of(min_insync_replicas="1")
    (partition,) = make(cluster, "t", [1, 2])
    append(partition, b"1")
    cluster.stop_broker(2)
    append(partition, b"2", b"3")
    cluster.stop_broker(1)
    cluster.start_broker(2)
    behind = held(cluster, 2)["t", 0]
    assert behind.offset_lag == 2
    assert 0 < behind.partition_size < partition.log.size


def test_replicas_do_not_move_between_directories() -> None:
    cluster = cluster_of()
    make(cluster, "t", [1])
    (directory,) = ask(cluster, "DescribeLogDirs", 4, topics=None).results

    def moved(path: str, name: str) -> str:
        wanted = [Message(path=path, topics=[Message(name=name, partitions=[0])])]
        answer = ask(cluster, "AlterReplicaLogDirs", 2, dirs=wanted)
        ((entry,),) = (result.partitions for result in answer.results)
        return errors.name(entry.error_code) if entry.error_code else ""

    assert moved(directory.log_dir, "t") == ""
    assert moved("/elsewhere", "t") == "LOG_DIR_NOT_FOUND"
    assert moved(directory.log_dir, "no") == "REPLICA_NOT_AVAILABLE"
