"""Static members of consumer groups: they go for a while, and come back under another member id."""

from __future__ import annotations

import pytest

from pytest_msk.brokers.embedded.cluster import Cluster
from tests.brokers.embedded.clusters import StillClock, advance
from tests.brokers.embedded.groups.consumers import (
    GROUP,
    Consumer,
    error_of,
    group_cluster,
    group_of,
    settle,
)


@pytest.fixture
def cluster() -> Cluster:
    cluster = group_cluster(group_consumer_session_timeout_ms="45000")
    cluster.topics.create("orders", partitions=4)
    return cluster


@pytest.fixture
def members(cluster: Cluster) -> tuple[Consumer, Consumer]:
    """A static member and another, who share the topic."""
    static, other = Consumer(cluster, "orders", instance_id="one"), Consumer(cluster, "orders")
    static.join()
    other.join()
    settle(static, other)
    return static, other


def test_finds_its_partitions_when_it_comes_back(
    cluster: Cluster, members: tuple[Consumer, Consumer]
) -> None:
    static, other = members
    epoch = group_of(cluster).epoch
    response = static.leave(-2)
    assert (error_of(response), response.member_id, response.member_epoch) == ("NONE", static.id, -2)
    assert group_of(cluster).state == "Reconciling"
    other.heartbeat()
    assert other.told is None
    again = Consumer(cluster, "orders", instance_id="one")
    again.join()
    assert again.owned == static.owned
    assert again.epoch == epoch
    assert sorted(group_of(cluster).members) == sorted([again.id, other.id])
    settle(again, other)
    assert error_of(static.heartbeat()) == "FENCED_INSTANCE_ID"


def test_may_come_back_as_who_it_was(cluster: Cluster, members: tuple[Consumer, Consumer]) -> None:
    static, other = members
    owned = set(static.owned)
    static.leave(-2)
    static.join()
    assert static.owned == owned
    settle(static, other)


def test_leaves_no_timers_behind(cluster: Cluster, members: tuple[Consumer, Consumer]) -> None:
    assert isinstance(cluster.clock, StillClock)
    static, _ = members
    before = cluster.clock.pending
    static.leave(-2)
    Consumer(cluster, "orders", instance_id="one").join()
    assert cluster.clock.pending == before
    cluster.groups.remove(GROUP)
    assert cluster.clock.pending == before - 2


def test_is_waited_for_though_it_was_to_give_something_up(cluster: Cluster) -> None:
    static = Consumer(cluster, "orders", instance_id="one", rebalance_timeout_ms=10_000)
    other = Consumer(cluster, "orders")
    static.join()
    other.join()
    static.heartbeat()
    static.leave(-2)
    advance(cluster, 11)
    again = Consumer(cluster, "orders", instance_id="one")
    assert error_of(again.join()) == "NONE"
    assert len(again.owned) == 2


def test_is_gone_when_its_session_ends(cluster: Cluster, members: tuple[Consumer, Consumer]) -> None:
    static, other = members
    static.leave(-2)
    advance(cluster, 40)
    other.heartbeat()
    advance(cluster, 6)
    assert list(group_of(cluster).members) == [other.id]
    settle(other)
    assert len(other.owned) == 4


def test_cannot_be_replaced_while_it_is_there(cluster: Cluster, members: tuple[Consumer, Consumer]) -> None:
    static, _ = members
    assert error_of(Consumer(cluster, "orders", instance_id="one").join()) == "UNRELEASED_INSTANCE_ID"
    assert error_of(static.heartbeat()) == "NONE"


def test_gives_its_place_free_when_it_leaves_for_good(
    cluster: Cluster, members: tuple[Consumer, Consumer]
) -> None:
    static, other = members
    assert error_of(static.leave(-1)) == "NONE"
    settle(other)
    assert len(other.owned) == 4
    again = Consumer(cluster, "orders", instance_id="one")
    assert error_of(again.join()) == "NONE"


def test_is_known_by_both_of_its_ids(cluster: Cluster, members: tuple[Consumer, Consumer]) -> None:
    static, other = members
    assert error_of(other.send(instance_id="one")) == "FENCED_INSTANCE_ID"
    assert error_of(other.send(instance_id="one", member_epoch=-1)) == "FENCED_INSTANCE_ID"
    assert error_of(static.send(instance_id="two")) == "UNKNOWN_MEMBER_ID"
    assert error_of(static.send(instance_id="two", member_epoch=-2)) == "UNKNOWN_MEMBER_ID"
    assert error_of(static.send(member_epoch=static.epoch + 1)) == "FENCED_MEMBER_EPOCH"


def test_gives_up_while_it_is_away_what_it_was_to_give_up(cluster: Cluster) -> None:
    static, other = Consumer(cluster, "orders", instance_id="one"), Consumer(cluster, "orders")
    static.join()
    other.join()
    static.heartbeat()
    static.leave(-2)
    other.heartbeat()
    assert len(other.owned) == 2
    again = Consumer(cluster, "orders", instance_id="one")
    again.join()
    assert len(again.owned) == 2
    settle(again, other)


def test_a_change_of_subscription_on_the_way_back_rebalances(
    cluster: Cluster, members: tuple[Consumer, Consumer]
) -> None:
    static, other = members
    cluster.topics.create("users", partitions=2)
    epoch = group_of(cluster).epoch
    static.leave(-2)
    again = Consumer(cluster, "users", instance_id="one")
    again.join()
    assert group_of(cluster).epoch == epoch + 1
    settle(again, other)
    assert again.names() == {"users": [0, 1]}
    assert other.names() == {"orders": [0, 1, 2, 3]}
