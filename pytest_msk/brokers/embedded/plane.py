"""The embedded plane."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pytest_msk.brokers import versions
from pytest_msk.brokers.auth.keys import ClusterKeys
from pytest_msk.brokers.auth.logins import Logins
from pytest_msk.brokers.baseline import Baseline
from pytest_msk.brokers.embedded.host import Host, ProcessHost, ThreadHost
from pytest_msk.brokers.plane import Broker
from pytest_msk.errors import BrokerStartError, MskError
from pytest_msk.spec import ClusterSpec


class EmbeddedPlane:
    """Runs brokers in this process, or in a child process.

    Args:
        process: whether in a child process, even where a thread would do.
    """

    name = "embedded"

    def __init__(self, *, process: bool = False) -> None:
        self._process = process
        self._host: Host | None = None
        self._clusters: set[EmbeddedBrokers] = set()
        self._lock = threading.Lock()

    def check(self) -> None:
        """Always passes: nothing but Python is needed."""

    def check_spec(self, spec: ClusterSpec) -> None:
        """Make sure that the version is one that the brokers can look like.

        Raises:
            MskUsageError: it is not.
        """
        versions.release(spec.kafka_version)

    def brokers(self, spec: ClusterSpec, arn: str) -> EmbeddedBrokers:
        """The brokers for a cluster.

        Raises:
            MskUsageError: as `check_spec`.
        """
        self.check_spec(spec)
        cluster = EmbeddedBrokers(spec, Logins.of(spec.name, arn), self._hosted, self._forget)
        with self._lock:
            self._clusters.add(cluster)
        return cluster

    def close(self) -> None:
        """Stop what clusters are left, and let go of the thread or process."""
        with self._lock:
            clusters, self._clusters = self._clusters, set()
        for cluster in clusters:
            cluster.stop()
        with self._lock:
            host, self._host = self._host, None
        if host is not None:
            host.end()

    def _hosted(self) -> Host:
        with self._lock:
            if self._host is None:
                self._host = ProcessHost() if self._process or _threads_are_greenlets() else ThreadHost()
            return self._host

    def _forget(self, cluster: EmbeddedBrokers) -> None:
        with self._lock:
            self._clusters.discard(cluster)


def _threads_are_greenlets() -> bool:
    """Whether gevent has patched threads: clients that block would stop the brokers they wait for."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))


class EmbeddedBrokers:
    """The brokers of one embedded cluster.

    Args:
        spec: what they should be.
        logins: what clients prove themselves with.
        host: gives what runs them.
        on_stopped: called when nothing is left.
    """

    network: str | None = None
    endpoints_in_network: Sequence[str] = ()

    def __init__(
        self,
        spec: ClusterSpec,
        logins: Logins,
        host: Callable[[], Host],
        on_stopped: Callable[[EmbeddedBrokers], None],
    ) -> None:
        self._spec = spec
        self._logins = logins
        self._hosted = host
        self._on_stopped = on_stopped
        self._host: Host | None = None
        self._number = 0
        self._brokers: tuple[Broker, ...] = ()
        self._stopped = False
        self._lock = threading.Lock()

    @property
    def keys(self) -> ClusterKeys:
        """The certificates: who signs them, and what the brokers show."""
        return self._logins.keys

    @property
    def brokers(self) -> Sequence[Broker]:
        """The brokers, by id; empty before `start` has returned and after `stop`."""
        return self._brokers

    def start(self) -> None:
        """Start all brokers.

        Raises:
            BrokerStartError: `stop` came first, or no port is free.
        """
        with self._lock:
            if self._brokers:
                return
            if self._stopped:
                raise BrokerStartError(f"Cluster {self._spec.name!r} did not start: it was stopped.")
            self._host = self._hosted()
            self._number = self._host.call("make", self._spec, self._logins)
            try:
                self._brokers = tuple(self._host.call("call", self._number, "start"))
            except OSError as error:
                self._host.call("stop", self._number)
                raise BrokerStartError(f"Cluster {self._spec.name!r} did not start: {error}") from error

    def stop(self) -> None:
        """Stop all brokers, and give back their ports."""
        with self._lock:
            self._stopped = True
            self._brokers = ()
            host, self._host = self._host, None
            if host is not None and not host.inherited:
                host.call("stop", self._number)
        self._on_stopped(self)

    def apply(self, spec: ClusterSpec) -> None:
        """Make the brokers what a spec says.

        Raises:
            MskUsageError: the Kafka version is older than theirs, or there are no brokers of it, or a broker
                that is to leave holds replicas.
            BrokerStartError: no broker would start with the configuration, or there is no port for one.
            MskError: a broker is stopped, or the cluster does not run any more.
        """
        with self._lock:
            if not self._brokers:
                raise self._not_running()
            try:
                self._brokers = tuple(self.call("apply", spec))
            except OSError as error:
                raise BrokerStartError(f"Cluster {self._spec.name!r} did not change: {error}") from error
            self._spec = spec

    def reboot(self, broker_id: int) -> None:
        """Restart one broker; it keeps its port and its data.

        Raises:
            MskUsageError: there is no such broker.
        """
        self.call("reboot", broker_id)

    def stop_broker(self, broker_id: int, *, graceful: bool = True) -> None:
        """Stop one broker; it keeps its port and its data.

        Raises:
            MskUsageError: there is no such broker.
        """
        self.call("stop_broker", broker_id, graceful=graceful)

    def start_broker(self, broker_id: int) -> None:
        """Start a broker that was stopped.

        Raises:
            MskUsageError: there is no such broker.
        """
        self.call("start_broker", broker_id)

    def logs(self, lines: int = 50) -> Mapping[int, str]:
        """The last requests of each broker, by broker id."""
        found: Mapping[int, str] = self.call("logs", lines) if self._brokers else {}
        return found

    def baseline(self) -> Baseline:
        """What there is now."""
        found: Baseline = self.call("baseline")
        return found

    def restore(self, baseline: Baseline) -> None:
        """Remove what there was not at a moment, set back configurations, and end every fault."""
        self.call("restore", baseline)

    def failures(self) -> Sequence[str]:
        """The requests that ended in an exception, of the brokers' or of a hook, since last asked."""
        found: Sequence[str] = self.call("take_failures") if self._brokers else ()
        return found

    def call(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """Call a method of the `RunningCluster`, wherever that is.

        Raises:
            MskError: the cluster does not run.
        """
        host = self._host
        if host is None:
            raise self._not_running()
        return host.call("call", self._number, method, *args, **kwargs)

    def _not_running(self) -> MskError:
        return MskError(f"Cluster {self._spec.name!r} does not run.")
