from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest

from pytest_msk.brokers.embedded.cluster import Cluster
from pytest_msk.brokers.embedded.replicas import Partition
from pytest_msk.brokers.wire.message import Message
from tests.brokers.embedded.clusters import advance, cluster_of, make
from tests.brokers.embedded.record_requests import (
    ask_fetch,
    asked,
    batch,
    end,
    error_name,
    fetched,
    read,
    transactional,
    turns,
    values,
    write,
)

T = ("t", 0)
RACK_AWARE = "org.apache.kafka.common.replica.RackAwareReplicaSelector"
BATCH = len(batch(b"a"))
COMMITTED = 1


@pytest.fixture
def cluster() -> Cluster:
    return cluster_of(3)


@pytest.fixture
def partition(cluster: Cluster) -> Partition:
    """Led by broker 1."""
    [partition] = make(cluster, "t", [1, 2, 3])
    return partition


class TestReading:
    @pytest.mark.parametrize("version", range(4, 19))
    def test_records_from_an_offset_on(self, cluster: Cluster, partition: Partition, version: int) -> None:
        write(partition, b"a", b"b", b"c")
        part = read(cluster, {T: 1}, version=version)[T]

        assert values(part.records) == [b"b", b"c"]
        assert (part.error, part.high_watermark, part.last_stable_offset) == ("NONE", 3, 3)
        assert part.log_start_offset == (0 if version >= 5 else -1)
        assert part.aborted_transactions is None

    def test_at_the_end_there_is_nothing(self, cluster: Cluster, partition: Partition) -> None:
        write(partition, b"a")
        part = read(cluster, {T: 1})[T]

        assert (part.error, bytes(part.records), part.high_watermark) == ("NONE", b"", 1)

    def test_the_batch_that_holds_the_offset_comes_whole(
        self, cluster: Cluster, partition: Partition
    ) -> None:
        partition.log.append(memoryview(batch(b"a", b"b", b"c")), 0)

        assert values(read(cluster, {T: 2})[T].records) == [b"a", b"b", b"c"]

    @pytest.mark.parametrize("offset", [-1, 0, 4, 1 << 40])
    def test_an_offset_that_is_not_there(self, cluster: Cluster, partition: Partition, offset: int) -> None:
        write(partition, b"a", b"b", b"c")
        partition.log.delete_records(1)
        part = read(cluster, {T: offset})[T]

        assert part.error == "OFFSET_OUT_OF_RANGE"
        assert (part.high_watermark, part.last_stable_offset, part.log_start_offset) == (-1, -1, -1)

    def test_a_partition_gives_no_more_than_its_limit(self, cluster: Cluster, partition: Partition) -> None:
        write(partition, b"a", b"b", b"c")
        asks = {"fetch_offset": 0, "partition_max_bytes": 2 * BATCH + 1}

        assert values(read(cluster, {T: asks})[T].records) == [b"a", b"b"]

    def test_all_together_give_no_more_than_the_limit(self, cluster: Cluster) -> None:
        for partition in make(cluster, "t", [1], [1], [1]):
            write(partition, b"a", b"b")
        parts = {("t", index): 0 for index in range(3)}
        found = read(cluster, parts, max_bytes=3 * BATCH)

        assert [values(part.records) for part in found.values()] == [[b"a", b"b"], [b"a"], []]

    @pytest.mark.parametrize("limit", ["max_bytes", "partition_max_bytes"])
    def test_the_first_with_records_gives_one_batch_at_least(self, cluster: Cluster, limit: str) -> None:
        for partition in make(cluster, "t", [1], [1], [1])[1:]:
            write(partition, b"a", b"b")
        asks = {"fetch_offset": 0, "partition_max_bytes": 1 if limit == "partition_max_bytes" else 1 << 20}
        fields: dict[str, Any] = {"max_bytes": 1} if limit == "max_bytes" else {}
        found = read(cluster, {("t", index): asks for index in range(3)}, **fields)

        assert [values(part.records) for part in found.values()] == [[], [b"a"], []]

    def test_the_broker_has_a_limit_too(self) -> None:
        cluster = cluster_of(1, fetch_max_bytes="1024")
        [partition] = make(cluster, "t", [1])
        write(partition, *[b"a" * 400] * 5)

        assert len(values(read(cluster, {T: 0})[T].records)) == 2

    def test_a_limit_below_zero_is_an_error_of_kafkas(self, cluster: Cluster, partition: Partition) -> None:
        write(partition, b"a")

        assert (
            read(cluster, {T: {"fetch_offset": 0, "partition_max_bytes": -1}})[T].error
            == "UNKNOWN_SERVER_ERROR"
        )

    def test_of_a_partition_that_is_named_twice_the_last_counts(
        self, cluster: Cluster, partition: Partition
    ) -> None:
        write(partition, b"a", b"b")
        twice = [Message(partition=0, fetch_offset=offset, partition_max_bytes=1 << 20) for offset in (0, 1)]
        topics = [Message(topic="t", partitions=twice)]
        answer = asked(cluster, "Fetch", 4, max_wait_ms=0, min_bytes=1, topics=topics).answer

        assert [values(part.records) for topic in answer.responses for part in topic.partitions] == [[b"b"]]

    def test_answers_keep_the_order_of_the_request(self, cluster: Cluster) -> None:
        make(cluster, "t", [1], [1])
        make(cluster, "u", [1])
        parts = {("t", 1): 0, ("u", 0): 0, ("t", 0): 0}
        answer = ask_fetch(cluster, parts, version=12).answer

        assert [(topic.topic, topic.partitions[0].partition_index) for topic in answer.responses] == list(
            parts
        )

    def test_only_committed_records_are_seen(self, cluster: Cluster, partition: Partition) -> None:
        write(partition, b"a")
        cluster.stop_broker(3, graceful=False)
        write(partition, b"b")
        part = read(cluster, {T: 0})[T]

        assert (values(part.records), part.high_watermark, part.last_stable_offset) == ([b"a"], 1, 1)
        assert read(cluster, {T: 2})[T].error == "NONE"


