"""Consumers by the consumer protocol, as clients behave, in clusters without a network."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

import pytest_msk.brokers.embedded.groups.consumer_requests  # noqa: F401  # registers the handlers
from pytest_msk.brokers.embedded.cluster import Cluster
from pytest_msk.brokers.embedded.groups.consumer import ConsumerGroup
from pytest_msk.brokers.wire.errors import name
from pytest_msk.brokers.wire.message import Message
from tests.brokers.embedded.clusters import ask, cluster_of

GROUP = "readers"
NEWEST = "4.3.1"

TopicPartition = tuple[uuid.UUID, int]


def group_cluster(kafka_version: str = NEWEST, **configuration: str) -> Cluster:
    """A cluster of a broker, which makes new assignments at once."""
    settings: dict[str, Any] = {"group_consumer_assignment_interval_ms": "0", **configuration}
    cluster = cluster_of(1, kafka_version=kafka_version, **settings)
    cluster.coordinator("group", GROUP)
    return cluster


def group_of(cluster: Cluster, group_id: str = GROUP) -> ConsumerGroup:
    group = cluster.groups.get(group_id)
    assert isinstance(group, ConsumerGroup)
    return group


def error_of(response: Message) -> str:
    return name(response.error_code)


class Consumer:
    """A consumer: it gives up and takes over partitions as it is told, and says so in its next heartbeat.

    Attributes:
        owned: the partitions that it owns.
        told: the assignment in the last response, None if there was none.
        busy: whether it does not get round to giving up partitions, nor to taking any over.
    """

    def __init__(
        self,
        cluster: Cluster,
        *topics: str,
        regex: str | None = None,
        member_id: str | None = None,
        instance_id: str | None = None,
        assignor: str | None = None,
        rebalance_timeout_ms: int = 60_000,
    ) -> None:
        self.cluster = cluster
        self.topics = list(topics)
        self.regex = regex
        self.id = member_id or uuid.uuid4().hex
        self.instance_id = instance_id
        self.assignor = assignor
        self.rebalance_timeout_ms = rebalance_timeout_ms
        self.epoch = 0
        self.owned: set[TopicPartition] = set()
        self.told: set[TopicPartition] | None = None
        self.busy = False
        self._target: set[TopicPartition] = set()
        self._said: set[TopicPartition] = set()

    def send(self, *, version: int = 1, broker: int | None = None, **fields: Any) -> Message:
        """Send a heartbeat with just these fields besides who it is."""
        asked = self.cluster.coordinator("group", GROUP) if broker is None else broker
        who = {
            "group_id": GROUP,
            "member_id": self.id,
            "member_epoch": self.epoch,
            "instance_id": self.instance_id,
        }
        return ask(self.cluster, "ConsumerGroupHeartbeat", version, asked, **{**who, **fields})

    def join(self, **fields: Any) -> Message:
        """Join the group, again if it was in it."""
        self.epoch = 0
        self.owned = set()
        self._target = set()
        return self._heartbeat(**{**self._everything([]), **fields})

    def heartbeat(self, **fields: Any) -> Message:
        """Say what has changed, and do as one is told."""
        self._follow()
        changed = {} if self.owned == self._said else {"topic_partitions": by_topic(self.owned)}
        return self._heartbeat(**{**changed, **fields})

    def tell_all(self) -> Message:
        """Say everything, as after an error."""
        return self._heartbeat(**self._everything(by_topic(self.owned)))

    def subscribe(self, *topics: str) -> Message:
        self.topics = list(topics)
        return self.heartbeat(subscribed_topic_names=self.topics)

    def leave(self, epoch: int = -1) -> Message:
        return self.send(member_epoch=epoch)

    def names(self) -> dict[str, list[int]]:
        """What it owns, by topic name."""
        found: dict[str, list[int]] = {}
        for topic_id, partition in sorted(self.owned, key=lambda owned: owned[1]):
            topic = self.cluster.topics.by_id(topic_id)
            found.setdefault("gone" if topic is None else topic.name, []).append(partition)
        return found

    def _everything(self, owned: list[Message]) -> dict[str, Any]:
        return {
            "rebalance_timeout_ms": self.rebalance_timeout_ms,
            "subscribed_topic_names": self.topics,
            "subscribed_topic_regex": self.regex,
            "server_assignor": self.assignor,
            "topic_partitions": owned,
        }

    def _heartbeat(self, **fields: Any) -> Message:
        said = set(self.owned)
        response = self.send(**fields)
        if error_of(response) == "NONE":
            self._said = said
            self.id = response.member_id
            self.epoch = response.member_epoch
            self.told = None
            if response.assignment is not None:
                self._target = self.told = partitions_of(response.assignment)
            self._follow()
        return response

    def _follow(self) -> None:
        if not self.busy:
            self.owned = set(self._target)


def by_topic(partitions: Iterable[TopicPartition]) -> list[Message]:
    return [Message(topic_id=topic_id, partitions=[partition]) for topic_id, partition in partitions]


def partitions_of(assignment: Message) -> set[TopicPartition]:
    return {
        (topic.topic_id, partition) for topic in assignment.topic_partitions for partition in topic.partitions
    }


def settle(*consumers: Consumer) -> None:
    """Have all send heartbeats until nothing changes any more."""
    for _ in range(10):
        for consumer in consumers:
            assert error_of(consumer.heartbeat()) == "NONE"
    assert group_of(consumers[0].cluster).state == "Stable"
