from __future__ import annotations

from typing import Any

import pytest

from pytest_msk.brokers.embedded.cluster import Cluster
from pytest_msk.brokers.wire import errors
from pytest_msk.brokers.wire.message import Message
from tests.brokers.embedded.clusters import advance, ask
from tests.brokers.embedded.transactions.producers import (
    MINUTE,
    NEW,
    Producer,
    cluster_with,
    coordinator,
    partition_of,
)


def described(cluster: Cluster, transactional_id: str, broker: int | None = None) -> Message:
    broker = broker or coordinator(cluster, transactional_id)
    answer = ask(cluster, "DescribeTransactions", 0, broker, transactional_ids=[transactional_id])
    found: Message
    [found] = answer.transaction_states
    assert found.transactional_id == transactional_id
    return found


def listed(cluster: Cluster, version: int = 2, broker: int = 1, **filters: Any) -> list[str]:
    fields = {"state_filters": [], "producer_id_filters": [], **filters}
    answer = ask(cluster, "ListTransactions", version, broker, **fields)
    assert answer.error_code == 0
    return sorted(each.transactional_id for each in answer.transaction_states)


class TestDescribeTransactions:
    def test_an_open_transaction(self) -> None:
        cluster = cluster_with("topic", "other", kafka_version=NEW)
        producer = Producer(cluster, "t", timeout_ms=MINUTE).started()
        assert described(cluster, "t").transaction_start_time_ms == -1
        advance(cluster, 5)
        for topic, index in (("topic", 1), ("other", 0), ("topic", 0)):
            assert producer.write(topic, b"1", index=index) == "NONE"
        found = described(cluster, "t")
        assert (found.error_code, found.transaction_state) == (0, "Ongoing")
        assert (found.producer_id, found.producer_epoch) == producer.ids
        assert found.transaction_timeout_ms == MINUTE
        assert found.transaction_start_time_ms == cluster.clock.now_ms()
        assert {topic.topic: topic.partitions for topic in found.topics} == {"topic": [0, 1], "other": [0]}

    def test_what_became_of_it(self) -> None:
        cluster = cluster_with("topic")
        producer = Producer(cluster, "t").started()
        for commit, expected in ((True, "CompleteCommit"), (False, "CompleteAbort")):
            producer.write("topic", b"1")
            producer.end(commit=commit)
            found = described(cluster, "t")
            assert (found.transaction_state, found.topics) == (expected, [])

    def test_what_is_not_there_to_be_described(self) -> None:
        cluster = cluster_with(brokers=3)
        Producer(cluster, "t").started()
        other = next(broker for broker in cluster.brokers if broker != coordinator(cluster, "t"))
        assert errors.name(described(cluster, "t", other).error_code) == "NOT_COORDINATOR"
        assert errors.name(described(cluster, "unknown").error_code) == "TRANSACTIONAL_ID_NOT_FOUND"
        assert errors.name(described(cluster, "").error_code) == "INVALID_REQUEST"


