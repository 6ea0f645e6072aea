"""How brokers leave a cluster: none of them holds a replica by then."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from pytest_msk.errors import MskError, MskUsageError

if TYPE_CHECKING:
    from pytest_msk.brokers.embedded.cluster import Cluster
    from pytest_msk.brokers.embedded.replicas import Partition

_NAMED = 10


def check_empty(cluster: Cluster, leaving: Collection[int]) -> None:
    """Make sure that brokers hold nothing but replicas of Kafka's own topics.

    Raises:
        MskUsageError: they do; names the partitions.
    """
    held = [partition for partition in _on(cluster, leaving) if not partition.topic.internal]
    if held:
        holders = {replica for partition in held for replica in partition.replicas}.intersection(leaving)
        more = f" and {len(held) - _NAMED} more" if len(held) > _NAMED else ""
        raise MskUsageError(
            f"Cluster {cluster.spec.name!r} cannot have fewer brokers: broker "
            f"{', '.join(map(str, sorted(holders)))} still holds replicas of "
            f"{', '.join(map(_name, held[:_NAMED]))}{more}. "
            "Move them to other brokers, or delete the topics, first."
        )


def vacate(cluster: Cluster, leaving: Collection[int]) -> None:
    """Have other brokers hold what leaving ones do, as far as there are as many.

    Raises:
        MskError: a partition has no leader to copy from.
    """
    staying = [broker for broker in cluster.brokers if broker not in leaving]
    for partition in _on(cluster, leaving):
        cluster.controller.reassign(partition, _places(partition, leaving, staying))
    cluster.controller.catch_up()
    if left := _on(cluster, leaving):
        raise MskError(
            f"Cluster {cluster.spec.name!r}: {_name(left[0])} has no leader, so it cannot be moved."
        )


def _places(partition: Partition, leaving: Collection[int], staying: list[int]) -> list[int]:
    """Who is to hold a partition; each begins its search elsewhere, so that not all go to the same broker."""
    kept = [replica for replica in partition.replicas if replica not in leaving]
    start = partition.id % len(staying)
    others = [broker for broker in (*staying[start:], *staying[:start]) if broker not in kept]
    return [*kept, *others][: len(partition.replicas)]


def _on(cluster: Cluster, brokers: Collection[int]) -> list[Partition]:
    return [
        partition
        for partition in cluster.topics.partitions()
        if any(replica in brokers for replica in partition.replicas)
    ]


def _name(partition: Partition) -> str:
    return f"{partition.topic.name}-{partition.id}"
