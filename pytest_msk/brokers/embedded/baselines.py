"""What an embedded cluster holds at a moment, and the way back to it."""

from __future__ import annotations

from pytest_msk.brokers.baseline import Baseline
from pytest_msk.brokers.embedded.cluster import Cluster
from pytest_msk.brokers.embedded.faults import Faults


def taken(cluster: Cluster, faults: Faults) -> Baseline:
    """What there is now. Kafka's own topics are left out: they stay."""
    topics = [topic for topic in cluster.topics.all() if not topic.internal]
    return Baseline(
        topics={topic.name: str(topic.id) for topic in topics},
        topic_configs={topic.name: dict(topic.configs) for topic in topics if topic.configs},
        groups=frozenset(cluster.groups.groups),
        transactional_ids=frozenset(cluster.transactions.ids()),
        broker_configs=cluster.configs.dynamic(),
        faults=frozenset(faults.numbers()),
    )


def restore(cluster: Cluster, faults: Faults, baseline: Baseline) -> None:
    """Remove what there was not, set back configurations, end faults."""
    for number in set(faults.numbers()) - baseline.faults:
        faults.remove(number)
    # Before the topics: an open transaction keeps records of what stays from its readers.
    for transactional_id in set(cluster.transactions.ids()) - baseline.transactional_ids:
        cluster.transactions.remove(transactional_id)
    for group_id in set(cluster.groups.groups) - baseline.groups:
        cluster.groups.remove(group_id)
    cluster.configs.restore(baseline.broker_configs)
    for topic in cluster.topics.all():
        if topic.internal:
            continue
        if not baseline.keeps(topic.name, str(topic.id)):
            cluster.topics.delete(topic.name)
        elif topic.configs != baseline.topic_configs.get(topic.name, {}):
            cluster.configs.set_topic(topic, baseline.topic_configs.get(topic.name, {}))
