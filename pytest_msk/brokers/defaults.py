"""The settings that pytest-msk's brokers start with, on every plane, where the caller sets none."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_msk.spec import ClusterSpec


def broker_defaults(spec: ClusterSpec) -> Mapping[str, str]:
    """The ``server.properties`` of every broker of a cluster, before the caller's own configuration."""
    return {
        **_sizes(spec.brokers),
        **_SWIFT,
        "auto.create.topics.enable": str(spec.auto_create_topics).lower(),
    }


def _sizes(brokers: int) -> Mapping[str, str]:
    """What depends on the number of brokers: replicas as MSK sets them for as many zones."""
    replicas = min(3, brokers)
    in_sync = min(2, brokers)
    return {
        "default.replication.factor": str(replicas),
        "min.insync.replicas": str(max(1, replicas - 1)),
        "offsets.topic.replication.factor": str(replicas),
        "offsets.topic.num.partitions": str(replicas),
        "transaction.state.log.replication.factor": str(replicas),
        "transaction.state.log.min.isr": str(in_sync),
        "transaction.state.log.num.partitions": str(replicas),
        "share.coordinator.state.topic.replication.factor": str(replicas),
        "share.coordinator.state.topic.min.isr": str(in_sync),
        "share.coordinator.state.topic.num.partitions": str(replicas),
    }


# Waits and threads that are sized for datacentres, and one buffer that would not fit the heap. The idle
# interval is how long a follower that has seen a change may wait for the word that it is committed.
_SWIFT: Mapping[str, str] = {
    "controller.quorum.append.linger.ms": "0",
    "controller.quorum.election.timeout.ms": "200",
    "controller.quorum.election.backoff.max.ms": "200",
    "metadata.max.idle.interval.ms": "50",
    "broker.heartbeat.interval.ms": "100",
    "broker.session.timeout.ms": "4000",
    "group.initial.rebalance.delay.ms": "0",
    "group.consumer.heartbeat.interval.ms": "500",
    "group.consumer.min.heartbeat.interval.ms": "100",
    "group.consumer.assignment.interval.ms": "0",
    "log.cleaner.dedupe.buffer.size": "16777216",
    "num.network.threads": "1",
    "num.io.threads": "4",
    "background.threads": "2",
}
