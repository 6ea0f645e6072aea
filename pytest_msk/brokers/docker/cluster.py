"""The brokers of one cluster: a container for each, on a network of their own."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

from pytest_msk.brokers.baseline import Baseline
from pytest_msk.brokers.docker import baselines, engine, images, properties, pull, reaper, storage
from pytest_msk.brokers.docker.container import BrokerContainer, Stop
from pytest_msk.brokers.docker.patience import Patience
from pytest_msk.brokers.docker.threads import side_by_side
from pytest_msk.brokers.plane import Broker, Endpoint
from pytest_msk.errors import BrokerStartError, MskError, MskUsageError, UnsupportedOnPlaneError
from pytest_msk.spec import ClusterSpec, Listener

_SIGNAL_PATIENCE = 15
_LOG_LINES = 20


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
        self._spec = spec
        self._arn = arn
        self._id = arn.rpartition("/")[2]
        self._image = images.image_for(image, spec.kafka_version)
        self._checkpoint = storage.checkpoint_for(image, spec.kafka_version)
        self._kraft_uuid = storage.random_uuid()
        self._timeout = startup_timeout
        self._on_stopped = on_stopped
        self._ids = range(1, spec.brokers + 1)
        self._network = f"pytest-msk-{self._id}"
        self._hosts = [f"{self._network}-broker-{id_}" for id_ in self._ids]
        self._containers: dict[int, BrokerContainer] = {}
        self._brokers: tuple[Broker, ...] = ()
        self._running: set[int] = set()
        self._local = True  # whether the engine is on this machine
        self._began = False
        self._stopping = threading.Event()  # set by `stop`, for good
        self._giving_up = threading.Event()  # set by the first broker that fails, for the others
        self._starting = threading.Lock()

    @property
    def brokers(self) -> Sequence[Broker]:
        """The brokers, by id; empty before `start` has returned and after `stop`."""
        return self._brokers

    @property
    def network(self) -> str | None:
        """Name of the container network that the brokers are on."""
        return self._network if self._brokers else None

    @property
    def endpoints_in_network(self) -> Sequence[str]:
        """``host:port`` of each broker for a client on `network`."""
        return tuple(f"{host}:{properties.NETWORK_PORT}" for host in self._hosts) if self._brokers else ()

    def start(self) -> None:
        """Start all brokers and return when each answers Metadata that lists them all.

        Raises:
            BrokerStartError: no image, a broker that died, not ready in time, or `stop` came first.
        """
        with self._starting:
            if self._brokers:
                return
            self._giving_up.clear()
            try:
                self._prepare()
                self._bring_up()
            except BaseException as error:
                failure = self._explain(error)
                for problem in self._remove():
                    failure.add_note(problem)
                if failure is error:
                    raise
                raise failure from error

    def stop(self) -> None:
        """Stop everything and remove every trace.

        Raises:
            MskError: the engine would not, or no longer answers; what is left goes when a later run starts.
        """
        self._stopping.set()
        with self._starting:
            problems = self._remove()
        if problems:
            raise MskError(f"Cluster {self._spec.name!r} was not removed completely.\n" + "\n".join(problems))
        self._on_stopped(self)

    def apply(self, spec: ClusterSpec) -> None:
        """Refused unless nothing changes.

        Raises:
            UnsupportedOnPlaneError: something would.
        """
        if spec != self._spec:
            raise UnsupportedOnPlaneError(
                f"Cluster {self._spec.name!r} runs in containers, which pytest-msk cannot update yet. "
                "Create a cluster with the new settings instead."
            )

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
            if broker_id not in self._running:
                return
            if container.death() is None:
                container.stop_kafka(self._patience(_SIGNAL_PATIENCE), self._stop(graceful=graceful))
            self._running.discard(broker_id)

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
            if broker_id in self._running and container.death() is None:
                return
            container.start_kafka(self._patience(_SIGNAL_PATIENCE))
            self._running.add(broker_id)
            self._await_running()

    def logs(self, lines: int = 50) -> Mapping[int, str]:
        """The last lines of each broker's log, by broker id; of those that the engine still has."""
        found = {}
        for id_, container in list(self._containers.items()):
            with suppress(*engine.ENGINE_ERRORS):
                found[id_] = container.logs(lines)
        return found

    def baseline(self) -> Baseline:
        """What there is now."""
        return baselines.taken(self._bootstrap())

    def restore(self, baseline: Baseline) -> None:
        """Remove what there was not at a moment, and set back configurations."""
        baselines.restore(self._bootstrap(), baseline)

    def failures(self) -> Sequence[str]:
        """None: what goes wrong in a container is in its log."""
        return ()

    def _bootstrap(self) -> str:
        return ",".join(str(broker.endpoints["internal"]) for broker in self._brokers)

    def _prepare(self) -> None:
        """All that is done once for the cluster."""
        self._patience(math.inf).check()
        reaper.remove_leftovers()
        pull.ensure(self._image, self._spec.kafka_version, self._stopping)
        self._patience(math.inf).check()
        engine.start_ryuk()
        self._began = True
        reaper.outlives(self._kraft_uuid)
        with engine.connected() as client:
            client.client_networks_create(self._network, {"labels": self._labels()})
            self._local = engine.is_local(client)

    def _bring_up(self) -> None:
        for id_, host in zip(self._ids, self._hosts, strict=True):
            self._containers[id_] = BrokerContainer(
                id_, host, self._image, self._network, self._labels(id_), local=self._local
            )
        patience = self._patience(self._timeout)
        self._for_each(lambda container: container.start(patience))
        # Only now: a broker that looks up another's name too early remembers that there was none.
        self._for_each(lambda container: container.configure(self._settings(container), patience))
        self._for_each(lambda container: container.await_ready(self._ids, patience))
        self._running.update(self._ids)
        self._brokers = tuple(map(self._broker, self._containers.values()))

    def _settings(self, container: BrokerContainer) -> Mapping[str, bytes]:
        server = properties.server_properties(self._spec, container.id, self._hosts, container.endpoint)
        settings = {
            "server.properties": properties.render(server).encode(),
            "meta.properties": storage.meta_properties(self._kraft_uuid, container.id).encode(),
            "cluster-id": self._kraft_uuid.encode(),
        }
        return settings if self._checkpoint is None else settings | {"bootstrap.checkpoint": self._checkpoint}

    def _await_running(self) -> None:
        """Return when all brokers that run answer, or at once where too few controllers run for that."""
        running = {id_ for id_ in self._running if self._containers[id_].death() is None}
        if self._is_quorum(running):
            patience = self._patience(self._timeout)
            for id_ in running:
                self._containers[id_].await_ready(running, patience)

    def _stop(self, *, graceful: bool) -> Stop:
        if not graceful:
            return Stop.KILLED
        # Without a quorum of controllers there is nobody to hand leaders over to.
        return Stop.IN_ORDER if self._is_quorum(self._running) else Stop.QUICKLY

    def _is_quorum(self, running: set[int]) -> bool:
        controllers = properties.controller_ids(self._spec.brokers)
        return 2 * len(running.intersection(controllers)) > len(controllers)

    def _patience(self, seconds: float) -> Patience:
        return Patience(seconds, {"it was stopped": self._stopping, "another broker failed": self._giving_up})

    def _for_each(self, action: Callable[[BrokerContainer], object]) -> None:
        side_by_side(action, self._containers.values(), self._giving_up.set)

    def _broker(self, container: BrokerContainer) -> Broker:
        endpoints: dict[Listener, Endpoint] = {"internal": container.endpoint}
        if "plaintext" in self._spec.listeners:
            endpoints["plaintext"] = container.endpoint
        return Broker(container.id, endpoints, self._spec.rack(container.id))

    def _container(self, broker_id: int) -> BrokerContainer:
        if not self._brokers:
            raise MskError(f"Cluster {self._spec.name!r} does not run, so no broker of it stops or starts.")
        if broker_id not in self._containers:
            raise MskUsageError(
                f"Cluster {self._spec.name!r} has no broker {broker_id}: it has 1 to {self._spec.brokers}."
            )
        return self._containers[broker_id]

    def _labels(self, broker_id: int | None = None) -> Mapping[str, str]:
        """Of a broker's container, or of what all have in common."""
        labels = {
            reaper.RUN_ID: reaper.run_id(),
            reaper.KRAFT_UUID: self._kraft_uuid,
            "pytest-msk.cluster-id": self._id,
            "pytest-msk.cluster-arn": self._arn,
            "pytest-msk.kafka-version": self._spec.kafka_version,
        }
        if broker_id is None:
            return labels
        # Docker picks the published port after labels are fixed: `docker port NAME <plain-port>` tells it.
        plain_port = str(properties.HOST_PORT)
        return labels | {"pytest-msk.broker-id": str(broker_id), "pytest-msk.plain-port": plain_port}

    @contextmanager
    def _as_msk_error(self, what: str) -> Iterator[None]:
        try:
            yield
        except BrokerStartError as error:
            raise BrokerStartError(f"{what}: {error}{self._tails()}") from error
        except engine.ENGINE_ERRORS as error:
            raise MskError(f"{what}: the container engine says: {engine.reason(error)}") from error

    def _explain(self, error: BaseException) -> BaseException:
        """What a start that failed says to the user; the error itself where it is no failure of ours."""
        if not isinstance(error, (BrokerStartError, *engine.ENGINE_ERRORS)):
            return error
        why = str(error)
        if not isinstance(error, BrokerStartError):
            why = f"the container engine says: {engine.reason(error)}"
        progress = "".join(f"\n  broker {id_}: {c.progress}" for id_, c in self._containers.items())
        return BrokerStartError(
            f"Cluster {self._spec.name!r} ({self._image}) did not start: {why}{progress}{self._tails()}"
        )

    def _tails(self) -> str:
        """The ends of the brokers' logs, as a message's last part."""
        return "".join(
            f"\nLast lines of broker {id_}'s log:\n{log.rstrip()}"
            for id_, log in self.logs(_LOG_LINES).items()
            if log.strip()
        )

    def _remove(self) -> list[str]:
        """Remove all there is; returns what went wrong."""
        if not self._began:
            return []
        self._brokers = ()
        self._running.clear()
        problems: list[str] = []
        side_by_side(lambda container: problems.extend(container.remove()), self._containers.values())
        try:
            # The network, and what an interrupted start made without our getting hold of it.
            with engine.connected(timeout=engine.TEARDOWN_PATIENCE) as client:
                reaper.remove_labelled(client, f"{reaper.KRAFT_UUID}={self._kraft_uuid}")
        except engine.ENGINE_ERRORS as error:
            problems.append(f"Network {self._network}: {engine.reason(error)}")
        if not problems:
            self._containers.clear()
            self._began = False
            reaper.is_removed(self._kraft_uuid)
        return problems