class TestRefusals:
    @pytest.mark.parametrize("version", [12, 18])
    def test_an_unknown_topic(self, cluster: Cluster, partition: Partition, version: int) -> None:
        unknown = Message(
            **({"topic_id": uuid.uuid4()} if version > 12 else {"topic": "nope"}),
            partitions=[Message(partition=0, fetch_offset=0, partition_max_bytes=1)],
        )
        answer = asked(cluster, "Fetch", version, max_wait_ms=0, min_bytes=1, topics=[unknown]).answer
        [topic] = answer.responses

        assert error_name(topic.partitions[0]) == (
            "UNKNOWN_TOPIC_ID" if version > 12 else "UNKNOWN_TOPIC_OR_PARTITION"
        )
        assert topic.partitions[0].records == b""
        if version > 12:
            assert topic.topic_id == unknown.topic_id

    def test_an_unknown_partition_does_not_end_the_wait_for_others(
        self, cluster: Cluster, partition: Partition
    ) -> None:
        async def run() -> Message:
            waiting = ask_fetch(cluster, {("t", 9): 0, T: 0}, max_wait_ms=100)
            assert waiting.waits
            advance(cluster, 0.1)
            return await waiting.later()

        found = fetched(cluster, asyncio.run(run()))
        assert {key: part.error for key, part in found.items()} == {
            T: "NONE",
            ("t", 9): "UNKNOWN_TOPIC_OR_PARTITION",
        }

    @pytest.mark.parametrize("version", [10, 12, 18])
    def test_a_broker_that_holds_nothing_of_it(self, cluster: Cluster, version: int) -> None:
        make(cluster, "t", [1, 2])
        answer = ask_fetch(cluster, {T: 0}, version=version, broker=3).answer
        part = fetched(cluster, answer)[T]

        assert part.error == "NOT_LEADER_OR_FOLLOWER"
        assert part.current_leader.leader_id == (1 if version >= 16 else -1)
        assert [node.node_id for node in answer.node_endpoints] == ([1] if version >= 16 else [])

    @pytest.mark.parametrize(
        ("known", "error"), [(0, "FENCED_LEADER_EPOCH"), (2, "UNKNOWN_LEADER_EPOCH"), (1, "NONE")]
    )
    def test_the_leader_epoch_is_checked(
        self, cluster: Cluster, partition: Partition, known: int, error: str
    ) -> None:
        cluster.move_leader("t", 0, 2)
        asks = {"fetch_offset": 0, "current_leader_epoch": known + partition.leader_epoch - 1}
        answer = ask_fetch(cluster, {T: asks}, broker=2).answer
        part = fetched(cluster, answer)[T]

        assert part.error == error
        assert part.current_leader.leader_id == (2 if error == "FENCED_LEADER_EPOCH" else -1)

    @pytest.mark.parametrize("version", [4, 12, 14, 15, 18])
    @pytest.mark.parametrize("replica", [2, 9])
    def test_no_client_may_replicate(
        self, cluster: Cluster, partition: Partition, version: int, replica: int
    ) -> None:
        who = {"replica_state": Message(replica_id=replica)} if version >= 15 else {"replica_id": replica}
        part = read(cluster, {T: 0}, version=version, **who)[T]

        assert part.error == "NOT_LEADER_OR_FOLLOWER"
        if version >= 9:
            asks = {"fetch_offset": 0, "current_leader_epoch": 0}
            assert read(cluster, {T: asks}, version=version, **who)[T].error == "UNKNOWN_LEADER_EPOCH"

    def test_an_isolation_level_that_kafka_does_not_know(
        self, cluster: Cluster, partition: Partition
    ) -> None:
        answer = ask_fetch(cluster, {T: 0}, isolation_level=7).answer

        assert error_name(answer) == "UNKNOWN_SERVER_ERROR"

    def test_a_reader_that_went_another_way_is_told_where(
        self, cluster: Cluster, partition: Partition
    ) -> None:
        write(partition, b"a", b"b")
        cluster.move_leader("t", 0, 2)
        write(partition, b"c")
        epoch = partition.leader_epoch
        part = read(cluster, {T: {"fetch_offset": 3, "last_fetched_epoch": epoch - 1}}, broker=2)[T]
        same = read(cluster, {T: {"fetch_offset": 3, "last_fetched_epoch": epoch}}, broker=2)[T]

        assert (part.diverging_epoch.epoch, part.diverging_epoch.end_offset) == (0, 2)
        assert part.records == b""
        assert (same.error, same.diverging_epoch.epoch) == ("NONE", -1)


