"""Classic groups: SyncGroup, Heartbeat and LeaveGroup."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_msk.brokers.wire import errors
from pytest_msk.brokers.wire.message import Message
from tests.brokers.embedded.clusters import advance
from tests.brokers.embedded.groups.classic_members import (
    REBALANCE_MS,
    SESSION_MS,
    Client,
    assign,
    cluster_with,
    form,
    group_of,
)


def joined(*clients: Client) -> list[Client]:
    for client in clients:
        client.join()
    advance(clients[0].cluster)
    for client in clients:
        client.accept()
    return list(clients)


def test_followers_wait_for_the_leaders_assignment() -> None:
    cluster = cluster_with()
    leader, follower = joined(Client(cluster), Client(cluster))
    waiting = follower.sync()
    assert waiting.waiting
    answer = leader.sync({leader.member_id: b"mine", follower.member_id: b"yours"})
    assert (answer.error, answer.assignment) == ("NONE", b"mine")
    assert (waiting.error, waiting.assignment) == ("NONE", b"yours")
    assert (waiting.protocol_type, waiting.protocol_name) == ("consumer", "range")
    assert group_of(cluster).state == "Stable"


def test_a_member_that_the_leader_forgets_is_assigned_nothing() -> None:
    cluster = cluster_with()
    leader, follower = joined(Client(cluster), Client(cluster))
    leader.sync({leader.member_id: b"all"})
    answer = follower.sync()
    assert (answer.error, answer.assignment) == ("NONE", b"")


def test_what_followers_assign_is_of_no_account() -> None:
    cluster = cluster_with()
    leader, follower = joined(Client(cluster), Client(cluster))
    follower.sync({follower.member_id: b"everything"})
    leader.sync({follower.member_id: b"something"})
    assert follower.synced is not None
    assert follower.synced.assignment == b"something"


def test_sync_in_a_stable_group_gives_the_assignment_again() -> None:
    (member,) = form(Client(cluster_with()))
    assert member.sync().assignment == member.member_id.encode()


def test_a_rebalance_ends_the_wait_for_an_assignment() -> None:
    cluster = cluster_with()
    _, follower = joined(Client(cluster), Client(cluster))
    waiting = follower.sync()
    newcomer = Client(cluster)
    newcomer.join()
    assert (waiting.error, waiting.assignment) == ("REBALANCE_IN_PROGRESS", b"")
    assert follower.sync().error == "REBALANCE_IN_PROGRESS"


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"member_id": "nobody"}, "UNKNOWN_MEMBER_ID"),
        ({"generation_id": 7}, "ILLEGAL_GENERATION"),
        ({"generation_id": -1}, "ILLEGAL_GENERATION"),
        ({"protocol_name": "sticky"}, "INCONSISTENT_GROUP_PROTOCOL"),
        ({"protocol_type": "connect"}, "INCONSISTENT_GROUP_PROTOCOL"),
        ({"protocol_name": None}, "INCONSISTENT_GROUP_PROTOCOL"),
        ({"group_instance_id": "nobody's"}, "UNKNOWN_MEMBER_ID"),
        ({"group_id": "no group"}, "UNKNOWN_MEMBER_ID"),
    ],
)
def test_sync_refuses_who_does_not_belong(fields: dict[str, Any], error: str) -> None:
    cluster = cluster_with()
    (client,) = joined(Client(cluster))
    if "group_id" in fields:
        client.group = str(fields.pop("group_id"))
    assert client.sync(**fields).error == error
    assert group_of(cluster, "readers").state == "CompletingRebalance"


def test_old_clients_do_not_name_the_protocol() -> None:
    cluster = cluster_with()
    (client,) = joined(Client(cluster))
    assert client.sync({client.member_id: b"all"}, version=0).assignment == b"all"


def test_sync_to_an_empty_group() -> None:
    (client,) = form(Client(cluster_with()))
    client.leave()
    assert client.sync().error == "UNKNOWN_MEMBER_ID"


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({}, "NONE"),
        ({"member_id": "nobody"}, "UNKNOWN_MEMBER_ID"),
        ({"member_id": ""}, "UNKNOWN_MEMBER_ID"),
        ({"generation_id": 0}, "ILLEGAL_GENERATION"),
        ({"group_instance_id": "nobody's"}, "UNKNOWN_MEMBER_ID"),
    ],
)
def test_heartbeats(fields: dict[str, Any], error: str) -> None:
    (client,) = form(Client(cluster_with()))
    assert client.heartbeat(**fields) == error


def test_heartbeats_to_a_group_that_there_is_not() -> None:
    assert Client(cluster_with()).heartbeat() == "UNKNOWN_MEMBER_ID"


def test_heartbeats_are_taken_while_the_leader_assigns() -> None:
    (client,) = joined(Client(cluster_with()))
    assert client.heartbeat() == "NONE"


def test_a_member_with_heartbeats_stays() -> None:
    cluster = cluster_with()
    (client,) = form(Client(cluster))
    for _ in range(10):
        advance(cluster, SESSION_MS / 1000 - 1)
        assert client.heartbeat() == "NONE"


def test_a_member_without_heartbeats_is_gone_when_its_session_ends() -> None:
    cluster = cluster_with()
    leader, silent = form(Client(cluster), Client(cluster))
    advance(cluster, SESSION_MS / 1000 - 1)
    leader.heartbeat()
    assert len(group_of(cluster).members) == 2
    advance(cluster, 1)
    assert list(group_of(cluster).members) == [leader.member_id]
    assert leader.heartbeat() == "REBALANCE_IN_PROGRESS"
    assert silent.heartbeat() == "UNKNOWN_MEMBER_ID"


def test_a_group_whose_last_member_is_silent_gets_empty() -> None:
    cluster = cluster_with()
    form(Client(cluster))
    advance(cluster, SESSION_MS / 1000)
    group = group_of(cluster)
    assert (group.state, group.generation, group.protocol_type) == ("Empty", 2, "consumer")


def test_who_has_not_come_back_when_the_rebalance_timeout_ends_is_gone() -> None:
    cluster = cluster_with()
    leader, absent = form(Client(cluster), Client(cluster))
    answer = leader.send_join()
    while answer.waiting:
        assert absent.heartbeat() == "REBALANCE_IN_PROGRESS"
        advance(cluster, SESSION_MS / 2000)
    assert cluster.clock.monotonic() == pytest.approx(1000 + REBALANCE_MS / 1000)
    assert [member.member_id for member in leader.accept().members] == [leader.member_id]
    assert absent.heartbeat() == "UNKNOWN_MEMBER_ID"


def test_a_leader_that_does_not_come_back_is_replaced() -> None:
    cluster = cluster_with()
    leader, follower = form(Client(cluster), Client(cluster))
    follower.protocols = {"range": b"changed"}
    waiting = follower.send_join()
    advance(cluster, SESSION_MS / 1000)
    assert leader.heartbeat() == "UNKNOWN_MEMBER_ID"
    assert (waiting.leader, len(waiting.members)) == (follower.member_id, 1)


def test_who_does_not_sync_in_time_is_gone() -> None:
    cluster = cluster_with()
    leader, silent = joined(Client(cluster, rebalance_ms=20_000), Client(cluster, rebalance_ms=20_000))
    leader.sync({})
    for _ in range(4):
        assert (silent.heartbeat(), leader.heartbeat()) == ("NONE", "NONE")
        advance(cluster, 5)
    assert list(group_of(cluster).members) == [leader.member_id]
    assert leader.heartbeat() == "REBALANCE_IN_PROGRESS"


def test_a_leader_that_does_not_sync_in_time_is_gone() -> None:
    cluster = cluster_with()
    leader, follower = joined(Client(cluster, rebalance_ms=20_000), Client(cluster, rebalance_ms=20_000))
    waiting = follower.sync()
    for _ in range(4):
        leader.heartbeat()
        advance(cluster, 5)
    assert waiting.error == "REBALANCE_IN_PROGRESS"
    assert list(group_of(cluster).members) == [follower.member_id]


def test_a_member_that_waits_needs_no_heartbeats() -> None:
    cluster = cluster_with()
    leader, patient = form(Client(cluster), Client(cluster))
    patient.protocols = {"range": b"changed"}
    waiting = patient.send_join()
    for _ in range(8):
        leader.heartbeat()
        advance(cluster, SESSION_MS / 2000)
    assert waiting.waiting
    leader.join()
    assert len(leader.accept().members) == 2


def test_a_first_join_does_not_wait_for_ever() -> None:
    cluster = cluster_with(group_initial_rebalance_delay_ms="600000")
    client = Client(cluster, rebalance_ms=3_600_000)
    waiting = client.join()
    advance(cluster, 299)
    assert waiting.waiting
    advance(cluster, 1)
    assert waiting.error == "UNKNOWN_MEMBER_ID"
    assert group_of(cluster).state == "Empty"


def test_a_member_id_that_nobody_comes_back_with_is_taken_back() -> None:
    cluster = cluster_with()
    client = Client(cluster)
    client.member_id = client.send_join().member_id
    advance(cluster, SESSION_MS / 1000)
    assert client.send_join().error == "UNKNOWN_MEMBER_ID"


def test_a_rebalance_waits_for_who_was_given_an_id() -> None:
    cluster = cluster_with()
    (leader,) = form(Client(cluster))
    newcomer = Client(cluster)
    newcomer.member_id = newcomer.send_join().member_id
    waiting = leader.send_join()
    assert waiting.waiting
    newcomer.send_join()
    assert len(waiting.members) == 2


def test_a_rebalance_waits_for_who_was_given_an_id_until_its_session_ends() -> None:
    cluster = cluster_with()
    (leader,) = form(Client(cluster))
    Client(cluster).send_join()
    waiting = leader.send_join()
    advance(cluster, SESSION_MS / 1000)
    assert len(waiting.members) == 1


def test_leaving_has_the_others_rebalance() -> None:
    cluster = cluster_with()
    leader, follower = form(Client(cluster), Client(cluster))
    assert leader.leave() == "NONE"
    assert group_of(cluster).leader == follower.member_id
    assert follower.heartbeat() == "REBALANCE_IN_PROGRESS"
    follower.join()
    assign([follower])
    assert follower.leads


def test_the_last_member_leaves_an_empty_group() -> None:
    cluster = cluster_with()
    (client,) = form(Client(cluster))
    assert client.leave() == "NONE"
    assert (group_of(cluster).state, group_of(cluster).leader) == ("Empty", None)
    assert client.leave() == "UNKNOWN_MEMBER_ID"


def test_leaving_while_all_others_wait_ends_the_wait() -> None:
    cluster = cluster_with()
    leader, follower = form(Client(cluster), Client(cluster))
    waiting = leader.send_join()
    follower.leave()
    assert waiting.error == "NONE"


def test_a_member_that_leaves_is_told_so_where_it_waits() -> None:
    cluster = cluster_with()
    leader, follower = form(Client(cluster), Client(cluster))
    waiting = leader.send_join()
    leader.leave()
    assert waiting.error == "UNKNOWN_MEMBER_ID"
    follower.join()
    follower.accept()
    follower.sync({})
    third = Client(cluster)
    third.join()
    follower.join()
    third.accept()
    syncing = third.sync()
    third.leave()
    assert syncing.error == "UNKNOWN_MEMBER_ID"


def test_several_leave_at_once() -> None:
    cluster = cluster_with()
    leader, second, third = form(Client(cluster), Client(cluster), Client(cluster))
    leaving = [Message(member_id=member) for member in (second.member_id, "nobody", third.member_id)]
    answer = leader.ask("LeaveGroup", 4, members=leaving)
    assert [errors.name(member.error_code) for member in answer.members] == [
        "NONE",
        "UNKNOWN_MEMBER_ID",
        "NONE",
    ]
    assert [member.member_id for member in answer.members][::2] == [second.member_id, third.member_id]
    assert list(group_of(cluster).members) == [leader.member_id]


@pytest.mark.parametrize(("known", "error"), [(True, "NONE"), (False, "UNKNOWN_MEMBER_ID")])
def test_old_clients_leave_alone(known: bool, error: str) -> None:
    cluster = cluster_with()
    (client,) = form(Client(cluster))
    assert client.ask("LeaveGroup", 2, member_id=client.member_id if known else "nobody").error == error
    assert group_of(cluster).empty is known


def test_leaving_a_group_that_there_is_not() -> None:
    client = Client(cluster_with())
    assert client.ask("LeaveGroup", 2, member_id="m").error == "UNKNOWN_MEMBER_ID"
    answer = client.ask("LeaveGroup", 3, members=[Message(member_id="m")])
    assert answer.error == "NONE"
    assert errors.name(answer.members[0].error_code) == "UNKNOWN_MEMBER_ID"


def test_who_was_only_given_an_id_may_give_it_back() -> None:
    cluster = cluster_with()
    client = Client(cluster)
    client.member_id = client.send_join().member_id
    assert client.leave() == "NONE"
    assert client.send_join().error == "UNKNOWN_MEMBER_ID"


def test_too_few_replicas_to_keep_an_assignment() -> None:
    cluster = cluster_with(brokers=3)
    leader, follower = joined(Client(cluster), Client(cluster))
    for broker in set(cluster.brokers) - {cluster.coordinator("group", leader.group)}:
        cluster.stop_broker(broker)
    waiting = follower.sync()
    assert leader.sync({}).error == "COORDINATOR_NOT_AVAILABLE"
    assert waiting.error == "COORDINATOR_NOT_AVAILABLE"
    assert group_of(cluster).state == "PreparingRebalance"


def test_each_rebalance_has_its_own_time_to_sync() -> None:
    cluster = cluster_with()
    leader, follower = joined(Client(cluster, rebalance_ms=8000), Client(cluster, rebalance_ms=8000))
    advance(cluster, 5)
    newcomer = Client(cluster, rebalance_ms=8000)
    newcomer.join()
    leader.join()
    follower.join()
    advance(cluster, 4)  # past the time to sync of the generation before
    assert group_of(cluster).state == "CompletingRebalance"
    assign([leader, follower, newcomer])
    advance(cluster, 5)
    assert group_of(cluster).state == "Stable"


@pytest.mark.parametrize(("kafka_version", "state"), [("3.9.1", "Stable"), ("4.1.2", "PreparingRebalance")])
def test_who_was_only_given_an_id_leaves_a_stable_group(kafka_version: str, state: str) -> None:
    cluster = cluster_with(kafka_version=kafka_version)
    leader, _ = form(Client(cluster), Client(cluster))
    newcomer = Client(cluster)
    newcomer.member_id = newcomer.send_join().member_id
    assert newcomer.leave() == "NONE"
    assert group_of(cluster).state == state
    assert leader.heartbeat() == ("NONE" if state == "Stable" else "REBALANCE_IN_PROGRESS")


@pytest.mark.parametrize(("kafka_version", "waits"), [("3.9.1", False), ("4.1.2", True)])
def test_a_member_that_finds_no_room_any_more_holds_up_others(kafka_version: str, waits: bool) -> None:
    cluster = cluster_with(kafka_version=kafka_version, group_max_size="2")
    members = form(Client(cluster), Client(cluster))
    members[0].protocols = {"range": b"changed"}
    waiting = members[0].send_join()
    Client(cluster).join(3)
    assert members[1].send_join().error == "GROUP_MAX_SIZE_REACHED"
    assert waiting.waiting is waits
