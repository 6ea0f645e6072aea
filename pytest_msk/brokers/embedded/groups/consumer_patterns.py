"""The regular expressions that a group's members subscribe by, and the topics they stand for (KIP-848)."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection
from enum import Enum
from typing import TYPE_CHECKING

from pytest_msk.brokers.clock import Timer
from pytest_msk.brokers.embedded.re2 import Pattern

if TYPE_CHECKING:
    from pytest_msk.brokers.embedded.cluster import Cluster

LEAST_REFRESH_INTERVAL_MS = 10_000
"""How long expressions stay as they were resolved, whatever happens meanwhile; not a setting of Kafka."""


class PatternChange(Enum):
    """What a heartbeat changed about its member's regular expression."""

    NONE = "it is the same"
    UNRESOLVED = "it is another, whose topics are yet to be found"
    RESOLVED = "it is another, or none, and what it stands for is known"


class Patterns:
    """The regular expressions of one group.

    They are resolved after the heartbeat that gives cause to it was answered, as brokers do it on a thread
    of their own, and no more often than every 10 s.

    Args:
        cluster: the cluster: its clock, and its topics.
        refresh_interval_ms: gives ``group.consumer.regex.refresh.interval.ms``, None if there is no such.
        on_resolved: called when the expressions were resolved; gets whether any stands for other topics now.
    """

    def __init__(
        self,
        cluster: Cluster,
        refresh_interval_ms: Callable[[], int | None],
        on_resolved: Callable[[bool], None],
    ) -> None:
        self._resolved: dict[str, frozenset[str]] = {}
        self._clock = cluster.clock
        self._topics = cluster.topics
        self._refresh_interval_ms = refresh_interval_ms
        self._on_resolved = on_resolved
        self._compiled: dict[str, Pattern] = {}
        self._known: frozenset[uuid.UUID] = frozenset()
        self._refreshed_at = 0
        self._pending: Timer | None = None

    def topics(self, pattern: str) -> frozenset[str]:
        """Names of the topics that an expression stands for; none before it was resolved."""
        return self._resolved.get(pattern, frozenset())

    def compare(self, before: str, after: str, subscribed: Collection[str]) -> PatternChange:
        """What it means that a member subscribes by another expression than before.

        Args:
            before: its former expression, or nothing.
            after: its new one, or nothing.
            subscribed: the expressions of all members of the group, before the change.

        Raises:
            KafkaError: ``INVALID_REGULAR_EXPRESSION``.
        """
        if before == after:
            return PatternChange.NONE
        if after and after not in subscribed:
            self._compiled[after] = Pattern(after)
            return PatternChange.UNRESOLVED
        return PatternChange.RESOLVED if not after or after in self._resolved else PatternChange.UNRESOLVED

    def refresh(self, wanted: frozenset[str]) -> None:
        """Have expressions resolved, if there is cause to, and it is not too soon."""
        if not wanted or self._pending is not None:
            return
        age = self._clock.now_ms() - self._refreshed_at
        if self._resolved and age <= LEAST_REFRESH_INTERVAL_MS:
            return
        interval = self._refresh_interval_ms()
        if (
            wanted != self._resolved.keys()
            or (interval is not None and age > interval)
            or any(topic.id not in self._known for topic in self._topics.all())
        ):
            self._pending = self._clock.call_later(0, lambda: self._resolve(wanted))

    def keep(self, subscribed: frozenset[str]) -> None:
        """Forget all expressions but those that members subscribe by."""
        self._resolved = {
            pattern: found for pattern, found in self._resolved.items() if pattern in subscribed
        }
        self._compiled = {
            pattern: compiled for pattern, compiled in self._compiled.items() if pattern in subscribed
        }

    def close(self) -> None:
        """Resolve nothing any more."""
        if self._pending is not None:
            self._pending.cancel()
            self._pending = None

    def _resolve(self, wanted: frozenset[str]) -> None:
        self._pending = None
        topics = self._topics.all()
        self._known = frozenset(topic.id for topic in topics)
        self._refreshed_at = self._clock.now_ms()
        found = {
            pattern: frozenset(topic.name for topic in topics if self._compiled[pattern].matches(topic.name))
            for pattern in wanted & self._compiled.keys()
        }
        changed = any(names != self.topics(pattern) for pattern, names in found.items())
        self._resolved.update(found)
        self._on_resolved(changed)
