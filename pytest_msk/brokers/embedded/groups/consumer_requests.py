"""ConsumerGroupHeartbeat and ConsumerGroupDescribe (KIP-848)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from pytest_msk.brokers.embedded.api import Request, handles
from pytest_msk.brokers.embedded.cluster import Cluster
from pytest_msk.brokers.embedded.features import GROUP
from pytest_msk.brokers.embedded.groups.assignors import TopicPartition
from pytest_msk.brokers.embedded.groups.consumer import ConsumerGroup
from pytest_msk.brokers.embedded.groups.consumer_member import (
    AWAY,
    JOINING,
    LEAVING,
    Claim,
    Member,
    new_member_id,
)
from pytest_msk.brokers.embedded.groups.consumer_target import assignor_names
from pytest_msk.brokers.embedded.re2 import Pattern
from pytest_msk.brokers.wire.errors import NONE, KafkaError, code
from pytest_msk.brokers.wire.message import Message

_CLIENT_MAKES_ID = 1
"""The first version of ConsumerGroupHeartbeat by which clients make their member ids (KIP-1082)."""

_UNCHANGED = -1

# Bits of the operations that a group is open to: read, delete, describe; since 3.8 describe and alter its
# configs.
_OPERATIONS = 1 << 3 | 1 << 6 | 1 << 8
_CONFIG_OPERATIONS = 1 << 10 | 1 << 11

_CLASSIC_MEMBER, _CONSUMER_MEMBER = 0, 1


@handles("ConsumerGroupHeartbeat", 0, 1)
def consumer_group_heartbeat(request: Request) -> Message:
    """Have a member join, go on or leave; Kafka's `consumerGroupHeartbeat`, with the order of its checks."""
    try:
        if not _enabled(request.cluster):
            raise KafkaError("UNSUPPORTED_VERSION")
        _check(request)
        request.cluster.coordinates(request.broker, "group", request.body.group_id)
        if request.body.member_epoch in (LEAVING, AWAY):
            return _leave(request)
        return _heartbeat(request)
    except KafkaError as error:
        return Message(error_code=error.code, error_message=error.message)


@handles("ConsumerGroupDescribe", 0, 1)
def consumer_group_describe(request: Request) -> Message:
    """Describe groups of the consumer protocol."""
    return Message(groups=[_described(request, group_id) for group_id in request.body.group_ids])


def _enabled(cluster: Cluster) -> bool:
    """Whether the brokers let consumers use the protocol: by their settings and by the cluster's features."""
    feature = cluster.features.get(GROUP)
    if feature is not None and not feature.level:
        return False
    try:
        protocols = cluster.setting("group.coordinator.rebalance.protocols")
    except KeyError:
        return False  # Kafka 3.7, where it is a preview behind a switch of its own
    return "consumer" in protocols


def _check(request: Request) -> None:
    """Check a heartbeat as `GroupCoordinatorService.throwIfConsumerGroupHeartbeatRequestIsInvalid` does."""
    body = request.body
    if request.version >= _CLIENT_MAKES_ID or body.member_epoch > 0 or body.member_epoch == LEAVING:
        _check_not_blank("MemberId", body.member_id)
    _check_not_blank("GroupId", body.group_id)
    _check_not_blank("InstanceId", body.instance_id)
    _check_not_blank("RackId", body.rack_id)
    if body.member_epoch == JOINING:
        if body.rebalance_timeout_ms == _UNCHANGED:
            raise KafkaError("INVALID_REQUEST", "Who joins has to give RebalanceTimeoutMs.")
        if body.topic_partitions is None or body.topic_partitions:
            raise KafkaError("INVALID_REQUEST", "Who joins has to give TopicPartitions, and cannot own any.")
        if body.subscribed_topic_names is None and body.subscribed_topic_regex is None:
            raise KafkaError(
                "INVALID_REQUEST", "Who joins has to give SubscribedTopicNames or SubscribedTopicRegex."
            )
    elif body.member_epoch == AWAY and body.instance_id is None:
        raise KafkaError("INVALID_REQUEST", "Who leaves for a while has to give InstanceId.")
    elif body.member_epoch < AWAY:
        raise KafkaError("INVALID_REQUEST", f"There is no MemberEpoch {body.member_epoch}.")
    known = assignor_names(request.cluster.setting("group.consumer.assignors"))
    if body.server_assignor is not None and body.server_assignor not in known:
        raise KafkaError(
            "UNSUPPORTED_ASSIGNOR", f"There is no assignor {body.server_assignor}, but {', '.join(known)}."
        )


def _check_not_blank(field: str, value: str | None) -> None:
    if value is not None and not value.strip():
        raise KafkaError("INVALID_REQUEST", f"{field} must not be empty.")


def _leave(request: Request) -> Message:
    body = request.body
    groups = request.cluster.groups
    group = groups.consumer(body.group_id, create=False)
    member = group.member(body.member_id, body.instance_id)
    groups.check_writable(group.id)
    if body.member_epoch == AWAY and body.instance_id is not None:
        group.step_away(member)
    else:
        group.remove([member])
    return Message(error_code=NONE, member_id=body.member_id, member_epoch=body.member_epoch)


