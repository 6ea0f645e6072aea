"""The offsets that one group has committed, in transactions and without."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

TopicPartition = tuple[str, int]
"""A topic's name and the number of one of its partitions."""


@dataclass(frozen=True, slots=True)
class CommittedOffset:
    """What a group has committed for a partition.

    Attributes:
        offset: of the record that comes next.
        leader_epoch: of the record before it, as the client says; -1 if it does not.
        metadata: the client's own words.
        commit_time_ms: when the coordinator was told, in milliseconds since the epoch.
        expire_time_ms: when it expires, if the client has said how long to keep it (OffsetCommit 2 to 4).
    """

    offset: int
    leader_epoch: int
    metadata: str
    commit_time_ms: int
    expire_time_ms: int | None = None


class Offsets:
    """The offsets of one group (Kafka's `OffsetMetadataManager`, of which each group has its share here).

    Offsets that are committed in a transaction are pending until it ends. What was committed later,
    by whichever way, stays.
    """

    def __init__(self) -> None:
        self._committed: dict[str, dict[int, CommittedOffset]] = {}
        self._written: dict[TopicPartition, int] = {}
        self._pending: dict[int, dict[TopicPartition, tuple[int, CommittedOffset]]] = {}
        self._writes = itertools.count()

    def __bool__(self) -> bool:
        """Whether anything is committed, or pending in a transaction."""
        return bool(self._committed) or any(self._pending.values())

    def __iter__(self) -> Iterator[tuple[TopicPartition, CommittedOffset]]:
        """All that is committed, topic by topic."""
        for topic, partitions in self._committed.items():
            for partition, committed in partitions.items():
                yield (topic, partition), committed

    def by_topic(self) -> Mapping[str, Mapping[int, CommittedOffset]]:
        """All that is committed: topic to partition to offset."""
        return self._committed

    def get(self, topic: str, partition: int) -> CommittedOffset | None:
        """What is committed for a partition."""
        return self._committed.get(topic, {}).get(partition)

    def commit(self, topic: str, partition: int, committed: CommittedOffset) -> None:
        """Commit, without a transaction."""
        self._put((topic, partition), next(self._writes), committed)

    def stage(self, producer_id: int, offsets: Mapping[TopicPartition, CommittedOffset]) -> None:
        """Keep what a producer commits in its transaction until that ends."""
        pending = self._pending.setdefault(producer_id, {})
        for key, committed in offsets.items():
            pending[key] = next(self._writes), committed

    def complete(self, producer_id: int, *, commit: bool) -> None:
        """End a producer's transaction. Nothing happens if it has committed no offsets in it."""
        for key, (write, committed) in self._pending.pop(producer_id, {}).items():
            if commit and write > self._written.get(key, -1):
                self._put(key, write, committed)

    def unstable(self, topic: str, partition: int) -> bool:
        """Whether a transaction is open that has an offset of the partition pending."""
        return any((topic, partition) in pending for pending in self._pending.values())

    def delete(self, topic: str, partition: int) -> None:
        """Forget what is committed for a partition, and what is pending."""
        self._remove((topic, partition))
        for pending in self._pending.values():
            pending.pop((topic, partition), None)

    def delete_topic(self, topic: str) -> None:
        """Forget all offsets of a topic."""
        pending = {key for offsets in self._pending.values() for key in offsets if key[0] == topic}
        for key in {*pending, *((topic, partition) for partition in self._committed.get(topic, ()))}:
            self.delete(*key)

    def expire(self, expired: Callable[[str, CommittedOffset], bool]) -> None:
        """Forget what is committed where ``expired`` says so, unless a transaction is about to renew it."""
        for (topic, partition), committed in list(self):
            if expired(topic, committed) and not self.unstable(topic, partition):
                self._remove((topic, partition))

    def _put(self, key: TopicPartition, write: int, committed: CommittedOffset) -> None:
        topic, partition = key
        self._committed.setdefault(topic, {})[partition] = committed
        self._written[key] = write

    def _remove(self, key: TopicPartition) -> None:
        topic, partition = key
        partitions = self._committed.get(topic, {})
        if partitions.pop(partition, None) is not None:
            del self._written[key]
            if not partitions:
                del self._committed[topic]
