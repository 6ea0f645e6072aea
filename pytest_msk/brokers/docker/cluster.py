"""The brokers of one cluster: a container for each, on a network of their own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace

from pytest_msk.brokers.admin import Resource
from pytest_msk.brokers.baseline import Baseline
from pytest_msk.brokers.docker import baselines, engine, properties
from pytest_msk.brokers.docker.container import BrokerContainer
from pytest_msk.brokers.docker.fleet import Fleet, explained
from pytest_msk.brokers.docker.rolling import Update
from pytest_msk.brokers.plane import Broker
from pytest_msk.errors import BrokerStartError, MskError, MskUsageError
from pytest_msk.spec import ClusterSpec

_OF_ALL = Resource.broker(None)
"""In a baseline: the settings of all brokers."""


class DockerBrokers:
    """The brokers of one cluster, in containers.

    Args:
        spec: what they should be.
        arn: the cluster's ARN, whose last part names containers and network.
        image: image template.
        startup_timeout: seconds for `start`, the pull of an image not counted.
        on_stopped: called when nothing is left.
    """

    def __init__(
        self,
        spec: ClusterSpec,
        arn: str,
        image: str,
        *,
        startup_timeout: float,
        on_stopped: Callable[[DockerBrokers], None],
    ) -> None:
        self._fleet = Fleet(spec, arn, image, timeout=startup_timeout)
        self._on_stopped = on_stopped
        self._brokers: tuple[Broker, ...] = ()
        self._changing = threading.Lock()

    @property
    def brokers(self) -> Sequence[Broker]:
        """The brokers, by id; empty before `start` has returned and after `stop`."""
        return self._brokers

    @property
    def network(self) -> str | None:
        """Name of the container network that the brokers are on."""
        return self._fleet.network if self._brokers else None

    @property
    def endpoints_in_network(self) -> Sequence[str]:
        """``host:port`` of each broker for a client on `network`."""
        return tuple(f"{self._fleet.host(broker.id)}:{properties.NETWORK_PORT}" for broker in self._brokers)

    def start(self) -> None:
        """Start all brokers and return when each answers Metadata that lists them all.

        Raises:
            BrokerStartError: no image, a broker that died, not ready in time, or `stop` came first.
        """
        fleet = self._fleet
        with self._changing:
            if self._brokers:
                return
            image = fleet.image(fleet.spec)
            try:
                fleet.prepare()
                fleet.bring_up(range(1, fleet.spec.brokers + 1), fleet.spec, image)
                self._brokers = fleet.brokers()
            except BaseException as error:
                failure = explained(f"Cluster {fleet.spec.name!r} ({image}) did not start", error, fleet)
                for problem in fleet.remove():
                    failure.add_note(problem)
                if failure is error:
                    raise
                raise failure from error

    def stop(self) -> None:
        """Stop everything and remove every trace.

        Raises:
            MskError: the engine would not, or no longer answers; what is left goes when a later run starts.
        """
        self._fleet.stopping.set()
        with self._changing:
            self._brokers = ()
            problems = self._fleet.remove()
        if problems:
            name = self._fleet.spec.name
            raise MskError(f"Cluster {name!r} was not removed completely.\n" + "\n".join(problems))
        self._on_stopped(self)

    def apply(self, spec: ClusterSpec) -> None:
        """Make the brokers what ``spec`` says: some come or go, some settings hold at once, others by a roll.

        Raises:
            MskUsageError: it cannot be done; nothing was changed.
            MskError: a broker does not run, or the change failed and was taken back as far as possible.
        """
        with self._changing, self._as_msk_error("The cluster was not updated", tails=False):
            if not self._brokers:
                raise self._not_running()
            if spec != self._fleet.spec:
                try:
                    Update(self._fleet, spec).carry_out()
                finally:
                    with suppress(MskError, *engine.ENGINE_ERRORS):  # which would hide what failed first
                        self._brokers = self._fleet.brokers()

    def reboot(self, broker_id: int) -> None:
        """Restart one broker; return when it answers again, on the same port, with its data."""
        self.stop_broker(broker_id)
        self.start_broker(broker_id)

    def stop_broker(self, broker_id: int, *, graceful: bool = True) -> None:
        """Stop Kafka in a broker's container; the container keeps its port and data.

        Args:
            broker_id: which one.
            graceful: let it hand its leaders over first; otherwise its process is killed.

        Raises:
            MskUsageError: there is no such broker.
            MskError: it did not stop.
        """
        container = self._container(broker_id)
        with container.operation, self._as_msk_error(f"Broker {broker_id} was not stopped"):
            self._fleet.stop_kafka(broker_id, graceful=graceful)

    def start_broker(self, broker_id: int) -> None:
        """Start Kafka again in the container of a broker that was stopped; return when it answers.

        While most controllers are stopped no broker can answer: the start that makes them a majority again
        waits for all, and the starts before that one return at once.

        Raises:
            MskUsageError: there is no such broker.
            MskError: it does not answer.
        """
        container = self._container(broker_id)
        with container.operation, self._as_msk_error(f"Broker {broker_id} was not started"):
            if broker_id in self._fleet.running and container.death() is None:
                return
            self._fleet.start_kafka(broker_id)

    def logs(self, lines: int = 50) -> Mapping[int, str]:
        """The last lines of each broker's log, by broker id; of those that the engine still has."""
        return self._fleet.logs(lines)

    def baseline(self) -> Baseline:
        """What there is now."""
        found = baselines.taken(self._bootstrap())
        configs = dict(found.configs)
        if _OF_ALL in configs:
            ours = self._fleet.defaults
            configs[_OF_ALL] = {k: value for k, value in configs[_OF_ALL].items() if ours.get(k) != value}
        return replace(found, configs=configs)

    def restore(self, baseline: Baseline) -> None:
        """Remove what there was not at a moment, and set back configurations."""
        if ours := self._fleet.defaults:
            # The spec's, whenever that was: not a test's.
            of_all = {**ours, **baseline.configs.get(_OF_ALL, {})}
            baseline = replace(baseline, configs={**baseline.configs, _OF_ALL: of_all})
        baselines.restore(self._bootstrap(), baseline)

    def failures(self) -> Sequence[str]:
        """None: what goes wrong in a container is in its log."""
        return ()

    def _bootstrap(self) -> str:
        return ",".join(str(broker.endpoints["internal"]) for broker in self._brokers)

    def _container(self, broker_id: int) -> BrokerContainer:
        if not self._brokers:
            raise self._not_running()
        if broker_id not in self._fleet.containers:
            raise MskUsageError(
                f"Cluster {self._fleet.spec.name!r} has no broker {broker_id}: "
                f"it has 1 to {len(self._fleet.containers)}."
            )
        return self._fleet.containers[broker_id]

    def _not_running(self) -> MskError:
        name = self._fleet.spec.name
        return MskError(f"Cluster {name!r} does not run, so no broker of it stops, starts or changes.")

    @contextmanager
    def _as_msk_error(self, what: str, *, tails: bool = True) -> Iterator[None]:
        try:
            yield
        except BrokerStartError as error:
            if not tails:
                raise
            raise BrokerStartError(f"{what}: {error}{self._fleet.tails()}") from error
        except engine.ENGINE_ERRORS as error:
            raise MskError(f"{what}: the container engine says: {engine.reason(error)}") from error