def _heartbeat(request: Request) -> Message:
    body = request.body
    group = _group(request)
    group.check_room(body.member_id, body.instance_id)
    claim = Claim(
        body.member_id or new_member_id(),
        body.instance_id,
        body.member_epoch,
        _owned(body.topic_partitions),
        joins=body.member_epoch == JOINING,
    )
    member, replaced = group.claimed(claim)
    updated = group.advance(member, _updated(member, request), replaced, claim.owned)
    group.expect_heartbeat(updated)
    response = Message(
        error_code=NONE,
        member_id=updated.id,
        member_epoch=updated.epoch,
        heartbeat_interval_ms=group.group_setting("consumer.heartbeat.interval.ms"),
    )
    if claim.joins or _tells_all(body) or updated.assigned != member.assigned:
        response.assignment = Message(topic_partitions=_by_topic(updated.assigned))
    return response


def _group(request: Request) -> ConsumerGroup:
    """The group of a heartbeat, made or made over if somebody joins."""
    body = request.body
    groups = request.cluster.groups
    joins = body.member_epoch == JOINING
    group = groups.get(body.group_id)
    if joins and not isinstance(group, ConsumerGroup):
        # Who is refused for this must not leave a group behind that was made for it.
        if body.subscribed_topic_regex:
            Pattern(body.subscribed_topic_regex)
        groups.check_writable(body.group_id)
    found = groups.consumer(body.group_id, create=joins)
    groups.check_writable(body.group_id)
    return found


def _updated(member: Member, request: Request) -> Member:
    """The member with what the heartbeat says of it: what it does not say is as it was."""
    body = request.body
    timeout = body.rebalance_timeout_ms
    names = body.subscribed_topic_names
    regex = body.subscribed_topic_regex
    return replace(
        member,
        instance_id=member.instance_id if body.instance_id is None else body.instance_id,
        rack_id=member.rack_id if body.rack_id is None else body.rack_id,
        rebalance_timeout_ms=member.rebalance_timeout_ms if timeout == _UNCHANGED else timeout,
        assignor=member.assignor if body.server_assignor is None else body.server_assignor,
        topics=member.topics if names is None else frozenset(names),
        regex=member.regex if regex is None else regex,
        client_id=request.client_id or "",
        client_host=f"/{request.peer.host}",
        classic=None,
    )


def _tells_all(body: Message) -> bool:
    """Whether the heartbeat says everything anew, as after one that went wrong: it is answered in full."""
    subscribes = body.subscribed_topic_names is not None or body.subscribed_topic_regex is not None
    return body.rebalance_timeout_ms != _UNCHANGED and subscribes and body.topic_partitions is not None


def _owned(topics: list[Message] | None) -> frozenset[TopicPartition] | None:
    if topics is None:
        return None
    return frozenset((topic.topic_id, partition) for topic in topics for partition in topic.partitions)


def _by_topic(partitions: Iterable[TopicPartition]) -> list[Message]:
    found: dict[object, list[int]] = {}
    for topic_id, partition in sorted(partitions):
        found.setdefault(topic_id, []).append(partition)
    return [Message(topic_id=topic_id, partitions=numbers) for topic_id, numbers in found.items()]


def _described(request: Request, group_id: str) -> Message:
    cluster = request.cluster
    if not _enabled(cluster):
        return Message(group_id=group_id, error_code=code("UNSUPPORTED_VERSION"))
    if not group_id:
        return Message(group_id=group_id, error_code=code("INVALID_GROUP_ID"))
    try:
        cluster.coordinates(request.broker, "group", group_id)
        group = cluster.groups.consumer(group_id, create=False)
    except KafkaError as error:
        return Message(group_id=group_id, error_code=error.code, error_message=error.message)
    described = Message(
        error_code=NONE,
        group_id=group_id,
        group_state=group.state,
        group_epoch=group.epoch,
        assignment_epoch=group.assignment_epoch,
        assignor_name=group.assignor,
        members=[_described_member(group, member) for member in group.members.values()],
    )
    if request.body.include_authorized_operations:
        described.authorized_operations = _OPERATIONS | (
            _CONFIG_OPERATIONS if cluster.release >= (3, 8) else 0
        )
    return described


def _described_member(group: ConsumerGroup, member: Member) -> Message:
    owned = {**member.assigned, **member.revoking} if group.rules.describes_revoking else member.assigned
    return Message(
        member_id=member.id,
        instance_id=member.instance_id,
        rack_id=member.rack_id,
        member_epoch=member.epoch,
        client_id=member.client_id,
        client_host=member.client_host,
        subscribed_topic_names=sorted(member.topics),
        subscribed_topic_regex=member.regex,
        assignment=_described_assignment(group, owned),
        target_assignment=_described_assignment(group, group.targets.get(member.id, ())),
        member_type=_CONSUMER_MEMBER if member.classic is None else _CLASSIC_MEMBER,
    )


def _described_assignment(group: ConsumerGroup, partitions: Iterable[TopicPartition]) -> Message:
    """Partitions by topic, but of topics that are gone."""
    described = []
    for each in _by_topic(partitions):
        topic = group.cluster.topics.by_id(each.topic_id)
        if topic is not None:
            described.append(Message(topic_id=topic.id, topic_name=topic.name, partitions=each.partitions))
    return Message(topic_partitions=described)
