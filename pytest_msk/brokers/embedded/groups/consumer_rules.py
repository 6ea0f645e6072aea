"""What Kafka's releases do differently in consumer groups, as far as clients can see it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True, slots=True)
class Rules:
    """How the coordinators of one release go about consumer groups.

    Attributes:
        first_epoch: the epoch of a group that nobody has joined yet, and of its target assignment.
        rejoins: whether a member of the group may join once more, with epoch 0; else it is fenced.
        revokes_unsubscribed: whether partitions of topics that a member no longer subscribes to are
            taken from it at once, and its epoch stays as it is when it has given partitions up.
        policy_guards_joins: whether members of the classic protocol are refused in consumer groups where
            ``group.consumer.migration.policy`` is ``disabled``.
        spaced_assignments: whether ``group.consumer.assignment.interval.ms`` is there.
        commits_by_assignment: whether a commit with an older epoch is taken for partitions that were
            the member's at that epoch already.
        describes_revoking: whether a member is described with the partitions, too, that it is to give up.
        assignor_rebalances: whether a group is rebalanced when its members prefer another assignor.
        empty_is_assigned: whether a group that all have left counts as assigned, to nobody.
    """

    first_epoch: int
    rejoins: bool
    revokes_unsubscribed: bool
    policy_guards_joins: bool
    spaced_assignments: bool
    commits_by_assignment: bool
    describes_revoking: bool
    assignor_rebalances: bool
    empty_is_assigned: bool


@cache
def rules(release: tuple[int, ...]) -> Rules:
    """The rules of a Kafka release."""
    release = release[:2]
    return Rules(
        first_epoch=1 if release >= (4, 3) else 0,
        rejoins=release >= (4, 2),
        revokes_unsubscribed=release >= (4, 2),
        policy_guards_joins=release >= (4, 2),
        spaced_assignments=release >= (4, 3),
        commits_by_assignment=release >= (4, 3),
        describes_revoking=release >= (4, 3),
        assignor_rebalances=release >= (4, 4),
        empty_is_assigned=release >= (4, 4),
    )
