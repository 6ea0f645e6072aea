"""From the classic protocol to the consumer protocol and back, while members go on (KIP-848)."""

from __future__ import annotations

import pytest

from pytest_msk.brokers.embedded.cluster import Cluster
from pytest_msk.brokers.embedded.groups.classic import ClassicGroup
from pytest_msk.brokers.embedded.groups.consumer import ConsumerGroup
from pytest_msk.brokers.wire.message import Message
from tests.brokers.embedded.clusters import advance, ask
from tests.brokers.embedded.groups.classic_consumers import Classic, assigned
from tests.brokers.embedded.groups.classic_members import GROUP, Client, fetch
from tests.brokers.embedded.groups.consumers import (
    NEWEST,
    Consumer,
    error_of,
    group_cluster,
    group_of,
    settle,
)

PARTITIONS = [0, 1, 2, 3]


def classic_group(*members: Classic) -> None:
    """A stable classic group of members, whose leader has shared out the topic `orders`."""
    for member in members:
        assert member.enter() in {"waiting", "NONE"}  # the last to come waits for nobody
    advance(members[0].cluster)
    for member in members:
        member.accept()
    each = len(PARTITIONS) // len(members)
    for place, member in enumerate(members):
        member.owned = {"orders": PARTITIONS[place * each : (place + 1) * each]}
    shares = {member.member_id: assigned(member.owned) for member in members}
    for member in members:
        member.sync(shares if member.leads else {})


def work_together(classics: list[Classic], consumers: list[Consumer]) -> None:
    """Have all go on until nothing changes any more, and check that each has its share."""
    for _ in range(10):
        for consumer in consumers:
            assert error_of(consumer.heartbeat()) == "NONE"
        for classic in classics:
            classic.keep_up()
    owned = [number for classic in classics for number in classic.owned.get("orders", [])]
    owned += [number for consumer in consumers for number in consumer.names().get("orders", [])]
    assert sorted(owned) == PARTITIONS
    assert classics[0].heartbeat() == "NONE"


@pytest.fixture(params=["4.0.1", NEWEST])
def cluster(request: pytest.FixtureRequest) -> Cluster:
    return cluster_with(request.param)


def cluster_with(release: str = NEWEST, **configuration: str) -> Cluster:
    cluster = group_cluster(release, **configuration)
    cluster.topics.create("orders", partitions=len(PARTITIONS))
    return cluster


def classic_group_of(cluster: Cluster) -> ClassicGroup:
    group = cluster.groups.get(GROUP)
    assert isinstance(group, ClassicGroup)
    return group


def test_a_classic_group_goes_over_with_its_members_and_offsets(cluster: Cluster) -> None:
    one, two = Classic(cluster, "orders"), Classic(cluster, "orders")
    classic_group(one, two)
    assert one.commit(7, "orders") == "NONE"
    generation = classic_group_of(cluster).generation
    consumer = Consumer(cluster, "orders")
    consumer.join()
    assert group_of(cluster).epoch == generation + 1
    assert fetch(cluster) == {("orders", 0): 7}
    assert two.heartbeat() == "REBALANCE_IN_PROGRESS"
    work_together([one, two], [consumer])
    assert group_of(cluster).state == "Stable"
    described = ask(cluster, "ConsumerGroupDescribe", 1, group_ids=[GROUP]).groups[0]
    assert [member.member_type for member in described.members] == [0, 0, 1]


def test_members_that_wait_for_a_rebalance_are_sent_to_the_new_group(cluster: Cluster) -> None:
    one, two = Classic(cluster, "orders"), Classic(cluster, "orders")
    classic_group(one)
    assert two.enter() == "waiting"
    consumer = Consumer(cluster, "orders")
    assert error_of(consumer.join()) == "NONE"
    assert two.joined is not None
    assert two.joined.error == "REBALANCE_IN_PROGRESS"
    assert two.enter() == "NONE"
    two.take()
    work_together([one, two], [consumer])


@pytest.mark.parametrize("policy", ["disabled", "DOWNGRADE"])
def test_a_group_stays_classic_if_the_policy_says_so(policy: str) -> None:
    cluster = cluster_with(group_consumer_migration_policy=policy)
    one = Classic(cluster, "orders")
    classic_group(one)
    assert error_of(Consumer(cluster, "orders").join()) == "GROUP_ID_NOT_FOUND"
    assert one.heartbeat() == "NONE"


