"""What an embedded cluster holds at a moment, and the way back to it."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_msk.brokers.baseline import Baseline
from pytest_msk.brokers.embedded.cluster import Cluster
from pytest_msk.brokers.embedded.faults import Faults
from pytest_msk.brokers.embedded.groups.group import Group
from pytest_msk.brokers.embedded.groups.offsets import CommittedOffset, TopicPartition


def taken(cluster: Cluster, faults: Faults) -> Baseline:
    """What there is now. Kafka's own topics are left out: they stay."""
    topics = [topic for topic in cluster.topics.all() if not topic.internal]
    return Baseline(
        topics={topic.name: str(topic.id) for topic in topics},
        topic_configs={topic.name: dict(topic.configs) for topic in topics if topic.configs},
        groups=frozenset(cluster.groups.groups),
        transactional_ids=frozenset(cluster.transactions.ids()),
        offsets={
            (group.id, *partition): offset
            for group in cluster.groups.groups.values()
            for partition, offset in group.offsets
        },
        configs=cluster.configs.set_by_clients(),
        quotas=cluster.quotas.all(),
        scram_users=frozenset(cluster.scram_credentials.by_user),
        faults=frozenset(faults.numbers()),
    )


def restore(cluster: Cluster, faults: Faults, baseline: Baseline) -> None:
    """Remove what there was not, set back configurations, offsets and quotas, end faults.

    Who is in a group commits for it, so offsets of groups with members stay.
    """
    now = taken(cluster, faults)
    for number in now.faults - baseline.faults:
        faults.remove(number)
    # Before the topics: an open transaction keeps records of what stays from its readers.
    for transactional_id in now.transactional_ids - baseline.transactional_ids:
        cluster.transactions.remove(transactional_id)
    for group_id in now.groups - baseline.groups:
        cluster.groups.remove(group_id)
    for group_id, changes in baseline.offset_changes(now).items():
        _restore_offsets(cluster.groups.groups[group_id], changes)
    cluster.configs.restore(baseline.configs)
    cluster.quotas.restore(baseline.quotas)
    for user in now.scram_users - baseline.scram_users:
        del cluster.scram_credentials.by_user[user]
    for topic in cluster.topics.all():
        if topic.internal:
            continue
        if not baseline.keeps(topic.name, str(topic.id)):
            cluster.topics.delete(topic.name)
        elif topic.configs != baseline.topic_configs.get(topic.name, {}):
            cluster.configs.set_topic(topic, baseline.topic_configs.get(topic.name, {}))


def _restore_offsets(group: Group, changes: Mapping[TopicPartition, CommittedOffset | None]) -> None:
    if not group.empty:
        return
    for (topic, partition), offset in changes.items():
        if offset is None:
            group.offsets.delete(topic, partition)
        else:
            group.offsets.commit(topic, partition, offset)
