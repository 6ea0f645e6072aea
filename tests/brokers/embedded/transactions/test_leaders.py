"""Transactions whose partitions, or whose coordinator, are led by nobody for a while."""

from __future__ import annotations

import pytest

from pytest_msk.brokers.embedded.cluster import Cluster
from tests.brokers.embedded.clusters import advance, cluster_of, make
from tests.brokers.embedded.transactions.producers import (
    NEW,
    VERIFYING,
    Producer,
    cluster_with,
    coordinator,
    partition_of,
    seen,
    stable,
    state,
)


@pytest.fixture(params=[VERIFYING, NEW])
def cluster(request: pytest.FixtureRequest) -> Cluster:
    """The topic has but one replica, on a broker that is not the coordinator."""
    cluster = cluster_of(3, kafka_version=request.param)
    alone = next(broker for broker in cluster.brokers if broker != coordinator(cluster, "t"))
    make(cluster, "topic", [alone])
    cluster.topics.create("other", partitions=1, replication_factor=3)
    return cluster


def lonely(cluster: Cluster) -> int:
    return partition_of(cluster, "topic").replicas[0]


@pytest.mark.parametrize("commit", [True, False])
def test_a_marker_waits_for_a_leader(cluster: Cluster, commit: bool) -> None:
    producer = Producer(cluster, "t").started()
    assert producer.write("topic", b"1") == "NONE"
    assert producer.write("other", b"2") == "NONE"
    cluster.stop_broker(lonely(cluster))
    assert producer.end(commit=commit) == "NONE"
    assert state(cluster, "t") == ("PrepareCommit" if commit else "PrepareAbort")
    # The partitions that have leaders do not wait for those that have none.
    assert seen(cluster, "other") == ([b"2"] if commit else [])
    assert stable(cluster, "other") == 2
    advance(cluster, 3600)
    assert state(cluster, "t") == ("PrepareCommit" if commit else "PrepareAbort")
    cluster.start_broker(lonely(cluster))
    advance(cluster)
    assert state(cluster, "t") == ("CompleteCommit" if commit else "CompleteAbort")
    assert seen(cluster, "topic") == ([b"1"] if commit else [])
    assert stable(cluster, "topic") == 2


def test_meanwhile_the_producer_and_its_successor_are_told_to_come_again(cluster: Cluster) -> None:
    producer = Producer(cluster, "t").started()
    assert producer.write("topic", b"1") == "NONE"
    cluster.stop_broker(lonely(cluster))
    assert producer.commit() == "NONE"
    assert producer.add(("other", 0)) == "CONCURRENT_TRANSACTIONS"
    assert producer.commit() == "CONCURRENT_TRANSACTIONS"
    assert producer.abort() == "CONCURRENT_TRANSACTIONS"
    assert Producer(cluster, "t").init() == "CONCURRENT_TRANSACTIONS"
    if producer.bumps:
        assert producer.send("other", b"early") == "CONCURRENT_TRANSACTIONS"
    cluster.start_broker(lonely(cluster))
    advance(cluster)
    assert producer.write("other", b"2") == "NONE"
    assert producer.commit() == "NONE"
    assert seen(cluster, "other") == [b"2"]


def test_the_next_transaction_waits_for_the_marker_of_the_last(cluster: Cluster) -> None:
    make(cluster, "few", [1, 2], min_insync_replicas="2")
    producer = Producer(cluster, "t").started()
    assert producer.write("few", b"1") == "NONE"
    behind = next(each for each in (2, 1) if each != coordinator(cluster, "t"))
    cluster.stop_broker(behind)
    assert producer.commit() == "NONE"
    assert state(cluster, "t") == "PrepareCommit"
    # The leader is there, and the transaction open in its log: but it is not the one that this is of.
    assert producer.write("few", b"2") == "CONCURRENT_TRANSACTIONS"
    cluster.start_broker(behind)
    advance(cluster)
    assert state(cluster, "t") == "CompleteCommit"
    assert producer.write("few", b"2") == "NONE"
    assert seen(cluster, "few") == [b"1"]
    assert producer.commit() == "NONE"
    assert seen(cluster, "few") == [b"1", b"2"]


def test_a_deleted_partition_needs_no_marker(cluster: Cluster) -> None:
    producer = Producer(cluster, "t").started()
    producer.write("topic", b"1")
    cluster.stop_broker(lonely(cluster))
    producer.commit()
    cluster.topics.delete("topic")
    advance(cluster)
    assert state(cluster, "t") == "CompleteCommit"


def test_a_topic_that_is_deleted_while_the_transaction_is_open_is_left_out(cluster: Cluster) -> None:
    producer = Producer(cluster, "t").started()
    producer.write("topic", b"1")
    producer.write("other", b"2")
    cluster.topics.delete("topic")
    assert producer.commit() == "NONE"
    assert state(cluster, "t") == "CompleteCommit"
    assert seen(cluster, "other") == [b"2"]