@pytest.mark.parametrize(
    ("metadata", "assignment"),
    [
        (b"\0", b""),
        (b"\xff\xff\0\0", b""),
        (b"\0\1\0\0\0\1", b""),
        (None, assigned({"orders": [0]}, b"mine")),
    ],
)
def test_a_group_stays_classic_if_brokers_cannot_go_on_with_it(
    metadata: bytes | None, assignment: bytes
) -> None:
    cluster = cluster_with()
    one = Classic(cluster, "orders")
    one.enter()
    if metadata is not None:
        one.protocols = {"sticky": metadata}
        assert one.send_join(member_id="").error == "MEMBER_ID_REQUIRED"
        cluster.groups.remove(GROUP)
        one.member_id = ""
        one.join()
    advance(cluster)
    one.accept()
    one.sync({one.member_id: assignment})
    assert error_of(Consumer(cluster, "orders").join()) == "GROUP_ID_NOT_FOUND"
    assert one.heartbeat() == "NONE"


def test_a_group_stays_classic_if_it_is_not_of_consumers_or_too_large() -> None:
    cluster = cluster_with(group_consumer_max_size="1")
    worker = Client(cluster, protocol_type="connect")
    worker.join()
    advance(cluster)
    worker.accept()
    worker.sync({})
    assert error_of(Consumer(cluster, "orders").join()) == "GROUP_ID_NOT_FOUND"
    worker.leave()
    one, two = Classic(cluster, "orders"), Classic(cluster, "orders")
    classic_group(one, two)
    assert error_of(Consumer(cluster, "orders").join()) == "GROUP_ID_NOT_FOUND"
    assert two.heartbeat() == "NONE"


@pytest.mark.parametrize("how", ["leaves", "expires"])
def test_a_group_is_classic_again_when_only_classic_members_are_left(cluster: Cluster, how: str) -> None:
    one, two = Classic(cluster, "orders"), Classic(cluster, "orders")
    classic_group(one, two)
    one.commit(7, "orders")
    consumer = Consumer(cluster, "orders")
    consumer.join()
    work_together([one, two], [consumer])
    if how == "leaves":
        assert error_of(consumer.leave()) == "NONE"
    else:
        for _ in range(2):
            advance(cluster, 30)
            one.heartbeat()
            two.heartbeat()
    group = classic_group_of(cluster)
    assert group.state == "PreparingRebalance"
    assert fetch(cluster) == {("orders", 0): 7}
    assert one.heartbeat() == "REBALANCE_IN_PROGRESS"
    classic_group(one, two)
    assert (group.state, list(group.members)) == ("Stable", [one.member_id, two.member_id])
    assert one.heartbeat() == two.heartbeat() == "NONE"
    assert error_of(consumer.leave()) == "GROUP_ID_NOT_FOUND"


@pytest.mark.parametrize("policy", ["upgrade", "disabled"])
def test_a_group_stays_with_the_new_protocol_if_the_policy_says_so(policy: str) -> None:
    cluster = cluster_with("4.0.1", group_consumer_migration_policy=policy)
    consumer, one = Consumer(cluster, "orders"), Classic(cluster, "orders")
    consumer.join()
    assert one.enter() == "NONE"
    one.take()
    consumer.leave()
    assert isinstance(cluster.groups.get(GROUP), ConsumerGroup)
    work_together([one], [])


@pytest.mark.parametrize(("release", "error"), [("4.1.0", "NONE"), ("4.2.0", "INCONSISTENT_GROUP_PROTOCOL")])
def test_since_4_2_the_policy_keeps_classic_members_out(release: str, error: str) -> None:
    cluster = cluster_with(release, group_consumer_migration_policy="disabled")
    Consumer(cluster, "orders").join()
    assert Classic(cluster, "orders").enter() == error


def test_a_classic_member_may_join_a_group_of_the_new_protocol(cluster: Cluster) -> None:
    consumer, one = Consumer(cluster, "orders"), Classic(cluster, "orders")
    consumer.join()
    answer = one.send_join()
    assert (answer.error, len(answer.member_id)) == ("MEMBER_ID_REQUIRED", 22)
    answer = one.send_join(member_id=answer.member_id)
    assert (answer.error, len(answer.member_id)) == ("INCONSISTENT_GROUP_PROTOCOL", 22)  # without metadata
    assert one.enter() == "NONE"
    assert one.joined is not None
    assert (one.joined.protocol_type, one.joined.protocol_name) == ("consumer", "sticky")
    assert (one.joined.leader, one.joined.members) == ("", [])
    one.take()
    assert one.synced is not None
    assert (one.synced.protocol_type, one.synced.protocol_name) == ("consumer", "sticky")
    assert one.owned == {}
    assert one.heartbeat() == "NONE"  # others have to give something up first
    work_together([one], [consumer])
    assert len(one.owned["orders"]) == 2