class TestListTransactions:
    @pytest.fixture
    def cluster(self) -> Cluster:
        """An id that was never used, and one each with an open, a committed and an aborted transaction."""
        cluster = cluster_with("topic", kafka_version=NEW)
        for name in ("idle", "open", "committed", "aborted"):
            producer = Producer(cluster, name, timeout_ms=10 * MINUTE).started()
            if name != "idle":
                producer.write("topic", b"1")
            if name in ("committed", "aborted"):
                producer.end(commit=name == "committed")
        return cluster

    def test_all(self, cluster: Cluster) -> None:
        assert listed(cluster) == ["aborted", "committed", "idle", "open"]

    def test_by_state(self, cluster: Cluster) -> None:
        assert listed(cluster, state_filters=["Ongoing", "Empty"]) == ["idle", "open"]
        answer = ask(
            cluster,
            "ListTransactions",
            0,
            state_filters=["Ongoing", "ongoing", "Dead", "PrepareEpochFence", "Open"],
            producer_id_filters=[],
        )
        assert answer.unknown_state_filters == ["ongoing", "Open"]
        assert [each.transactional_id for each in answer.transaction_states] == ["open"]
        assert listed(cluster, state_filters=["Open"]) == []

    def test_by_producer_id(self, cluster: Cluster) -> None:
        transaction = cluster.transactions.get("committed")
        assert transaction is not None
        assert listed(cluster, producer_id_filters=[transaction.producer_id, 999]) == ["committed"]

    def test_by_duration(self, cluster: Cluster) -> None:
        advance(cluster, 60)
        assert "open" in listed(cluster, duration_filter=MINUTE - 1)
        # One that never had a transaction has been in none since 1970.
        assert listed(cluster, duration_filter=MINUTE) == ["idle"]
        assert listed(cluster, duration_filter=-1) == ["aborted", "committed", "idle", "open"]

    def test_by_pattern(self, cluster: Cluster) -> None:
        assert listed(cluster, transactional_id_pattern=".*t+ed") == ["aborted", "committed"]
        assert listed(cluster, transactional_id_pattern="pen") == []
        assert listed(cluster, transactional_id_pattern="") == ["aborted", "committed", "idle", "open"]
        Producer(cluster, "a:b/ß").started()
        assert listed(cluster, transactional_id_pattern="[^a-z]*|a:[^:]+") == ["a:b/ß"]
        answer = ask(
            cluster,
            "ListTransactions",
            2,
            state_filters=[],
            producer_id_filters=[],
            transactional_id_pattern="(",
        )
        assert errors.name(answer.error_code) == "INVALID_REGULAR_EXPRESSION"

    def test_each_broker_lists_what_it_coordinates(self) -> None:
        cluster = cluster_with(brokers=3)
        names = [f"id-{number}" for number in range(12)]
        for name in names:
            Producer(cluster, name).started()
        by_broker = [listed(cluster, 1, broker) for broker in cluster.brokers]
        assert sorted(name for found in by_broker for name in found) == sorted(names)
        assert all(
            coordinator(cluster, name) == broker
            for broker, found in zip(cluster.brokers, by_broker, strict=True)
            for name in found
        )


class TestDescribeProducers:
    def ask(self, cluster: Cluster, topic: str, index: int = 0, broker: int = 1) -> Message:
        topics = [Message(name=topic, partition_indexes=[index])]
        answer = ask(cluster, "DescribeProducers", 0, broker, topics=topics)
        found: Message
        [found] = answer.topics[0].partitions
        return found

    def test_producers_of_a_partition(self) -> None:
        cluster = cluster_with("topic")
        done, busy = Producer(cluster, "done").started(), Producer(cluster, "busy").started()
        done.write("topic", b"1", b"2")
        done.commit()
        busy.write("topic", b"3")
        first, second = self.ask(cluster, "topic").active_producers
        assert (first.producer_id, first.producer_epoch, first.last_sequence) == (*done.ids, 1)
        assert (first.coordinator_epoch, first.current_txn_start_offset) == (0, -1)
        assert (second.producer_id, second.producer_epoch, second.last_sequence) == (*busy.ids, 0)
        assert (second.coordinator_epoch, second.current_txn_start_offset) == (-1, 3)

    def test_followers_answer_too(self) -> None:
        cluster = cluster_with("topic", brokers=3)
        producer = Producer(cluster, "t").started()
        producer.write("topic", b"1")
        follower = next(each for each in cluster.brokers if each != partition_of(cluster, "topic").leader)
        [known] = self.ask(cluster, "topic", broker=follower).active_producers
        assert known.producer_id == producer.id

    def test_what_is_not_there(self) -> None:
        cluster = cluster_with("topic", brokers=2)
        cluster.topics.create("elsewhere", assignments={0: [2]})
        for topic, index, error in (
            ("topic", 9, "UNKNOWN_TOPIC_OR_PARTITION"),
            ("nowhere", 0, "UNKNOWN_TOPIC_OR_PARTITION"),
            ("no/topic", 0, "INVALID_TOPIC_EXCEPTION"),
            ("elsewhere", 0, "NOT_LEADER_OR_FOLLOWER"),
        ):
            assert errors.name(self.ask(cluster, topic, index).error_code) == error
