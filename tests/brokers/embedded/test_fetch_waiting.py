from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import pytest

from pytest_msk.brokers.embedded.cluster import Cluster
from pytest_msk.brokers.embedded.log import Log
from pytest_msk.brokers.embedded.replicas import Partition
from pytest_msk.brokers.wire.message import Message
from tests.brokers.embedded.clusters import StillClock, advance, cluster_of, make
from tests.brokers.embedded.record_requests import (
    ask_fetch,
    batch,
    fetched,
    transactional,
    turns,
    values,
    write,
)

T = ("t", 0)
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


class TestWaiting:
    def test_until_there_is_something(self, cluster: Cluster, partition: Partition) -> None:
        async def run() -> Message:
            waiting = ask_fetch(cluster, {T: 0}, max_wait_ms=1000)
            await turns()
            assert waiting.waits
            write(partition, b"a")
            return await waiting.later()

        assert values(fetched(cluster, asyncio.run(run()))[T].records) == [b"a"]
        assert isinstance(cluster.clock, StillClock)
        assert cluster.clock.pending == 0

    def test_until_time_is_up(self, cluster: Cluster, partition: Partition) -> None:
        async def run() -> Message:
            waiting = ask_fetch(cluster, {T: 0}, max_wait_ms=500)
            advance(cluster, 0.499)
            await turns()
            assert waiting.waits
            advance(cluster, 0.001)
            return await waiting.later()

        part = fetched(cluster, asyncio.run(run()))[T]
        assert (part.error, part.records) == ("NONE", b"")

    def test_until_there_is_enough(self, cluster: Cluster) -> None:
        one, other = make(cluster, "t", [1], [1])

        async def run() -> Message:
            write(one, b"a")
            asks = {("t", 0): 0, ("t", 1): 0}
            waiting = ask_fetch(cluster, asks, max_wait_ms=500, min_bytes=3 * BATCH)
            write(other, b"b")
            await turns()
            assert waiting.waits
            write(one, b"c")
            return await waiting.later()

        found = fetched(cluster, asyncio.run(run()))
        assert [values(part.records) for part in found.values()] == [[b"a", b"c"], [b"b"]]

    def test_more_than_a_partition_may_give_does_not_count(
        self, cluster: Cluster, partition: Partition
    ) -> None:
        async def run() -> None:
            asks = {"fetch_offset": 0, "partition_max_bytes": BATCH}
            waiting = ask_fetch(cluster, {T: asks}, max_wait_ms=500, min_bytes=2 * BATCH)
            write(partition, b"a", b"b", b"c")
            await turns()
            assert waiting.waits
            waiting.cancel()
            await turns()

        asyncio.run(run())

    def test_no_more_is_asked_for_than_may_be_sent(self, cluster: Cluster, partition: Partition) -> None:
        write(partition, b"a")

        assert not ask_fetch(cluster, {T: 0}, max_wait_ms=500, min_bytes=1 << 20, max_bytes=BATCH).waits

    @pytest.mark.parametrize(
        "fields", [{"max_wait_ms": 0}, {"max_wait_ms": -1}, {"max_wait_ms": 9, "min_bytes": 0}]
    )
    def test_not_at_all(self, cluster: Cluster, partition: Partition, fields: dict[str, Any]) -> None:
        assert not ask_fetch(cluster, {T: 0}, **fields).waits

    def test_not_past_what_is_stable(self, cluster: Cluster, partition: Partition) -> None:
        transactional(partition, 7, b"a", b"b")
        fields: dict[str, Any] = {"isolation_level": COMMITTED, "max_wait_ms": 1000}

        assert not ask_fetch(cluster, {T: 2}, **fields).waits

    def test_not_for_errors(self, cluster: Cluster, partition: Partition) -> None:
        assert not ask_fetch(cluster, {T: 99}, max_wait_ms=1000).waits
        assert not ask_fetch(cluster, {("t", 9): 0}, max_wait_ms=1000).waits
        assert not ask_fetch(cluster, {}, max_wait_ms=1000).waits

    @pytest.mark.parametrize("what", ["topic deleted", "leader moved", "truncated"])
    def test_ends_when_the_partition_is_not_what_it_was(
        self, cluster: Cluster, partition: Partition, what: str
    ) -> None:
        errors = {
            "topic deleted": "UNKNOWN_TOPIC_OR_PARTITION",
            "leader moved": "FENCED_LEADER_EPOCH",
            "truncated": "OFFSET_OUT_OF_RANGE",
        }

        async def run() -> Message:
            write(partition, b"a", b"b")
            asks = {"fetch_offset": 2, "current_leader_epoch": partition.leader_epoch}
            waiting = ask_fetch(cluster, {T: asks}, max_wait_ms=1000, version=12)
            assert waiting.waits
            if what == "topic deleted":
                cluster.topics.delete("t")
            elif what == "leader moved":
                cluster.move_leader("t", 0, 2)
            else:
                partition.log.truncate(1)
            return await waiting.later()

        assert fetched(cluster, asyncio.run(run()))[T].error == errors[what]
        assert partition.on_change == []

    def test_other_topics_do_not_wake(self, cluster: Cluster, partition: Partition) -> None:
        async def run() -> None:
            waiting = ask_fetch(cluster, {T: 0}, max_wait_ms=1000)
            write(make(cluster, "u", [1])[0], b"a")
            await turns()
            assert waiting.waits
            waiting.cancel()
            await turns()

        asyncio.run(run())

    def test_what_is_appended_together_is_answered_together(self, cluster: Cluster) -> None:
        one, other = make(cluster, "t", [1], [1])

        async def run() -> Message:
            waiting = ask_fetch(cluster, {("t", 0): 0, ("t", 1): 0}, max_wait_ms=1000)
            write(one, b"a")
            write(other, b"b")
            return await waiting.later()

        found = fetched(cluster, asyncio.run(run()))
        assert [values(part.records) for part in found.values()] == [[b"a"], [b"b"]]

    @pytest.mark.parametrize("how", ["answered", "timed out", "cancelled"])
    def test_nothing_is_left_of_many(self, cluster: Cluster, how: str) -> None:
        partitions = make(cluster, "t", *[[1]] * 4)
        asks = {("t", index): 0 for index in range(4)}

        async def run() -> list[weakref.ref[Any]]:
            waiting = [ask_fetch(cluster, asks, max_wait_ms=1000) for _ in range(500)]
            assert all(len(partition.on_change) == 500 for partition in partitions)
            if how == "answered":
                write(partitions[2], b"a")
            elif how == "timed out":
                advance(cluster, 1)
            else:
                for each in waiting:
                    each.cancel()
            await turns()
            assert not any(each.waits for each in waiting)
            if how == "answered":
                found = [fetched(cluster, each.answer)["t", 2] for each in waiting]
                assert all(values(part.records) == [b"a"] for part in found)
            return [weakref.ref(each.request.body) for each in waiting]

        left = asyncio.run(run())
        gc.collect()
        assert isinstance(cluster.clock, StillClock)
        assert cluster.clock.pending == 0
        assert all(partition.on_change == [] for partition in partitions)
        if how != "timed out":
            cluster.clock.advance(2)
        gc.collect()
        assert [each for each in left if each() is not None] == []

    def test_an_error_of_ours_reaches_the_server(
        self, cluster: Cluster, partition: Partition, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(*_: Any, **__: Any) -> int:
            raise RuntimeError("broken")

        async def run() -> None:
            waiting = ask_fetch(cluster, {T: 0}, max_wait_ms=1000)
            monkeypatch.setattr(Log, "available", broken)
            write(partition, b"a")
            with pytest.raises(RuntimeError, match="broken"):
                await waiting.later()
            assert partition.on_change == []

        asyncio.run(run())
