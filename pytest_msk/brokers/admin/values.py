"""What brokers tell an administrator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pytest_msk.brokers.baseline import QuotaKey
from pytest_msk.brokers.wire.client import TIMED_OUT, UNREACHABLE
from pytest_msk.errors import MskError

__all__ = [
    "TIMED_OUT",
    "UNKNOWN_TOPIC",
    "UNREACHABLE",
    "Acl",
    "CommittedOffset",
    "ConfigSource",
    "ConfigValue",
    "Group",
    "KafkaRequestError",
    "ListedGroup",
    "Member",
    "Offsets",
    "Partition",
    "QuotaKey",
    "Resource",
    "Survey",
    "Topic",
    "Transaction",
]

ConfigSource = Literal[
    "UNKNOWN",
    "DYNAMIC_TOPIC_CONFIG",
    "DYNAMIC_BROKER_CONFIG",
    "DYNAMIC_DEFAULT_BROKER_CONFIG",
    "STATIC_BROKER_CONFIG",
    "DEFAULT_CONFIG",
    "DYNAMIC_BROKER_LOGGER_CONFIG",
    "DYNAMIC_CLIENT_METRICS_CONFIG",
    "DYNAMIC_GROUP_CONFIG",
]
"""Where a setting comes from, in the order of Kafka's codes for it (``DescribeConfigsResponse``)."""

UNKNOWN_TOPIC = "UNKNOWN_TOPIC_OR_PARTITION"

_TOPIC, _BROKER, _CLIENT_METRICS, _GROUP = 2, 4, 16, 32
_KINDS = {_TOPIC: "topic", _BROKER: "broker", _CLIENT_METRICS: "client-metrics", _GROUP: "group"}
_SOURCES: Mapping[int, ConfigSource] = {
    _TOPIC: "DYNAMIC_TOPIC_CONFIG",
    _BROKER: "DYNAMIC_BROKER_CONFIG",
    _CLIENT_METRICS: "DYNAMIC_CLIENT_METRICS_CONFIG",
    _GROUP: "DYNAMIC_GROUP_CONFIG",
}


class KafkaRequestError(MskError):
    """A broker refused a request, or none could be asked.

    Attributes:
        code_name: Kafka's own name of the error (``TOPIC_ALREADY_EXISTS``), as
            ``org.apache.kafka.common.protocol.Errors`` has it. ``NETWORK_EXCEPTION`` when no broker
            could be reached, ``REQUEST_TIMED_OUT`` when the time was up.
        message: the broker's own words; where it sent none, what was asked of it.
    """

    def __init__(self, code_name: str, message: str) -> None:
        super().__init__(f"{code_name}: {message}")
        self.code_name = code_name
        self.message = message


@dataclass(frozen=True)
class Partition:
    """One partition of a topic. ``leader`` is -1 while there is none."""

    id: int
    leader: int
    replicas: tuple[int, ...]
    isr: tuple[int, ...]


@dataclass(frozen=True)
class Topic:
    """A topic as a broker sees it.

    Attributes:
        name: the topic's name.
        id: Kafka's own id of it; a topic made again under the name of a deleted one has another.
        internal: whether it is one of Kafka's own (``__consumer_offsets``).
        partitions: its partitions, by id.
    """

    name: str
    id: str
    internal: bool
    partitions: tuple[Partition, ...]

    @property
    def replication_factor(self) -> int:
        """Number of replicas that each partition is to have."""
        return max((len(partition.replicas) for partition in self.partitions), default=0)

    @property
    def out_of_sync_replicas(self) -> int:
        """Number of replicas, over all partitions, that lag behind their leader."""
        return sum(len(set(partition.replicas) - set(partition.isr)) for partition in self.partitions)

    @property
    def led(self) -> bool:
        """Whether every partition has a leader."""
        return all(partition.leader >= 0 for partition in self.partitions)


