"""How a classic group of consumers becomes a group of the consumer protocol, members and all (KIP-848)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_msk.brokers.embedded.groups.consumer import ConsumerGroup
from pytest_msk.brokers.embedded.groups.consumer_member import ClassicProtocol, Member
from pytest_msk.brokers.embedded.groups.consumer_protocol import (
    MalformedError,
    partitions_of,
    read_assignment,
    read_subscription,
)
from pytest_msk.brokers.embedded.groups.group import CONSUMER_PROTOCOL
from pytest_msk.brokers.wire.errors import KafkaError

if TYPE_CHECKING:
    from pytest_msk.brokers.embedded.groups.classic import ClassicGroup
    from pytest_msk.brokers.embedded.groups.classic_member import ClassicMember
    from pytest_msk.brokers.embedded.groups.coordinator import Groups

_POLICIES = frozenset({"bidirectional", "upgrade"})


def upgrade(groups: Groups, classic: ClassicGroup) -> ConsumerGroup:
    """Put a group of the consumer protocol in the place of a classic one: same members, same assignment.

    Members that wait for a rebalance are told ``REBALANCE_IN_PROGRESS``, and join the new group.

    Raises:
        KafkaError: ``GROUP_ID_NOT_FOUND``: the group stays what it is, as ``group.consumer.migration.policy``
            says, or because it is not of consumers, has more members than ``group.consumer.max.size``, has
            metadata that cannot be read, or shares partitions out in a way that brokers do not know.
    """
    _check(groups, classic)
    group = ConsumerGroup(groups, classic.id)
    try:
        members = [_member(group, classic, member) for member in classic.members.values()]
    except (MalformedError, LookupError) as error:
        group.close()
        raise _refusal(classic, f"its members' metadata cannot be read ({error})") from error
    classic.close("REBALANCE_IN_PROGRESS")
    group.offsets = classic.offsets
    group.adopt(members, classic.generation)
    groups.add(group)
    return group


def _check(groups: Groups, classic: ClassicGroup) -> None:
    if str(groups.setting(classic.id, "group.consumer.migration.policy")).lower() not in _POLICIES:
        raise _refusal(classic, "group.consumer.migration.policy does not let it")
    if classic.protocol_type != CONSUMER_PROTOCOL:
        raise _refusal(classic, "it is not a group of consumers")
    if len(classic.members) > groups.setting(classic.id, "group.consumer.max.size"):
        raise _refusal(classic, "it has more members than group.consumer.max.size")
    if any(_has_user_data(member.assignment) for member in classic.members.values()):
        raise _refusal(classic, "its assignor adds data of its own, which would be lost")


def _refusal(classic: ClassicGroup, why: str) -> KafkaError:
    return KafkaError("GROUP_ID_NOT_FOUND", f"Group {classic.id} cannot become a consumer group: {why}.")


def _has_user_data(assignment: bytes) -> bool:
    try:
        return bool(assignment and read_assignment(assignment).user_data)
    except MalformedError:
        return False  # which is found out later, and refused with another reason


def _member(group: ConsumerGroup, classic: ClassicGroup, member: ClassicMember) -> Member:
    """A member as the new group knows it: it has reached what it was assigned.

    Raises:
        MalformedError: its metadata or its assignment cannot be read.
        LookupError: the group has not chosen a protocol yet.
    """
    subscription = read_subscription(member.metadata(classic.protocol_name))
    topics = group.cluster.topics
    named = read_assignment(member.assignment).assigned_partitions if member.assignment else []
    return Member(
        id=member.id,
        epoch=classic.generation,
        previous_epoch=classic.generation,
        instance_id=member.instance_id,
        rack_id=subscription.rack_id or None,
        rebalance_timeout_ms=member.rebalance_timeout_ms,
        client_id=member.client_id,
        client_host=member.client_host,
        topics=frozenset(subscription.topics),
        assigned=dict.fromkeys(partitions_of(named, topics), classic.generation),
        classic=ClassicProtocol(member.session_timeout_ms, tuple(member.protocols)),
    )
