"""Subscriptions by regular expression: resolved after the answer, and no more often than every 10 s."""

from __future__ import annotations

import pytest

from pytest_msk.brokers.embedded.cluster import Cluster
from tests.brokers.embedded.clusters import advance
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
    cluster = group_cluster()
    cluster.topics.create("orders-1", partitions=1)
    cluster.topics.create("orders-2", partitions=1)
    cluster.topics.create("users", partitions=1)
    return cluster


def test_finds_topics_after_the_first_answer(cluster: Cluster) -> None:
    consumer = Consumer(cluster, regex="orders-.*")
    assert error_of(consumer.join(subscribed_topic_names=None)) == "NONE"
    assert consumer.told == set()
    epoch = group_of(cluster).epoch
    advance(cluster)
    assert (group_of(cluster).epoch, group_of(cluster).state) == (epoch + 1, "Assigning")
    consumer.heartbeat()
    assert consumer.names() == {"orders-1": [0], "orders-2": [0]}
    group = group_of(cluster)
    assert (group.subscribed("orders-1"), group.subscribed("users")) == (True, False)


@pytest.mark.parametrize("release", ["4.0.0", "4.1.0"])
def test_finds_new_topics_when_ten_seconds_are_over(release: str) -> None:
    cluster = group_cluster(release)
    consumer = Consumer(cluster, regex="orders-.*")
    consumer.join()
    advance(cluster)
    cluster.topics.create("orders-3", partitions=1)
    for _ in range(5):
        consumer.heartbeat()
        assert consumer.owned == set()
        advance(cluster, 2)
    consumer.heartbeat()
    advance(cluster)
    consumer.heartbeat()
    assert consumer.owned == set()
    advance(cluster, 0.001)
    consumer.heartbeat()
    advance(cluster)
    consumer.heartbeat()
    assert consumer.names() == {"orders-3": [0]}


def test_goes_on_at_once_with_an_expression_that_others_have_already(cluster: Cluster) -> None:
    first = Consumer(cluster, regex="orders-.*")
    first.join()
    advance(cluster)
    first.heartbeat()
    second = Consumer(cluster, regex="orders-.*")
    second.join()
    settle(first, second)
    assert len(first.owned) == len(second.owned) == 1


def test_a_new_expression_waits_until_ten_seconds_are_over(cluster: Cluster) -> None:
    first, second = Consumer(cluster, regex="orders-.*"), Consumer(cluster, regex="users")
    first.join()
    advance(cluster)
    second.join()
    for _ in range(5):
        settle(first, second)
        assert second.owned == set()
        advance(cluster, 2)
    advance(cluster, 0.001)
    second.heartbeat()
    advance(cluster)
    settle(second, first)
    assert second.names() == {"users": [0]}


def test_names_and_expression_are_taken_together(cluster: Cluster) -> None:
    consumer = Consumer(cluster, "users", regex="orders-.*")
    consumer.join()
    assert consumer.names() == {"users": [0]}
    advance(cluster)
    settle(consumer)
    assert consumer.names() == {"users": [0], "orders-1": [0], "orders-2": [0]}


def test_a_member_may_go_over_to_names(cluster: Cluster) -> None:
    consumer = Consumer(cluster, regex="orders-.*")
    consumer.join()
    advance(cluster)
    settle(consumer)
    consumer.heartbeat(subscribed_topic_regex="", subscribed_topic_names=["users"])
    settle(consumer)
    assert consumer.names() == {"users": [0]}
    assert not group_of(cluster).subscribed("orders-1")


def test_a_member_may_change_its_expression(cluster: Cluster) -> None:
    consumer = Consumer(cluster, regex="orders-.*")
    consumer.join()
    advance(cluster)
    settle(consumer)
    consumer.heartbeat(subscribed_topic_regex="us.*")
    assert consumer.owned == set()  # nobody knows yet what it wants
    advance(cluster, 11)
    consumer.heartbeat()
    advance(cluster)
    settle(consumer)
    assert consumer.names() == {"users": [0]}


def test_forgets_an_expression_with_its_last_member(cluster: Cluster) -> None:
    first, second = Consumer(cluster, regex="orders-.*"), Consumer(cluster, "users")
    first.join()
    second.join()
    advance(cluster)
    settle(first, second)
    first.leave()
    settle(second)
    assert second.names() == {"users": [0]}
    assert not group_of(cluster).subscribed("orders-1")


def test_nothing_comes_of_it_when_all_have_left_meanwhile(cluster: Cluster) -> None:
    consumer = Consumer(cluster, regex="orders-.*")
    consumer.join()
    consumer.leave()
    epoch = group_of(cluster).epoch
    advance(cluster, 1)
    assert (group_of(cluster).epoch, group_of(cluster).state) == (epoch, "Empty")


def test_deleted_topics_are_given_up(cluster: Cluster) -> None:
    consumer = Consumer(cluster, regex="orders-.*")
    consumer.join()
    advance(cluster)
    settle(consumer)
    cluster.topics.delete("orders-1")
    settle(consumer)
    assert consumer.names() == {"orders-2": [0]}


@pytest.mark.parametrize(("release", "interval"), [("4.0.1", None), ("4.1.0", "20000")])
def test_since_4_1_expressions_are_resolved_anew_after_an_interval(
    release: str, interval: str | None
) -> None:
    settings = {} if interval is None else {"group_consumer_regex_refresh_interval_ms": interval}
    cluster = group_cluster(release, **settings)
    cluster.topics.create("orders-1", partitions=1)
    consumer = Consumer(cluster, regex="orders-.*")
    consumer.join()
    advance(cluster)
    settle(consumer)
    cluster.topics.delete("orders-1")
    advance(cluster, 20)
    settle(consumer)
    advance(cluster)
    assert group_of(cluster).subscribed("orders-1")
    advance(cluster, 0.001)
    consumer.heartbeat()
    advance(cluster)
    assert group_of(cluster).subscribed("orders-1") is (interval is None)


@pytest.mark.parametrize("regex", ["(", "a**", "(?=a)", r"(a)\1"])
def test_refuses_what_is_no_expression(cluster: Cluster, regex: str) -> None:
    consumer = Consumer(cluster, regex=regex)
    assert error_of(consumer.join()) == "INVALID_REGULAR_EXPRESSION"
    assert cluster.groups.get(GROUP) is None
    other = Consumer(cluster, "users")
    other.join()
    assert error_of(consumer.join()) == "INVALID_REGULAR_EXPRESSION"
    assert error_of(other.heartbeat(subscribed_topic_regex=regex)) == "INVALID_REGULAR_EXPRESSION"
    group = group_of(cluster)
    assert (list(group.members), group.members[other.id].regex) == ([other.id], "")
    assert group.state == "Stable"
