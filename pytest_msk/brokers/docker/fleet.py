"""The containers of one cluster: what they have in common, and how they come, run and go."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace

from pytest_msk.brokers.auth.keys import ClusterKeys
from pytest_msk.brokers.auth.logins import Logins
from pytest_msk.brokers.docker import engine, images, listeners, properties, pull, reaper, storage
from pytest_msk.brokers.docker.container import BrokerContainer, Stop
from pytest_msk.brokers.docker.listeners import Doors
from pytest_msk.brokers.docker.patience import Patience
from pytest_msk.brokers.docker.threads import side_by_side
from pytest_msk.brokers.plane import Broker, Endpoint
from pytest_msk.errors import BrokerStartError
from pytest_msk.spec import CLIENT_LISTENERS, ClusterSpec, Listener

SIGNAL_PATIENCE = 15
"""Seconds for Kafka to stop, or to begin to start."""

_LOG_LINES = 20

# For how long Java remembers addresses, in seconds: a broker in a new container has another one, and the name
# of one that is not there yet has none.
_JAVA_SECURITY = b"networkaddress.cache.ttl=1\nnetworkaddress.cache.negative.ttl=0\n"


class Fleet:
    """The containers of one cluster.

    Args:
        spec: what the brokers should be at first.
        arn: the cluster's ARN, whose last part names containers and network.
        template: image template.
        timeout: seconds for brokers to get ready.
        make_doors: makes what stands in front of the brokers where IAM is a way in.

    Attributes:
        spec: what the brokers are.
        network: name of the container network.
        containers: by broker id.
        running: ids of the brokers whose Kafka runs, or died without being told to.
        defaults: settings that were changed on all brokers over the Kafka protocol since they started, which
            start with the same in their own files the next time.
        stopping: set once the cluster is to go; every wait ends then.
    """

    def __init__(
        self,
        spec: ClusterSpec,
        arn: str,
        template: str,
        *,
        timeout: float,
        make_doors: Callable[[Logins], Doors],
    ) -> None:
        self.spec = spec
        self.network = f"pytest-msk-{arn.rpartition('/')[2]}"
        self.containers: dict[int, BrokerContainer] = {}
        self.running: set[int] = set()
        self.defaults: Mapping[str, str] = {}
        self.stopping = threading.Event()
        self._giving_up = threading.Event()  # set by the first broker that fails, for the others
        self._arn = arn
        self._template = template
        self._timeout = timeout
        self._make_doors = make_doors
        self._doors: Doors | None = None  # while IAM is, or becomes, or was until now, a way in
        self._logins: Logins | None = None
        self._lock = threading.Lock()  # of these two
        self._kraft_uuid = storage.random_uuid()
        # The quorum of controllers is what it was at the start, however many brokers come and go.
        self._voters = {id_: self.host(id_) for id_ in properties.controller_ids(spec.brokers)}
        self._local = True  # whether the engine is on this machine
        self._began = False

    @property
    def voters(self) -> Collection[int]:
        """Ids of the brokers that are controllers as well."""
        return self._voters.keys()

    @property
    def bootstrap(self) -> str:
        """Where brokers are asked from this machine."""
        return ",".join(str(container.endpoint) for container in self.containers.values())

    @property
    def logins(self) -> Logins:
        """What clients prove themselves with. Asks the engine where it is when this is first asked.

        Raises:
            OSError: the engine does not answer, as others of `engine.ENGINE_ERRORS`.
        """
        with self._lock:
            return self._known_logins()

    def host(self, broker_id: int) -> str:
        """The name of a broker on the container network."""
        return f"{self.network}-broker-{broker_id}"

    def image(self, spec: ClusterSpec) -> str:
        """The image that runs what a spec says."""
        return images.image_for(self._template, spec.kafka_version)

    def patience(self, seconds: float | None = None) -> Patience:
        """To wait for so many seconds, or for as long as brokers may take to get ready."""
        interruptions = {"it was stopped": self.stopping, "another broker failed": self._giving_up}
        return Patience(self._timeout if seconds is None else seconds, interruptions)

    def prepare(self) -> None:
        """Do what is done once for the cluster."""
        self.patience(math.inf).check()
        reaper.remove_leftovers()
        self.pull(self.spec)
        engine.start_ryuk()
        self._began = True
        reaper.outlives(self._kraft_uuid)
        with engine.connected() as client:
            client.client_networks_create(self.network, {"labels": self._labels(self.spec)})
            self._local = engine.is_local(client)

    def pull(self, spec: ClusterSpec) -> None:
        """Get the image for what a spec says, unless it is there."""
        pull.ensure(self.image(spec), spec.kafka_version, self.stopping)
        self.patience(math.inf).check()

    def bring_up(self, ids: Iterable[int], spec: ClusterSpec, image: str) -> None:
        """Start brokers; return when each answers Metadata that lists them and those that run.

        Args:
            ids: of the brokers that come.
            spec: what they are to be.
            image: what they run.
        """
        coming = [
            BrokerContainer(
                id_, self.host(id_), image, self.network, self._labels(spec, id_), local=self._local
            )
            for id_ in ids
        ]
        self.containers.update({container.id: container for container in coming})
        patience = self.patience()
        self._for_each(coming, lambda container: container.start(patience))
        # Only now: a broker that looks up another's name too early remembers that there was none.
        self._for_each(coming, lambda container: container.configure(self.files(container, spec), patience))
        expected = self.running.union(container.id for container in coming)
        asked = [self.containers[id_] for id_ in expected]
        self._for_each(asked, lambda container: container.await_ready(expected, patience))
        self.running.update(expected)
        self.lead((container.id for container in coming), spec)

    def lead(self, ids: Iterable[int], spec: ClusterSpec) -> None:
        """Have the doors of brokers lead to them, where a spec opens any."""
        if self._doors is not None and "iam" in spec.listeners:
            for id_ in ids:
                self._doors.lead(id_, self.containers[id_].endpoints["iam"])

    def close_doors(self, *, unless: Collection[Listener] = ()) -> None:
        """Close the doors, unless IAM is among the listeners that are open."""
        with self._lock:
            if self._doors is not None and "iam" not in unless:
                self._doors.close()
                self._doors = None

    def properties(self, container: BrokerContainer, spec: ClusterSpec) -> Mapping[str, str]:
        """The ``server.properties`` of a broker."""
        authorities: list[str] = []
        if listeners.wants_certificates(spec):
            authorities += [self.logins.keys.authority.pem.decode("ascii"), *spec.client_authorities]
        return properties.server_properties(
            spec,
            container.id,
            container.name,
            self._voters,
            self._advertised(container, spec),
            authorities=authorities,
        )

    def files(self, container: BrokerContainer, spec: ClusterSpec) -> Mapping[str, bytes]:
        """What a broker's container is given to start Kafka with."""
        files = {
            "server.properties": properties.render(self.properties(container, spec)).encode(),
            "meta.properties": storage.meta_properties(self._kraft_uuid, container.id).encode(),
            "cluster-id": self._kraft_uuid.encode(),
            "java.security": _JAVA_SECURITY,
            **listeners.keystore(spec, lambda: self.logins.keys),
        }
        checkpoint = storage.checkpoint_for(self._template, spec.kafka_version)
        return files if checkpoint is None else files | {"bootstrap.checkpoint": checkpoint}

    def stop_kafka(self, broker_id: int, *, graceful: bool) -> None:
        """Stop Kafka in a broker's container, unless it does not run; the container stays."""
        container = self.containers[broker_id]
        if broker_id in self.running and container.death() is None:
            container.stop_kafka(self.patience(SIGNAL_PATIENCE), self._stop(graceful=graceful))
        self.running.discard(broker_id)

    def start_kafka(self, broker_id: int) -> None:
        """Start Kafka again in a broker's container; return when all that run answer.

        Returns at once where too few controllers run for that.
        """
        self.containers[broker_id].start_kafka(self.patience(SIGNAL_PATIENCE))
        self.running.add(broker_id)
        self._await_running()

    def move(self, broker_id: int, spec: ClusterSpec, image: str) -> None:
        """Put a broker whose Kafka is stopped into a container of another image, and start it there."""
        container = self.containers[broker_id]
        patience = self.patience()
        container.replace(image, self._labels(spec, broker_id), patience)
        container.configure(self.files(container, spec), patience)
        self.running.add(broker_id)
        self._await_running()

    def drop(self, broker_id: int) -> list[str]:
        """Remove a broker's container and data; tells what failed."""
        self.running.discard(broker_id)
        return self.containers.pop(broker_id).remove()

    def not_alive(self) -> list[int]:
        """Ids of the brokers that were stopped, or died."""
        return [
            id_
            for id_, each in self.containers.items()
            if id_ not in self.running or each.death() is not None
        ]

    def brokers(self) -> tuple[Broker, ...]:
        """The brokers, by id."""
        return tuple(self._broker(self.containers[id_]) for id_ in sorted(self.containers))

    def logs(self, lines: int) -> Mapping[int, str]:
        """The last lines of each broker's log, by broker id; of those that the engine still has."""
        found = {}
        for id_, container in list(self.containers.items()):
            with suppress(*engine.ENGINE_ERRORS):
                found[id_] = container.logs(lines)
        return found

    def tails(self) -> str:
        """The ends of the brokers' logs, as a message's last part."""
        return "".join(
            f"\nLast lines of broker {id_}'s log:\n{log.rstrip()}"
            for id_, log in self.logs(_LOG_LINES).items()
            if log.strip()
        )

    def progress(self) -> str:
        """How far each broker got, a line each, as a part of a message."""
        return "".join(f"\n  broker {id_}: {c.progress}" for id_, c in self.containers.items())

    def remove(self) -> list[str]:
        """Remove all there is; returns what went wrong."""
        self.close_doors()
        if not self._began:
            return []
        self.running.clear()
        problems: list[str] = []
        side_by_side(lambda container: problems.extend(container.remove()), self.containers.values())
        try:
            # The network, and what an interrupted start made without our getting hold of it.
            with engine.connected(timeout=engine.TEARDOWN_PATIENCE) as client:
                reaper.remove_labelled(client, f"{reaper.KRAFT_UUID}={self._kraft_uuid}")
        except engine.ENGINE_ERRORS as error:
            problems.append(f"Network {self.network}: {engine.reason(error)}")
        if not problems:
            self.containers.clear()
            self._began = False
            reaper.is_removed(self._kraft_uuid)
        return problems

    def _await_running(self) -> None:
        running = {id_ for id_ in self.running if self.containers[id_].death() is None}
        if self._is_quorum(running):
            patience = self.patience()
            for id_ in running:
                self.containers[id_].await_ready(running, patience)

    def _stop(self, *, graceful: bool) -> Stop:
        if not graceful:
            return Stop.KILLED
        # Without a quorum of controllers there is nobody to hand leaders over to.
        return Stop.IN_ORDER if self._is_quorum(self.running) else Stop.QUICKLY

    def _is_quorum(self, running: Collection[int]) -> bool:
        return 2 * len(set(running).intersection(self.voters)) > len(self.voters)

    def _for_each(
        self, containers: Iterable[BrokerContainer], action: Callable[[BrokerContainer], object]
    ) -> None:
        try:
            side_by_side(action, containers, self._giving_up.set)
        finally:
            self._giving_up.clear()

    def _broker(self, container: BrokerContainer) -> Broker:
        return Broker(container.id, self._advertised(container, self.spec), self.spec.rack(container.id))

    def _advertised(self, container: BrokerContainer, spec: ClusterSpec) -> Mapping[Listener, Endpoint]:
        """The listeners that a spec opens, each with where clients find it."""
        found: dict[Listener, Endpoint] = {"internal": container.endpoint}
        for name in CLIENT_LISTENERS:
            if name in spec.listeners:
                iam = name == "iam"
                found[name] = self._door(container.id) if iam else container.endpoints[name]
        return found

    def _door(self, broker_id: int) -> Endpoint:
        """Where a broker's door is; all are made with the first."""
        with self._lock:
            if self._doors is None:
                self._doors = self._make_doors(self._known_logins())
            return self._doors.address(broker_id)

    def _known_logins(self) -> Logins:
        if self._logins is None:
            keys = ClusterKeys(self.spec.name, [engine.published_host()])
            self._logins = replace(Logins.of(self.spec.name, self._arn), keys=keys)
        return self._logins

    def _labels(self, spec: ClusterSpec, broker_id: int | None = None) -> Mapping[str, str]:
        """Of a broker's container, or of what all have in common."""
        labels = {
            reaper.RUN_ID: reaper.run_id(),
            reaper.KRAFT_UUID: self._kraft_uuid,
            "pytest-msk.cluster-id": self._arn.rpartition("/")[2],
            "pytest-msk.cluster-arn": self._arn,
            "pytest-msk.kafka-version": spec.kafka_version,
        }
        if broker_id is None:
            return labels
        # Docker picks the published port after labels are fixed: `docker port NAME <plain-port>` tells it.
        plain_port = str(listeners.PUBLISHED["plaintext"].port)
        return labels | {"pytest-msk.broker-id": str(broker_id), "pytest-msk.plain-port": plain_port}


def explained(what: str, error: BaseException, fleet: Fleet) -> BaseException:
    """What a failure says to the user; the error itself where it is no failure of ours."""
    if isinstance(error, BrokerStartError):
        why = str(error)
    elif isinstance(error, engine.ENGINE_ERRORS):
        why = f"the container engine says: {engine.reason(error)}"
    else:
        return error
    return BrokerStartError(f"{what}: {why}{fleet.progress()}{fleet.tails()}")
