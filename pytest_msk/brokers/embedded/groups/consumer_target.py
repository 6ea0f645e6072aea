"""What a consumer group's members are to own, and what that depends on (KIP-848)."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from pytest_msk.brokers.embedded.groups.assignors import ASSIGNORS, Assignment, Subscriber, TopicPartition
from pytest_msk.brokers.embedded.groups.consumer_member import Member
from pytest_msk.brokers.embedded.topics import Topics

Metadata = Mapping[str, tuple[uuid.UUID, int]]
"""What a group knows of the topics that it subscribes to: by name, of each that exists, its id and its
number of partitions. Where it is not so any more, the group is rebalanced."""

_CLASS_NAMES = {
    "org.apache.kafka.coordinator.group.assignor.UniformAssignor": "uniform",
    "org.apache.kafka.coordinator.group.assignor.RangeAssignor": "range",
}


def assignor_names(setting: Sequence[str]) -> list[str]:
    """The names in ``group.consumer.assignors``, which may give Kafka's own assignors by class.

    Raises:
        ValueError: it has an assignor that is not Kafka's own.
    """
    names = [_CLASS_NAMES.get(name, name) for name in setting]
    unknown = [name for name in names if name not in ASSIGNORS]
    if unknown:
        raise ValueError(
            f"group.consumer.assignors: only {', '.join(ASSIGNORS)} can be used, not {unknown[0]}"
        )
    return names


def preferred_assignor(members: Iterable[Member], default: str) -> str:
    """The assignor that most members ask for (uniform in a draw), or the default if none asks for any."""
    votes = Counter(member.assignor for member in members if member.assignor is not None)
    return max(ASSIGNORS, key=lambda name: votes[name]) if votes else default


def metadata(names: Iterable[str], topics: Topics) -> Metadata:
    """What there is to know now of the topics of these names."""
    found = {name: topics.get(name) for name in names}
    return {name: (topic.id, len(topic.partitions)) for name, topic in found.items() if topic is not None}


def topic_ids(names: Iterable[str], topics: Topics) -> frozenset[uuid.UUID]:
    """The ids of those topics that exist."""
    return frozenset(topic.id for name in names if (topic := topics.get(name)) is not None)


def target_assignment(
    members: Mapping[str, Member],
    former: Assignment,
    subscription: Callable[[Member], frozenset[str]],
    topics: Topics,
    assignor: str,
) -> Assignment:
    """Share out the partitions of all topics that members subscribe to (Kafka's `TargetAssignmentBuilder`).

    Args:
        members: the members, by id.
        former: the target assignment before.
        subscription: gives the names of all topics that a member subscribes to.
        topics: those of the cluster.
        assignor: the name of the assignor to go by.
    """
    nothing: frozenset[TopicPartition] = frozenset()
    subscribers = [
        Subscriber(
            id=member.id,
            topics=topic_ids(subscription(member), topics),
            instance_id=member.instance_id,
            owned=former.get(member.id, nothing),
        )
        for member in members.values()
    ]
    wanted = {topic for subscriber in subscribers for topic in subscriber.topics}
    sizes = {topic.id: len(topic.partitions) for topic in topics.all() if topic.id in wanted}
    return ASSIGNORS[assignor](subscribers, sizes)