class TestFollowers:
    def test_newer_consumers_may_read_from_them(self, cluster: Cluster, partition: Partition) -> None:
        write(partition, b"a")

        assert values(read(cluster, {T: 0}, version=11, broker=2)[T].records) == [b"a"]
        assert read(cluster, {T: 0}, version=10, broker=2)[T].error == "NOT_LEADER_OR_FOLLOWER"

    def test_one_that_lags_gives_what_it_has(self) -> None:
        cluster = cluster_of(2)
        [partition] = make(cluster, "t", [1, 2])
        write(partition, b"a")
        cluster.stop_broker(2, graceful=False)
        advance(cluster, cluster.setting("broker.session.timeout.ms") / 1000)
        write(partition, b"b")
        cluster.stop_broker(1, graceful=False)
        cluster.start_broker(2)  # and finds that the leader, as it is thought to be, does not answer

        assert partition.high_watermark == 2
        assert values(read(cluster, {T: 0}, broker=2)[T].records) == [b"a"]
        assert read(cluster, {T: 2}, broker=2)[T].error == "OFFSET_OUT_OF_RANGE"

    @pytest.fixture
    def near(self) -> Cluster:
        """Broker 4 stands where broker 1 does."""
        cluster = cluster_of(4, replica_selector_class=RACK_AWARE)
        [partition] = make(cluster, "t", [1, 2, 3])
        write(partition, b"a", b"b")
        return cluster

    @pytest.mark.parametrize(
        ("rack", "broker", "preferred"),
        [("b", 1, 2), ("c", 1, 3), ("a", 1, -1), ("elsewhere", 1, -1), ("", 1, -1), ("c", 2, -1)],
    )
    def test_the_leader_sends_consumers_to_their_own_zone(
        self, near: Cluster, rack: str, broker: int, preferred: int
    ) -> None:
        asks = {"fetch_offset": 1}
        answer = ask_fetch(near, {T: asks}, rack_id=rack, broker=broker, max_wait_ms=1000).answer
        part = fetched(near, answer)[T]

        assert (part.error, part.preferred_read_replica, part.high_watermark) == ("NONE", preferred, 2)
        assert values(part.records) == ([] if preferred > 0 else [b"b"])

    def test_not_to_one_that_is_down(self, near: Cluster) -> None:
        near.stop_broker(2)

        assert read(near, {T: 0}, rack_id="b")[T].preferred_read_replica == -1

    def test_not_where_it_would_find_nothing(self, near: Cluster) -> None:
        part = read(near, {T: 3}, rack_id="b")[T]

        assert (part.error, part.preferred_read_replica) == ("OFFSET_OUT_OF_RANGE", -1)

    def test_not_before_version_11(self, near: Cluster) -> None:
        assert values(read(near, {T: 0}, version=10)[T].records) == [b"a", b"b"]

    def test_only_where_the_brokers_are_set_to(self, cluster: Cluster, partition: Partition) -> None:
        write(partition, b"a")

        assert values(read(cluster, {T: 0}, rack_id="b")[T].records) == [b"a"]


