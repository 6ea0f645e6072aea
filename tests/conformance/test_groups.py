"""Groups: members, offsets, descriptions, deletion."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from pytest_msk.brokers.wire import codec, errors
from pytest_msk.brokers.wire.message import Message
from tests.conformance.wire import Wire, batch, named


def subscription(topic: str) -> bytes:
    message = Message(topics=[topic], user_data=None, owned_partitions=[])
    return b"\0\0" + codec.encode("ConsumerProtocolSubscription", 0, message)


PROTOCOLS = [Message(name="range", metadata=subscription("anything"))]


def join(wire: Wire, group: str, member_id: str = "", **fields: Any) -> Message:
    asked = {
        "session_timeout_ms": 30_000,
        "rebalance_timeout_ms": 30_000,
        "protocol_type": "consumer",
        "protocols": PROTOCOLS,
        **fields,
    }
    return wire.to_coordinator(group, "JoinGroup", group_id=group, member_id=member_id, **asked)


def sync(wire: Wire, group: str, member: Message, assignment: bytes = b"mine", **fields: Any) -> Message:
    asked = {
        "generation_id": member.generation_id,
        "member_id": member.member_id,
        "protocol_type": "consumer",
        "protocol_name": "range",
        **fields,
    }
    assignments = [Message(member_id=member.member_id, assignment=assignment)]
    return wire.to_coordinator(group, "SyncGroup", group_id=group, assignments=assignments, **asked)


def stable(wire: Wire, group: str, assignment: bytes = b"", **fields: Any) -> Message:
    """The only member of a group that is stable."""
    member_id = join(wire, group, **fields).member_id if "group_instance_id" not in fields else ""
    member = join(wire, group, member_id, **fields)
    assert member.error == "NONE"
    instance = {key: value for key, value in fields.items() if key == "group_instance_id"}
    assert sync(wire, group, member, assignment, **instance).error == "NONE"
    return member


def heartbeat(wire: Wire, group: str, member: Message, **fields: Any) -> str:
    asked = {"generation_id": member.generation_id, "member_id": member.member_id, **fields}
    return str(wire.to_coordinator(group, "Heartbeat", group_id=group, **asked).error)


def leave(wire: Wire, group: str, member_id: str = "", instance: str | None = None) -> str:
    leaving = Message(member_id=member_id, group_instance_id=instance)
    answer = wire.to_coordinator(group, "LeaveGroup", group_id=group, members=[leaving])
    return str(answer.error) if answer.error_code else errors.name(answer.members[0].error_code)


def commit(wire: Wire, group: str, topic: str, offset: int, index: int = 0, **fields: Any) -> str:
    part = {"committed_leader_epoch": -1, "committed_metadata": "", "committed_offset": offset}
    part.update({key: fields.pop(key) for key in list(fields) if key in part})
    topics = [Message(name=topic, partitions=[Message(partition_index=index, **part)])]
    asked = {"generation_id_or_member_epoch": -1, "member_id": "", **fields}
    answer = wire.to_coordinator(group, "OffsetCommit", group_id=group, topics=topics, **asked)
    return errors.name(answer.topics[0].partitions[0].error_code)


def committed(wire: Wire, group: str, topic: str, *indexes: int) -> dict[int, tuple[int, str]]:
    topics = [Message(name=topic, partition_indexes=list(indexes))]
    asked = [Message(group_id=group, topics=topics)]
    answer = wire.to_coordinator(group, "OffsetFetch", groups=asked, require_stable=False)
    [found] = answer.groups
    assert found.error_code == 0
    return {
        part.partition_index: (part.committed_offset, part.metadata) for part in found.topics[0].partitions
    }


def describe(wire: Wire, group: str) -> Message:
    answer = wire.to_coordinator(group, "DescribeGroups", groups=[group])
    return named(answer.groups[0])


def delete(wire: Wire, group: str) -> str:
    answer = wire.to_coordinator(group, "DeleteGroups", groups_names=[group])
    return errors.name(answer.results[0].error_code)


@pytest.fixture
def group(wire: Wire) -> str:
    return wire.topic("group")


def test_a_member_joins_syncs_and_leaves(wire: Wire, group: str) -> None:
    first = join(wire, group)
    assert (first.error, first.generation_id) == ("MEMBER_ID_REQUIRED", -1)
    member = join(wire, group, first.member_id)
    assert (member.error, member.generation_id, member.protocol_name) == ("NONE", 1, "range")
    assert member.leader == member.member_id == first.member_id
    assert [(each.member_id, each.metadata) for each in member.members] == [
        (first.member_id, subscription("anything"))
    ]
    assert describe(wire, group).group_state == "CompletingRebalance"
    synced = sync(wire, group, member)
    assert (synced.error, synced.assignment) == ("NONE", b"mine")
    described = describe(wire, group)
    assert (described.group_state, described.protocol_type) == ("Stable", "consumer")
    assert [each.member_assignment for each in described.members] == [b"mine"]
    assert heartbeat(wire, group, member) == "NONE"
    assert leave(wire, group, member.member_id) == "NONE"
    assert heartbeat(wire, group, member) == "UNKNOWN_MEMBER_ID"


def test_members_that_are_refused(wire: Wire, group: str) -> None:
    member = stable(wire, group)
    assert join(wire, group, "nobody").error == "UNKNOWN_MEMBER_ID"
    assert join(wire, group, session_timeout_ms=1).error == "INVALID_SESSION_TIMEOUT"
    assert join(wire, group, protocol_type="connect").error == "INCONSISTENT_GROUP_PROTOCOL"
    other = [Message(name="sticky", metadata=b"")]
    assert join(wire, group, protocols=other).error == "INCONSISTENT_GROUP_PROTOCOL"
    assert join(wire, group, protocols=[]).error == "INCONSISTENT_GROUP_PROTOCOL"
    assert join(wire, "", "").error == "INVALID_GROUP_ID"
    assert heartbeat(wire, group, member, generation_id=7) == "ILLEGAL_GENERATION"
    assert heartbeat(wire, group, member, member_id="nobody") == "UNKNOWN_MEMBER_ID"
    assert sync(wire, group, member, generation_id=0).error == "ILLEGAL_GENERATION"
    assert sync(wire, group, member, member_id="nobody").error == "UNKNOWN_MEMBER_ID"
    assert sync(wire, group, member, protocol_name="x").error == "INCONSISTENT_GROUP_PROTOCOL"
    assert leave(wire, group, "nobody") == "UNKNOWN_MEMBER_ID"
    assert heartbeat(wire, group, member) == "NONE"


def test_a_second_member_has_the_first_join_again(wire: Wire, group: str) -> None:
    first = stable(wire, group)
    joining = join(wire, group).member_id
    with Wire(wire.cluster) as other, ThreadPoolExecutor(1) as thread:
        second = thread.submit(join, other, group, joining)
        wire.cluster.wait_for(lambda: heartbeat(wire, group, first) == "REBALANCE_IN_PROGRESS")
        assert describe(wire, group).group_state == "PreparingRebalance"
        assert sync(wire, group, first).error == "REBALANCE_IN_PROGRESS"
        again = join(wire, group, first.member_id)
        joined = second.result(15)
    assert again.generation_id == joined.generation_id == 2
    assert again.leader == joined.leader == first.member_id
    assert {each.member_id for each in again.members} == {first.member_id, joining}
    assert joined.members == []
    assert commit(wire, group, group, 1) == "UNKNOWN_MEMBER_ID"
    assert leave(wire, group, joining) == "NONE"
    assert heartbeat(wire, group, again) == "REBALANCE_IN_PROGRESS"


def test_a_static_member(wire: Wire, group: str) -> None:
    first = stable(wire, group, group_instance_id="i")
    assert describe(wire, group).members[0].group_instance_id == "i"
    again = join(wire, group, group_instance_id="i")
    # It takes its former self's place without a rebalance.
    assert (again.error, again.generation_id) == ("NONE", 1)
    assert again.member_id != first.member_id
    assert heartbeat(wire, group, first, group_instance_id="i") == "FENCED_INSTANCE_ID"
    assert heartbeat(wire, group, again, group_instance_id="i") == "NONE"
    fenced = {
        "generation_id_or_member_epoch": 1,
        "member_id": first.member_id,
        "group_instance_id": "i",
    }
    assert commit(wire, group, group, 1, **fenced) == "FENCED_INSTANCE_ID"
    assert leave(wire, group, instance="nobody") == "UNKNOWN_MEMBER_ID"
    assert leave(wire, group, instance="i") == "NONE"
    assert describe(wire, group).group_state == "Empty"


def test_offsets_are_committed_and_fetched(wire: Wire, group: str) -> None:
    topic = wire.topic(partitions=2)
    assert committed(wire, group, topic, 0) == {0: (-1, "")}
    assert commit(wire, group, topic, 7, committed_metadata="why") == "NONE"
    assert committed(wire, group, topic, 0, 1, 5) == {0: (7, "why"), 1: (-1, ""), 5: (-1, "")}
    assert wire.cluster.committed(group) == {(topic, 0): 7}
    assert commit(wire, group, topic, 3) == "NONE"
    assert committed(wire, group, topic, 0) == {0: (3, "")}
    described = describe(wire, group)
    assert (described.group_state, described.protocol_type) == ("Empty", "")


def test_offsets_that_are_refused(wire: Wire, group: str) -> None:
    topic = wire.topic()
    assert commit(wire, group, "nowhere", 1) == "UNKNOWN_TOPIC_OR_PARTITION"
    assert commit(wire, group, topic, 1, index=1) == "UNKNOWN_TOPIC_OR_PARTITION"
    assert commit(wire, group, topic, 1, committed_metadata="x" * 5000) == "OFFSET_METADATA_TOO_LARGE"
    assert commit(wire, group, topic, 1, member_id="nobody", generation_id_or_member_epoch=1) in {
        "UNKNOWN_MEMBER_ID",
        "ILLEGAL_GENERATION",
    }
    # As old clients did that had no group.
    assert commit(wire, "", topic, 1) == "NONE"
    member = stable(wire, group)
    assert commit(wire, group, topic, 1) == "UNKNOWN_MEMBER_ID"
    by_member = {"member_id": member.member_id, "generation_id_or_member_epoch": 9}
    assert commit(wire, group, topic, 1, **by_member) == "ILLEGAL_GENERATION"
    by_member["generation_id_or_member_epoch"] = 1
    assert commit(wire, group, topic, 1, **by_member) == "NONE"


def delete_offset(wire: Wire, group: str, topic: str, index: int = 0) -> str:
    asked = [Message(name=topic, partitions=[Message(partition_index=index)])]
    answer = wire.to_coordinator(group, "OffsetDelete", group_id=group, topics=asked)
    return errors.name(answer.error_code or answer.topics[0].partitions[0].error_code)


def test_offsets_are_deleted(wire: Wire, group: str) -> None:
    topic, other = wire.topic(), wire.topic()
    assert delete_offset(wire, group, topic) == "GROUP_ID_NOT_FOUND"
    for each in (topic, other):
        assert commit(wire, group, each, 1) == "NONE"
    assert delete_offset(wire, group, topic) == "NONE"
    assert delete_offset(wire, group, "nowhere") == "UNKNOWN_TOPIC_OR_PARTITION"
    assert set(wire.cluster.committed(group)) == {(other, 0)}
    stable(wire, group, protocols=[Message(name="range", metadata=subscription(other))])
    assert delete_offset(wire, group, other) == "GROUP_SUBSCRIBED_TO_TOPIC"
    assert delete_offset(wire, group, topic) == "NONE"


def test_groups_are_deleted(wire: Wire, group: str) -> None:
    assert delete(wire, group) == "GROUP_ID_NOT_FOUND"
    member = stable(wire, group)
    assert delete(wire, group) == "NON_EMPTY_GROUP"
    assert leave(wire, group, member.member_id) == "NONE"
    assert delete(wire, group) == "NONE"
    assert describe(wire, group).group_state == "Dead"
    assert group not in {each.id for each in wire.cluster.groups()}


def test_a_topic_s_offsets_go_with_it(wire: Wire, group: str) -> None:
    topic = wire.topic()
    assert commit(wire, group, topic, 1) == "NONE"
    wire.ask("DeleteTopics", topics=[Message(name=topic)], timeout_ms=5000)
    wire.cluster.wait_for(lambda: not wire.cluster.committed(group))


def test_groups_are_listed(wire: Wire, group: str) -> None:
    stable(wire, group)

    def listed(**fields: Any) -> set[str]:
        return {each.group_id for each in wire.ask("ListGroups", **fields).groups}

    assert group in listed()
    assert group in listed(states_filter=["Stable"])
    assert group in listed(states_filter=["Dead", "Stable"])
    # Since 3.8 in upper or lower case.
    assert group not in listed(states_filter=["stable"])
    assert group not in listed(states_filter=["Empty"])


def test_a_group_that_no_broker_coordinates_here(wires: Wire) -> None:
    group = wires.topic("group")
    coordinator = wires.coordinator(group)
    other = next(broker.id for broker in wires.cluster.brokers if broker.id != coordinator)
    joined = wires.ask(
        "JoinGroup",
        broker=other,
        group_id=group,
        session_timeout_ms=30_000,
        rebalance_timeout_ms=30_000,
        protocol_type="consumer",
        protocols=PROTOCOLS,
    )
    assert named(joined).error == "NOT_COORDINATOR"
    assert named(wires.ask("DescribeGroups", broker=other, groups=[group]).groups[0]).error == (
        "NOT_COORDINATOR"
    )


def test_consumers_share_a_topic(wire: Wire) -> None:
    topic = wire.topic(partitions=4)
    for index in range(4):
        wire.produce(topic, batch(b"%d" % index), index=index)
    consumers = [wire.cluster.consumer(topic, group_id=topic, consumer_timeout_ms=200) for _ in range(2)]

    def shares() -> list[int]:
        for consumer in consumers:
            consumer.poll(50)
        return sorted(len(consumer.assignment()) for consumer in consumers)

    # kafka-python may join before it knows the topic; it joins again when it looks anew, after seconds.
    wire.cluster.wait_for(lambda: shares() == [2, 2], timeout=30)


def test_states_of_groups_in_lower_case(newer_wire: Wire) -> None:
    group = newer_wire.topic("group")
    stable(newer_wire, group)
    listed = newer_wire.ask("ListGroups", states_filter=["stable"]).groups
    assert group in {each.group_id for each in listed}


def test_a_group_of_the_newer_protocol(newer_wire: Wire) -> None:
    wire = newer_wire
    topic = wire.topic(partitions=2)

    def beat(epoch: int, **fields: Any) -> Message:
        asked = {"rebalance_timeout_ms": 30_000, "topic_partitions": None, **fields}
        return wire.to_coordinator(
            topic, "ConsumerGroupHeartbeat", group_id=topic, member_epoch=epoch, member_id=topic, **asked
        )

    first = beat(0, subscribed_topic_names=[topic], topic_partitions=[])
    assert (first.error, first.member_id, first.member_epoch > 0) == ("NONE", topic, True)

    def is_assigned() -> bool:
        nonlocal first
        if not first.assignment or not first.assignment.topic_partitions:
            first = beat(first.member_epoch, topic_partitions=[])
        return bool(first.assignment and first.assignment.topic_partitions)

    # The coordinator may hear of the topic after the member.
    wire.cluster.wait_for(is_assigned)
    [assigned] = first.assignment.topic_partitions
    assert sorted(assigned.partitions) == [0, 1]
    owned = [Message(topic_id=assigned.topic_id, partitions=[0, 1])]
    again = beat(first.member_epoch, topic_partitions=owned)
    assert (again.error, again.member_epoch) == ("NONE", first.member_epoch)
    assert beat(first.member_epoch + 5).error == "FENCED_MEMBER_EPOCH"
    assert join(wire, topic, protocols=[Message(name="x", metadata=b"")]).error in {
        "INCONSISTENT_GROUP_PROTOCOL",
        "MEMBER_ID_REQUIRED",
    }
    asked = {"member_id": topic, "generation_id_or_member_epoch": first.member_epoch}
    assert commit(wire, topic, topic, 5, **asked) == "NONE"
    asked["generation_id_or_member_epoch"] = first.member_epoch + 1
    assert commit(wire, topic, topic, 6, **asked) == "STALE_MEMBER_EPOCH"
    answer = wire.ask("ConsumerGroupDescribe", broker=wire.coordinator(topic), group_ids=[topic])
    [described] = answer.groups
    assert (described.group_state, described.assignor_name) == ("Stable", "uniform")
    assert delete(wire, topic) == "NON_EMPTY_GROUP"
    assert beat(-1).error == "NONE"
    assert delete(wire, topic) == "NONE"
