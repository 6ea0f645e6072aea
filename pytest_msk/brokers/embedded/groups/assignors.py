"""How a consumer group's partitions are shared out by the brokers: ``uniform`` and ``range`` (KIP-848)."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

TopicPartition = tuple[uuid.UUID, int]
"""A topic's id and the number of one of its partitions."""

Assignment = Mapping[str, frozenset[TopicPartition]]
"""Member id to the partitions that it should own."""

_BALANCING_ROUNDS = 16


@dataclass(frozen=True, slots=True)
class Subscriber:
    """What an assignor knows of one member.

    Attributes:
        id: the member's id.
        topics: ids of the topics that it subscribes to, those that exist.
        instance_id: its ``group.instance.id``, of static members.
        owned: the partitions that it has by the assignment before.
    """

    id: str
    topics: frozenset[uuid.UUID]
    instance_id: str | None = None
    owned: frozenset[TopicPartition] = frozenset()


Assignor = Callable[[Sequence[Subscriber], Mapping[uuid.UUID, int]], Assignment]
"""Shares out the partitions of all subscribed topics; the mapping has each topic's number of partitions."""


def assign_range(subscribers: Sequence[Subscriber], sizes: Mapping[uuid.UUID, int]) -> Assignment:
    """Give each subscriber of a topic one range of it, so that equally partitioned topics go together.

    Kafka's `RangeAssignor`: static members come first, by instance id, then the others by member id; the
    first of them have one partition more where a topic cannot be shared out evenly. What members own
    already is of no account, and neither are racks.
    """
    ordered = sorted(subscribers, key=_rank)
    shares: dict[str, set[TopicPartition]] = {subscriber.id: set() for subscriber in ordered}
    for topic in _topics(ordered):
        sharers = [subscriber for subscriber in ordered if topic in subscriber.topics]
        quota, extra = divmod(sizes[topic], len(sharers))
        start = 0
        for place, sharer in enumerate(sharers):
            end = start + quota + (place < extra)
            shares[sharer.id].update((topic, partition) for partition in range(start, end))
            start = end
    return {member: frozenset(share) for member, share in shares.items()}


def assign_uniform(subscribers: Sequence[Subscriber], sizes: Mapping[uuid.UUID, int]) -> Assignment:
    """Give each member as many partitions as any other, and let it keep what it has where that is fair.

    Kafka's `UniformAssignor`: one way where all subscribe to the same topics, in which balance is exact,
    and one where they do not. Racks are of no account.
    """
    if len({subscriber.topics for subscriber in subscribers}) == 1:
        return _share_alike(subscribers, sizes)
    return _Balance(subscribers, sizes).shares()


ASSIGNORS: Mapping[str, Assignor] = {"uniform": assign_uniform, "range": assign_range}
"""By the name that members ask for them by, and ``group.consumer.assignors`` lists them by."""


def _rank(subscriber: Subscriber) -> tuple[bool, str]:
    if subscriber.instance_id is not None:
        return False, subscriber.instance_id
    return True, subscriber.id


def _topics(subscribers: Iterable[Subscriber]) -> list[uuid.UUID]:
    return sorted({topic for subscriber in subscribers for topic in subscriber.topics})


def _share_alike(subscribers: Sequence[Subscriber], sizes: Mapping[uuid.UUID, int]) -> Assignment:
    """For members of one and the same subscription (`UniformHomogeneousAssignmentBuilder`)."""
    topics = _topics(subscribers)
    everything = {(topic, partition): None for topic in topics for partition in range(sizes[topic])}
    quota, extras = divmod(len(everything), len(subscribers))
    kept: dict[str, list[TopicPartition]] = {}
    wanting: dict[str, int] = {}
    for place, subscriber in enumerate(subscribers):
        limit = quota + (extras > 0)
        valid = sorted(subscriber.owned & everything.keys())
        kept[subscriber.id] = valid[:limit]
        # The extra partitions go to members that have one already, as long as enough are left to take them.
        if len(valid) < limit and limit > quota and len(subscribers) - place > extras:
            limit = quota
        extras -= limit > quota
        wanting[subscriber.id] = limit - len(kept[subscriber.id])
    taken = {partition for partitions in kept.values() for partition in partitions}
    free = iter([partition for partition in everything if partition not in taken])
    return {
        member: frozenset([*partitions, *(next(free) for _ in range(wanting[member]))])
        for member, partitions in kept.items()
    }


