"""ListGroups, DescribeGroups, DeleteGroups and FindCoordinator."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_msk.brokers.embedded.cluster import Cluster
from pytest_msk.brokers.wire import errors
from pytest_msk.brokers.wire.message import Message
from tests.brokers.embedded.clusters import advance
from tests.brokers.embedded.groups.classic_members import Answer, Client, cluster_with, fetch, form, send

NOT_ASKED = -(1 << 31)


def listed(cluster: Cluster, version: int = 5, broker: int = 1, **fields: Any) -> set[str]:
    answer = send(cluster, "ListGroups", version, broker, **fields)
    assert answer.error == "NONE"
    return {group.group_id for group in answer.groups}


def described(cluster: Cluster, group: str, version: int = 6, broker: int = 1, **fields: Any) -> Message:
    found: Message = send(cluster, "DescribeGroups", version, broker, groups=[group], **fields).groups[0]
    return found


def deleted(cluster: Cluster, *groups: str, broker: int = 1, version: int = 2) -> dict[str, str]:
    answer = send(cluster, "DeleteGroups", version, broker, groups_names=list(groups))
    return {result.group_id: errors.name(result.error_code) for result in answer.results}


def with_groups_in_all_states() -> Cluster:
    cluster = cluster_with("t")
    form(Client(cluster, group="stable"))
    Client(cluster, group="simple").commit(1)
    (member,) = form(Client(cluster, group="empty"))
    member.leave()
    (leader, _) = form(*(Client(cluster, group="preparing") for _ in range(2)))
    leader.join()
    completing = Client(cluster, group="completing", protocol_type="connect")
    completing.join()
    advance(cluster)
    return cluster


@pytest.mark.parametrize("version", range(6))
def test_groups_are_listed(version: int) -> None:
    cluster = with_groups_in_all_states()
    groups = send(cluster, "ListGroups", version, 1).groups
    types = {group.group_id: group.protocol_type for group in groups}
    assert types == {
        "stable": "consumer",
        "simple": "",
        "empty": "consumer",
        "preparing": "consumer",
        "completing": "connect",
    }
    states = {group.group_id: group.group_state for group in groups}
    assert states["completing"] == ("CompletingRebalance" if version >= 4 else "")
    assert {group.group_type for group in groups} == {"classic" if version >= 5 else ""}


@pytest.mark.parametrize(
    ("states", "groups"),
    [
        (["Stable"], {"stable"}),
        (["stable", " EMPTY "], {"stable", "simple", "empty"}),
        (["PreparingRebalance", "CompletingRebalance"], {"preparing", "completing"}),
        (["Dead"], set()),
        (["nonsense"], set()),
    ],
)
def test_groups_are_listed_by_state(states: list[str], groups: set[str]) -> None:
    assert listed(with_groups_in_all_states(), states_filter=states) == groups


@pytest.mark.parametrize(
    ("types", "count"), [(["Classic"], 5), (["consumer"], 0), (["consumer", "classic"], 5), (["nonsense"], 0)]
)
def test_groups_are_listed_by_type(types: list[str], count: int) -> None:
    assert len(listed(with_groups_in_all_states(), types_filter=types)) == count


def test_each_broker_lists_the_groups_that_it_coordinates() -> None:
    cluster = cluster_with("t", brokers=3)
    groups = {f"group {number}" for number in range(9)}
    for group in groups:
        Client(cluster, group=group).commit(1)
    found = {broker: listed(cluster, broker=broker) for broker in cluster.brokers}
    assert set().union(*found.values()) == groups
    for broker, names in found.items():
        assert names
        assert {cluster.coordinator("group", name) for name in names} == {broker}


def test_without_any_group_ever_none_are_listed() -> None:
    assert listed(cluster_with()) == set()


@pytest.mark.parametrize("version", range(7))
def test_a_stable_group_is_described_in_full(version: int) -> None:
    cluster = cluster_with()
    client = Client(cluster, group="g", instance_id="i", protocols={"range": b"what I want"})
    form(client)
    group = described(cluster, "g", version)
    assert (group.error_code, group.group_state, group.protocol_type, group.protocol_data) == (
        0,
        "Stable",
        "consumer",
        "range",
    )
    (member,) = group.members
    assert (member.member_id, member.client_id, member.client_host) == (
        client.member_id,
        "tests",
        "/127.0.0.1",
    )
    assert (member.member_metadata, member.member_assignment) == (b"what I want", client.member_id.encode())
    assert member.group_instance_id == ("i" if version >= 4 else None)
    assert group.authorized_operations == NOT_ASKED


@pytest.mark.parametrize("name", ["preparing", "completing"])
def test_during_a_rebalance_members_say_nothing_of_themselves(name: str) -> None:
    group = described(with_groups_in_all_states(), name)
    assert group.protocol_data == ""
    assert group.members
    assert {member.member_metadata for member in group.members} == {b""}


def test_a_group_without_members_is_described() -> None:
    cluster = with_groups_in_all_states()
    for name, protocol_type in [("empty", "consumer"), ("simple", "")]:
        group = described(cluster, name)
        assert (group.group_state, group.protocol_type, group.members) == ("Empty", protocol_type, [])


@pytest.mark.parametrize("version", range(7))
def test_a_group_that_there_is_not_is_dead(version: int) -> None:
    group = described(cluster_with(), "nobody's", version)
    assert (group.group_state, group.members) == ("Dead", [])
    if version >= 6:
        assert errors.name(group.error_code) == "GROUP_ID_NOT_FOUND"
        assert group.error_message == "Group nobody's not found."
    else:
        assert group.error_code == 0


@pytest.mark.parametrize(
    ("kafka_version", "operations"), [("3.9.1", {3, 6, 8}), ("4.1.2", {3, 6, 8, 10, 11})]
)
def test_what_may_be_done_to_a_group_is_told_who_asks(kafka_version: str, operations: set[int]) -> None:
    cluster = cluster_with(kafka_version=kafka_version)
    form(Client(cluster, group="g"))
    told = described(cluster, "g", 5, include_authorized_operations=True).authorized_operations
    assert {bit for bit in range(31) if told >> bit & 1} == operations


def test_groups_that_another_broker_coordinates() -> None:
    cluster = cluster_with(brokers=3)
    form(Client(cluster, group="g"))
    other = next(broker for broker in cluster.brokers if broker != cluster.coordinator("group", "g"))
    assert errors.name(described(cluster, "g", broker=other).error_code) == "NOT_COORDINATOR"
    assert deleted(cluster, "g", broker=other) == {"g": "NOT_COORDINATOR"}


@pytest.mark.parametrize("version", range(4))
def test_groups_without_members_are_deleted_with_their_offsets(version: int) -> None:
    cluster = with_groups_in_all_states()
    assert deleted(cluster, "simple", "stable", "preparing", "nobody's", "simple", version=version) == {
        "simple": "NONE",
        "stable": "NON_EMPTY_GROUP",
        "preparing": "NON_EMPTY_GROUP",
        "nobody's": "GROUP_ID_NOT_FOUND",
    }
    assert fetch(cluster, "simple") == {}
    assert "simple" not in listed(cluster)


def test_too_few_replicas_to_delete_a_group() -> None:
    cluster = cluster_with("t", brokers=3)
    Client(cluster, group="g").commit(1)
    leader = cluster.coordinator("group", "g")
    for broker in set(cluster.brokers) - {leader}:
        cluster.stop_broker(broker)
    assert deleted(cluster, "g", broker=leader) == {"g": "COORDINATOR_NOT_AVAILABLE"}


def test_groups_are_found_and_removed_by_who_holds_the_cluster() -> None:
    cluster = cluster_with("t")
    leader, _ = form(*(Client(cluster, group="g") for _ in range(2)))
    waiting = leader.send_join()
    assert set(cluster.groups.groups["g"].members) == {
        member.id for member in cluster.groups.groups["g"].members.values()
    }
    cluster.groups.remove("g")
    cluster.groups.remove("g")
    assert waiting.error == "NOT_COORDINATOR"
    assert cluster.groups.get("g") is None


# FindCoordinator


def one(answer: Answer) -> tuple[int, str, int]:
    return answer.node_id, answer.host, answer.port


@pytest.mark.parametrize("version", range(4))
def test_one_coordinator_is_found(version: int) -> None:
    cluster = cluster_with(brokers=3)
    answer = send(cluster, "FindCoordinator", version, 2, key="g")
    leader = cluster.coordinator("group", "g")
    assert answer.error == "NONE"
    assert one(answer) == (leader, "127.0.0.1", 9000 + leader)
    assert answer.error_message == ("NONE" if version else "")


@pytest.mark.parametrize("version", range(4, 7))
def test_many_coordinators_are_found(version: int) -> None:
    cluster = cluster_with(brokers=3)
    keys = [f"g{number}" for number in range(9)]
    answer = send(cluster, "FindCoordinator", version, 1, coordinator_keys=keys)
    assert [found.key for found in answer.coordinators] == keys
    assert {found.node_id for found in answer.coordinators} == {1, 2, 3}
    for found in answer.coordinators:
        assert found.node_id == cluster.coordinator("group", found.key)
        assert (found.error_code, found.host, found.port) == (0, "127.0.0.1", 9000 + found.node_id)


def test_groups_and_transactions_have_different_coordinators() -> None:
    cluster = cluster_with(brokers=3)
    answer = send(cluster, "FindCoordinator", 4, 1, key_type=1, coordinator_keys=["x"])
    assert answer.coordinators[0].node_id == cluster.coordinator("transaction", "x")
    assert cluster.topics.get("__transaction_state") is not None


@pytest.mark.parametrize("key_type", [2, 7])
@pytest.mark.parametrize("version", [3, 6])
def test_nobody_coordinates_anything_else(key_type: int, version: int) -> None:
    cluster = cluster_with()
    if version < 4:
        answer = send(cluster, "FindCoordinator", version, 1, key_type=key_type, key="x:y:1")
        assert (answer.error, one(answer)) == ("INVALID_REQUEST", (-1, "", -1))
    else:
        answer = send(cluster, "FindCoordinator", version, 1, key_type=key_type, coordinator_keys=["x:y:1"])
        (found,) = answer.coordinators
        assert (errors.name(found.error_code), found.node_id) == ("INVALID_REQUEST", -1)


def test_while_there_is_none_clients_are_told_to_wait() -> None:
    cluster = cluster_with(brokers=3)
    leader = cluster.coordinator("group", "g")
    for broker in cluster.brokers:
        if broker != leader:
            cluster.stop_broker(broker)
    cluster.stop_broker(leader)
    answer = send(cluster, "FindCoordinator", 3, 1, key="g")
    assert (answer.error, one(answer)) == ("COORDINATOR_NOT_AVAILABLE", (-1, "", -1))