def test_members_are_told_to_join_again_when_they_have_to_give_partitions_up(cluster: Cluster) -> None:
    one = Classic(cluster, "orders")
    classic_group(one)
    consumer = Consumer(cluster, "orders")
    consumer.join()
    assert one.heartbeat() == "REBALANCE_IN_PROGRESS"
    assert one.enter() == "NONE"
    assert one.take() == "NONE"
    assert len(one.owned["orders"]) == 2
    assert one.heartbeat() == "REBALANCE_IN_PROGRESS"  # to say that it has given them up
    consumer.heartbeat()
    assert consumer.owned == set()
    assert one.enter() == "NONE"
    assert one.take() == "NONE"
    assert one.heartbeat() == "NONE"
    settle(consumer)
    assert len(consumer.owned) == 2


def test_a_member_that_gives_up_everything_to_join_moves_on_at_once(cluster: Cluster) -> None:
    one = Classic(cluster, "orders")
    classic_group(one)
    consumer = Consumer(cluster, "orders")
    consumer.join()
    one.owned = {}
    assert one.enter() == "NONE"
    one.take()
    assert one.heartbeat() == "NONE"
    settle(consumer)
    assert len(consumer.owned) == len(one.owned["orders"]) == 2


def test_members_that_do_not_come_back_in_time_are_given_up(cluster: Cluster) -> None:
    one = Classic(cluster, "orders", rebalance_ms=10_000)
    classic_group(one)
    consumer = Consumer(cluster, "orders")
    consumer.join()
    advance(cluster, 1)
    assert one.heartbeat() == "REBALANCE_IN_PROGRESS"
    advance(cluster, 9)
    assert one.heartbeat() == "REBALANCE_IN_PROGRESS"
    advance(cluster, 1.1)
    assert one.heartbeat() == "UNKNOWN_MEMBER_ID"
    settle(consumer)
    assert len(consumer.owned) == 4


def test_members_that_do_not_ask_for_their_partitions_in_time_are_given_up(cluster: Cluster) -> None:
    consumer, one = Consumer(cluster, "orders"), Classic(cluster, "orders", rebalance_ms=10_000)
    consumer.join()
    one.enter()
    one.accept()
    advance(cluster, 9)
    assert one.member_id in group_of(cluster).members
    advance(cluster, 1.1)
    assert one.take() == "UNKNOWN_MEMBER_ID"


def test_silent_classic_members_are_given_up_after_their_own_session(cluster: Cluster) -> None:
    consumer, one = Consumer(cluster, "orders"), Classic(cluster, "orders", session_ms=6_000)
    consumer.join()
    one.enter()
    one.take()
    advance(cluster, 5)
    assert one.heartbeat() == "NONE"
    advance(cluster, 5.9)
    assert one.member_id in group_of(cluster).members
    advance(cluster, 0.2)
    assert list(group_of(cluster).members) == [consumer.id]


def test_refuses_classic_members_as_ever(cluster: Cluster) -> None:
    consumer, one = Consumer(cluster, "orders"), Classic(cluster, "orders")
    consumer.join()
    one.enter()
    one.take()
    other = Classic(cluster, "orders", protocol="range")
    assert other.enter() == "INCONSISTENT_GROUP_PROTOCOL"
    one.protocols = {"sticky": b"\0"}
    assert one.send_join().error == "INCONSISTENT_GROUP_PROTOCOL"
    assert one.sync(generation_id=99).error == "ILLEGAL_GENERATION"
    assert one.sync(protocol_name="range").error == "INCONSISTENT_GROUP_PROTOCOL"
    assert one.sync(protocol_type="connect").error == "INCONSISTENT_GROUP_PROTOCOL"
    assert one.sync(member_id="stranger").error == "UNKNOWN_MEMBER_ID"
    assert one.sync(member_id=consumer.id, generation_id=consumer.epoch).error == "UNKNOWN_MEMBER_ID"
    assert one.heartbeat(member_id=consumer.id, generation_id=consumer.epoch) == "UNKNOWN_MEMBER_ID"
    assert one.heartbeat(generation_id=99) == "ILLEGAL_GENERATION"
    assert one.heartbeat(group_instance_id="i") == "UNKNOWN_MEMBER_ID"
    assert one.heartbeat() == "NONE"


def test_asks_members_to_join_again_before_they_sync(cluster: Cluster) -> None:
    consumer, one = Consumer(cluster, "orders"), Classic(cluster, "orders")
    consumer.join()
    one.enter()
    consumer.heartbeat()
    consumer.heartbeat()
    cluster.topics.create("users", partitions=1)
    consumer.subscribe("orders", "users")
    assert one.take() == "REBALANCE_IN_PROGRESS"
    work_together([one], [consumer])


