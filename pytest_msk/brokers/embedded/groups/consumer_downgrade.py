"""How a group of the consumer protocol becomes a classic one, when only classic members remain (KIP-848)."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from pytest_msk.brokers.embedded.groups.classic import ClassicGroup
from pytest_msk.brokers.embedded.groups.classic_member import ClassicMember
from pytest_msk.brokers.embedded.groups.consumer_member import Member
from pytest_msk.brokers.embedded.groups.consumer_protocol import MalformedError, write_assignment
from pytest_msk.brokers.wire.errors import KafkaError

if TYPE_CHECKING:
    from pytest_msk.brokers.embedded.groups.consumer import ConsumerGroup

_POLICIES = frozenset({"bidirectional", "downgrade"})


def is_due(group: ConsumerGroup, remaining: Collection[Member]) -> bool:
    """Whether a group becomes a classic one when only these members remain."""
    return (
        bool(remaining)
        and all(member.classic is not None for member in remaining)
        and str(group.setting("group.consumer.migration.policy")).lower() in _POLICIES
        and len(remaining) <= group.setting("group.max.size")
    )


def downgrade(group: ConsumerGroup, remaining: Collection[Member], *, rebalance: bool) -> None:
    """Put a classic group with these members in the group's place.

    Args:
        group: the group; it is closed.
        remaining: the members that the classic group is to have.
        rebalance: whether these are to join anew at once; else they go on with what they are assigned.

    Raises:
        KafkaError: ``GROUP_ID_NOT_FOUND``, where a member's metadata cannot be read.
    """
    try:
        members = [_classic_member(group, member) for member in remaining]
    except MalformedError as error:
        raise KafkaError(
            "GROUP_ID_NOT_FOUND", f"Group {group.id} cannot become a classic group: {error}."
        ) from error
    group.close()
    classic = ClassicGroup.restored(group.groups, group.id, group.epoch, members, group.offsets)
    group.groups.add(classic)
    if rebalance:
        classic.prepare_rebalance()


def _classic_member(group: ConsumerGroup, member: Member) -> ClassicMember:
    if member.classic is None:
        raise ValueError(f"{member.id} does not speak the classic protocol")
    protocols = member.classic.protocols
    target = group.targets.get(member.id, frozenset())
    return ClassicMember(
        id=member.id,
        instance_id=member.instance_id,
        client_id=member.client_id,
        client_host=member.client_host,
        rebalance_timeout_ms=member.rebalance_timeout_ms,
        session_timeout_ms=member.classic.session_timeout_ms,
        protocols=protocols,
        assignment=write_assignment(target, group.cluster.topics, like=protocols[0][1]),
    )
