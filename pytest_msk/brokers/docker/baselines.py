"""What a cluster in containers holds at a moment, and the way back to it, over the Kafka protocol."""

from __future__ import annotations

from pytest_msk.brokers.admin import Admin, KafkaRequestError, Resource
from pytest_msk.brokers.admin.each import GONE, for_each
from pytest_msk.brokers.admin.scram import remove_scram_users, scram_users
from pytest_msk.brokers.baseline import Baseline, Configs, changed

_HAS_MEMBERS = frozenset({"NON_EMPTY_GROUP", "UNKNOWN_MEMBER_ID", "GROUP_SUBSCRIBED_TO_TOPIC"})


def taken(bootstrap: str) -> Baseline:
    """What there is now. Kafka's own topics are left out: they stay."""
    with Admin(bootstrap) as admin:
        return _taken(admin)


def restore(bootstrap: str, baseline: Baseline) -> None:
    """Remove what there was not, set back configurations, offsets, ACLs and quotas.

    Kafka deletes no transactional id: those that came are fenced, which aborts what is open under them.
    Who is in a group commits for it, so offsets of groups with members stay.
    """
    with Admin(bootstrap) as admin:
        now = _taken(admin)
        if now.acls != baseline.acls:
            # First of all, as they may keep us from the rest, and from seeing it.
            admin.alter_acls(baseline.acls - now.acls, now.acls - baseline.acls)
            now = _taken(admin)
        # Before the topics: an open transaction keeps records of what stays from its readers.
        for_each(now.transactional_ids - baseline.transactional_ids, admin.fence)
        for_each(now.groups - baseline.groups, lambda group: admin.delete_group(group, remove_members=True))
        for_each(
            baseline.offset_changes(now).items(),
            lambda change: admin.alter_offsets(*change),
            unless=GONE | _HAS_MEMBERS,
        )
        if users := now.scram_users - baseline.scram_users:
            remove_scram_users(admin, users)
        if quotas := changed(now.quotas, baseline.quotas):
            admin.alter_quotas(quotas)
        gone = {name for name, topic_id in now.topics.items() if not baseline.keeps(name, topic_id)}
        for_each(gone, admin.delete_topic)
        for_each(_config_changes(now, baseline).items(), lambda change: admin.set_overrides(*change))


def _taken(admin: Admin) -> Baseline:
    found = admin.survey()
    topics = [topic for topic in found.topics if not topic.internal]
    names = {topic.name: Resource.topic(topic.name) for topic in topics}
    return Baseline(
        topics={topic.name: topic.id for topic in topics},
        topic_configs={
            name: configs for name, resource in names.items() if (configs := found.overrides.get(resource))
        },
        groups=frozenset(found.offsets),
        offsets={
            (group, *partition): offset
            for group, offsets in found.offsets.items()
            for partition, offset in offsets.items()
        },
        transactional_ids=found.transactional_ids,
        configs={resource: configs for resource, configs in found.overrides.items() if not resource.is_topic},
        quotas=found.quotas,
        acls=found.acls,
        scram_users=_scram_users(admin),
    )


def _scram_users(admin: Admin) -> frozenset[str]:
    try:
        return scram_users(admin)
    except KafkaRequestError as error:
        if error.code_name != "UNSUPPORTED_VERSION":
            raise
        return frozenset()


def _config_changes(now: Baseline, baseline: Baseline) -> dict[Resource, Configs]:
    """What has other settings than it should, and the ones it should have."""
    changes = {
        Resource.topic(name): configs or {}
        for name, configs in changed(now.topic_configs, baseline.topic_configs).items()
        if baseline.keeps(name, now.topics.get(name, ""))
    }
    for resource, configs in changed(now.configs, baseline.configs).items():
        # Of a broker that did not run then, or does not now, nobody knows what it has, or should have.
        if resource.one_broker is None or (resource in now.configs and resource in baseline.configs):
            changes[resource] = configs or {}
    return changes
