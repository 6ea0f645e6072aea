"""All groups of a cluster, and who coordinates them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from pytest_msk.brokers.clock import Timer
from pytest_msk.brokers.coordination import GROUP_OFFSETS
from pytest_msk.brokers.embedded.groups import consumer_migration
from pytest_msk.brokers.embedded.groups.classic import ClassicGroup
from pytest_msk.brokers.embedded.groups.consumer import ConsumerGroup
from pytest_msk.brokers.embedded.groups.group import NEW_COORDINATOR, Group
from pytest_msk.brokers.embedded.groups.offsets import CommittedOffset, TopicPartition
from pytest_msk.brokers.wire.errors import KafkaError

if TYPE_CHECKING:
    from pytest_msk.brokers.embedded.cluster import Broker, Cluster
    from pytest_msk.brokers.embedded.replicas import Partition

_NOBODY = -1
_Kind = TypeVar("_Kind", bound=Group)


class Groups:
    """The groups of a cluster (Kafka's `GroupMetadataManager`, for all brokers at once).

    A group is coordinated by the broker that leads its partition of ``__consumer_offsets``. When that is
    another one, its groups are read anew, as a broker reads them from the log.

    Attributes:
        cluster: the cluster.
        groups: all groups by id.
    """

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.groups: dict[str, Group] = {}
        self._coordinators: dict[int, int] = {}
        self._expiry: Timer | None = None
        cluster.on_leaders_change.append(self._leaders_changed)

    def setting(self, group_id: str, name: str) -> Any:
        """The value in effect of a broker setting, parsed, at a group's coordinator."""
        leader = self._partition_leader(group_id)
        return self.cluster.configs.broker(min(self.cluster.brokers) if leader == _NOBODY else leader, name)

    def get(self, group_id: str) -> Group | None:
        """The group of an id, if there is one."""
        return self.groups.get(group_id)

    def existing(self, group_id: str) -> Group:
        """The group of an id.

        Raises:
            KafkaError: ``GROUP_ID_NOT_FOUND``.
        """
        group = self.groups.get(group_id)
        if group is None:
            raise KafkaError("GROUP_ID_NOT_FOUND", f"Group {group_id} not found.")
        return group

    def classic(self, group_id: str, *, create: bool) -> ClassicGroup:
        """The classic group of an id.

        Args:
            group_id: its id.
            create: make it if there is none, and make it of an empty group of the other kind.

        Raises:
            KafkaError: ``GROUP_ID_NOT_FOUND``: there is none, or it is a consumer group.
        """
        group = self.groups.get(group_id)
        if isinstance(group, ClassicGroup):
            return group
        if not create or (group is not None and not group.empty):
            problem = "not found" if group is None else "is not a classic group"
            raise KafkaError("GROUP_ID_NOT_FOUND", f"Group {group_id} {problem}.")
        return self._replaced(group, ClassicGroup(self, group_id))

    def consumer(self, group_id: str, *, create: bool) -> ConsumerGroup:
        """The consumer group of an id (KIP-848).

        Args:
            group_id: its id.
            create: make it if there is none, and make it of a classic group: of an empty one, or, where
                ``group.consumer.migration.policy`` lets it, of one that has members.

        Raises:
            KafkaError: ``GROUP_ID_NOT_FOUND``: there is none, or it is a classic group and stays one.
        """
        group = self.groups.get(group_id)
        if isinstance(group, ConsumerGroup):
            return group
        if not create:
            problem = "not found" if group is None else "is not a consumer group"
            raise KafkaError("GROUP_ID_NOT_FOUND", f"Group {group_id} {problem}.")
        if isinstance(group, ClassicGroup) and not group.empty:
            return consumer_migration.upgrade(self, group)
        return self._replaced(group, ConsumerGroup(self, group_id))

    def add(self, group: Group) -> None:
        """Have a group, in place of any other of its id."""
        self.groups[group.id] = group
        partition = self.cluster.coordinator_partition("group", group.id)
        self._coordinators.setdefault(partition, self._leader(partition))
        if self._expiry is None:
            self._plan_expiry()

    def remove(self, group_id: str) -> None:
        """Delete a group with its offsets, whoever is in it. Nothing happens if there is none."""
        group = self.groups.pop(group_id, None)
        if group is not None:
            group.close()

    def coordinated_by(self, broker: Broker) -> Iterator[Group]:
        """The groups that a broker coordinates."""
        for group in list(self.groups.values()):
            if self._partition_leader(group.id) == broker.id:
                yield group

    def served(self, group_id: str) -> bool:
        """Whether a broker runs that coordinates a group; while none does, its time stands still."""
        leader = self.cluster.brokers.get(self._partition_leader(group_id))
        return leader is not None and leader.alive

    def check_writable(self, group_id: str) -> None:
        """Check that enough replicas are in sync for the coordinator to keep what it is told.

        Raises:
            KafkaError: ``COORDINATOR_NOT_AVAILABLE``, which is what Kafka makes of ``NOT_ENOUGH_REPLICAS``.
        """
        number = self.cluster.coordinator_partition("group", group_id)
        partition = self.cluster.topics.partition(GROUP_OFFSETS, number)
        if partition is None or len(partition.isr) < partition.min_isr:
            raise KafkaError("COORDINATOR_NOT_AVAILABLE")

    def stage_offsets(
        self,
        group_id: str,
        producer_id: int,
        producer_epoch: int,
        offsets: Mapping[TopicPartition, CommittedOffset],
    ) -> None:
        """Keep what a producer commits for a group in its transaction, until `complete_transaction`.

        Who may commit is checked already. The group is made if there is none.
        """
        group = self.groups.get(group_id) or self.classic(group_id, create=True)
        group.offsets.stage(producer_id, offsets)

    def complete_transaction(self, group_id: str, producer_id: int, *, commit: bool) -> None:
        """Commit or drop what a producer's transaction has committed for a group."""
        group = self.groups.get(group_id)
        if group is not None:
            group.offsets.complete(producer_id, commit=commit)

    def topic_deleted(self, name: str) -> None:
        """Forget the offsets of a topic; with ``__consumer_offsets`` itself, all groups."""
        if name == GROUP_OFFSETS:
            for group_id in list(self.groups):
                self.remove(group_id)
            self._coordinators.clear()
        for group in list(self.groups.values()):
            group.offsets.delete_topic(name)
            self.offsets_deleted(group)

    def offsets_deleted(self, group: Group) -> None:
        """Have a group go with its last offset, if it is empty, where the release's coordinator does so."""
        if self.cluster.release < NEW_COORDINATOR:
            self._remove_if_idle(group)

    def coordinator_moved(self, partition: int) -> None:
        """Read the groups of a partition of ``__consumer_offsets`` anew, as its new leader does.

        Whoever waits is told ``NOT_COORDINATOR``. While no broker leads, the groups stand still.
        """
        leader = self._leader(partition)
        for group in list(self.groups.values()):
            if self.cluster.coordinator_partition("group", group.id) == partition:
                group.close()
                if leader != _NOBODY and not group.load():
                    del self.groups[group.id]

    def expire_offsets(self) -> None:
        """Forget offsets that are older than ``offsets.retention.minutes``, and empty groups without any.

        Happens every ``offsets.retention.check.interval.ms`` by itself.
        """
        now = self.cluster.clock.now_ms()
        for group in list(self.groups.values()):
            if self.served(group.id):
                self._expire_offsets_of(group, now)

    def close(self) -> None:
        """Cancel all timers."""
        if self._expiry is not None:
            self._expiry.cancel()
        for group in self.groups.values():
            group.close()

    def _replaced(self, former: Group | None, group: _Kind) -> _Kind:
        if former is not None:
            former.close()
            group.offsets = former.offsets
        self.add(group)
        return group

    def _expire_offsets_of(self, group: Group, now: int) -> None:
        retention: int = self.setting(group.id, "offsets.retention.minutes") * 60_000

        def expired(topic: str, committed: CommittedOffset) -> bool:
            begin = group.retained_from(committed)
            if begin is None or group.subscribed(topic):
                return False
            if committed.expire_time_ms is not None:
                return now >= committed.expire_time_ms
            return now - begin >= retention

        group.offsets.expire(expired)
        self._remove_if_idle(group)

    def _remove_if_idle(self, group: Group) -> None:
        if group.empty and not group.offsets:
            self.remove(group.id)

    def _plan_expiry(self) -> None:
        """See to it that offsets expire as long as there are groups."""

        def act() -> None:
            self._expiry = None
            self.expire_offsets()
            if self.groups:
                self._plan_expiry()

        seconds = self.cluster.setting("offsets.retention.check.interval.ms") / 1000
        self._expiry = self.cluster.clock.call_later(seconds, act)

    def _leaders_changed(self, partitions: Sequence[Partition]) -> None:
        for partition in partitions:
            if partition.topic.name == GROUP_OFFSETS:
                if self._coordinators.get(partition.id, partition.leader) != partition.leader:
                    self.coordinator_moved(partition.id)
                self._coordinators[partition.id] = partition.leader

    def _partition_leader(self, group_id: str) -> int:
        return self._leader(self.cluster.coordinator_partition("group", group_id))

    def _leader(self, partition: int) -> int:
        found = self.cluster.topics.partition(GROUP_OFFSETS, partition)
        return _NOBODY if found is None else found.leader
