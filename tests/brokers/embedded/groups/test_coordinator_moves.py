"""Groups whose coordinator stops, dies, or comes back: what another broker reads of them."""

from __future__ import annotations

import pytest

from pytest_msk.brokers.embedded.cluster import Cluster
from tests.brokers.embedded.clusters import advance
from tests.brokers.embedded.groups.classic_members import (
    GROUP,
    REBALANCE_MS,
    SESSION_MS,
    Client,
    assign,
    cluster_with,
    coordinator,
    fetch,
    form,
    group_of,
    subscription,
)


def move(cluster: Cluster) -> None:
    """Stop the coordinator in good order; another one takes over."""
    former = coordinator(cluster)
    cluster.stop_broker(former)
    assert coordinator(cluster) not in (former, -1)


def test_a_stable_group_goes_on() -> None:
    cluster = cluster_with("t", brokers=3)
    leader, follower = form(Client(cluster), Client(cluster))
    assert leader.commit(7) == "NONE"
    move(cluster)
    assert (leader.heartbeat(), follower.heartbeat()) == ("NONE", "NONE")
    assert follower.sync().assignment == follower.member_id.encode()
    assert fetch(cluster) == {("t", 0): 7}
    assert group_of(cluster).leader == leader.member_id


def test_who_waits_is_told_to_look_for_the_coordinator() -> None:
    cluster = cluster_with(brokers=3)
    leader, follower = form(Client(cluster), Client(cluster))
    joining = follower.send_join(protocols=[])  # refused: it speaks nothing
    assert joining.error == "INCONSISTENT_GROUP_PROTOCOL"
    newcomer = Client(cluster)
    joining = newcomer.join()
    move(cluster)
    assert joining.error == "NOT_COORDINATOR"
    assert newcomer.send_join().error == "UNKNOWN_MEMBER_ID"
    assert (leader.heartbeat(), follower.heartbeat()) == ("NONE", "NONE")


def test_a_rebalance_that_is_under_way_is_forgotten() -> None:
    cluster = cluster_with(brokers=3)
    leader, follower = form(Client(cluster), Client(cluster))
    leader.join()
    follower.join()
    leader.accept()
    syncing = leader.generation, follower.accept() and follower.sync()
    assert group_of(cluster).generation == 2
    move(cluster)
    assert syncing[1].error == "NOT_COORDINATOR"
    assert (group_of(cluster).generation, group_of(cluster).state) == (1, "Stable")
    assert leader.heartbeat() == "ILLEGAL_GENERATION"
    leader.join()
    follower.join()
    assign([leader, follower])


def test_a_group_that_was_never_stable_is_gone() -> None:
    cluster = cluster_with(brokers=3)
    client = Client(cluster)
    waiting = client.join()
    move(cluster)
    assert waiting.error == "NOT_COORDINATOR"
    assert GROUP not in cluster.groups.groups
    advance(cluster, REBALANCE_MS / 1000)
    assert GROUP not in cluster.groups.groups


def test_a_group_that_has_but_offsets_keeps_them() -> None:
    cluster = cluster_with("t", brokers=3)
    client = Client(cluster)
    client.commit(3)
    client.join()
    move(cluster)
    assert fetch(cluster) == {("t", 0): 3}
    assert (group_of(cluster).state, group_of(cluster).protocol_type) == ("Empty", "")


def test_an_empty_group_keeps_its_generation() -> None:
    cluster = cluster_with(brokers=3)
    (client,) = form(Client(cluster))
    client.leave()
    move(cluster)
    assert (group_of(cluster).state, group_of(cluster).generation) == ("Empty", 2)
    (again,) = form(Client(cluster))
    assert again.generation == 3


def test_sessions_begin_anew_with_the_new_coordinator() -> None:
    cluster = cluster_with(brokers=3)
    form(Client(cluster))
    advance(cluster, SESSION_MS / 1000 - 1)
    move(cluster)
    advance(cluster, SESSION_MS / 1000 - 1)
    assert len(group_of(cluster).members) == 1
    advance(cluster, 1)
    assert group_of(cluster).empty


def test_a_broker_reads_only_the_chosen_protocol_of_each_member() -> None:
    cluster = cluster_with(brokers=3)
    _, follower = form(Client(cluster), Client(cluster))
    follower.protocols = {"range": b"", "sticky": b""}
    assert follower.send_join(protocols=[]).error == "INCONSISTENT_GROUP_PROTOCOL"
    leader, other = form(*(Client(cluster, group="other", protocols=["range", "sticky"]) for _ in range(2)))
    assert other.send_join().error == "NONE"  # nothing has changed
    cluster.stop_broker(coordinator(cluster, "other"))
    assert other.send_join().waiting  # to the new coordinator, something has
    assert leader.heartbeat() == "REBALANCE_IN_PROGRESS"


