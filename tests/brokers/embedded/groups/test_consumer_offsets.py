"""Who may commit and see the offsets of a consumer group."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pytest_msk.brokers.embedded.cluster import Cluster
from pytest_msk.brokers.wire.errors import KafkaError
from tests.brokers.embedded.groups.consumers import Consumer, group_cluster, group_of, settle


def error(check: Callable[[], object]) -> str:
    try:
        check()
    except KafkaError as refused:
        return refused.name
    return "NONE"


def commits(
    cluster: Cluster,
    consumer: Consumer | None,
    *,
    epoch: int,
    version: int = 9,
    transactional: bool = False,
    partition: tuple[str, int] = ("orders", 0),
) -> str:
    """The error that a commit for a partition gets."""

    def check() -> None:
        member_id = consumer.id if consumer is not None else ""
        each = group_of(cluster).check_commit(member_id, None, epoch, version, transactional=transactional)
        if each is not None:
            each(*partition)

    return error(check)


def cluster_of_members(release: str) -> tuple[Cluster, Consumer, Consumer]:
    cluster = group_cluster(release)
    cluster.topics.create("orders", partitions=2)
    first, second = Consumer(cluster, "orders"), Consumer(cluster, "orders")
    first.join()
    second.join()
    settle(first, second)
    return cluster, first, second


@pytest.mark.parametrize("release", ["4.2.0", "4.3.0"])
def test_members_commit_at_their_epoch(release: str) -> None:
    cluster, first, _ = cluster_of_members(release)
    assert commits(cluster, first, epoch=first.epoch) == "NONE"
    assert commits(cluster, first, epoch=first.epoch, transactional=True, version=3) == "NONE"
    assert commits(cluster, first, epoch=first.epoch + 1) == "STALE_MEMBER_EPOCH"
    assert commits(cluster, first, epoch=first.epoch, version=8) == "UNSUPPORTED_VERSION"
    assert commits(cluster, None, epoch=first.epoch) == "UNKNOWN_MEMBER_ID"
    assert commits(cluster, None, epoch=-1) == "UNKNOWN_MEMBER_ID"
    assert commits(cluster, None, epoch=-1, transactional=True, version=3) == "NONE"


@pytest.mark.parametrize(("release", "error"), [("4.2.0", "STALE_MEMBER_EPOCH"), ("4.3.0", "NONE")])
def test_since_4_3_an_older_epoch_will_do_for_what_was_owned_then(release: str, error: str) -> None:
    cluster, first, second = cluster_of_members(release)
    (kept,) = first.names()["orders"]
    (other,) = second.names()["orders"]
    old = first.epoch
    second.leave()
    settle(first)
    assert commits(cluster, first, epoch=old, partition=("orders", kept)) == error
    assert commits(cluster, first, epoch=old, partition=("orders", other)) == "STALE_MEMBER_EPOCH"
    assert commits(cluster, first, epoch=old, partition=("unknown", 0)) == "STALE_MEMBER_EPOCH"


def test_what_is_to_be_given_up_can_be_committed_for() -> None:
    cluster = group_cluster("4.3.0")
    cluster.topics.create("orders", partitions=2)
    first, second = Consumer(cluster, "orders", "users"), Consumer(cluster, "orders")
    first.join()
    old = first.epoch
    cluster.topics.create("users", partitions=1)
    first.heartbeat()
    assert first.epoch > old
    second.join()
    first.busy = True
    first.heartbeat()
    for partition in (0, 1):
        assert commits(cluster, first, epoch=old, partition=("orders", partition)) == "NONE"


def test_a_static_member_that_came_back_has_to_know_its_new_epoch() -> None:
    cluster = group_cluster("4.3.0")
    cluster.topics.create("orders", partitions=2)
    static = Consumer(cluster, "orders", instance_id="i")
    static.join()
    static.leave(-2)
    assert commits(cluster, static, epoch=static.epoch) == "STALE_MEMBER_EPOCH"
    again = Consumer(cluster, "orders", instance_id="i")
    again.join()
    assert commits(cluster, static, epoch=static.epoch) == "UNKNOWN_MEMBER_ID"
    assert commits(cluster, again, epoch=again.epoch) == "NONE"
    assert commits(cluster, again, epoch=again.epoch - 1) == "NONE"  # the partitions were the member's before


def test_anybody_commits_while_the_group_is_empty() -> None:
    cluster, first, second = cluster_of_members("4.3.0")
    first.leave()
    second.leave()
    assert commits(cluster, None, epoch=-1, version=2) == "NONE"
    assert commits(cluster, first, epoch=3) == "UNKNOWN_MEMBER_ID"


def test_members_see_offsets_at_their_epoch_and_strangers_always() -> None:
    cluster, first, second = cluster_of_members("4.3.0")
    group = group_of(cluster)

    def sees(member_id: str | None, epoch: int) -> str:
        return error(lambda: group.check_fetch(member_id, epoch))

    assert sees(None, -1) == "NONE"
    assert sees(first.id, first.epoch) == "NONE"
    assert sees(first.id, first.epoch - 1) == "STALE_MEMBER_EPOCH"
    assert sees("stranger", 1) == "UNKNOWN_MEMBER_ID"
    assert sees(None, second.epoch) == "UNKNOWN_MEMBER_ID"