class TestTransactions:
    def test_open_ones_hide_what_follows(self, cluster: Cluster, partition: Partition) -> None:
        write(partition, b"a")
        transactional(partition, 7, b"b")
        write(partition, b"c")
        committed = read(cluster, {T: 0}, isolation_level=COMMITTED)[T]
        everything = read(cluster, {T: 0})[T]

        assert (values(committed.records), committed.last_stable_offset) == ([b"a"], 1)
        assert (committed.high_watermark, committed.aborted_transactions) == (3, [])
        assert (values(everything.records), everything.aborted_transactions) == ([b"a", b"b", b"c"], None)

    def test_aborted_ones_are_listed_where_they_touch_what_is_read(
        self, cluster: Cluster, partition: Partition
    ) -> None:
        for producer_id in (7, 8, 9):
            transactional(partition, producer_id, b"x", b"y")
            end(partition, producer_id, commit=producer_id == 8)

        def aborted(offset: int, limit: int) -> list[tuple[int, int]]:
            asks = {"fetch_offset": offset, "partition_max_bytes": limit}
            part = read(cluster, {T: asks}, isolation_level=COMMITTED)[T]
            return [(each.producer_id, each.first_offset) for each in part.aborted_transactions]

        assert aborted(0, 1 << 20) == [(7, 0), (9, 6)]
        assert aborted(0, BATCH) == [(7, 0)]
        assert aborted(1, BATCH) == [(7, 0)]
        assert aborted(3, BATCH) == []
        assert aborted(7, 1 << 20) == [(9, 6)]
        assert aborted(9, 1 << 20) == []

    def test_the_end_of_one_wakes_who_waits_for_it(self, cluster: Cluster, partition: Partition) -> None:
        async def run() -> Message:
            transactional(partition, 7, b"a")
            waiting = ask_fetch(cluster, {T: 0}, isolation_level=COMMITTED, max_wait_ms=1000)
            transactional(partition, 8, b"b")
            await turns()
            assert waiting.waits
            end(partition, 7, commit=True)
            return await waiting.later()

        assert values(fetched(cluster, asyncio.run(run()))[T].records) == [b"a"]
