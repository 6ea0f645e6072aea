"""A member of a consumer group, and how it is led to the partitions it should own, step by step (KIP-848)."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

from pytest_msk.brokers.embedded.groups.assignors import TopicPartition

JOINING = 0
"""Epoch of a member that joins."""

LEAVING = -1
"""Epoch of a member that leaves."""

AWAY = -2
"""Epoch of a static member that leaves for a while."""

Held = Mapping[TopicPartition, int]
"""Partitions, each with the epoch at which the member got it."""


class MemberState(Enum):
    """How far a member is with its assignment (Kafka's `MemberState`)."""

    STABLE = "has all that it should have"
    UNREVOKED_PARTITIONS = "has yet to give partitions up"
    UNRELEASED_PARTITIONS = "has yet to get partitions that others have not given up"


@dataclass(frozen=True, slots=True)
class ClassicProtocol:
    """What is kept of a member that speaks the classic protocol.

    Attributes:
        session_timeout_ms: its session timeout.
        protocols: name and metadata of each assignor that it brought, the one it likes best first.
    """

    session_timeout_ms: int
    protocols: tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True)
class Member:
    """A member, as it is at one moment.

    Attributes:
        id: its member id.
        epoch: the epoch of the assignment that it has reached; 0 before the first; -2 while a static
            one is away.
        previous_epoch: the epoch that it had before, by which it may come when a response got lost.
        state: how far it is.
        instance_id: its ``group.instance.id``, if it is a static member.
        rack_id: its rack, as it says.
        rebalance_timeout_ms: how long it may take to give partitions up.
        client_id: what its client calls itself.
        client_host: where it comes from, as Kafka writes it (``/127.0.0.1``).
        topics: the names that it subscribes to.
        regex: the regular expression that it subscribes to, if any.
        assignor: the assignor that it asks for.
        assigned: the partitions that are its own.
        revoking: the partitions that it has been told to give up.
        classic: of members that speak the classic protocol only.
    """

    id: str
    epoch: int = JOINING
    previous_epoch: int = -1
    state: MemberState = MemberState.STABLE
    instance_id: str | None = None
    rack_id: str | None = None
    rebalance_timeout_ms: int = -1
    client_id: str = ""
    client_host: str = ""
    topics: frozenset[str] = frozenset()
    regex: str = ""
    assignor: str | None = None
    assigned: Held = field(default_factory=dict)
    revoking: Held = field(default_factory=dict)
    classic: ClassicProtocol | None = None

    @classmethod
    def replacing(cls, former: Member, member_id: str) -> Member:
        """A static member that comes back, or another that comes with its instance id."""
        return replace(former, id=member_id, epoch=JOINING, previous_epoch=JOINING)

    def reconciled(self, epoch: int) -> bool:
        """Whether it has all that the assignment of this epoch gives it."""
        return self.state is MemberState.STABLE and self.epoch == epoch

    def epoch_of(self, partition: TopicPartition) -> int | None:
        """The epoch at which it got a partition that it owns, be it one that it is to give up."""
        return self.assigned.get(partition, self.revoking.get(partition))


@dataclass(frozen=True, slots=True)
class Claim:
    """Who a request says it comes from.

    Attributes:
        member_id: its member id.
        instance_id: its ``group.instance.id``, if it gives one.
        epoch: the member epoch that it knows.
        owned: the partitions that it says it owns; None if it does not say.
        joins: whether it may be a new member.
        classic: whether it speaks the classic protocol, which knows no member epochs.
    """

    member_id: str
    instance_id: str | None
    epoch: int
    owned: frozenset[TopicPartition] | None
    joins: bool
    classic: bool = False


@dataclass(frozen=True, slots=True)
class Goal:
    """What a member is led to.

    Attributes:
        epoch: the epoch of the group's target assignment.
        target: the partitions that this gives to the member.
        subscribed: ids of the topics that the member subscribes to now, which may be others than those
            that the target was made for; None where the release does not look at them (before 4.2).
        free: whether no member owns a partition.
    """

    epoch: int
    target: frozenset[TopicPartition]
    subscribed: Container[uuid.UUID] | None
    free: Callable[[TopicPartition], bool]

    def wanted(self, partition: TopicPartition) -> bool:
        """Whether the member subscribes to the partition's topic."""
        return self.subscribed is None or partition[0] in self.subscribed


def reconcile(
    member: Member, goal: Goal, owned: frozenset[TopicPartition] | None, *, subscription_changed: bool
) -> Member:
    """The member one step further, or as it is where it cannot go on (Kafka's `CurrentAssignmentBuilder`).

    Args:
        member: as it is.
        goal: what it is led to.
        owned: the partitions that the member says it owns; None if it does not say.
        subscription_changed: whether it has just changed what it subscribes to.
    """
    changed = subscription_changed and goal.subscribed is not None
    if member.state is MemberState.STABLE and member.epoch == goal.epoch:
        return _without_unsubscribed(member, goal, owned) if changed else member
    if member.state is MemberState.UNREVOKED_PARTITIONS:
        if _owns(owned, member.revoking):
            return _without_unsubscribed(member, goal, owned) if changed else member
        if goal.subscribed is None:
            return _next(member, member.epoch + 1, goal, owned)
    return _next(member, member.epoch, goal, owned)


def _owns(owned: frozenset[TopicPartition] | None, partitions: Held) -> bool:
    return owned is None or not owned.isdisjoint(partitions)


def _without_unsubscribed(member: Member, goal: Goal, owned: frozenset[TopicPartition] | None) -> Member:
    """With the partitions taken from it whose topics it does not subscribe to any more (4.2)."""
    assigned = {partition: epoch for partition, epoch in member.assigned.items() if goal.wanted(partition)}
    if len(assigned) == len(member.assigned):
        return member
    dropped = {partition: epoch for partition, epoch in member.assigned.items() if partition not in assigned}
    revoking = {**member.revoking, **dropped}
    shrunk = replace(member, previous_epoch=member.epoch, assigned=assigned)
    if _owns(owned, revoking):
        return replace(shrunk, state=MemberState.UNREVOKED_PARTITIONS, revoking=revoking)
    return shrunk


def _next(member: Member, epoch: int, goal: Goal, owned: frozenset[TopicPartition] | None) -> Member:
    target = {partition for partition in goal.target if goal.wanted(partition)}
    assigned = {partition: got for partition, got in member.assigned.items() if partition in target}
    revoking = {partition: got for partition, got in member.assigned.items() if partition not in target}
    if revoking and _owns(owned, revoking):
        return replace(
            member,
            epoch=epoch,
            previous_epoch=member.epoch,
            state=MemberState.UNREVOKED_PARTITIONS,
            assigned=assigned,
            revoking=revoking,
        )
    missing = target - assigned.keys()
    # What it has itself yet to give up can be its own again at once: nobody else has it.
    available = {partition for partition in missing if goal.free(partition) or partition in member.revoking}
    return replace(
        member,
        epoch=goal.epoch,
        previous_epoch=member.epoch,
        state=MemberState.STABLE if available == missing else MemberState.UNRELEASED_PARTITIONS,
        assigned=assigned | dict.fromkeys(available, goal.epoch),
        revoking={},
    )


def new_member_id() -> str:
    """A member id as brokers make them, where a client makes none itself."""
    while (member_id := base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")).startswith("-"):
        pass
    return member_id
