"""What there is on a cluster at a moment, so that what a test makes later can be told from it and removed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

K = TypeVar("K")
T = TypeVar("T")

Configs = Mapping[str, str]
QuotaKey = tuple[frozenset[tuple[str, str | None]], str]
"""Whom a client quota is for, as pairs of type (``user``) and name (None: the default), and its key."""


@dataclass(frozen=True)
class Baseline:
    """What is to be left when a test is over.

    Attributes:
        topics: topic name to topic id; a topic made again under the same name has another id.
        topic_configs: topic name to what the topic overrides.
        groups: ids of groups.
        offsets: group id, topic and partition to what the group has committed, as the plane has it.
        transactional_ids: transactional ids that a coordinator knows.
        configs: what was set over the Kafka protocol on brokers, all brokers, groups and client metrics, by
            the resource, as the plane has it.
        quotas: client quotas, by whom they are for and key.
        acls: who may do what, as the plane has it.
        scram_users: users that can come in with a password.
        faults: numbers of the faults that were going on.
    """

    topics: Mapping[str, str] = field(default_factory=dict)
    topic_configs: Mapping[str, Configs] = field(default_factory=dict)
    groups: frozenset[str] = frozenset()
    offsets: Mapping[tuple[str, str, int], Any] = field(default_factory=dict)
    transactional_ids: frozenset[str] = frozenset()
    configs: Mapping[Any, Configs] = field(default_factory=dict)
    quotas: Mapping[QuotaKey, float] = field(default_factory=dict)
    acls: frozenset[Any] = frozenset()
    scram_users: frozenset[str] = frozenset()
    faults: frozenset[int] = frozenset()

    def extended(self, before: Baseline, after: Baseline) -> Baseline:
        """This with what came or changed between two others."""
        return Baseline(
            topics={**self.topics, **_new(before.topics, after.topics)},
            topic_configs={**self.topic_configs, **_new(before.topic_configs, after.topic_configs)},
            groups=self.groups | (after.groups - before.groups),
            offsets={**self.offsets, **_new(before.offsets, after.offsets)},
            transactional_ids=self.transactional_ids | (after.transactional_ids - before.transactional_ids),
            configs={**self.configs, **_new(before.configs, after.configs)},
            quotas={**self.quotas, **_new(before.quotas, after.quotas)},
            acls=self.acls | (after.acls - before.acls),
            scram_users=self.scram_users | (after.scram_users - before.scram_users),
            faults=self.faults | (after.faults - before.faults),
        )

    def keeps(self, topic: str, topic_id: str) -> bool:
        """Whether a topic is one of these."""
        return self.topics.get(topic) == topic_id

    def offset_changes(self, now: Baseline) -> dict[str, dict[tuple[str, int], Any]]:
        """What the groups of both would have to commit, by group, topic and partition; None to forget it.

        What has become of topics that a test deleted, or made, is not among it.
        """
        kept = {topic for topic, topic_id in now.topics.items() if self.keeps(topic, topic_id)}
        groups = self.groups & now.groups
        changes: dict[str, dict[tuple[str, int], Any]] = {}
        for (group, topic, partition), offset in changed(now.offsets, self.offsets).items():
            if group in groups and topic in kept:
                changes.setdefault(group, {})[topic, partition] = offset
        return changes


def changed(now: Mapping[K, T], wanted: Mapping[K, T]) -> dict[K, T | None]:
    """What differs: its name to what it should be, which is None where there should be nothing."""
    return {name: wanted.get(name) for name in {**now, **wanted} if now.get(name) != wanted.get(name)}


def _new(before: Mapping[K, T], after: Mapping[K, T]) -> dict[K, T]:
    return {name: value for name, value in after.items() if before.get(name) != value}
