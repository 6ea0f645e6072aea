"""What the controller knows of one partition, and how it changes: leader, in-sync replicas, epochs.

These are the rules of KRaft's `PartitionChangeBuilder`, on values and without side effects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from enum import Enum

NO_LEADER = -1


@dataclass(frozen=True, slots=True)
class Registration:
    """The controller's record of one partition.

    Attributes:
        replicas: ids of the brokers that hold it, the preferred leader first; while it is being
            reassigned, those that are to go as well.
        isr: the replicas that are in sync, the leader among them.
        leader: id of the leader, -1 where there is none.
        leader_epoch: grows with every election, also one that finds no leader.
        partition_epoch: grows with every change.
        adding: replicas that a reassignment adds.
        removing: replicas that a reassignment is to remove.
        elr: eligible leader replicas: out of sync, but with all that was committed (KIP-966).
        last_known_leader: who led last, while nobody does, in clusters that keep the above; else None.
    """

    replicas: tuple[int, ...]
    isr: tuple[int, ...]
    leader: int
    leader_epoch: int = 0
    partition_epoch: int = 0
    adding: tuple[int, ...] = ()
    removing: tuple[int, ...] = ()
    elr: tuple[int, ...] = ()
    last_known_leader: int | None = None

    @property
    def reassigning(self) -> bool:
        """Whether a reassignment is going on."""
        return bool(self.adding or self.removing)

    @property
    def preferred(self) -> bool:
        """Whether the leader is the one that should lead when it can."""
        return self.leader == self.replicas[0]


class Election(Enum):
    """How a leader is looked for: the preferred one first, any in-sync replica, or any replica at all."""

    PREFERRED = "preferred"
    ONLINE = "online"
    UNCLEAN = "unclean"


@dataclass(frozen=True, slots=True)
class Rules:
    """What a change goes by.

    Attributes:
        may_lead: whether a broker is active, so that it could lead.
        min_isr: ``min.insync.replicas`` as it is in effect for the topic.
        elr: whether eligible leader replicas are kept (``eligible.leader.replicas.version``).
        shrinking_bumps: whether the leader epoch grows when a replica falls out of sync (before 3.6,
            KAFKA-15021).
        election: how a leader is looked for.
    """

    may_lead: Callable[[int], bool]
    min_isr: int = 1
    elr: bool = False
    shrinking_bumps: bool = False
    election: Election = Election.ONLINE


def changed(
    now: Registration,
    rules: Rules,
    *,
    isr: Iterable[int] | None = None,
    replicas: Iterable[int] | None = None,
    adding: Iterable[int] | None = None,
    removing: Iterable[int] | None = None,
    lost: Iterable[int] = (),
) -> Registration:
    """The partition after a change, an election included where one is due; ``now`` itself if none.

    Args:
        now: as it is.
        rules: what the change goes by.
        isr: the in-sync replicas that there are to be.
        replicas: the replicas that there are to be.
        adding: the replicas that a reassignment adds.
        removing: the replicas that a reassignment removes.
        lost: replicas that came back from an unclean shutdown, and are not eligible any more.
    """
    target = replace(
        now,
        isr=_given(isr, now.isr),
        replicas=_given(replicas, now.replicas),
        adding=_given(adding, now.adding),
        removing=_given(removing, now.removing),
    )
    target = _eligible(now, _reassigned(target), rules, frozenset(lost))
    target, unclean = _led(target, rules)
    if not rules.elr and not target.isr:
        # Without eligible replicas the last one in sync stays in the list, to be waited for.
        target = replace(target, isr=now.isr)
    if unclean or not rules.elr:
        target = replace(target, elr=())
    target = replace(target, last_known_leader=_last_known(now, target, rules))
    if target == now:
        return now
    bump = (
        target.leader != now.leader
        or not set(now.replicas) <= set(target.replicas)
        or (rules.shrinking_bumps and not set(now.isr) <= set(target.isr))
    )
    return replace(target, leader_epoch=now.leader_epoch + bump, partition_epoch=now.partition_epoch + 1)


def _given(wanted: Iterable[int] | None, present: tuple[int, ...]) -> tuple[int, ...]:
    return present if wanted is None else tuple(wanted)


def _reassigned(target: Registration) -> Registration:
    """With the reassignment done, if all replicas that are to stay are in sync."""
    if not target.reassigning:
        return target
    replicas = tuple(replica for replica in target.replicas if replica not in target.removing)
    isr = tuple(replica for replica in target.isr if replica not in target.removing)
    if not isr or not set(replicas) <= set(isr):
        return target
    return replace(target, replicas=replicas, isr=isr, adding=(), removing=())


def _eligible(now: Registration, target: Registration, rules: Rules, lost: frozenset[int]) -> Registration:
    """With the replicas noted that may lead though they fell out of sync (KIP-966)."""
    if not rules.elr:
        return target
    if len(target.isr) >= rules.min_isr:
        return replace(target, elr=())
    candidates = (*target.elr, *(replica for replica in now.isr if replica not in target.elr))
    left = set(target.replicas) - lost - set(target.isr)
    return replace(target, elr=tuple(replica for replica in candidates if replica in left))


def _led(target: Registration, rules: Rules) -> tuple[Registration, bool]:
    """With the leader that an election gives, and whether that may have lost records."""
    leader, unclean = _elect(target, rules)
    if leader == target.leader:
        return target, False
    if unclean:
        return replace(target, leader=leader, isr=(leader,)), True
    if leader in target.elr:
        left = tuple(replica for replica in target.elr if replica != leader)
        return replace(target, leader=leader, isr=(leader,), elr=left), False
    return replace(target, leader=leader), False


def _elect(target: Registration, rules: Rules) -> tuple[int, bool]:
    eligible = target.isr or target.elr
    order = list(target.replicas)
    if rules.election is Election.PREFERRED:
        order.insert(1, target.leader)
    else:
        order.insert(0, target.leader)
    for replica in order:
        if replica in eligible and rules.may_lead(replica):
            return replica, False
    last = target.last_known_leader
    if rules.elr and not eligible and last in target.replicas and rules.may_lead(last):
        return last, True
    if rules.election is Election.UNCLEAN:
        for replica in target.replicas:
            if rules.may_lead(replica):
                return replica, True
    return NO_LEADER, False


def _last_known(now: Registration, target: Registration, rules: Rules) -> int | None:
    """Who led last, if nobody does and nobody is in sync."""
    if not rules.elr or target.leader != NO_LEADER:
        return None
    if not target.isr and now.last_known_leader is None and now.leader != NO_LEADER:
        return now.leader
    return now.last_known_leader
