"""The settings of each Kafka release, as `tools/generate_config_definitions.py` took them from its jars."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

Kind = Literal["boolean", "class", "double", "int", "list", "long", "password", "short", "string"]
"""Type of a setting, as ``ConfigDef.Type`` has them."""

LISTENER_SETTING = re.compile(r"listener\.name\.[^.]*\.(.*)")
"""A setting of one listener; the group is the setting's own name."""

_TABLE = Path(__file__).with_name("config_definitions.json")

_SAME_SETTING: Sequence[Sequence[str]] = (
    ("log.roll.ms", "log.roll.hours"),
    ("log.roll.jitter.ms", "log.roll.jitter.hours"),
    ("log.retention.ms", "log.retention.minutes", "log.retention.hours"),
)
"""Broker settings that say the same in other units; the first that is set counts."""

_FLUSH = ("log.flush.interval.ms", "log.flush.scheduler.interval.ms")

_MECHANISM_SETTINGS = (
    "sasl.jaas.config",
    "sasl.login.callback.handler.class",
    "sasl.login.class",
    "sasl.server.callback.handler.class",
    "connections.max.reauth.ms",
)
"""A listener has these once for each SASL mechanism, which stands before the name."""


class Setting(NamedTuple):
    """What a release says of one setting (``ConfigDef.ConfigKey``).

    Attributes:
        name: its name.
        kind: its type.
        default: as text, as brokers tell it; None where it has none, or is null by default.
        rule: what values it lets through, as the table has it; see `config_values.check`.
        internal: it is not shown unless it is set.
        unlisted: it is for changing a broker alone, and not among the settings that a broker starts with.
        update: ``per-broker`` or ``cluster-wide`` for a broker setting that changes while the broker runs.
        synonym: the broker setting that is the default of a topic's or group's setting.
    """

    name: str
    kind: Kind
    default: str | None
    rule: Any = None
    internal: bool = False
    unlisted: bool = False
    update: str | None = None
    synonym: str | None = None

    @property
    def changeable(self) -> bool:
        """Whether a running broker takes a new value of it."""
        return self.update is not None or self.unlisted


class Definitions(NamedTuple):
    """The settings of one release, by name. A release that lacks a kind of resource has none for it."""

    broker: Mapping[str, Setting]
    topic: Mapping[str, Setting]
    group: Mapping[str, Setting]
    client_metrics: Mapping[str, Setting]


@functools.cache
def definitions(release: tuple[int, ...]) -> Definitions:
    """The settings of a release; one that is later than all in the table counts as the last of them.

    Args:
        release: of Kafka: ``(3, 7, 1)``.
    """
    found = {resource: _settings(table, release) for resource, table in _histories().items()}
    return Definitions(
        broker=MappingProxyType(found["broker"]),
        topic=MappingProxyType(found["topic"]),
        group=MappingProxyType(found["group"]),
        client_metrics=MappingProxyType(found["client-metrics"]),
    )


def broker_synonyms(name: str, *, of_listeners: bool = True) -> Sequence[str]:
    """The broker settings that stand for the same as one, itself too, the one that counts first.

    As ``DynamicBrokerConfig.brokerConfigSynonyms``.

    Args:
        name: of a broker setting.
        of_listeners: whether the setting without the listener's name is one for a listener's setting.
    """
    for names in _SAME_SETTING:
        if name in names:
            return names
    if name == _FLUSH[0]:
        return _FLUSH
    match = LISTENER_SETTING.fullmatch(name) if of_listeners else None
    if match is not None:
        base = next((each for each in _MECHANISM_SETTINGS if match[1].endswith(each)), match[1])
        return (name, base)
    return (name,)


def _settings(table: Mapping[str, Any], release: tuple[int, ...]) -> dict[str, Setting]:
    found = {}
    for name, history in table.items():
        facts = None
        for since, then in history:
            if since > release:
                break
            facts = then
        if facts is not None:
            found[name] = Setting(
                name,
                facts["type"],
                facts.get("default"),
                facts.get("valid"),
                "internal" in facts,
                "unlisted" in facts,
                facts.get("update"),
                facts.get("synonym"),
            )
    return found


@functools.cache
def _histories() -> Mapping[str, Mapping[str, Any]]:
    """By resource and name, what a setting was since which release, oldest first."""
    table: dict[str, Any] = json.loads(_TABLE.read_text(encoding="utf-8"))
    del table["source"]
    return {
        resource: {
            name: [(_release(since), facts) for since, facts in history.items()]
            for name, history in settings.items()
        }
        for resource, settings in table.items()
    }


@functools.cache
def _release(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))
