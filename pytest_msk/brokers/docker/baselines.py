"""What a cluster in containers holds at a moment, and the way back to it, over the Kafka protocol."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from pytest_msk.brokers.admin import UNKNOWN_TOPIC, Admin, KafkaRequestError
from pytest_msk.brokers.baseline import Baseline

_AT_ONCE = 8
_GONE = frozenset({UNKNOWN_TOPIC, "GROUP_ID_NOT_FOUND"})


def taken(bootstrap: str) -> Baseline:
    """What there is now. Kafka's own topics are left out: they stay."""
    with Admin(bootstrap) as admin:
        return _taken(admin)


def restore(bootstrap: str, baseline: Baseline) -> None:
    """Remove what there was not, set back configurations.

    Kafka deletes no transactional id: those that came are fenced, which aborts what is open under them.
    """
    with Admin(bootstrap) as admin:
        now = _taken(admin)
        # Before the topics: an open transaction keeps records of what stays from its readers.
        _each(admin.fence, now.transactional_ids - baseline.transactional_ids)
        _each(lambda group: admin.delete_group(group, remove_members=True), now.groups - baseline.groups)
        for broker, configs in baseline.broker_configs.items():
            if now.broker_configs.get(broker) != configs:
                admin.set_broker_configs(int(broker) if broker else None, configs)
        gone = {name for name, topic_id in now.topics.items() if not baseline.keeps(name, topic_id)}
        _each(admin.delete_topic, gone)
        for name in now.topics.keys() - gone:
            configs = baseline.topic_configs.get(name, {})
            if now.topic_configs.get(name, {}) != configs:
                admin.set_configs(name, configs)


def _taken(admin: Admin) -> Baseline:
    topics = [topic for topic in admin.topics() if not topic.internal]
    brokers = [None, *admin.brokers()]
    return Baseline(
        topics={topic.name: topic.id for topic in topics},
        topic_configs={topic.name: configs for topic in topics if (configs := _overrides(admin, topic.name))},
        groups=frozenset(group.id for group in admin.groups()),
        transactional_ids=frozenset(found.transactional_id for found in admin.transactions()),
        broker_configs={
            "" if broker is None else str(broker): admin.broker_overrides(broker) for broker in brokers
        },
    )


def _overrides(admin: Admin, topic: str) -> dict[str, str]:
    configs = admin.describe_configs(topic)
    return {name: config.value for name, config in configs.items() if config.overridden}


def _each(remove: Callable[[str], object], names: Iterable[str]) -> None:
    """Side by side: brokers take a moment to tell each other of a change."""

    def one(name: str) -> None:
        try:
            remove(name)
        except KafkaRequestError as error:
            if error.code_name not in _GONE:
                raise

    with ThreadPoolExecutor(_AT_ONCE) as threads:
        list(threads.map(one, names))
