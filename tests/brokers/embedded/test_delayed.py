from __future__ import annotations

import asyncio

import pytest

from pytest_msk.brokers.embedded.api import Answer, Peer, Request
from pytest_msk.brokers.embedded.cluster import Cluster
from pytest_msk.brokers.embedded.delayed import delayed
from pytest_msk.brokers.embedded.replicas import Partition
from pytest_msk.brokers.wire.message import Message
from tests.brokers.embedded.clusters import StillClock, advance, cluster_of, make
from tests.brokers.embedded.record_requests import turns


class Operation:
    """Waits for two partitions, until it is told that it is ready."""

    def __init__(self, cluster: Cluster, timeout_ms: int = 1000) -> None:
        self.partitions = make(cluster, "t", [1], [1])
        self.ready = False
        self.looks = self.answers = 0
        request = Request(cluster.brokers[1], "Fetch", 4, None, Message(), Peer("127.0.0.1", "plaintext"))
        self.future = delayed(request, timeout_ms, self.partitions, self._ready, self._answer)

    def _ready(self) -> bool:
        self.looks += 1
        return self.ready

    def _answer(self) -> Answer:
        self.answers += 1
        return Message(number=self.answers)


@pytest.fixture
def cluster() -> Cluster:
    return cluster_of(1)


def nothing_is_left(cluster: Cluster, partitions: list[Partition]) -> bool:
    assert isinstance(cluster.clock, StillClock)
    return cluster.clock.pending == 0 and all(partition.on_change == [] for partition in partitions)


def test_it_looks_once_for_all_that_changed_together(cluster: Cluster) -> None:
    async def run() -> None:
        operation = Operation(cluster)
        for _ in range(5):
            for partition in operation.partitions:
                partition.changed()
        assert operation.looks == 0
        await turns()
        assert operation.looks == 1
        operation.partitions[1].changed()
        await turns()
        assert (operation.looks, operation.answers) == (2, 0)
        operation.future.cancel()
        await turns()

    asyncio.run(run())


def test_it_is_answered_once(cluster: Cluster) -> None:
    async def run() -> None:
        operation = Operation(cluster)
        operation.ready = True
        operation.partitions[0].changed()
        await turns()
        advance(cluster, 5)
        operation.partitions[0].changed()
        await turns()
        assert operation.future.result() == Message(number=1)
        assert (operation.looks, operation.answers) == (1, 1)
        assert nothing_is_left(cluster, operation.partitions)

    asyncio.run(run())


@pytest.mark.parametrize("timeout_ms", [0, -7])
def test_time_may_be_up_at_once(cluster: Cluster, timeout_ms: int) -> None:
    async def run() -> None:
        operation = Operation(cluster, timeout_ms)
        advance(cluster)
        await turns()
        assert (operation.looks, operation.answers) == (0, 1)
        assert nothing_is_left(cluster, operation.partitions)

    asyncio.run(run())


def test_what_changes_just_before_time_is_up_or_nobody_waits_does_no_harm(cluster: Cluster) -> None:
    async def run() -> None:
        operation = Operation(cluster)
        operation.partitions[0].changed()
        operation.future.cancel()
        advance(cluster, 5)
        await turns()
        assert (operation.looks, operation.answers) == (0, 0)
        assert nothing_is_left(cluster, operation.partitions)

    asyncio.run(run())
