"""What must be so before brokers leave a cluster: none of them holds a replica."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from pytest_msk.errors import MskError

if TYPE_CHECKING:
    from pytest_msk.brokers.embedded.cluster import Cluster
    from pytest_msk.brokers.embedded.replicas import Partition

_NAMED = 10


def check_empty(cluster: Cluster, leaving: Collection[int]) -> None:
    """Make sure that brokers hold nothing but replicas of Kafka's own topics.

    Raises:
        MskError: they do; names the partitions.
    """
    held = [
        f"{partition.topic.name}-{partition.id}"
        for partition in _on(cluster, leaving)
        if not partition.topic.internal
    ]
    if held:
        more = f" and {len(held) - _NAMED} more" if len(held) > _NAMED else ""
        raise MskError(
            f"Broker {', '.join(map(str, sorted(leaving)))} cannot leave cluster {cluster.spec.name!r}: "
            f"it holds replicas of {', '.join(held[:_NAMED])}{more}. Reassign these to other brokers first."
        )


def vacate(cluster: Cluster, leaving: Collection[int]) -> None:
    """Have other brokers hold what leaving ones do of Kafka's own topics, as far as there are as many."""
    staying = [broker for broker in cluster.brokers if broker not in leaving]
    for partition in list(_on(cluster, leaving)):
        kept = [replica for replica in partition.replicas if replica in staying]
        others = [broker for broker in staying if broker not in kept]
        cluster.controller.reassign(partition, [*kept, *others][: len(partition.replicas)])
        cluster.controller.catch_up([partition])


def _on(cluster: Cluster, brokers: Collection[int]) -> list[Partition]:
    return [
        partition
        for partition in cluster.topics.partitions()
        if any(replica in brokers for replica in partition.replicas)
    ]
