"""Classic groups: static members, which come back under the same instance id (KIP-345)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from pytest_msk.brokers.wire import errors
from pytest_msk.brokers.wire.message import Message
from tests.brokers.embedded.clusters import advance
from tests.brokers.embedded.groups.classic_members import (
    SESSION_MS,
    Client,
    assign,
    cluster_with,
    form,
    group_of,
)


def restarted(client: Client, **changes: Any) -> Client:
    """The same static member, which remembers nothing."""
    again = Client(client.cluster, group=client.group, instance_id=client.instance_id, **changes)
    if "protocols" not in changes:
        again.protocols = client.protocols
    return again


def test_a_static_member_joins_at_once_and_is_named_for_its_instance() -> None:
    cluster = cluster_with()
    (client,) = form(Client(cluster, instance_id="host-7"))
    assert re.fullmatch(r"host-7-[0-9a-f-]{36}", client.member_id)
    assert group_of(cluster).members[client.member_id].instance_id == "host-7"


def test_a_follower_that_comes_back_has_its_assignment_without_a_rebalance() -> None:
    cluster = cluster_with()
    leader, follower = form(Client(cluster), Client(cluster, instance_id="i"))
    again = restarted(follower)
    again.join()
    joined = again.accept()
    assert joined.member_id not in ("", follower.member_id)
    assert (joined.generation_id, joined.leader, joined.members) == (1, leader.member_id, [])
    assert again.sync().assignment == follower.member_id.encode()
    assert leader.heartbeat() == "NONE"
    assert follower.heartbeat() == "FENCED_INSTANCE_ID"


def test_a_leader_that_comes_back_is_told_that_there_is_nothing_to_assign() -> None:
    cluster = cluster_with()
    leader, _ = form(Client(cluster, instance_id="i"), Client(cluster))
    again = restarted(leader)
    again.join(9)
    joined = again.accept()
    assert (joined.leader, joined.skip_assignment, len(joined.members)) == (again.member_id, True, 2)
    assert again.sync().assignment == leader.member_id.encode()
    assert group_of(cluster).state == "Stable"


def test_an_older_leader_that_comes_back_is_not_told_that_it_leads() -> None:
    cluster = cluster_with()
    leader, _ = form(Client(cluster, instance_id="i"), Client(cluster))
    again = restarted(leader)
    joined = again.send_join(8)
    assert (joined.leader, joined.skip_assignment, joined.members) == (leader.member_id, False, [])
    assert group_of(cluster).leader == joined.member_id


def test_a_member_that_comes_back_with_another_protocol_rebalances_the_group() -> None:
    cluster = cluster_with()
    leader, static = form(
        Client(cluster, protocols=["range", "sticky"]),
        Client(cluster, protocols=["range", "sticky"], instance_id="i"),
    )
    again = restarted(static, protocols=["sticky"])
    assert again.send_join().waiting
    assert leader.heartbeat() == "REBALANCE_IN_PROGRESS"


def test_while_a_group_rebalances_who_comes_back_takes_part() -> None:
    cluster = cluster_with()
    leader, static = form(Client(cluster), Client(cluster, instance_id="i"))
    static.protocols = {"range": b"changed"}
    fenced = static.send_join()
    again = restarted(static)
    waiting = again.send_join()
    assert (fenced.error, fenced.member_id) == ("FENCED_INSTANCE_ID", static.member_id)
    leader.join()
    assert waiting.error == "NONE"
    assign([leader, again])


def test_while_the_leader_assigns_who_comes_back_has_all_join_anew() -> None:
    cluster = cluster_with()
    leader, static = Client(cluster), Client(cluster, instance_id="i")
    for client in (leader, static):
        client.join()
    advance(cluster)
    leader.accept()
    static.accept()
    fenced = static.sync()
    waiting = restarted(static).send_join()
    assert fenced.error == "FENCED_INSTANCE_ID"
    assert waiting.waiting
    assert leader.sync({}).error == "REBALANCE_IN_PROGRESS"


def test_a_rebalance_goes_on_without_a_static_member_but_keeps_it() -> None:
    cluster = cluster_with()
    leader, absent = form(
        Client(cluster, rebalance_ms=8000), Client(cluster, rebalance_ms=8000, instance_id="i")
    )
    waiting = leader.send_join()
    absent.heartbeat()
    advance(cluster, 8)
    assert len(waiting.members) == 2
    assert absent.member_id in group_of(cluster).members


def test_a_rebalance_that_no_dynamic_member_came_to_waits_for_the_static_ones() -> None:
    cluster = cluster_with()
    dynamic, static = form(
        Client(cluster, session_ms=6000, rebalance_ms=8000),
        Client(cluster, session_ms=60_000, rebalance_ms=8000, instance_id="i"),
    )
    advance(cluster, 6)  # the dynamic member's session ends: a rebalance begins
    assert dynamic.heartbeat() == "UNKNOWN_MEMBER_ID"
    advance(cluster, 30)
    assert group_of(cluster).state == "PreparingRebalance"
    assert static.send_join().error == "NONE"


def test_a_static_member_is_gone_when_its_session_ends() -> None:
    cluster = cluster_with()
    (client,) = form(Client(cluster, instance_id="i"))
    advance(cluster, SESSION_MS / 1000)
    assert group_of(cluster).empty
    again = restarted(client)
    assert again.send_join().waiting


def test_an_administrator_removes_members_by_instance_id() -> None:
    cluster = cluster_with()
    leader, static = form(Client(cluster), Client(cluster, instance_id="i"))
    leaving = [Message(member_id="", group_instance_id=name) for name in ("i", "j")]
    answer = leader.ask("LeaveGroup", 5, members=leaving)
    assert [errors.name(member.error_code) for member in answer.members] == ["NONE", "UNKNOWN_MEMBER_ID"]
    assert [member.group_instance_id for member in answer.members] == ["i", "j"]
    assert static.heartbeat() == "UNKNOWN_MEMBER_ID"


@pytest.mark.parametrize("request_name", ["join", "sync", "heartbeat", "leave", "commit"])
def test_a_member_that_was_replaced_is_fenced(request_name: str) -> None:
    cluster = cluster_with("t")
    (old,) = form(Client(cluster, instance_id="i"))
    restarted(old).join()
    answers: dict[str, Callable[[], str]] = {
        "join": lambda: old.send_join().error,
        "sync": lambda: old.sync().error,
        "heartbeat": old.heartbeat,
        "leave": old.leave,
        "commit": lambda: old.commit(1),
    }
    assert answers[request_name]() == "FENCED_INSTANCE_ID"


def test_a_pending_member_that_turns_static_is_an_error_of_its_client() -> None:
    cluster = cluster_with()
    client = Client(cluster)
    client.member_id = client.send_join().member_id
    assert client.send_join(group_instance_id="i").error == "UNKNOWN_SERVER_ERROR"


def test_too_few_replicas_to_take_a_member_back() -> None:
    cluster = cluster_with(brokers=3)
    (client,) = form(Client(cluster, instance_id="i"))
    for broker in set(cluster.brokers) - {cluster.coordinator("group", client.group)}:
        cluster.stop_broker(broker)
    answer = restarted(client).send_join()
    assert (answer.error, answer.member_id) == ("COORDINATOR_NOT_AVAILABLE", "")
    assert client.heartbeat() == "NONE"
