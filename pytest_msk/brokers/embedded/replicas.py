"""A partition: its leader and replicas, the log that the replicas share, and what of it is committed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pytest_msk.brokers.embedded.log import Log
from pytest_msk.brokers.embedded.registration import NO_LEADER, Registration
from pytest_msk.brokers.wire.errors import KafkaError

if TYPE_CHECKING:
    from pytest_msk.brokers.embedded.topics import Topic

_COMMITS_IN_MIN_ISR_ONLY = (3, 7)
"""Since then nothing is committed while fewer than ``min.insync.replicas`` are in sync (KAFKA-15583)."""


class Partition:
    """One partition of a topic.

    All replicas that follow the leader share one `Log`: replication takes no time here. A replica whose
    broker is down, or that found no leader to follow yet, remembers where its log ended.

    Attributes:
        topic: the topic that it is of.
        id: its number in the topic, from 0.
        registration: what the controller knows of it. Only `register` changes it.
        log: its records.
        high_watermark: offset up to which records are committed, and consumers see them.
        on_change: called after anything changed that a waiting request may wait for: records came,
            went or were committed, leader or in-sync replicas changed, the partition was deleted.
        deleted: whether it is gone, with its topic.
    """

    def __init__(self, topic: Topic, number: int, registration: Registration) -> None:
        cluster = topic.cluster
        self.topic = topic
        self.id = number
        self.registration = registration
        self.log = Log(lambda name: cluster.configs.topic(topic, name), cluster.clock)
        self.log.begin_epoch(registration.leader_epoch)
        self.log.on_append.append(self._log_changed)
        self.high_watermark = 0
        self.on_change: list[Callable[[], None]] = []
        self.deleted = False
        self._ends: dict[int, int] = {
            replica: 0 for replica in registration.replicas if replica not in registration.isr
        }

    def __repr__(self) -> str:
        return f"Partition({self.topic.name}-{self.id}, leader={self.leader}, isr={list(self.isr)})"

    @property
    def replicas(self) -> tuple[int, ...]:
        """The brokers that hold it, the preferred leader first."""
        return self.registration.replicas

    @property
    def isr(self) -> tuple[int, ...]:
        """The replicas that are in sync."""
        return self.registration.isr

    @property
    def leader(self) -> int:
        """Id of the broker that leads it; -1 while none does."""
        return self.registration.leader

    @property
    def leader_epoch(self) -> int:
        """How many elections there have been."""
        return self.registration.leader_epoch

    @property
    def min_isr(self) -> int:
        """``min.insync.replicas``, which never asks for more than there are replicas."""
        wanted: int = self.topic.cluster.configs.topic(self.topic, "min.insync.replicas")
        return min(wanted, len(self.replicas))

    def led_by(self, broker_id: int, leader_epoch: int = -1) -> None:
        """Check that a broker leads it, and that whoever asks knows the same leader.

        Args:
            broker_id: the broker that was asked.
            leader_epoch: the epoch that the client goes by; -1 where it names none.

        Raises:
            KafkaError: ``UNKNOWN_TOPIC_OR_PARTITION`` once it is deleted; ``FENCED_LEADER_EPOCH``,
                ``UNKNOWN_LEADER_EPOCH`` or ``NOT_LEADER_OR_FOLLOWER``, in the order of Kafka's
                `Partition`.
        """
        self.held_by(broker_id, leader_epoch)
        if self.leader != broker_id:
            raise KafkaError("NOT_LEADER_OR_FOLLOWER")

    def held_by(self, broker_id: int, leader_epoch: int = -1) -> None:
        """Check the same as `led_by` does, but be content with a follower.

        Raises:
            KafkaError: as `led_by`; ``NOT_LEADER_OR_FOLLOWER`` where the broker has no replica.
        """
        if self.deleted:
            raise KafkaError("UNKNOWN_TOPIC_OR_PARTITION")
        if broker_id not in self.replicas:
            raise KafkaError("NOT_LEADER_OR_FOLLOWER")
        if 0 <= leader_epoch < self.leader_epoch:
            raise KafkaError("FENCED_LEADER_EPOCH")
        if leader_epoch > self.leader_epoch:
            raise KafkaError("UNKNOWN_LEADER_EPOCH")

    def end_offset(self, broker_id: int) -> int:
        """Where the log of one replica ends."""
        end = self.log.end_offset
        return min(self._ends.get(broker_id, end), end)

    @property
    def in_step(self) -> bool:
        """Whether all replicas are in sync and follow the leader."""
        return not self._ends and len(self.isr) == len(self.replicas)

    def lose_touch(self, broker_id: int) -> None:
        """Note that a replica hears no more of the leader: its log stays as it is."""
        if broker_id in self.replicas:
            self._ends.setdefault(broker_id, self.log.end_offset)

    def catch_up(self, broker_id: int) -> None:
        """Make a replica's log what the leader's is: cut where they differ, then copied."""
        self._ends.pop(broker_id, None)

    def register(self, registration: Registration) -> None:
        """Take over what the controller has decided.

        A leader whose own log is the shorter one makes it that of all: the rest is lost, as it is
        in Kafka after an unclean election.
        """
        before, self.registration = self.registration, registration
        for replica in registration.adding:
            if replica not in before.replicas:
                self._ends[replica] = 0
        self._ends = {replica: end for replica, end in self._ends.items() if replica in registration.replicas}
        if registration.leader not in (NO_LEADER, before.leader):
            self._lead(registration.leader)
        if registration.leader != NO_LEADER and registration.leader_epoch != before.leader_epoch:
            self.log.begin_epoch(registration.leader_epoch)
        self.topic.described.clear()
        self._commit()
        self.changed()

    def delete(self) -> None:
        """End it, with its topic."""
        self.deleted = True
        self.changed()

    def changed(self) -> None:
        """Tell those who wait for it."""
        for callback in tuple(self.on_change):
            callback()

    def _lead(self, broker_id: int) -> None:
        end = max(self._ends.pop(broker_id, self.log.end_offset), self.log.start_offset)
        if end < self.log.end_offset:
            self.high_watermark = min(self.high_watermark, end)
            self._ends = {replica: min(other, end) for replica, other in self._ends.items()}
            self.log.truncate(end)

    def _log_changed(self) -> None:
        self._commit()
        self.changed()

    @property
    def _waits_for_min_isr(self) -> bool:
        too_few = len(self.registration.isr) < self.min_isr
        return too_few and self.topic.cluster.release >= _COMMITS_IN_MIN_ISR_ONLY

    def _commit(self) -> None:
        """Move the high watermark to where all in-sync replicas are, as Kafka's `Partition` does."""
        isr = self.registration.isr
        if len(isr) < len(self.registration.replicas) and self._waits_for_min_isr:
            end = 0
        elif self._ends:
            end = min((self.end_offset(replica) for replica in isr), default=0)
        else:
            end = self.log.end_offset
        self.high_watermark = max(min(self.high_watermark, self.log.end_offset), end, self.log.start_offset)
