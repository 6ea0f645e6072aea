"""JoinGroup, SyncGroup, Heartbeat and LeaveGroup: what members of classic groups ask for."""

from __future__ import annotations

from collections.abc import Awaitable

from pytest_msk.brokers.embedded.api import Request, handles
from pytest_msk.brokers.embedded.groups.classic import ClassicGroup
from pytest_msk.brokers.embedded.groups.classic_member import Waiting, refusal
from pytest_msk.brokers.embedded.groups.consumer import ConsumerGroup
from pytest_msk.brokers.embedded.groups.group import Group
from pytest_msk.brokers.wire.errors import NONE, KafkaError, code
from pytest_msk.brokers.wire.message import Message

# The first versions in which a rebalance has a timeout of its own, SyncGroup must name the protocol, and
# LeaveGroup is about many members.
_REBALANCE_TIMEOUT = 1
_PROTOCOL_NAMED = 5
_MANY_LEAVE = 3


@handles("JoinGroup", 0, 9)
def join_group(request: Request) -> Message | Awaitable[Message]:
    """Have a member join; the answer comes when all have."""
    body = request.body
    if request.version < _REBALANCE_TIMEOUT:
        body.rebalance_timeout_ms = body.session_timeout_ms
    try:
        _check_id(body.group_id)
        _check_session_timeout(request)
        _check_coordinator(request)
        group = _group_to_join(request)
    except KafkaError as error:
        return refusal(error.name, request.version, body.member_id)
    return group.classic_join(request) if isinstance(group, ConsumerGroup) else _at_once(group.join(request))


@handles("SyncGroup", 0, 5)
def sync_group(request: Request) -> Message | Awaitable[Message]:
    """Tell a member what is assigned to it, as soon as the leader has said so."""
    body = request.body
    try:
        if request.version >= _PROTOCOL_NAMED and None in (body.protocol_type, body.protocol_name):
            raise KafkaError("INCONSISTENT_GROUP_PROTOCOL")
        group = _joined_group(request)
        if group.empty:
            raise KafkaError("UNKNOWN_MEMBER_ID")
        return group.classic_sync(request) if isinstance(group, ConsumerGroup) else _at_once(group.sync(body))
    except KafkaError as error:
        return Message(error_code=error.code)


@handles("Heartbeat", 0, 4)
def heartbeat(request: Request) -> Message:
    """Note that a member lives; tell it if it has to join anew."""
    try:
        group = _joined_group(request)
        if isinstance(group, ConsumerGroup):
            return group.classic_heartbeat(request)
        group.heartbeat(request.body)
    except KafkaError as error:
        return Message(error_code=error.code)
    return Message(error_code=NONE)


@handles("LeaveGroup", 0, 5)
def leave_group(request: Request) -> Message:
    """Have members leave."""
    body = request.body
    try:
        _check_id(body.group_id)
        _check_coordinator(request)
    except KafkaError as error:
        return Message(error_code=error.code)
    group = request.cluster.groups.get(body.group_id)
    if isinstance(group, ConsumerGroup):
        return group.classic_leave(request)
    leaving = body.members
    if request.version < _MANY_LEAVE:
        leaving = [Message(member_id=body.member_id, group_instance_id=None)]
    answers = (
        group.leave(leaving) if isinstance(group, ClassicGroup) else [_stranger(each) for each in leaving]
    )
    if request.version < _MANY_LEAVE:
        return Message(error_code=answers[0].error_code)
    return Message(error_code=NONE, members=answers)


def _stranger(identity: Message) -> Message:
    return Message(
        member_id=identity.member_id,
        group_instance_id=identity.group_instance_id,
        error_code=code("UNKNOWN_MEMBER_ID"),
    )


def _check_id(group_id: str) -> None:
    if not group_id:
        raise KafkaError("INVALID_GROUP_ID")


def _check_coordinator(request: Request) -> None:
    request.cluster.coordinates(request.broker, "group", request.body.group_id)


def _check_session_timeout(request: Request) -> None:
    setting = request.cluster.configs.broker
    lowest = setting(request.broker.id, "group.min.session.timeout.ms")
    highest = setting(request.broker.id, "group.max.session.timeout.ms")
    if not lowest <= request.body.session_timeout_ms <= highest:
        raise KafkaError("INVALID_SESSION_TIMEOUT")


def _group_to_join(request: Request) -> ClassicGroup | ConsumerGroup:
    """The group that a JoinGroup is for. One that names no member makes it, of an empty group if need be."""
    body, groups = request.body, request.cluster.groups
    group = groups.get(body.group_id)
    if isinstance(group, ConsumerGroup) and not group.empty:
        return group
    if not body.member_id:
        return groups.classic(body.group_id, create=True)
    if not isinstance(group, ClassicGroup):
        raise KafkaError("UNKNOWN_MEMBER_ID")
    return group


def _joined_group(request: Request) -> ClassicGroup | ConsumerGroup:
    """The group that a member thinks it is in."""
    _check_id(request.body.group_id)
    _check_coordinator(request)
    group: Group | None = request.cluster.groups.get(request.body.group_id)
    if not isinstance(group, ClassicGroup | ConsumerGroup):
        raise KafkaError("UNKNOWN_MEMBER_ID")
    return group


def _at_once(answer: Message | Waiting) -> Message | Waiting:
    """The answer itself where it came without anybody else."""
    return answer.result() if not isinstance(answer, Message) and answer.done() else answer
