"""The seam between the MSK API and whatever runs the brokers.

A `Plane` says how brokers run; `Brokers` are those of one cluster. The control plane makes
`Brokers` from a `ClusterSpec`, then tells them to start, to change, to stop. Making them starts
nothing, so teardown can be armed first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from pytest_msk.brokers.auth.keys import ClusterKeys
from pytest_msk.brokers.baseline import Baseline
from pytest_msk.spec import ClusterSpec, Listener


@dataclass(frozen=True)
class Endpoint:
    """Where a listener of a broker is reached from this machine."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Broker:
    """One broker of a running cluster.

    Attributes:
        id: the broker's id, from 1.
        endpoints: listener to endpoint, for the listeners that are open now.
        rack: the availability zone id the broker stands in.
    """

    id: int
    endpoints: Mapping[Listener, Endpoint]
    rack: str

    @property
    def host(self) -> str:
        """Host of the listener for clients without credentials, or else of the plugin's own."""
        return self._plain.host

    @property
    def port(self) -> int:
        """Port of the listener for clients without credentials, or else of the plugin's own."""
        return self._plain.port

    @property
    def _plain(self) -> Endpoint:
        return self.endpoints.get("plaintext") or self.endpoints["internal"]


class Brokers(Protocol):
    """The brokers of one cluster. Every method may be called from any thread."""

    @property
    def brokers(self) -> Sequence[Broker]:
        """The brokers, by id; empty before `start` has returned and on a plane without brokers."""

    @property
    def keys(self) -> ClusterKeys:
        """The certificates: who signs them, and what the brokers show.

        Raises:
            UnsupportedOnPlaneError: the plane runs no brokers.
        """

    @property
    def network(self) -> str | None:
        """Name of the container network that the brokers are on, if there is one."""

    @property
    def endpoints_in_network(self) -> Sequence[str]:
        """``host:port`` of each broker for a client on `network`; empty without one."""

    def start(self) -> None:
        """Start all brokers and return when each answers Metadata that lists them all.

        Raises:
            BrokerStartError: a broker died or did not get ready in time; nothing is left running.
        """

    def apply(self, spec: ClusterSpec) -> None:
        """Make the running brokers what ``spec`` says, rolling where Kafka rolls.

        What can be changed over the Kafka protocol is changed so; where brokers have to restart they do
        one after the other, on their ports and with their data. New brokers get the ids after the last,
        those that go are the last ones, and must hold no partition of
        a user's topic: Kafka's own are moved away.

        Raises:
            MskError: it cannot be done, or was not done in time, or `stop` came first. The brokers are
                what they were, as far as they could be brought back to it.
        """

    def reboot(self, broker_id: int) -> None:
        """Restart one broker; return when it answers again, on the same port, with its data."""

    def stop_broker(self, broker_id: int, *, graceful: bool = True) -> None:
        """Stop one broker; its port and data stay its own.

        Args:
            broker_id: which one.
            graceful: let it hand its leaders over first; otherwise it ends as if its power was cut.
        """

    def start_broker(self, broker_id: int) -> None:
        """Start a broker that `stop_broker` stopped; return when it answers."""

    def logs(self, lines: int = 50) -> Mapping[int, str]:
        """The last lines of each broker's log, by broker id."""

    def baseline(self) -> Baseline:
        """What there is now: topics, groups, transactional ids, configurations."""

    def restore(self, baseline: Baseline) -> None:
        """Remove what there was not at a moment, set back configurations, and end every fault.

        What a test deleted, and records that it added to what there was, stay as they are.
        """

    def failures(self) -> Sequence[str]:
        """What the brokers could not serve by a fault of their own, since this was last asked."""

    def stop(self) -> None:
        """Stop everything and remove every trace.

        Safe at any time and more than once: before `start`, while `start` runs in another thread
        (which then raises), and after it failed.
        """


class Plane(Protocol):
    """A way to run brokers."""

    @property
    def name(self) -> str:
        """``docker``, ``metadata`` or ``embedded``."""

    def check(self) -> None:
        """Find out whether this plane can run here, cheaply.

        Raises:
            BackendUnavailableError: it cannot; says what was probed and what to do.
        """

    def check_spec(self, spec: ClusterSpec) -> None:
        """Find out whether this plane can run ``spec``, before anything is started.

        Raises:
            MskUsageError: it cannot (a Kafka version it does not have, say).
        """

    def brokers(self, spec: ClusterSpec, arn: str) -> Brokers:
        """The brokers for a cluster. Starts nothing.

        Raises:
            MskUsageError: as `check_spec`.
        """

    def close(self) -> None:
        """Let go of what the plane holds, and stop what is left of its clusters: the last resort."""
