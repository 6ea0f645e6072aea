"""Members of the classic protocol in a group of the consumer protocol (KIP-848's migration).

They join, sync, heartbeat and leave as ever, and are led to the target assignment as all other members are:
each step that they have to take is a rebalance to them. `ConsumerGroup` has these functions as its methods.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_msk.brokers.embedded.api import Request
from pytest_msk.brokers.embedded.groups import consumer_downgrade
from pytest_msk.brokers.embedded.groups.classic_member import refusal
from pytest_msk.brokers.embedded.groups.consumer_member import (
    LEAVING,
    Claim,
    ClassicProtocol,
    Member,
    MemberState,
    new_member_id,
)
from pytest_msk.brokers.embedded.groups.consumer_protocol import (
    MalformedError,
    partitions_of,
    read_subscription,
    write_assignment,
)
from pytest_msk.brokers.embedded.groups.group import CONSUMER_PROTOCOL
from pytest_msk.brokers.wire.errors import NONE, KafkaError
from pytest_msk.brokers.wire.message import Message

if TYPE_CHECKING:
    from pytest_msk.brokers.embedded.groups.consumer import ConsumerGroup

# The first versions of JoinGroup by which new members are given their id before they join (KIP-394), and of
# LeaveGroup by which several members leave at once (KIP-345).
_MEMBER_ID_REQUIRED = 4
_MANY_LEAVE = 3


def join(group: ConsumerGroup, request: Request) -> Message:
    """Answer a JoinGroup to a group that has members."""
    body = request.body
    member_id = body.member_id or new_member_id()
    try:
        return _join(group, request, member_id)
    except KafkaError as error:
        returned = member_id if error.name == "MEMBER_ID_REQUIRED" else body.member_id
        return refusal(error.name, request.version, returned)


def sync(group: ConsumerGroup, request: Request) -> Message:
    """Answer a SyncGroup: with the partitions that the member may have now."""
    body = request.body
    try:
        member = _checked(group, body)
        _check_protocol(member, body)
        if _is_behind(group, member) and member.state is not MemberState.UNREVOKED_PARTITIONS:
            _expect_join(group, member)
            raise KafkaError("REBALANCE_IN_PROGRESS")
    except KafkaError as error:
        return Message(error_code=error.code)
    group.timers.stop("sync", member.id)
    group.expect_heartbeat(member)
    return Message(
        error_code=NONE,
        protocol_type=body.protocol_type,
        protocol_name=body.protocol_name,
        assignment=write_assignment(member.assigned, group.cluster.topics, like=_protocols(member)[0][1]),
    )


def heartbeat(group: ConsumerGroup, request: Request) -> Message:
    """Answer a Heartbeat: with ``REBALANCE_IN_PROGRESS`` where the member has a step to take."""
    try:
        member = _checked(group, request.body)
    except KafkaError as error:
        return Message(error_code=error.code)
    group.expect_heartbeat(member)
    if (
        _is_behind(group, member)
        or member.state is MemberState.UNREVOKED_PARTITIONS
        or (member.state is MemberState.UNRELEASED_PARTITIONS and not group.waits_for_others(member))
    ):
        _expect_join(group, member)
        return Message(error_code=KafkaError("REBALANCE_IN_PROGRESS").code)
    return Message(error_code=NONE)


def leave(group: ConsumerGroup, request: Request) -> Message:
    """Answer a LeaveGroup, which can name members of both protocols."""
    body = request.body
    alone = Message(member_id=body.member_id, group_instance_id=None)
    leaving: dict[str, Member] = {}
    answers = []
    for identity in body.members if request.version >= _MANY_LEAVE else [alone]:
        answer = Message(
            member_id=identity.member_id, group_instance_id=identity.group_instance_id, error_code=NONE
        )
        try:
            member = group.member(identity.member_id or None, identity.group_instance_id)
            leaving[member.id] = member
        except KafkaError as error:
            answer.error_code = error.code
        answers.append(answer)
    try:
        group.groups.check_writable(group.id)
        group.remove(leaving.values())
    except KafkaError as error:
        return Message(error_code=error.code)
    if request.version < _MANY_LEAVE:
        return Message(error_code=answers[0].error_code)
    return Message(error_code=NONE, members=answers)


def _join(group: ConsumerGroup, request: Request, member_id: str) -> Message:
    body = request.body
    if group.rules.policy_guards_joins and group.migration_policy == "disabled":
        raise KafkaError("INCONSISTENT_GROUP_PROTOCOL")
    group.check_room(member_id, body.group_instance_id)
    offered = tuple((protocol.name, bytes(protocol.metadata)) for protocol in body.protocols)
    if body.protocol_type != CONSUMER_PROTOCOL or not _speaks(group, {name for name, _ in offered}):
        raise KafkaError("INCONSISTENT_GROUP_PROTOCOL")
    if request.version >= _MEMBER_ID_REQUIRED and not body.member_id and body.group_instance_id is None:
        raise KafkaError("MEMBER_ID_REQUIRED")
    claim = Claim(
        member_id,
        body.group_instance_id,
        LEAVING,
        owned=None,
        joins=body.group_instance_id is None or not body.member_id,
        classic=True,
    )
    member, replaced = group.claimed(claim)
    with _readable():
        subscription = read_subscription(offered[0][1])
    joined = replace(
        member,
        instance_id=body.group_instance_id or member.instance_id,
        rack_id=subscription.rack_id or member.rack_id,
        rebalance_timeout_ms=body.rebalance_timeout_ms,
        topics=frozenset(subscription.topics),
        regex="",
        client_id=request.client_id or "",
        client_host=f"/{request.peer.host}",
        classic=ClassicProtocol(body.session_timeout_ms, offered),
    )
    remaining = [
        each for each in group.members.values() if each.id not in (member.id, replaced and replaced.id)
    ]
    downgrade = (
        body.group_instance_id is not None
        and group.static_member(body.group_instance_id) is not None
        and consumer_downgrade.is_due(group, [*remaining, joined])
    )
    group.groups.check_writable(group.id)
    owned = partitions_of(subscription.owned_partitions, group.cluster.topics)
    joined = group.advance(member, joined, replaced, owned, assign=not downgrade)
    group.timers.stop("join", joined.id)
    if downgrade:
        behind = group.assignment_epoch < group.epoch
        consumer_downgrade.downgrade(group, group.members.values(), rebalance=behind)
    else:
        group.expect_heartbeat(joined)
        group.timers.start(
            "sync", joined.id, joined.rebalance_timeout_ms, lambda: group.remove_if_member(joined.id)
        )
    return Message(
        error_code=NONE,
        member_id=joined.id,
        generation_id=joined.epoch,
        protocol_type=CONSUMER_PROTOCOL,
        protocol_name=offered[0][0],
    )


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except MalformedError as error:
        raise KafkaError("INCONSISTENT_GROUP_PROTOCOL", str(error)) from error


def _protocols(member: Member) -> tuple[tuple[str, bytes], ...]:
    return member.classic.protocols if member.classic is not None else ()


def _speaks(group: ConsumerGroup, names: set[str]) -> bool:
    """Whether one of these protocols is spoken by all members of the classic protocol."""
    spoken = [{name for name, _ in _protocols(each)} for each in group.members.values() if each.classic]
    return bool(names.intersection(*spoken))


def _checked(group: ConsumerGroup, body: Message) -> Member:
    member = group.member(body.member_id, body.group_instance_id)
    if member.classic is None:
        raise KafkaError("UNKNOWN_MEMBER_ID")
    if body.generation_id != member.epoch:
        raise KafkaError("ILLEGAL_GENERATION")
    return member


def _check_protocol(member: Member, body: Message) -> None:
    expected = {CONSUMER_PROTOCOL: body.protocol_type, _protocols(member)[0][0]: body.protocol_name}
    if any(given is not None and given != known for known, given in expected.items()):
        raise KafkaError("INCONSISTENT_GROUP_PROTOCOL")


def _is_behind(group: ConsumerGroup, member: Member) -> bool:
    """Whether the member has to join again, to get on to another epoch."""
    # Since assignments have to wait for their time, members are sent for only when there is one.
    epoch = group.assignment_epoch if group.rules.spaced_assignments else group.epoch
    return member.epoch < epoch


def _expect_join(group: ConsumerGroup, member: Member) -> None:
    group.timers.start_once(
        "join", member.id, member.rebalance_timeout_ms, lambda: group.remove_if_member(member.id)
    )