class _Balance:
    """For members of different subscriptions (`UniformHeterogeneousAssignmentBuilder`).

    First everybody keeps what it has, then what nobody has goes to the member with the fewest partitions,
    and at last partitions move, topic by topic, from the fullest members to the emptiest.
    """

    def __init__(self, subscribers: Sequence[Subscriber], sizes: Mapping[uuid.UUID, int]) -> None:
        self._sizes = sizes
        self._members = [subscriber.id for subscriber in subscribers]
        self._subscribers: dict[uuid.UUID, list[int]] = {}
        for place, subscriber in enumerate(subscribers):
            for topic in subscriber.topics:
                self._subscribers.setdefault(topic, []).append(place)
        self._owners = {
            partition: place
            for place, subscriber in enumerate(subscribers)
            for partition in subscriber.owned
            if partition[0] in subscriber.topics and partition[1] < sizes[partition[0]]
        }
        self._loads = [0] * len(subscribers)
        for place in self._owners.values():
            self._loads[place] += 1

    def shares(self) -> Assignment:
        topics = sorted(self._subscribers, key=self._scarcity)
        for topic in topics:
            self._fill(topic)
        self._level([topic for topic in topics if len(self._subscribers[topic]) > 1])
        shares: dict[str, set[TopicPartition]] = {member: set() for member in self._members}
        for partition, place in self._owners.items():
            shares[self._members[place]].add(partition)
        return {member: frozenset(share) for member, share in shares.items()}

    def _scarcity(self, topic: uuid.UUID) -> tuple[float, int, uuid.UUID]:
        """Most partitions for each subscriber first, then fewest subscribers."""
        subscribers = len(self._subscribers[topic])
        return -self._sizes[topic] / subscribers, subscribers, topic

    def _by_load(self, topic: uuid.UUID) -> list[int]:
        return sorted(self._subscribers[topic], key=lambda place: (self._loads[place], place))

    def _fill(self, topic: uuid.UUID) -> None:
        takers = self._by_load(topic)
        for number in range(self._sizes[topic]):
            if (topic, number) not in self._owners:
                self._give((topic, number), min(takers, key=self._loads.__getitem__))

    def _give(self, partition: TopicPartition, place: int) -> None:
        former = self._owners.get(partition)
        if former is not None:
            self._loads[former] -= 1
        self._owners[partition] = place
        self._loads[place] += 1

    def _level(self, topics: Sequence[uuid.UUID]) -> None:
        """Go round the topics until none has changed since the last that did."""
        unchanged = 0
        for _ in range(_BALANCING_ROUNDS):
            for topic in topics:
                unchanged = 0 if self._level_topic(topic) else unchanged + 1
                if unchanged == len(topics):
                    return

    def _level_topic(self, topic: uuid.UUID) -> bool:
        members = self._by_load(topic)
        movable: dict[int, list[int]] = {place: [] for place in members}
        for number in range(self._sizes[topic]):
            movable[self._owners[topic, number]].append(number)
        moved = False
        while True:
            givers = [place for place in members if movable[place]]
            if not givers:
                return moved
            fullest = max(reversed(givers), key=self._loads.__getitem__)
            emptiest = min(members, key=self._loads.__getitem__)
            if self._loads[fullest] - self._loads[emptiest] <= 1:
                return moved
            self._give((topic, movable[fullest].pop()), emptiest)
            moved = True
