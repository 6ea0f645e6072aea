"""A cluster that runs: its state, a listener for each broker, its faults. All in the brokers' thread."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from pytest_msk.brokers.baseline import Baseline
from pytest_msk.brokers.clock import LoopClock
from pytest_msk.brokers.embedded import apis, baselines  # noqa: F401  # apis registers the handlers
from pytest_msk.brokers.embedded.cluster import Cluster
from pytest_msk.brokers.embedded.dispatch import Dispatcher
from pytest_msk.brokers.embedded.faults import Fault, Faults
from pytest_msk.brokers.embedded.journal import Journal, SeenRequest
from pytest_msk.brokers.embedded.listener import Listener
from pytest_msk.brokers.plane import Broker
from pytest_msk.spec import CLIENT_LISTENERS, ClusterSpec
from pytest_msk.spec import Listener as ListenerName

_SERVED: tuple[ListenerName, ...] = ("plaintext",)
"""The listeners for clients that there are; the others come with authentication."""


class RunningCluster:
    """One embedded cluster.

    Args:
        spec: what it should be.
    """

    def __init__(self, spec: ClusterSpec) -> None:
        self._journal = Journal()
        clock = LoopClock(asyncio.get_running_loop(), self._journal.fail_later)
        self.cluster = Cluster(spec, clock)
        self._faults = Faults(clock)
        self._listeners: dict[int, Listener] = {}

    def start(self) -> Sequence[Broker]:
        """Let clients in; returns the brokers as the seam knows them."""
        for broker in self.cluster.brokers.values():
            dispatcher = Dispatcher(broker, "internal", self._journal, self._faults)
            listener = self._listeners[broker.id] = Listener(dispatcher.serve)
            broker.endpoints = dict.fromkeys(self._names(), listener.endpoint)
        for listener in self._listeners.values():
            listener.open()
        return [
            Broker(broker.id, dict(broker.endpoints), broker.rack) for broker in self.cluster.brokers.values()
        ]

    def stop(self) -> None:
        """End every connection and give back every port."""
        for listener in self._listeners.values():
            listener.release()
        self.cluster.close()

    def check_brokers(self, ids: Iterable[int]) -> None:
        """Make sure that there are brokers with these ids.

        Raises:
            MskUsageError: there is one that there is not.
        """
        for broker_id in ids:
            self.cluster.broker(broker_id)

    def stop_broker(self, broker_id: int, *, graceful: bool = True) -> None:
        """Stop one broker, as `Cluster.stop_broker` says; the port refuses clients meanwhile."""
        if self.cluster.broker(broker_id).alive:
            self.cluster.stop_broker(broker_id, graceful=graceful)
            self._listeners[broker_id].close(graceful=graceful)

    def start_broker(self, broker_id: int) -> None:
        """Start a stopped broker again."""
        if not self.cluster.broker(broker_id).alive:
            self.cluster.start_broker(broker_id)
            self._listeners[broker_id].open()

    def add_fault(self, fault: Fault) -> int:
        """Have something go wrong from now on; returns its number.

        Raises:
            MskUsageError: it could never happen.
        """
        fault.check(lambda topic: self.cluster.topics.get(topic) is not None, set(self.cluster.brokers))
        return self._faults.add(fault)

    def remove_fault(self, number: int) -> None:
        """Have it go wrong no more."""
        self._faults.remove(number)

    def fired(self, number: int) -> int:
        """How often a fault has happened."""
        return self._faults.fired(number)

    def requests(self, api: str | None, client_id: str | None) -> list[SeenRequest]:
        """The latest requests, oldest first."""
        return self._journal.requests(api, client_id)

    def compact(self) -> None:
        """Compact the topics whose clean-up policy says so, now."""
        for partition in self.cluster.topics.partitions():
            partition.log.compact(up_to=partition.high_watermark)

    def apply_retention(self) -> None:
        """Delete what retention lets go, now."""
        for partition in self.cluster.topics.partitions():
            partition.log.apply_retention(up_to=partition.high_watermark)

    def baseline(self) -> Baseline:
        """What there is now."""
        return baselines.taken(self.cluster, self._faults)

    def restore(self, baseline: Baseline) -> None:
        """Go back to what there was, and forget the requests that were seen."""
        baselines.restore(self.cluster, self._faults, baseline)
        self._journal.clear()

    def take_failures(self) -> list[str]:
        """What went wrong in the brokers themselves since this was last asked."""
        return self._journal.take_failures()

    def logs(self, lines: int) -> Mapping[int, str]:
        """The last requests of each broker, a line each."""
        seen = self._journal.requests()
        return {
            broker: "".join(map(_line, [request for request in seen if request.broker == broker][-lines:]))
            for broker in self.cluster.brokers
        }

    def _names(self) -> Sequence[ListenerName]:
        wanted = self.cluster.spec.listeners
        return ["internal", *(name for name in CLIENT_LISTENERS if name in wanted and name in _SERVED)]


def _line(request: SeenRequest) -> str:
    at = datetime.fromtimestamp(request.at / 1000, UTC)
    return f"{at:%H:%M:%S.%f} {request}\n"