def test_a_marker_waits_for_replicas_in_sync() -> None:
    cluster = cluster_with("topic", brokers=3, min_insync_replicas="3")
    producer = Producer(cluster, "t").started()
    producer.write("topic", b"1")
    partition = partition_of(cluster, "topic")
    spare = next(
        broker for broker in cluster.brokers if broker not in {partition.leader, coordinator(cluster, "t")}
    )
    cluster.stop_broker(spare)
    assert producer.commit() == "NONE"
    assert state(cluster, "t") == "PrepareCommit"
    cluster.start_broker(spare)
    advance(cluster)
    assert state(cluster, "t") == "CompleteCommit"
    assert seen(cluster, "topic") == [b"1"]


def test_a_leader_that_died_gets_no_marker_before_its_session_ends() -> None:
    cluster = cluster_with("topic", brokers=3)
    producer = Producer(cluster, "t").started()
    producer.write("topic", b"1")
    partition = partition_of(cluster, "topic")
    if partition.leader == coordinator(cluster, "t"):
        cluster.move_leader("topic", 0, next(each for each in cluster.brokers if each != partition.leader))
    cluster.stop_broker(partition.leader, graceful=False)
    end = partition.log.end_offset
    assert producer.commit() == "NONE"
    assert (state(cluster, "t"), partition.log.end_offset) == ("PrepareCommit", end)
    advance(cluster, 60)
    assert (state(cluster, "t"), partition.log.end_offset) == ("CompleteCommit", end + 1)
    assert seen(cluster, "topic") == [b"1"]


@pytest.mark.parametrize("graceful", [True, False])
def test_the_state_outlives_its_coordinator(cluster: Cluster, graceful: bool) -> None:
    producer = Producer(cluster, "t", timeout_ms=600_000).started()
    producer.write("other", b"1")
    former = coordinator(cluster, "t")
    cluster.stop_broker(former, graceful=graceful)
    advance(cluster, 60)
    assert coordinator(cluster, "t") != former
    assert producer.write("other", b"2") == "NONE"
    assert producer.commit() == "NONE"
    assert seen(cluster, "other") == [b"1", b"2"]


def test_offsets_wait_for_their_coordinator() -> None:
    cluster = cluster_with(
        "topic", brokers=3, offsets_topic_replication_factor="1", offsets_topic_num_partitions="3"
    )
    producer = Producer(cluster, "t").started()
    group = next(name for name in "abcdef" if cluster.coordinator("group", name) != coordinator(cluster, "t"))
    assert producer.stage(group, "topic", 7) == "NONE"
    stopped = cluster.coordinator("group", group)
    cluster.stop_broker(stopped)
    assert producer.commit() == "NONE"
    assert state(cluster, "t") == "PrepareCommit"
    cluster.start_broker(stopped)
    advance(cluster)
    assert state(cluster, "t") == "CompleteCommit"
    found = cluster.groups.get(group)
    assert found is not None
    assert found.offsets.get("topic", 0) is not None


def test_without_the_topic_of_their_state_transactional_ids_are_forgotten() -> None:
    cluster = cluster_with("topic")
    producer = Producer(cluster, "t").started()
    producer.write("topic", b"1")
    cluster.topics.delete("__transaction_state")
    advance(cluster, 3600)
    assert producer.commit() == "INVALID_PRODUCER_ID_MAPPING"
    assert stable(cluster, "topic") == 0


class TestRemoval:
    """Ids that are forgotten between tests."""

    def test_an_open_transaction_is_aborted(self, cluster: Cluster) -> None:
        producer, other = Producer(cluster, "t").started(), Producer(cluster, "u").started()
        assert producer.write("other", b"1") == "NONE"
        assert other.write("other", b"2") == "NONE"
        cluster.transactions.remove("t")
        assert cluster.transactions.ids() == ["u"]
        assert other.commit() == "NONE"
        assert seen(cluster, "other") == [b"2"]
        assert producer.send("other", b"late") == "INVALID_PRODUCER_ID_MAPPING"
        assert producer.commit() == "INVALID_PRODUCER_ID_MAPPING"
        assert Producer(cluster, "t").started().epoch == 0

    @pytest.mark.parametrize("commit", [None, True, False])
    def test_markers_follow_when_there_is_a_leader(self, cluster: Cluster, commit: bool | None) -> None:
        producer = Producer(cluster, "t").started()
        assert producer.write("topic", b"1") == "NONE"
        cluster.stop_broker(lonely(cluster))
        if commit is not None:
            assert producer.end(commit=commit) == "NONE"
        cluster.transactions.remove("t")
        successor = Producer(cluster, "t").started()
        assert successor.write("other", b"2") == "NONE"
        cluster.start_broker(lonely(cluster))
        advance(cluster)
        assert stable(cluster, "topic") == 2
        assert seen(cluster, "topic") == ([b"1"] if commit else [])
        assert successor.commit() == "NONE"

    def test_what_is_not_known_is_no_matter(self, cluster: Cluster) -> None:
        Producer(cluster, "t").started()
        for name in ("t", "t", "unknown"):
            cluster.transactions.remove(name)
        assert cluster.transactions.ids() == []
