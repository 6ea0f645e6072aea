"""A cluster that runs: its state, a listener for each broker, its faults. All in the brokers' thread."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime

from pytest_msk.brokers import versions
from pytest_msk.brokers.auth.logins import Logins
from pytest_msk.brokers.baseline import Baseline
from pytest_msk.brokers.clock import LoopClock
from pytest_msk.brokers.embedded import apis, baselines  # noqa: F401  # apis registers the handlers
from pytest_msk.brokers.embedded.cluster import Broker as ClusterBroker
from pytest_msk.brokers.embedded.cluster import Cluster
from pytest_msk.brokers.embedded.doors import Doors
from pytest_msk.brokers.embedded.faults import Fault, Faults
from pytest_msk.brokers.embedded.journal import Journal, SeenRequest
from pytest_msk.brokers.embedded.vacating import check_empty, vacate
from pytest_msk.brokers.plane import Broker
from pytest_msk.errors import MskError, MskUsageError
from pytest_msk.spec import ClusterSpec


class RunningCluster:
    """One embedded cluster.

    Args:
        spec: what it should be.
        logins: what its clients prove themselves with.
    """

    def __init__(self, spec: ClusterSpec, logins: Logins) -> None:
        self._logins = logins
        self._journal = Journal()
        clock = LoopClock(asyncio.get_running_loop(), self._journal.fail_later)
        self.cluster = Cluster(spec, clock)
        self._faults = Faults(clock)
        self._doors: dict[int, Doors] = {}

    def start(self) -> Sequence[Broker]:
        """Let clients in; returns the brokers as the seam knows them."""
        for broker in self.cluster.brokers.values():
            self._listen(broker, self.cluster.spec)
        for doors in self._doors.values():
            doors.open()
        return self._seen()

    def apply(self, spec: ClusterSpec) -> Sequence[Broker]:
        """Become what another spec says; returns the brokers that there are then.

        Brokers restart one after the other, where the release is another or a setting changes that Kafka
        takes over at a start alone. Where that fails they become what they were, as far as they can.

        Raises:
            MskUsageError: the release is an older one, or a broker that is to leave holds replicas.
            BrokerStartError: no broker would start with the configuration.
            MskError: a broker is stopped.
            OSError: there is no port for a broker.
        """
        cluster = self.cluster
        if spec == cluster.spec:
            return self._seen()
        self._check_change(spec)
        release = versions.release(spec.kafka_version)
        staying = [broker for broker in cluster.brokers.values() if broker.id <= spec.brokers]
        leaving = range(spec.brokers + 1, len(cluster.brokers) + 1)
        rolls = release != cluster.release or cluster.configs.needs_restart(spec)
        joined = self._join(range(len(cluster.brokers) + 1, spec.brokers + 1), spec)
        rolled: list[ClusterBroker] = []
        try:
            for broker in staying:
                self._doors[broker.id].add(spec)
            for doors in self._doors.values():
                doors.open()
            for broker in staying if rolls else ():
                rolled.append(broker)
                self._restart(broker, spec)
            vacate(cluster, leaving)
        except Exception:
            self._take_back(joined, rolled)
            raise
        self._remove(leaving)
        for doors in self._doors.values():
            doors.keep(spec)
        cluster.become(spec)
        return self._seen()

    def reboot(self, broker_id: int) -> None:
        """Restart one broker; one that is stopped starts."""
        self.stop_broker(broker_id)
        self.start_broker(broker_id)

    def _check_change(self, spec: ClusterSpec) -> None:
        """Find out what is against a change, before anything is changed."""
        cluster = self.cluster
        if spec.brokers < 1:
            raise MskUsageError(f"Cluster {spec.name!r} cannot have {spec.brokers} brokers.")
        release = versions.release(spec.kafka_version)
        cluster.check_upgrade(release)
        cluster.configs.checked(spec, release)
        if stopped := [broker.id for broker in cluster.brokers.values() if not broker.alive]:
            raise MskError(
                f"Cluster {spec.name!r} cannot be updated while not all of its brokers run: start broker "
                f"{', '.join(map(str, stopped))} first."
            )
        check_empty(cluster, range(spec.brokers + 1, len(cluster.brokers) + 1))

    def _listen(self, broker: ClusterBroker, spec: ClusterSpec) -> None:
        """Give a broker its ports, which are not open yet."""
        doors = self._doors[broker.id] = Doors(broker, self._logins, self._journal, self._faults)
        doors.add(spec)

    def _join(self, ids: Iterable[int], spec: ClusterSpec) -> Sequence[ClusterBroker]:
        """Have more brokers, which are what they are to be from the start; where one gets no port, none."""
        joined: list[ClusterBroker] = []
        try:
            for broker_id in ids:
                joined.append(self.cluster.add_broker(broker_id))
                self._listen(joined[-1], spec)
                self._change(joined[-1], spec)
        except OSError:
            self._remove(broker.id for broker in joined)
            raise
        return joined

    def _remove(self, ids: Iterable[int]) -> None:
        """Have brokers leave that hold nothing."""
        for broker_id in ids:
            self.cluster.remove_broker(broker_id)
            if broker_id in self._doors:
                self._doors.pop(broker_id).release()

    def _restart(self, broker: ClusterBroker, spec: ClusterSpec) -> None:
        """Restart a broker as what a spec says; it is in sync when that returns."""
        self.stop_broker(broker.id)
        self._change(broker, spec)
        self.start_broker(broker.id)

    def _change(self, broker: ClusterBroker, spec: ClusterSpec) -> None:
        """Have a broker be what a spec says, but for what a whole cluster agrees on."""
        broker.release = versions.release(spec.kafka_version)
        if broker.release == self.cluster.release:
            self.cluster.configs.restart(spec, broker.id)

    def _take_back(self, joined: Sequence[ClusterBroker], rolled: Sequence[ClusterBroker]) -> None:
        """Make the brokers what they were: as the spec says that the cluster still has."""
        for broker in reversed(rolled):
            with suppress(OSError):  # which made the change fail: that broker stays stopped
                self._restart(broker, self.cluster.spec)
        self._remove(broker.id for broker in joined)
        for doors in self._doors.values():
            doors.keep(self.cluster.spec)

    def _seen(self) -> Sequence[Broker]:
        """The brokers as the seam knows them."""
        brokers = self.cluster.brokers.values()
        return [Broker(broker.id, dict(broker.endpoints), broker.rack) for broker in brokers]

    def stop(self) -> None:
        """End every connection and give back every port."""
        for doors in self._doors.values():
            doors.release()
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
            self._doors[broker_id].close(graceful=graceful)

    def start_broker(self, broker_id: int) -> None:
        """Start a stopped broker again."""
        if not self.cluster.broker(broker_id).alive:
            self.cluster.start_broker(broker_id)
            try:
                self._doors[broker_id].open()
            except OSError:
                self.cluster.stop_broker(broker_id)
                raise

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
        """The last requests of each broker, and the clients that it refused, a line each."""
        seen = self._journal.requests()
        return {
            broker: "".join(
                f"{datetime.fromtimestamp(at / 1000, UTC):%H:%M:%S.%f} {text}\n"
                for at, text in sorted(
                    [
                        *((request.at, str(request)) for request in seen if request.broker == broker),
                        *self._journal.refusals(broker),
                    ],
                    key=lambda line: line[0],
                )[-lines:]
            )
            for broker in self.cluster.brokers
        }
