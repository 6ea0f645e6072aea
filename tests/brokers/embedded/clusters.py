"""Clusters without a network, on a clock that goes only when told, and requests to them."""

from __future__ import annotations

import heapq
import inspect
import itertools
from collections.abc import Callable, Sequence
from typing import Any

from pytest_msk.brokers.embedded.api import SERVED, Peer, Request
from pytest_msk.brokers.embedded.cluster import Cluster
from pytest_msk.brokers.embedded.replicas import Partition
from pytest_msk.brokers.plane import Endpoint
from pytest_msk.brokers.wire import codec
from pytest_msk.brokers.wire.message import Message
from pytest_msk.spec import ClusterSpec, Listener


class _Timer:
    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class StillClock:
    """Time stands still until `advance`."""

    def __init__(self) -> None:
        self._now = 1000.0
        self._order = itertools.count()
        self._timers: list[tuple[float, int, _Timer]] = []

    def now_ms(self) -> int:
        return int(self._now * 1000)

    def monotonic(self) -> float:
        return self._now

    def call_later(self, seconds: float, callback: Callable[[], None]) -> _Timer:
        timer = _Timer(callback)
        heapq.heappush(self._timers, (self._now + seconds, next(self._order), timer))
        return timer

    @property
    def pending(self) -> int:
        """How many calls are to come."""
        return sum(not timer.cancelled for _, _, timer in self._timers)

    def advance(self, seconds: float = 0) -> None:
        until = self._now + seconds
        while self._timers and self._timers[0][0] <= until:
            moment, _, timer = heapq.heappop(self._timers)
            self._now = moment
            if not timer.cancelled:
                timer.callback()
        self._now = until


def cluster_of(
    brokers: int = 3,
    *,
    kafka_version: str = "3.9.1",
    zones: Sequence[str] = ("a", "b", "c"),
    listeners: Sequence[Listener] = ("plaintext",),
    **configuration: str,
) -> Cluster:
    """A cluster with a `StillClock`. Keywords are its settings, ``_`` for ``.``."""
    spec = ClusterSpec(
        "tests",
        brokers,
        kafka_version,
        {name.replace("_", "."): value for name, value in configuration.items()},
        zone_ids=tuple(zones),
    )
    cluster = Cluster(spec, StillClock())
    for broker in cluster.brokers.values():
        broker.endpoints = {
            listener: Endpoint("127.0.0.1", 9000 + 100 * number + broker.id)
            for number, listener in enumerate(listeners)
        }
    return cluster


def advance(cluster: Cluster, seconds: float = 0) -> None:
    assert isinstance(cluster.clock, StillClock)
    cluster.clock.advance(seconds)


def ask(
    cluster: Cluster,
    api: str,
    version: int,
    broker: int = 1,
    *,
    listener: Listener = "plaintext",
    **fields: Any,
) -> Message:
    """A broker's answer to a request; both have gone over the wire, so that they are what clients see."""
    assert version in SERVED[api].versions
    body = codec.decode_request(
        api, version, memoryview(codec.encode_request(api, version, Message(**fields)))
    )
    request = Request(cluster.brokers[broker], api, version, "tests", body, Peer("127.0.0.1", listener))
    answer = SERVED[api].handler(request)
    assert answer is not None
    assert not inspect.isawaitable(answer)
    return codec.decode_response(api, version, memoryview(codec.encode_response(api, version, answer)))


def make(cluster: Cluster, name: str, *replicas: Sequence[int], **configs: str) -> list[Partition]:
    """The partitions of a new topic, with these replicas each."""
    overrides: dict[str, str | None] = {key.replace("_", "."): value for key, value in configs.items()}
    return cluster.topics.create(name, assignments=dict(enumerate(replicas)), configs=overrides).partitions


def append(partition: Partition, *values: bytes) -> None:
    """Have the leader take records."""
    partition.log.append_records([(None, value) for value in values], partition.leader_epoch)


def values(partition: Partition) -> list[bytes]:
    """What consumers see."""
    records = partition.log.records()
    return [record.value for record in records if record.offset < partition.high_watermark and record.value]