@dataclass(frozen=True)
class Resource:
    """What can have settings.

    Attributes:
        kind: Kafka's number for its kind (``ConfigResource.Type``).
        name: its name; empty for all brokers.
    """

    kind: int
    name: str

    @classmethod
    def topic(cls, name: str) -> Resource:
        """One topic."""
        return cls(_TOPIC, name)

    @classmethod
    def broker(cls, broker_id: int | None) -> Resource:
        """One broker; None for what holds for all brokers."""
        return cls(_BROKER, "" if broker_id is None else str(broker_id))

    @classmethod
    def client_metrics(cls, name: str) -> Resource:
        """A subscription to clients' metrics (KIP-714)."""
        return cls(_CLIENT_METRICS, name)

    @property
    def source(self) -> ConfigSource:
        """What Kafka calls settings that it has of its own."""
        return "DYNAMIC_DEFAULT_BROKER_CONFIG" if self == Resource.broker(None) else _SOURCES[self.kind]

    @property
    def is_topic(self) -> bool:
        """Whether it is a topic."""
        return self.kind == _TOPIC

    @property
    def is_listed(self) -> bool:
        """Whether it is of a kind that ListConfigResources alone tells of: groups and client metrics."""
        return self.kind in {_CLIENT_METRICS, _GROUP}

    @property
    def one_broker(self) -> int | None:
        """The broker's id, if it is a single one."""
        return int(self.name) if self.kind == _BROKER and self.name else None

    def __str__(self) -> str:
        """How messages name it."""
        if self == Resource.broker(None):
            return "all brokers"
        return f"{_KINDS[self.kind]} {self.name}"


@dataclass(frozen=True)
class ConfigValue:
    """The value in effect of a topic's or a broker's setting, and what set it.

    ``value`` is empty where Kafka has none, and where it tells nobody (passwords).
    """

    value: str
    source: ConfigSource

    @property
    def overridden(self) -> bool:
        """Whether the topic itself sets it, rather than the brokers or Kafka's defaults."""
        return self.source == "DYNAMIC_TOPIC_CONFIG"


@dataclass(frozen=True)
class ListedGroup:
    """A group of consumers, or of other clients, as a list of groups has it.

    Attributes:
        id: the group's id.
        kind: ``classic``, ``consumer`` (KIP-848), ``share`` or ``streams``; brokers before 3.8 know only the
            first.
        protocol_type: what its members are: ``consumer``, ``connect``; empty for a group with offsets alone.
        state: ``Stable``, ``Empty`` and so on, as Kafka writes it.
    """

    id: str
    kind: str
    protocol_type: str
    state: str


@dataclass(frozen=True)
class Member:
    """A member of a group.

    Attributes:
        id: the member's id.
        instance_id: what a static member is called (``group.instance.id``).
        client_id: what the client calls itself.
        host: where it is, as Kafka writes it: ``/127.0.0.1``.
        partitions: what it has been given, as topic and partition; of a classic group's member that is no
            consumer, or was not given what consumers are, nothing is known.
    """

    id: str
    instance_id: str | None
    client_id: str
    host: str
    partitions: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Group:
    """A group and its members.

    Attributes:
        id: the group's id.
        kind: ``classic``, ``consumer``, ``share`` or ``streams``.
        state: ``Stable``, ``Empty`` and so on, as Kafka writes it.
        assignor: how partitions are shared out: ``range``, ``uniform``; empty where that is not settled.
        members: its members, by id.
    """

    id: str
    kind: str
    state: str
    assignor: str
    members: tuple[Member, ...]


@dataclass(frozen=True)
class CommittedOffset:
    """What a group has committed for one partition. ``leader_epoch`` is -1 where the client told none."""

    offset: int
    leader_epoch: int
    metadata: str


@dataclass(frozen=True)
class Transaction:
    """A transactional id that a coordinator knows.

    Attributes:
        transactional_id: the producer's ``transactional.id``.
        producer_id: the number that goes with it.
        state: ``Ongoing``, ``Empty``, ``CompleteCommit`` and so on, as Kafka writes it.
    """

    transactional_id: str
    producer_id: int
    state: str


@dataclass(frozen=True)
class Acl:
    """Who may, or may not, do what with which resources. What Kafka numbers is as it numbers it."""

    resource_type: int
    resource_name: str
    pattern_type: int
    principal: str
    host: str
    operation: int
    permission_type: int


Offsets = Mapping[tuple[str, int], CommittedOffset]
"""What a group has committed, by topic and partition."""


@dataclass(frozen=True)
class Survey:
    """What clients have made on a cluster, but for records.

    Attributes:
        topics: all topics, Kafka's own too.
        overrides: of brokers, all brokers, topics that are not Kafka's own, and of those groups and client
            metrics that have any: their own settings, by name. Passwords are empty.
        offsets: group id to what the group has committed.
        transactional_ids: those that coordinators know.
        acls: all ACLs.
        quotas: all client quotas.
    """

    topics: tuple[Topic, ...]
    overrides: Mapping[Resource, Mapping[str, str]]
    offsets: Mapping[str, Offsets]
    transactional_ids: frozenset[str]
    acls: frozenset[Acl]
    quotas: Mapping[QuotaKey, float]
