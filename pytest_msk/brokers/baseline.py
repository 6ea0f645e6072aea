"""What there is on a cluster at a moment, so that what a test makes later can be told from it and removed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")

Configs = Mapping[str, str]


@dataclass(frozen=True)
class Baseline:
    """What is to be left when a test is over.

    Attributes:
        topics: topic name to topic id; a topic made again under the same name has another id.
        topic_configs: topic name to what the topic overrides.
        groups: ids of groups.
        transactional_ids: transactional ids that a coordinator knows.
        broker_configs: broker id to what was set on it over the Kafka protocol; an empty id stands for
            the default of all brokers.
        faults: numbers of the faults that were going on.
    """

    topics: Mapping[str, str] = field(default_factory=dict)
    topic_configs: Mapping[str, Configs] = field(default_factory=dict)
    groups: frozenset[str] = frozenset()
    transactional_ids: frozenset[str] = frozenset()
    broker_configs: Mapping[str, Configs] = field(default_factory=dict)
    faults: frozenset[int] = frozenset()

    def extended(self, before: Baseline, after: Baseline) -> Baseline:
        """This with what came or changed between two others."""
        return Baseline(
            topics={**self.topics, **_new(before.topics, after.topics)},
            topic_configs={**self.topic_configs, **_new(before.topic_configs, after.topic_configs)},
            groups=self.groups | (after.groups - before.groups),
            transactional_ids=self.transactional_ids | (after.transactional_ids - before.transactional_ids),
            broker_configs={**self.broker_configs, **_new(before.broker_configs, after.broker_configs)},
            faults=self.faults | (after.faults - before.faults),
        )

    def keeps(self, topic: str, topic_id: str) -> bool:
        """Whether a topic is one of these."""
        return self.topics.get(topic) == topic_id


def _new(before: Mapping[str, T], after: Mapping[str, T]) -> dict[str, T]:
    return {name: value for name, value in after.items() if before.get(name) != value}