def test_a_group_that_is_too_large_by_now_is_rebalanced() -> None:
    cluster = cluster_with(brokers=3)
    clients = form(*(Client(cluster) for _ in range(3)))
    configuration = dict(cluster.spec.configuration)
    cluster.spec = cluster.spec.changed(configuration={**configuration, "group.max.size": "2"})
    cluster.configs = type(cluster.configs)(cluster)
    move(cluster)
    assert [client.heartbeat() for client in clients] == ["REBALANCE_IN_PROGRESS"] * 3
    assert clients[0].send_join().waiting
    assert clients[1].send_join().waiting
    assert clients[2].send_join().error == "GROUP_MAX_SIZE_REACHED"


def test_time_stands_still_while_the_coordinator_is_dead() -> None:
    cluster = cluster_with(brokers=3, broker_session_timeout_ms="20000")
    (client,) = form(Client(cluster))
    dead = coordinator(cluster)
    cluster.stop_broker(dead, graceful=False)
    advance(cluster, SESSION_MS / 1000 + 1)
    assert coordinator(cluster) == dead
    assert len(group_of(cluster).members) == 1
    advance(cluster, 10)
    assert coordinator(cluster) != dead
    assert client.heartbeat() == "NONE"


@pytest.mark.parametrize("graceful", [True, False])
def test_the_only_broker_comes_back_with_its_groups(graceful: bool) -> None:
    cluster = cluster_with("t", brokers=1)
    (client,) = form(Client(cluster))
    client.commit(5)
    cluster.stop_broker(1, graceful=graceful)
    advance(cluster, 60)
    cluster.start_broker(1)
    assert client.heartbeat() == "NONE"
    assert fetch(cluster) == {("t", 0): 5}
    advance(cluster, SESSION_MS / 1000)
    assert group_of(cluster).empty


def test_another_replica_that_stops_disturbs_nobody() -> None:
    cluster = cluster_with(brokers=3, kafka_version="3.5.2")  # where that is a new leader epoch
    leader, _ = form(Client(cluster), Client(cluster))
    waiting = leader.send_join()
    cluster.stop_broker(next(broker for broker in cluster.brokers if broker != coordinator(cluster)))
    assert waiting.waiting


def test_a_coordinator_that_is_moved_on_request() -> None:
    cluster = cluster_with(brokers=3)
    (client,) = form(Client(cluster))
    target = next(broker for broker in cluster.brokers if broker != coordinator(cluster))
    cluster.move_coordinator(GROUP, target)
    assert coordinator(cluster) == target
    assert client.heartbeat() == "NONE"


def test_the_topic_of_the_offsets_is_all_that_there_is_of_groups() -> None:
    cluster = cluster_with("t", brokers=3)
    leader, _ = form(Client(cluster), Client(cluster))
    leader.commit(1)
    waiting = leader.send_join()
    cluster.topics.delete("__consumer_offsets")
    assert waiting.error == "NOT_COORDINATOR"
    assert cluster.groups.groups == {}
    assert fetch(cluster) == {}


def test_a_cluster_that_ends_leaves_no_timers() -> None:
    cluster = cluster_with()
    leader, _ = form(Client(cluster), Client(cluster))
    waiting = leader.send_join()
    Client(cluster).send_join()
    cluster.groups.close()
    assert waiting.error == "NOT_COORDINATOR"
    assert cluster.clock.pending == 0  # type: ignore[attr-defined]


def test_a_new_coordinator_knows_the_group_as_it_was_described() -> None:
    cluster = cluster_with("t", brokers=3)
    _, follower = form(*(Client(cluster, protocols={"range": subscription("t")}) for _ in range(2)))
    before = group_of(cluster)
    known = (before.generation, before.protocol_type, before.protocol_name, before.leader)
    for _ in range(2):
        cluster.move_coordinator(GROUP, coordinator(cluster) % 3 + 1)
        after = group_of(cluster)
        assert (after.generation, after.protocol_type, after.protocol_name, after.leader) == known
        assert after.subscribed("t")
        assert not after.subscribed("u")
    assert follower.send_join().generation_id == 1
