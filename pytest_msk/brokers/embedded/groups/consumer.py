"""Groups of the consumer protocol (KIP-848): members, epochs, target assignment and reconciliation.

Kafka's `ConsumerGroup`, and what `GroupMetadataManager` does with it. A request is worked out as a whole
before anything is changed, so that one which is refused leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from pytest_msk.brokers.embedded.groups import consumer_classic, consumer_downgrade
from pytest_msk.brokers.embedded.groups.assignors import TopicPartition
from pytest_msk.brokers.embedded.groups.consumer_member import (
    AWAY,
    JOINING,
    Claim,
    Goal,
    Member,
    MemberState,
    reconcile,
)
from pytest_msk.brokers.embedded.groups.consumer_patterns import PatternChange, Patterns
from pytest_msk.brokers.embedded.groups.consumer_rules import Rules, rules
from pytest_msk.brokers.embedded.groups.consumer_target import (
    Metadata,
    assignor_names,
    metadata,
    preferred_assignor,
    target_assignment,
    topic_ids,
)
from pytest_msk.brokers.embedded.groups.consumer_timers import Timers
from pytest_msk.brokers.embedded.groups.group import CONSUMER_PROTOCOL, PartitionCheck
from pytest_msk.brokers.embedded.groups.offsets import CommittedOffset, Offsets
from pytest_msk.brokers.wire.errors import KafkaError

if TYPE_CHECKING:
    from pytest_msk.brokers.embedded.groups.coordinator import Groups

_NOTHING: frozenset[TopicPartition] = frozenset()

_COMMITS_WITH_EPOCHS = 9
"""The first version of OffsetCommit that members of the consumer protocol may use."""


class ConsumerGroup:
    """A group of the consumer protocol.

    Attributes:
        id: its id.
        groups: the groups that it is one of.
        cluster: the cluster.
        offsets: what it has committed.
        epoch: grows with every change that asks for another assignment.
        assignment_epoch: the epoch that the target assignment was made for.
        members: by member id, as they are now.
        targets: by member id, what each is to own by the target assignment.
        timers: what members have to do in time.
    """

    kind: Literal["consumer"] = "consumer"
    protocol_type = CONSUMER_PROTOCOL

    classic_join = consumer_classic.join
    classic_sync = consumer_classic.sync
    classic_heartbeat = consumer_classic.heartbeat
    classic_leave = consumer_classic.leave

    def __init__(self, groups: Groups, group_id: str) -> None:
        self.id = group_id
        self.groups = groups
        self.cluster = groups.cluster
        self.offsets = Offsets()
        self.epoch = self.assignment_epoch = self.rules.first_epoch
        self.members: dict[str, Member] = {}
        self.targets: dict[str, frozenset[TopicPartition]] = {}
        self.timers = Timers(self.cluster.clock, lambda: groups.served(group_id))
        self._assigned_at_ms: int | None = None
        self._owners: dict[TopicPartition, str] = {}
        self._metadata: Metadata = {}
        self._metadata_stale = True
        self._patterns = Patterns(self.cluster, self._regex_refresh_interval_ms, self._patterns_resolved)
        self.cluster.topics.on_change.append(self._topics_changed)

    def __repr__(self) -> str:
        return f"ConsumerGroup({self.id!r}, {self.state}, epoch={self.epoch}, {len(self.members)} members)"

    @property
    def state(self) -> str:
        """``Empty``, ``Assigning``, ``Reconciling`` or ``Stable``."""
        if not self.members:
            return "Empty"
        if self.epoch > self.assignment_epoch:
            return "Assigning"
        if all(member.reconciled(self.assignment_epoch) for member in self.members.values()):
            return "Stable"
        return "Reconciling"

    @property
    def rules(self) -> Rules:
        """What the cluster's release does in its own way."""
        return rules(self.cluster.release)

    @property
    def empty(self) -> bool:
        """Whether it has no members."""
        return not self.members

    @property
    def assignor(self) -> str:
        """The assignor that it goes by: the one that most members ask for."""
        return preferred_assignor(self.members.values(), self._assignors[0])

    @property
    def migration_policy(self) -> str:
        """``group.consumer.migration.policy``, in lower case."""
        return str(self.setting("group.consumer.migration.policy")).lower()

    def setting(self, name: str) -> Any:
        """The value in effect of a broker setting."""
        return self.groups.setting(self.id, name)

    def group_setting(self, name: str) -> Any:
        """The value in effect of a setting that a group can have for itself (``consumer.…``)."""
        return self.cluster.configs.group(self.id, name)

    def subscribed(self, topic: str) -> bool:
        """Whether a member subscribes to a topic, by name or by an expression that matches it."""
        return any(topic in self._subscription(member) for member in self.members.values())

    def static_member(self, instance_id: str) -> Member | None:
        """The member that has an instance id."""
        return next((each for each in self.members.values() if each.instance_id == instance_id), None)

    def member(self, member_id: str | None, instance_id: str | None) -> Member:
        """A member that is known to be one.

        Args:
            member_id: its member id; None if it is known by its instance id alone.
            instance_id: its instance id, if it gives one.

        Raises:
            KafkaError: ``UNKNOWN_MEMBER_ID``, or ``FENCED_INSTANCE_ID`` where the instance id has come to
                be another member's.
        """
        if instance_id is None:
            found = None if member_id is None else self.members.get(member_id)
        else:
            found = self.static_member(instance_id)
        if found is None:
            raise KafkaError(
                "UNKNOWN_MEMBER_ID", f"Group {self.id} has no member {instance_id or member_id}."
            )
        if instance_id is not None and member_id not in (None, found.id):
            raise KafkaError(
                "FENCED_INSTANCE_ID", f"Instance id {instance_id} is now that of member {found.id}."
            )
        return found

    def check_room(self, member_id: str, instance_id: str | None) -> None:
        """Check that the group may have a member, which it may be already.

        Raises:
            KafkaError: ``GROUP_MAX_SIZE_REACHED``.
        """
        if member_id in self.members or (instance_id is not None and self.static_member(instance_id)):
            return
        most = self.setting("group.consumer.max.size")
        if len(self.members) >= most:
            raise KafkaError(
                "GROUP_MAX_SIZE_REACHED", f"Group {self.id} has {most} members, and may not have more."
            )

    def claimed(self, claim: Claim) -> tuple[Member, Member | None]:
        """The member that a request comes from, which may be new.

        Returns:
            The member, and the one that it takes the place of: a static member with the same instance id.

        Raises:
            KafkaError: ``UNKNOWN_MEMBER_ID``, ``FENCED_INSTANCE_ID``, ``UNRELEASED_INSTANCE_ID`` or
                ``FENCED_MEMBER_EPOCH``.
        """
        if not claim.joins:
            member = self.member(claim.member_id, claim.instance_id)
            self._check_epoch(member, claim)
            return member, None
        if claim.instance_id is None:
            member = self.members.get(claim.member_id) or Member(claim.member_id)
            self._check_epoch(member, claim)
            return member, None
        former = self.static_member(claim.instance_id)
        if former is None:
            return self.members.get(claim.member_id) or Member(claim.member_id), None
        if not claim.classic and former.classic is None and former.epoch != AWAY:
            raise KafkaError(
                "UNRELEASED_INSTANCE_ID", f"Instance id {claim.instance_id} is that of member {former.id}."
            )
        return Member.replacing(former, claim.member_id), former

    def advance(
        self,
        member: Member,
        updated: Member,
        replaced: Member | None,
        owned: frozenset[TopicPartition] | None,
        *,
        assign: bool = True,
    ) -> Member:
        """Take over what a member says of itself, and lead it and the group a step further.

        Args:
            member: the member as it was; a new one as `claimed` gives it.
            updated: as it says it is.
            replaced: the static member that it takes the place of.
            owned: the partitions that it says it owns; None if it does not say.
            assign: whether a new target assignment may be made, and the member be led to it.

        Returns:
            The member as it is now.

        Raises:
            KafkaError: ``INVALID_REGULAR_EXPRESSION``; nothing is changed.
        """
        pattern = self._patterns.compare(member.regex, updated.regex, _regexes(self.members))
        preferred = self.assignor
        if replaced is not None:
            del self.members[replaced.id]
            self.timers.stop_all(replaced.id)
            self.targets[updated.id] = self.targets.pop(replaced.id, _NOTHING)
        self.members[updated.id] = updated
        self._patterns.keep(_regexes(self.members))
        self._patterns.refresh(_regexes(self.members))
        resubscribed = updated.topics != member.topics
        self._renew_epoch(
            bump=resubscribed
            or pattern is PatternChange.RESOLVED
            or self.epoch == 0
            or (self.rules.assignor_rebalances and preferred != self.assignor)
        )
        if assign and self.assignment_epoch < self.epoch and self._assignment_due():
            self._assign()
        if assign or self.assignment_epoch >= self.epoch:
            changed = resubscribed or pattern is not PatternChange.NONE
            updated = self._reconciled(updated, owned, subscription_changed=changed)
        self._hold(replaced or member, updated)
        return updated

    def adopt(self, members: Iterable[Member], epoch: int) -> None:
        """Have the members of a classic group, all of whom own what they are to own."""
        self.epoch = self.assignment_epoch = epoch
        for member in members:
            self._hold(member, member)
            self.targets[member.id] = frozenset(member.assigned)
            self.expect_heartbeat(member)
        self._metadata = self._current_metadata()

    def remove(self, leaving: Collection[Member]) -> None:
        """Have members no more. Where only classic members are left, the group becomes a classic one."""
        if not leaving:
            return
        gone = {member.id for member in leaving}
        remaining = [member for member in self.members.values() if member.id not in gone]
        if consumer_downgrade.is_due(self, remaining):
            consumer_downgrade.downgrade(self, remaining, rebalance=True)
            return
        for member in leaving:
            del self.members[member.id]
            self.targets.pop(member.id, None)
            self.timers.stop_all(member.id)
            self._release(member)
        self._patterns.keep(_regexes(self.members))
        self.epoch += 1
        self._metadata = self._current_metadata()
        if not self.members and self.rules.empty_is_assigned:
            self.assignment_epoch = self.epoch
            self._assigned_at_ms = None

    def remove_if_member(self, member_id: str) -> None:
        """Have a member no more, should it be one still."""
        member = self.members.get(member_id)
        if member is not None:
            self.remove([member])

    def step_away(self, member: Member) -> None:
        """Have a static member leave for a while: what it owns is kept for it until its session ends."""
        kept = dict.fromkeys(member.assigned, JOINING)
        self._hold(member, replace(member, epoch=AWAY, assigned=kept, revoking={}))

    def expect_heartbeat(self, member: Member) -> None:
        """Have a member's session begin anew."""
        timeout = self.group_setting("consumer.session.timeout.ms")
        if member.classic is not None:
            timeout = member.classic.session_timeout_ms
        self.timers.start("session", member.id, timeout, lambda: self.remove_if_member(member.id))

    def waits_for_others(self, member: Member) -> bool:
        """Whether a member is to own partitions that others have not given up yet."""
        target = self.targets.get(member.id, _NOTHING)
        return any(partition in self._owners for partition in target - member.assigned.keys())

    def check_commit(
        self,
        member_id: str,
        instance_id: str | None,
        epoch: int,
        version: int,
        *,
        transactional: bool = False,
    ) -> PartitionCheck | None:
        """Check that a member, or anybody while the group is empty, may commit offsets.

        Raises:
            KafkaError: ``UNKNOWN_MEMBER_ID``, ``UNSUPPORTED_VERSION`` (OffsetCommit before 9), or, for a
                wrong epoch, ``STALE_MEMBER_EPOCH``, which is ``ILLEGAL_GENERATION`` to classic members.
        """
        if epoch < 0 and not self.members:
            return None
        if transactional and epoch < 0 and not member_id and instance_id is None:
            return None
        member = self.member(member_id, None)
        if not transactional and member.classic is None and version < _COMMITS_WITH_EPOCHS:
            raise KafkaError("UNSUPPORTED_VERSION")
        if epoch == member.epoch:
            return None
        if epoch > member.epoch or not self.rules.commits_by_assignment:
            raise _stale(member)
        return partial(self._check_committed, member, epoch)

    def check_fetch(self, member_id: str | None, epoch: int) -> None:
        """Check that a member may see the group's offsets; anybody may who does not say to be one.

        Raises:
            KafkaError: ``UNKNOWN_MEMBER_ID``, ``STALE_MEMBER_EPOCH`` or ``ILLEGAL_GENERATION``.
        """
        if member_id is None and epoch < 0:
            return
        member = self.member(member_id, None)
        if epoch != member.epoch:
            raise _stale(member)

    def retained_from(self, committed: CommittedOffset) -> int | None:
        """When the retention of an offset begins: with its commit."""
        return committed.commit_time_ms

    def close(self) -> None:
        """Do nothing any more. Nobody ever waits for a group of this kind."""
        self.timers.stop_all()
        self._patterns.close()
        if self._topics_changed in self.cluster.topics.on_change:
            self.cluster.topics.on_change.remove(self._topics_changed)

    def load(self) -> bool:
        """Go on as a new coordinator does: all of the group is in ``__consumer_offsets``."""
        self.cluster.topics.on_change.append(self._topics_changed)
        self._metadata_stale = True
        for member in self.members.values():
            self.expect_heartbeat(member)
            if member.state is MemberState.UNREVOKED_PARTITIONS and member.classic is None:
                self._expect_revocation(member)
        return True

    @property
    def _assignors(self) -> list[str]:
        return assignor_names(self.setting("group.consumer.assignors"))

    def _subscription(self, member: Member) -> frozenset[str]:
        return member.topics | self._patterns.topics(member.regex) if member.regex else member.topics

    def _current_metadata(self) -> Metadata:
        names = {name for member in self.members.values() for name in self._subscription(member)}
        return metadata(names, self.cluster.topics)

    def _renew_epoch(self, *, bump: bool) -> None:
        """Go on to the next epoch, if there is cause to, or if the topics have changed."""
        if bump or self._metadata_stale:
            known = self._current_metadata()
            self.epoch += bump or known != self._metadata
            self._metadata = known
            self._metadata_stale = False

    def _topics_changed(self) -> None:
        self._metadata_stale = True  # which the next heartbeat sees to, whosesoever it is

    def _patterns_resolved(self, changed: bool) -> None:  # noqa: FBT001  # it is a callback
        if changed or self._current_metadata() != self._metadata:
            self._renew_epoch(bump=True)

    def _regex_refresh_interval_ms(self) -> int | None:
        try:
            interval: int = self.setting("group.consumer.regex.refresh.interval.ms")
        except KeyError:
            return None  # Kafka 4.0
        return interval

    def _assignment_due(self) -> bool:
        if self._assigned_at_ms is None or not self.rules.spaced_assignments:
            return True
        interval: int = self.group_setting("consumer.assignment.interval.ms")
        return self.cluster.clock.now_ms() >= self._assigned_at_ms + interval

    def _assign(self) -> None:
        shares = target_assignment(
            self.members, self.targets, self._subscription, self.cluster.topics, self.assignor
        )
        self.targets = dict(shares)
        self.assignment_epoch = self.epoch
        self._assigned_at_ms = self.cluster.clock.now_ms()

    def _reconciled(
        self, member: Member, owned: frozenset[TopicPartition] | None, *, subscription_changed: bool
    ) -> Member:
        if not subscription_changed and member.reconciled(self.assignment_epoch):
            return member
        subscribed = topic_ids(self._subscription(member), self.cluster.topics)
        goal = Goal(
            epoch=self.assignment_epoch,
            target=self.targets.get(member.id, _NOTHING),
            subscribed=subscribed if self.rules.revokes_unsubscribed else None,
            free=lambda partition: partition not in self._owners,
        )
        reconciled = reconcile(member, goal, owned, subscription_changed=subscription_changed)
        if reconciled != member and member.classic is None:
            if reconciled.state is MemberState.UNREVOKED_PARTITIONS:
                self._expect_revocation(reconciled)
            else:
                self.timers.stop("rebalance", member.id)
        return reconciled

    def _expect_revocation(self, member: Member) -> None:
        def expired() -> None:
            now = self.members.get(member.id)
            if now is not None and now.epoch == member.epoch:
                self.remove([now])

        self.timers.start("rebalance", member.id, member.rebalance_timeout_ms, expired)

    def _hold(self, former: Member, member: Member) -> None:
        """Have a member as it is now, in place of what it was."""
        self._release(former)
        self.members[member.id] = member
        for partition in (*member.assigned, *member.revoking):
            self._owners[partition] = member.id

    def _release(self, member: Member) -> None:
        for partition in (*member.assigned, *member.revoking):
            if self._owners.get(partition) == member.id:
                del self._owners[partition]

    def _check_epoch(self, member: Member, claim: Claim) -> None:
        if claim.classic or (claim.epoch == JOINING and self.rules.rejoins):
            return
        late = (
            claim.epoch == member.previous_epoch
            and claim.owned is not None
            and claim.owned <= member.assigned.keys()
        )
        if claim.epoch > member.epoch or (claim.epoch < member.epoch and not late):
            raise KafkaError(
                "FENCED_MEMBER_EPOCH",
                f"Member {member.id} is at epoch {member.epoch}, not {claim.epoch}: it has to give up its "
                "partitions and join again.",
            )

    def _check_committed(self, member: Member, epoch: int, topic: str, partition: int) -> None:
        found = self.cluster.topics.get(topic)
        since = None if found is None else member.epoch_of((found.id, partition))
        if since is None or epoch < since:
            raise _stale(member)


def _regexes(members: Mapping[str, Member]) -> frozenset[str]:
    return frozenset(member.regex for member in members.values() if member.regex)


def _stale(member: Member) -> KafkaError:
    return KafkaError("STALE_MEMBER_EPOCH" if member.classic is None else "ILLEGAL_GENERATION")
