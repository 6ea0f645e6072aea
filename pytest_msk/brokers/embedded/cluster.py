"""The state of one embedded cluster: brokers, topics, and who coordinates what. No network in here."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Literal

from pytest_msk.brokers import versions
from pytest_msk.brokers.clock import Clock
from pytest_msk.brokers.coordination import GROUP_OFFSETS, TRANSACTION_STATE, partition_of
from pytest_msk.brokers.embedded.configs import Configs
from pytest_msk.brokers.embedded.controller import Controller
from pytest_msk.brokers.embedded.features import features
from pytest_msk.brokers.embedded.fetch_sessions import FetchSessions
from pytest_msk.brokers.embedded.groups.coordinator import Groups
from pytest_msk.brokers.embedded.quotas import Quotas
from pytest_msk.brokers.embedded.registration import NO_LEADER, Election
from pytest_msk.brokers.embedded.replicas import Partition
from pytest_msk.brokers.embedded.scram_credentials import ScramCredentials
from pytest_msk.brokers.embedded.topics import Topics, random_id
from pytest_msk.brokers.embedded.transactions import Transactions
from pytest_msk.brokers.plane import Endpoint
from pytest_msk.brokers.versions import Release
from pytest_msk.brokers.wire.errors import KafkaError
from pytest_msk.errors import MskUsageError
from pytest_msk.spec import ClusterSpec, Listener

CoordinatorKind = Literal["group", "transaction"]

_STATE_TOPICS: dict[CoordinatorKind, tuple[str, str]] = {
    "group": (GROUP_OFFSETS, "offsets.topic.num.partitions"),
    "transaction": (TRANSACTION_STATE, "transaction.state.log.num.partitions"),
}


class Broker:
    """A broker of a cluster.

    Attributes:
        cluster: the cluster.
        id: the broker's id.
        release: the release of Apache Kafka that it runs; while a cluster is upgraded brokers differ.
        rack: the availability zone id it stands in (``broker.rack``).
        alive: whether it runs.
        fenced: whether the controller counts it out. One that died is fenced when its session ends.
        unclean: whether it died the last time it stopped.
        epoch: grows with each of its registrations, over all brokers.
        endpoints: listener to where it is reached; whoever opens the listeners fills this in.
        fetch_sessions: what its clients fetch time and again; a restart forgets it.
    """

    def __init__(self, cluster: Cluster, broker_id: int, epoch: int) -> None:
        self.cluster = cluster
        self.id = broker_id
        self.release = cluster.release
        self.rack = cluster.spec.rack(broker_id)
        self.alive = True
        self.fenced = False
        self.unclean = False
        self.epoch = epoch
        self.endpoints: dict[Listener, Endpoint] = {}
        self.fetch_sessions = FetchSessions(self)

    def __repr__(self) -> str:
        return f"Broker({self.id}, alive={self.alive}, fenced={self.fenced})"


class Cluster:
    """The state of one cluster. Brokers 1 to ``spec.brokers`` are there and alive at once.

    Everything happens in the loop's thread.

    Args:
        spec: what the cluster should be.
        clock: its time.
        cluster_id: Kafka's id of it; one is made up if not given.

    Attributes:
        release: the release of Apache Kafka that it behaves as.
        features: by name, the levels of the features of that release.
        features_epoch: grows whenever these change, so that clients know which are the newest (KIP-584).
        random: what leaves things to chance; the same for every cluster of a name.
    """

    def __init__(self, spec: ClusterSpec, clock: Clock, cluster_id: str | None = None) -> None:
        self.spec = spec
        self.clock = clock
        self.id = cluster_id or base64.urlsafe_b64encode(random_id().bytes).decode().rstrip("=")
        self.release = versions.release(spec.kafka_version)
        self.features = features(self.release)
        self.features_epoch = 0
        self.random = Random(spec.name)  # noqa: S311 - nothing is kept secret by it
        self._epochs = 0
        self.brokers: dict[int, Broker] = {}
        for broker_id in range(1, spec.brokers + 1):
            self.brokers[broker_id] = Broker(self, broker_id, self._next_epoch())
        self.configs = Configs(self)
        self.controller = Controller(self)
        self.topics = Topics(self)
        self.quotas = Quotas()
        self.scram_credentials = ScramCredentials()
        self.groups = Groups(self)
        self.transactions = Transactions(self)

    @property
    def controller_id(self) -> int:
        """A live broker, -1 if there is none: whom clients are told to ask as the controller.

        Any broker forwards to the active controller, as in KRaft.
        """
        return min((broker.id for broker in self.brokers.values() if not broker.fenced), default=-1)

    @property
    def on_leaders_change(self) -> list[Callable[[Sequence[Partition]], None]]:
        """Called with the partitions that have another leader, or leader epoch, after each change."""
        return self.controller.on_leaders_change

    def setting(self, name: str) -> Any:
        """The value in effect, parsed, of a broker setting that is the same on all brokers."""
        return self.configs.broker(min(self.brokers), name)

    def close(self) -> None:
        """Let go of all that is to happen later."""
        self.controller.close()
        self.groups.close()
        self.transactions.close()

    def coordinator(self, kind: CoordinatorKind, key: str) -> int:
        """The broker that coordinates a group, or the transactions of a transactional id.

        Args:
            kind: which of both.
            key: the group's id, or the transactional id.

        Returns:
            The broker's id; -1 while there is none.
        """
        name, _ = _STATE_TOPICS[kind]
        if self.topics.get(name) is None:
            try:
                self.topics.auto_create(name)
            except KafkaError:
                return NO_LEADER  # too few brokers live, as yet
        partition = self.topics.partition(name, self.coordinator_partition(kind, key))
        return partition.leader if partition is not None else NO_LEADER

    def coordinates(self, broker: Broker, kind: CoordinatorKind, key: str) -> None:
        """Check that a broker coordinates a group or a transactional id.

        Raises:
            KafkaError: ``NOT_COORDINATOR``. So it is too where there is no coordinator at all:
                only FindCoordinator makes the topic, and says ``COORDINATOR_NOT_AVAILABLE``.
        """
        name, _ = _STATE_TOPICS[kind]
        partition = self.topics.partition(name, self.coordinator_partition(kind, key))
        if partition is None or partition.leader != broker.id:
            raise KafkaError("NOT_COORDINATOR")

    def coordinator_partition(self, kind: CoordinatorKind, key: str) -> int:
        """Which partition of ``__consumer_offsets`` or ``__transaction_state`` a key falls to."""
        name, setting = _STATE_TOPICS[kind]
        topic = self.topics.get(name)
        count = self.setting(setting) if topic is None else len(topic.partitions)
        return partition_of(key, int(count))

    def broker(self, broker_id: int) -> Broker:
        """A broker of the cluster, stopped or not.

        Raises:
            MskUsageError: there is no such broker.
        """
        try:
            return self.brokers[broker_id]
        except KeyError:
            known = ", ".join(map(str, self.brokers))
            raise MskUsageError(
                f"Cluster {self.spec.name!r} has no broker {broker_id}: it has {known}."
            ) from None

    def stop_broker(self, broker_id: int, *, graceful: bool = True) -> None:
        """Stop a broker. Nothing happens if it is stopped.

        Args:
            broker_id: which.
            graceful: by a controlled shutdown: others lead at once what it led. Otherwise it dies:
                until its session ends (``broker.session.timeout.ms``) it stays leader and in sync.

        Raises:
            MskUsageError: there is no such broker.
        """
        broker = self.broker(broker_id)
        if not broker.alive:
            return
        if graceful:
            self.controller.fence(broker)
        else:
            self.controller.lose(broker)
        broker.alive = False
        broker.unclean = not graceful

    def start_broker(self, broker_id: int) -> None:
        """Start a broker that is stopped, with its data. Nothing happens if it runs.

        Real brokers wait for the end of the session in which they died; here it ends at once.

        Raises:
            MskUsageError: there is no such broker.
        """
        broker = self.broker(broker_id)
        if broker.alive:
            return
        broker.alive = True
        broker.epoch = self._next_epoch()
        broker.fetch_sessions = FetchSessions(broker)
        self.controller.register(broker)

    def add_broker(self, broker_id: int) -> Broker:
        """Have one more broker, which holds nothing yet.

        Raises:
            MskUsageError: there is one of that id.
        """
        if broker_id in self.brokers:
            raise MskUsageError(f"Cluster {self.spec.name} has a broker {broker_id} already.")
        broker = Broker(self, broker_id, self._next_epoch())
        self.brokers[broker_id] = broker
        self.controller.register(broker)
        return broker

    def remove_broker(self, broker_id: int) -> None:
        """Stop a broker in good order, and forget it: its replicas are offline from then on.

        Raises:
            MskUsageError: there is no such broker, or no other.
        """
        broker = self.broker(broker_id)
        if len(self.brokers) == 1:
            raise MskUsageError(f"Broker {broker_id} is the last of cluster {self.spec.name}.")
        self.controller.fence(broker)
        broker.alive = False
        self.configs.forget_broker(broker_id)
        del self.brokers[broker_id]

    def check_upgrade(self, release: Release) -> None:
        """Make sure that brokers can go on with a release.

        Raises:
            MskUsageError: it is older than theirs.
        """
        if release < self.release:
            now, then = (".".join(map(str, each)) for each in (self.release, release))
            raise MskUsageError(
                f"Cluster {self.spec.name!r} runs Kafka {now}; brokers cannot go back to {then}."
            )

    def become(self, spec: ClusterSpec) -> None:
        """Go on as what its brokers are by now; with all features of their release, if that is a new one."""
        self.spec = spec
        release = versions.release(spec.kafka_version)
        if release == self.release:
            self.configs.restart(spec)
            return
        self.release = release
        self.features = features(release)
        self.features_epoch += 1
        for partition in self.topics.partitions():
            partition.log.upgraded()
        self.configs.upgrade(spec)

    def move_leader(self, topic: str, partition: int, broker_id: int) -> None:
        """Make a broker the leader of a partition, and the preferred one.

        The broker becomes the first replica, in place of the leader if it had none: a reassignment
        and the election of the preferred leader.

        Raises:
            MskUsageError: there is no such broker or partition, or the broker cannot lead now.
        """
        broker = self.broker(broker_id)
        found = self.topics.partition(topic, partition)
        if found is None:
            raise MskUsageError(f"Cluster {self.spec.name} has no partition {topic}-{partition}.")
        if not broker.alive or found.leader == NO_LEADER or found.registration.reassigning:
            raise self._cannot_lead(found, broker)
        gone = broker_id if broker_id in found.replicas else found.leader
        others = [replica for replica in found.replicas if replica != gone]
        self.controller.reassign(found, [broker_id, *others])
        self.controller.catch_up([found])
        if found.leader != broker_id:
            try:
                self.controller.elect(found, Election.PREFERRED)
            except KafkaError:
                raise self._cannot_lead(found, broker) from None

    def move_coordinator(self, group: str, broker_id: int) -> None:
        """Make a broker the coordinator of a group, and of all groups of the same partition.

        Raises:
            MskUsageError: there is no such broker, or it cannot coordinate now.
        """
        self.coordinator("group", group)
        self.move_leader(GROUP_OFFSETS, self.coordinator_partition("group", group), broker_id)

    def _cannot_lead(self, partition: Partition, broker: Broker) -> MskUsageError:
        name = f"{partition.topic.name}-{partition.id}"
        if not broker.alive:
            why = "it is stopped"
        elif partition.leader == NO_LEADER:
            why = f"{name} has no leader to take over from"
        elif partition.registration.reassigning:
            why = f"{name} is being reassigned"
        else:
            why = f"it is not in sync, and its leader, broker {partition.leader}, is down"
        return MskUsageError(f"Broker {broker.id} cannot lead {name} now: {why}.")

    def _next_epoch(self) -> int:
        self._epochs += 1
        return self._epochs
