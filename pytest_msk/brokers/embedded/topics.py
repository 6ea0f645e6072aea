"""The topics of a cluster: their names, ids and partitions, and how they come and go."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from pytest_msk.brokers.coordination import GROUP_OFFSETS, TRANSACTION_STATE
from pytest_msk.brokers.embedded.placement import Usable, place
from pytest_msk.brokers.embedded.registration import Registration
from pytest_msk.brokers.embedded.replicas import Partition
from pytest_msk.brokers.wire.errors import KafkaError
from pytest_msk.brokers.wire.message import Message

if TYPE_CHECKING:
    from pytest_msk.brokers.embedded.cluster import Cluster

SHARE_GROUP_STATE = "__share_group_state"
METADATA_LOG = "__cluster_metadata"
INTERNAL = frozenset({GROUP_OFFSETS, TRANSACTION_STATE, SHARE_GROUP_STATE})

BROKER_DEFAULT = -1
"""Number of partitions or replicas: as many as the brokers are set to give (KIP-464)."""

_LONGEST_NAME = 249
_NAME = re.compile(r"[a-zA-Z0-9._-]+", re.ASCII)


def cut(name: str) -> str:
    """A name that a client made up, short enough to be told in an error text, which is a Kafka string."""
    return name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}…"


def check_name(name: str) -> None:
    """Check that Kafka takes a name for a topic's.

    Raises:
        KafkaError: ``INVALID_TOPIC_EXCEPTION``; says why.
    """
    if not name:
        problem = "it is empty"
    elif name in {".", ".."}:
        problem = f"'{name}' is not allowed"
    elif len(name) > _LONGEST_NAME:
        problem = f"'{cut(name)}' has more than {_LONGEST_NAME} characters"
    elif not _NAME.fullmatch(name):
        problem = f"'{name}' has characters other than ASCII letters, digits, '.', '_' and '-'"
    else:
        return
    raise KafkaError("INVALID_TOPIC_EXCEPTION", f"Topic name is invalid: {problem}")


class Topic:
    """A topic.

    Attributes:
        cluster: the cluster that has it.
        name: its name.
        id: Kafka's id of it; a topic made again under the same name has another.
        partitions: its partitions, each at the place of its number.
        configs: the settings that it overrides, name to value as text.
        described: answers about it that hold until one of its partitions changes.
    """

    def __init__(self, cluster: Cluster, name: str, configs: Mapping[str, str]) -> None:
        self.cluster = cluster
        self.name = name
        self.id = random_id()
        self.partitions: list[Partition] = []
        self.configs = dict(configs)
        self.described: dict[Hashable, Message] = {}

    def __repr__(self) -> str:
        return f"Topic({self.name!r}, {len(self.partitions)} partitions)"

    @property
    def internal(self) -> bool:
        """Whether it is one that Kafka keeps for itself."""
        return self.name in INTERNAL

    @property
    def replication_factor(self) -> int:
        """Number of replicas of its first partition, by which Kafka goes for new ones."""
        return len(self.partitions[0].replicas)


class Topics:
    """The topics of a cluster.

    Attributes:
        on_change: called after a topic was made or deleted, or got more partitions.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._by_name: dict[str, Topic] = {}
        self._by_id: dict[uuid.UUID, Topic] = {}
        self.on_change: list[Callable[[], None]] = []

    def get(self, name: str) -> Topic | None:
        """The topic of a name, if there is one."""
        return self._by_name.get(name)

    def by_id(self, topic_id: uuid.UUID) -> Topic | None:
        """The topic that has an id, if there is one."""
        return self._by_id.get(topic_id)

    def partition(self, name: str, number: int) -> Partition | None:
        """A partition of a topic, if there is such a one."""
        topic = self._by_name.get(name)
        if topic is None or not 0 <= number < len(topic.partitions):
            return None
        return topic.partitions[number]

    def all(self) -> list[Topic]:
        """All topics, Kafka's own too, in the order in which they were made."""
        return list(self._by_name.values())

    def partitions(self) -> Iterator[Partition]:
        """All partitions of all topics."""
        for topic in self._by_name.values():
            yield from topic.partitions

    def create(
        self,
        name: str,
        *,
        partitions: int = BROKER_DEFAULT,
        replication_factor: int = BROKER_DEFAULT,
        assignments: Mapping[int, Sequence[int]] | None = None,
        configs: Mapping[str, str | None] | None = None,
        validate_only: bool = False,
    ) -> Topic:
        """Make a topic, checking what `ReplicationControlManager` checks, in its order.

        Args:
            name: its name.
            partitions: number of partitions; -1 for ``num.partitions``.
            replication_factor: replicas of each; -1 for ``default.replication.factor``.
            assignments: partition number to the ids of its replicas, in place of both of these.
            configs: the settings that it overrides.
            validate_only: check all, but make nothing: the topic that it would be is returned.

        Raises:
            KafkaError: with the error that Kafka answers.
        """
        check_name(name)
        self._check_collision(name)
        if name in self._by_name:
            raise KafkaError("TOPIC_ALREADY_EXISTS", f"Topic '{name}' already exists.")
        overrides = self._checked_configs(configs or {})
        if assignments:
            replicas = self._assigned(partitions, replication_factor, assignments)
        else:
            replicas = self._placed(partitions, replication_factor)
        topic = Topic(self._cluster, name, overrides)
        self._add(topic, replicas)
        if not validate_only:
            self._by_name[name] = topic
            self._by_id[topic.id] = topic
            self._cluster.controller.created(topic.partitions)
            self._changed()
        return topic

    def add_partitions(
        self,
        name: str,
        total: int,
        *,
        assignments: Sequence[Sequence[int]] | None = None,
        validate_only: bool = False,
    ) -> None:
        """Give a topic more partitions.

        Args:
            name: the topic's name.
            total: how many it is to have.
            assignments: the replicas of each new one; None to have them placed.
            validate_only: check all, but change nothing.

        Raises:
            KafkaError: with the error that Kafka answers.
        """
        topic = self._by_name.get(name)
        if topic is None:
            raise KafkaError("UNKNOWN_TOPIC_OR_PARTITION", f"There is no topic '{cut(name)}'.")
        present = len(topic.partitions)
        if total <= present:
            raise KafkaError(
                "INVALID_PARTITIONS",
                f"Topic already has {present} partition(s)."
                if total == present
                else f"Topic {name} has {present} partition(s); {total} would not be an increase.",
            )
        added = total - present
        if assignments is None:
            replicas = self._place(added, topic.replication_factor)
        elif len(assignments) != added:
            raise KafkaError(
                "INVALID_REPLICA_ASSIGNMENT",
                f"{added} partition(s) are to be added, but {len(assignments)} assignment(s) were given.",
            )
        else:
            replicas = [list(assignment) for assignment in assignments]
            for number, assignment in enumerate(replicas, start=present):
                self.check_assignment(assignment, topic.replication_factor)
                self._check_active(number, assignment)
        if not validate_only:
            self._add(topic, replicas)
            self._cluster.controller.created(topic.partitions[present:])
            self._changed()

    def delete(self, name: str) -> None:
        """Delete a topic and its records.

        Raises:
            KafkaError: ``UNKNOWN_TOPIC_OR_PARTITION``.
        """
        topic = self._by_name.pop(name, None)
        if topic is None:
            raise KafkaError("UNKNOWN_TOPIC_OR_PARTITION", f"There is no topic '{cut(name)}'.")
        del self._by_id[topic.id]
        for partition in topic.partitions:
            partition.delete()
        self._cluster.groups.topic_deleted(name)
        self._changed()

    def auto_create(self, name: str) -> Topic:
        """Make a topic because somebody asked for it, Kafka's own ones as Kafka makes them.

        Whether ``auto.create.topics.enable`` lets clients do so is for the caller to look at.

        Raises:
            KafkaError: it cannot be made.
        """
        setting = self._cluster.setting
        if name == GROUP_OFFSETS:
            return self.create(
                name,
                partitions=setting("offsets.topic.num.partitions"),
                replication_factor=setting("offsets.topic.replication.factor"),
                configs={
                    "cleanup.policy": "compact",
                    "compression.type": "producer",
                    "segment.bytes": str(setting("offsets.topic.segment.bytes")),
                },
            )
        if name == TRANSACTION_STATE:
            return self.create(
                name,
                partitions=setting("transaction.state.log.num.partitions"),
                replication_factor=setting("transaction.state.log.replication.factor"),
                configs={
                    "cleanup.policy": "compact",
                    "compression.type": "uncompressed",
                    "min.insync.replicas": str(setting("transaction.state.log.min.isr")),
                    "segment.bytes": str(setting("transaction.state.log.segment.bytes")),
                    "unclean.leader.election.enable": "false",
                },
            )
        return self.create(name)

    def check_assignment(self, replicas: Sequence[int], replication_factor: int | None = None) -> None:
        """Check the replicas that somebody wants a partition to have.

        Raises:
            KafkaError: ``INVALID_REPLICA_ASSIGNMENT``: none, unknown brokers, one twice, or not as
                many as the topic's other partitions have.
        """
        problem = None
        unknown = sorted(set(replicas) - self._cluster.brokers.keys())
        if not replicas:
            problem = "has no replicas"
        elif unknown:
            problem = f"names broker {unknown[0]}, which is not registered"
        elif len(set(replicas)) < len(replicas):
            problem = "names a broker more than once"
        elif replication_factor not in (None, len(replicas)):
            problem = f"has {len(replicas)} replica(s) where other partitions have {replication_factor}"
        if problem:
            raise KafkaError("INVALID_REPLICA_ASSIGNMENT", f"The manual partition assignment {problem}.")

    def _check_collision(self, name: str) -> None:
        if "." not in name and "_" not in name:
            return
        unified = name.replace(".", "_")
        for other in self._by_name:
            if len(other) == len(name) and other != name and other.replace(".", "_") == unified:
                raise KafkaError(
                    "INVALID_TOPIC_EXCEPTION",
                    f"Topic '{name}' collides with topic '{other}': in metrics '.' and '_' are the same.",
                )

    def _checked_configs(self, configs: Mapping[str, str | None]) -> dict[str, str]:
        without = [name for name, value in configs.items() if value is None]
        if without:
            raise KafkaError("INVALID_CONFIG", f"Null is no value for topic config {cut(without[0])}")
        self._cluster.configs.check_topic(configs)
        return {name: value for name, value in configs.items() if value is not None}

    def _assigned(
        self, partitions: int, replication_factor: int, assignments: Mapping[int, Sequence[int]]
    ) -> list[list[int]]:
        for given, what in ((replication_factor, "replication factor"), (partitions, "number of partitions")):
            if given != BROKER_DEFAULT:
                raise KafkaError(
                    "INVALID_REQUEST", f"With a manual partition assignment the {what} must be -1."
                )
        size = None
        for number, replicas in assignments.items():
            self.check_assignment(replicas, size)
            self._check_active(number, replicas)
            size = len(replicas)
        if set(assignments) != set(range(len(assignments))):
            raise KafkaError(
                "INVALID_REPLICA_ASSIGNMENT", "The partitions must be numbered from 0 without gaps."
            )
        return [list(assignments[number]) for number in range(len(assignments))]

    def _check_active(self, number: int, replicas: Sequence[int]) -> None:
        if not any(self._cluster.controller.active(replica) for replica in replicas):
            raise KafkaError(
                "INVALID_REPLICA_ASSIGNMENT",
                f"All brokers that partition {number} is assigned to are fenced.",
            )

    def _placed(self, partitions: int, replication_factor: int) -> list[list[int]]:
        if replication_factor < BROKER_DEFAULT or replication_factor == 0:
            raise KafkaError(
                "INVALID_REPLICATION_FACTOR", "The replication factor must be above 0, or -1 for the default."
            )
        if partitions < BROKER_DEFAULT or partitions == 0:
            raise KafkaError(
                "INVALID_PARTITIONS", "The number of partitions must be above 0, or -1 for the default."
            )
        if partitions == BROKER_DEFAULT:
            partitions = self._cluster.setting("num.partitions")
        if replication_factor == BROKER_DEFAULT:
            replication_factor = self._cluster.setting("default.replication.factor")
        return self._place(partitions, replication_factor)

    def _place(self, partitions: int, replication_factor: int) -> list[list[int]]:
        cluster = self._cluster
        usable = [Usable(broker.id, broker.rack, broker.fenced) for broker in cluster.brokers.values()]
        try:
            return place(usable, partitions, replication_factor, cluster.random)
        except KafkaError as error:
            text = f"Unable to replicate the partition {replication_factor} time(s): {error.message}"
            raise KafkaError(error.name, text) from error

    def _add(self, topic: Topic, replicas: Sequence[Sequence[int]]) -> None:
        for assignment in replicas:
            isr = tuple(replica for replica in assignment if self._cluster.controller.active(replica))
            registration = Registration(tuple(assignment), isr, isr[0])
            topic.partitions.append(Partition(topic, len(topic.partitions), registration))
        topic.described.clear()

    def _changed(self) -> None:
        for callback in tuple(self.on_change):
            callback()


def random_id() -> uuid.UUID:
    """A new id as Kafka makes them: none that in Kafka's base64 begins with a dash (`Uuid.randomUuid`)."""
    while True:
        found = uuid.uuid4()
        if found.bytes[0] >> 2 != 62:  # noqa: PLR2004 - the dash's place in the alphabet
            return found