def test_members_of_both_protocols_can_be_made_to_leave(cluster: Cluster) -> None:
    consumer, one = Consumer(cluster, "orders"), Classic(cluster, "orders")
    static = Consumer(cluster, "orders", instance_id="i")
    for member in (consumer, static):
        member.join()
    one.enter()
    identities = [
        Message(member_id=consumer.id),
        Message(member_id="", group_instance_id="i"),
        Message(member_id="stranger", group_instance_id="i"),
        Message(member_id="stranger"),
        Message(member_id="", group_instance_id="none"),
    ]
    answer = one.ask("LeaveGroup", 5, members=identities)
    errors = [error_of(member) for member in answer.members]
    assert errors == ["NONE", "NONE", "FENCED_INSTANCE_ID", "UNKNOWN_MEMBER_ID", "UNKNOWN_MEMBER_ID"]
    assert list(classic_group_of(cluster).members) == [one.member_id]


def test_old_clients_leave_on_their_own(cluster: Cluster) -> None:
    consumer, one = Consumer(cluster, "orders"), Classic(cluster, "orders")
    consumer.join()
    one.enter()
    assert one.ask("LeaveGroup", 1, member_id="stranger").error == "UNKNOWN_MEMBER_ID"
    assert one.ask("LeaveGroup", 1, member_id=one.joined and one.joined.member_id).error == "NONE"
    assert list(group_of(cluster).members) == [consumer.id]


def test_a_static_member_may_change_its_protocol_and_keep_its_partitions(cluster: Cluster) -> None:
    one, two = Classic(cluster, "orders", instance_id="i"), Classic(cluster, "orders")
    classic_group(one, two)
    consumer = Consumer(cluster, "orders", instance_id="i")
    consumer.join()
    assert consumer.names() == one.owned
    assert one.heartbeat() == "FENCED_INSTANCE_ID"
    work_together([two], [consumer])


def test_a_static_member_that_goes_back_makes_the_group_classic(cluster: Cluster) -> None:
    consumer, one = Consumer(cluster, "orders", instance_id="i"), Classic(cluster, "orders")
    consumer.join()
    one.enter()
    one.take()
    work_together([one], [consumer])
    consumer.leave(-2)
    back = Classic(cluster, "orders", instance_id="i")
    assert back.enter() == "NONE"
    group = classic_group_of(cluster)
    assert (group.state, set(group.members)) == (
        "Stable",
        {one.member_id, back.joined and back.joined.member_id},
    )
    assert back.take() == "NONE"
    assert back.owned == consumer.names()
    assert one.heartbeat() == "NONE"


def test_since_4_2_a_member_may_change_its_protocol_and_keep_its_id() -> None:
    cluster = cluster_with()
    one = Classic(cluster, "orders")
    classic_group(one)
    consumer = Consumer(cluster, "orders", member_id=one.member_id)
    consumer.join()
    assert one.heartbeat() == "UNKNOWN_MEMBER_ID"
    settle(consumer)
    assert len(consumer.owned) == 4


def test_commits_of_classic_members_go_by_their_generation(cluster: Cluster) -> None:
    consumer, one = Consumer(cluster, "orders"), Classic(cluster, "orders")
    consumer.join()
    one.enter()
    one.take()
    assert one.commit(1, "orders", version=8) == "NONE"
    assert one.commit(1, "orders", generation_id_or_member_epoch=99) == "ILLEGAL_GENERATION"


def test_goes_on_with_both_protocols_at_another_coordinator(cluster: Cluster) -> None:
    consumer, one = Consumer(cluster, "orders"), Classic(cluster, "orders")
    consumer.join()
    one.enter()
    one.take()
    work_together([one], [consumer])
    cluster.groups.coordinator_moved(0)
    work_together([one], [consumer])
    advance(cluster, 44)
    consumer.heartbeat()
    advance(cluster, 2)
    assert list(group_of(cluster).members) == [consumer.id]


def test_an_empty_group_of_either_kind_becomes_one_of_the_other(cluster: Cluster) -> None:
    one, consumer = Classic(cluster, "orders"), Consumer(cluster, "orders")
    classic_group(one)
    one.commit(7, "orders")
    one.leave()
    consumer.join()
    assert fetch(cluster) == {("orders", 0): 7}
    consumer.leave()
    one.member_id, one.owned = "", {}
    classic_group(one)
    assert fetch(cluster) == {("orders", 0): 7}
