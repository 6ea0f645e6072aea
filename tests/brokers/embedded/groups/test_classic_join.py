"""Classic groups: how members join, and what they are told."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.brokers.embedded.clusters import advance
from tests.brokers.embedded.groups.classic_members import (
    SESSION_MS,
    Client,
    assign,
    cluster_with,
    form,
    group_of,
    send,
)


def test_a_new_member_is_given_its_id_first() -> None:
    cluster = cluster_with()
    client = Client(cluster)
    answer = client.send_join(4)
    assert answer.error == "MEMBER_ID_REQUIRED"
    assert re.fullmatch(r"tests-[0-9a-f-]{36}", answer.member_id)
    assert group_of(cluster).members == {}
    client.member_id = answer.member_id
    assert client.send_join(4).waiting
    assert list(group_of(cluster).members) == [client.member_id]


def test_old_clients_join_at_once() -> None:
    client = Client(cluster_with())
    answer = client.send_join(3)
    assert answer.waiting
    advance(client.cluster)
    assert (answer.error, answer.generation_id, answer.leader) == ("NONE", 1, answer.member_id)


def test_the_leader_alone_is_told_who_the_members_are() -> None:
    cluster = cluster_with()
    leader = Client(cluster, protocols={"range": b"leader's"})
    follower = Client(cluster, instance_id="i", protocols={"range": b"follower's"})
    for client in (leader, follower):
        client.join()
    advance(cluster)
    told = leader.accept()
    assert [(member.member_id, member.group_instance_id, member.metadata) for member in told.members] == [
        (leader.member_id, None, b"leader's"),
        (follower.accept().member_id, "i", b"follower's"),
    ]
    assert follower.accept().members == []
    for answer in (leader.accept(), follower.accept()):
        assert (answer.protocol_type, answer.protocol_name) == ("consumer", "range")
        assert (answer.generation_id, answer.leader, answer.skip_assignment) == (1, leader.member_id, False)


def test_the_first_rebalance_waits_for_more_members_as_long_as_they_come() -> None:
    cluster = cluster_with(group_initial_rebalance_delay_ms="3000")
    first, second, third = (Client(cluster) for _ in range(3))
    first.join()
    advance(cluster, 2.9)
    second.join()
    advance(cluster, 2.9)  # until 3 s it was the first's time; now it is the second's
    third.join()
    assert first.joined is not None
    advance(cluster, 2.9)
    assert first.joined.waiting
    advance(cluster, 0.4)
    assert len(first.accept().members) == 3


def test_the_first_rebalance_waits_no_longer_than_its_rebalance_timeout() -> None:
    cluster = cluster_with(group_initial_rebalance_delay_ms="3000")
    clients = [Client(cluster, rebalance_ms=7000) for _ in range(8)]
    for client in clients:
        client.join()
        advance(cluster, 0.95)
    assert clients[0].joined is not None
    assert not clients[0].joined.waiting


def test_a_member_that_comes_later_has_all_join_anew() -> None:
    cluster = cluster_with()
    first, second = Client(cluster), Client(cluster)
    form(first)
    late = second.join()
    assert late.waiting
    assert first.heartbeat() == "REBALANCE_IN_PROGRESS"
    assert group_of(cluster).state == "PreparingRebalance"
    first.join()
    assert not late.waiting
    assign([first, second])
    assert (first.generation, group_of(cluster).state) == (2, "Stable")


def test_the_protocol_is_the_one_that_most_like_best_of_those_that_all_speak() -> None:
    cluster = cluster_with()
    clients = [
        Client(cluster, protocols=["sticky", "range", "roundrobin"]),
        Client(cluster, protocols=["roundrobin", "range"]),
        Client(cluster, protocols=["roundrobin", "sticky", "range"]),
    ]
    for client in clients:
        client.join()
    advance(cluster)
    assert {client.accept().protocol_name for client in clients} == {"roundrobin"}


@pytest.mark.parametrize(
    ("protocols", "protocol_type"), [(["sticky"], "consumer"), (["range"], "connect"), ([], "consumer")]
)
def test_who_speaks_none_of_the_groups_protocols_may_not_join(
    protocols: list[str], protocol_type: str
) -> None:
    cluster = cluster_with()
    form(Client(cluster, protocols=["range", "roundrobin"]))
    stranger = Client(cluster, protocols=protocols, protocol_type=protocol_type)
    assert stranger.send_join().error == "INCONSISTENT_GROUP_PROTOCOL"
    assert group_of(cluster).state == "Stable"


@pytest.mark.parametrize(("protocols", "protocol_type"), [([], "consumer"), (["range"], "")])
def test_the_first_member_has_to_name_a_protocol(protocols: list[str], protocol_type: str) -> None:
    client = Client(cluster_with(), protocols=protocols, protocol_type=protocol_type)
    assert client.send_join().error == "INCONSISTENT_GROUP_PROTOCOL"


def test_an_empty_group_may_become_one_of_other_clients() -> None:
    cluster = cluster_with()
    (member,) = form(Client(cluster))
    member.leave()
    (worker,) = form(Client(cluster, protocol_type="connect", protocols=["default"]))
    assert (group_of(cluster).protocol_type, worker.generation) == ("connect", 3)


@pytest.mark.parametrize("session_ms", [5999, 60_001])
def test_session_timeouts_have_bounds(session_ms: int) -> None:
    client = Client(cluster_with(group_max_session_timeout_ms="60000"), session_ms=session_ms)
    assert client.send_join().error == "INVALID_SESSION_TIMEOUT"


def test_a_group_has_an_id() -> None:
    client = Client(cluster_with(), group="")
    assert client.send_join().error == "INVALID_GROUP_ID"
    assert client.sync().error == "INVALID_GROUP_ID"
    assert client.heartbeat() == "INVALID_GROUP_ID"
    assert client.ask("LeaveGroup", 5, members=[]).error == "INVALID_GROUP_ID"


def test_only_the_coordinator_answers() -> None:
    cluster = cluster_with(brokers=3)
    (client,) = form(Client(cluster))
    other = next(broker for broker in cluster.brokers if broker != cluster.coordinator("group", client.group))
    for api, version in [("JoinGroup", 9), ("SyncGroup", 4), ("Heartbeat", 4), ("LeaveGroup", 5)]:
        fields: dict[str, Any] = {"session_timeout_ms": SESSION_MS} if api == "JoinGroup" else {}
        assert send(cluster, api, version, other, group_id=client.group, **fields).error == "NOT_COORDINATOR"


@pytest.mark.parametrize("group_exists", [False, True])
def test_a_member_id_that_nobody_gave_out_is_unknown(group_exists: bool) -> None:
    cluster = cluster_with()
    if group_exists:
        form(Client(cluster))
    client = Client(cluster)
    client.member_id = "made up"
    answer = client.send_join()
    assert (answer.error, answer.member_id) == ("UNKNOWN_MEMBER_ID", "made up")


def test_a_follower_that_joins_again_unchanged_is_told_the_same_again() -> None:
    cluster = cluster_with()
    _, follower = form(Client(cluster), Client(cluster))
    answer = follower.send_join()
    assert (answer.error, answer.generation_id, answer.members) == ("NONE", 1, [])
    assert group_of(cluster).state == "Stable"


def test_a_leader_that_joins_again_rebalances_the_group() -> None:
    cluster = cluster_with()
    leader, follower = form(Client(cluster), Client(cluster))
    assert leader.send_join().waiting
    assert follower.heartbeat() == "REBALANCE_IN_PROGRESS"


def test_a_follower_that_joins_again_with_other_metadata_rebalances_the_group() -> None:
    cluster = cluster_with()
    leader, follower = form(Client(cluster), Client(cluster))
    follower.protocols = {"range": b"other topics"}
    assert follower.send_join().waiting
    leader.join()
    assert [member.metadata for member in leader.accept().members] == [b"", b"other topics"]


def test_while_the_leader_assigns_a_lost_answer_is_given_again() -> None:
    cluster = cluster_with()
    leader, follower = Client(cluster), Client(cluster)
    for client in (leader, follower):
        client.join()
    advance(cluster)
    for client in (leader, follower):
        client.accept()
        again = client.send_join()
        assert (again.error, again.generation_id) == ("NONE", 1)
    assert len(leader.accept().members) == 2
    assert group_of(cluster).state == "CompletingRebalance"


def test_a_group_has_no_more_than_its_most_members() -> None:
    cluster = cluster_with(group_max_size="2")
    form(Client(cluster), Client(cluster))
    answer = Client(cluster).send_join()
    assert (answer.error, answer.member_id) == ("GROUP_MAX_SIZE_REACHED", "")
    assert group_of(cluster).state == "Stable"


def test_members_that_wait_for_a_rebalance_count_as_room_taken() -> None:
    cluster = cluster_with(group_max_size="2")
    members = form(Client(cluster), Client(cluster))
    members[0].protocols = {"range": b"changed"}
    assert members[0].send_join().waiting
    newcomer = Client(cluster)
    assert newcomer.join(3).waiting  # it came before the second member came back
    assert members[1].send_join().error == "GROUP_MAX_SIZE_REACHED"


def test_a_member_that_joins_twice_is_answered_the_second_time() -> None:
    cluster = cluster_with()
    client = Client(cluster)
    first = client.join()
    first.hang_up()
    second = client.send_join()
    advance(cluster)
    assert second.error == "NONE"


def test_a_member_whose_connection_is_gone_counts_as_joined() -> None:
    cluster = cluster_with()
    first, second = Client(cluster), Client(cluster)
    first.join().hang_up()
    second.join()
    advance(cluster)
    assert second.accept().leader == first.member_id
    assert len(group_of(cluster).members) == 2


def test_the_rebalance_timeout_of_the_oldest_clients_is_their_session_timeout() -> None:
    cluster = cluster_with()
    client = Client(cluster, session_ms=7000)
    client.send_join(0)
    (member,) = group_of(cluster).members.values()
    assert member.rebalance_timeout_ms == 7000
