"""The table of settings by release."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from pytest_msk.brokers import versions
from pytest_msk.brokers.embedded import config_definitions
from pytest_msk.brokers.embedded.config_definitions import broker_synonyms, definitions
from pytest_msk.brokers.embedded.config_values import parsed

RELEASES = [versions.release(f"{minor}.x") for minor in versions.NEWEST_PATCH]


@pytest.mark.parametrize("release", RELEASES)
def test_every_release_has_settings_that_hold_together(release: tuple[int, ...]) -> None:
    known = definitions(release)
    assert len(known.broker) > 230
    assert len(known.topic) > 25
    for settings in known:
        for name, setting in settings.items():
            assert setting.name == name
            if setting.default is not None:
                parsed(setting, setting.default)
    for setting in (*known.topic.values(), *known.group.values()):
        assert setting.synonym is None or setting.synonym in known.broker


@pytest.mark.parametrize(
    ("release", "name", "default"),
    [
        ((2, 8, 1), "log.retention.hours", "168"),
        ((2, 8, 1), "advertised.host.name", None),
        ((2, 8, 2), "message.max.bytes", "1048588"),
        ((3, 7, 1), "log.segment.bytes", "1073741824"),
        ((4, 3, 1), "num.recovery.threads.per.data.dir", "2"),
        ((3, 9, 1), "num.recovery.threads.per.data.dir", "1"),
        ((9, 0, 0), "log.retention.hours", "168"),
    ],
)
def test_defaults_are_those_of_the_release(release: tuple[int, ...], name: str, default: str | None) -> None:
    assert definitions(release).broker[name].default == default


@pytest.mark.parametrize(
    ("kind", "name", "first"),
    [
        ("broker", "alter.config.policy.kraft.compatibility.enable", (3, 9, 2)),
        ("broker", "group.consumer.assignors", (3, 5, 0)),
        ("group", "consumer.session.timeout.ms", (4, 0, 0)),
        ("topic", "remote.log.copy.disable", (3, 9, 0)),
    ],
)
def test_settings_come_with_releases(kind: str, name: str, first: tuple[int, int, int]) -> None:
    major, minor, patch = first
    before = (major, minor, patch - 1) if patch else (major, minor - 1, 9) if minor else (3, 9, 9)
    assert name in getattr(definitions(first), kind)
    assert name not in getattr(definitions(before), kind)


def test_settings_go_with_releases() -> None:
    assert "zookeeper.connect" in definitions((3, 9, 2)).broker
    assert "zookeeper.connect" not in definitions((4, 0, 0)).broker
    assert "message.format.version" not in definitions((4, 0, 0)).topic


def test_how_a_setting_changes() -> None:
    settings = definitions((3, 9, 1)).broker
    assert settings["broker.id"].update is None
    assert not settings["broker.id"].changeable
    assert settings["log.retention.ms"].update == "cluster-wide"
    assert settings["ssl.cipher.suites"].update == "per-broker"
    assert settings["leader.replication.throttled.rate"].changeable


@pytest.mark.parametrize(
    ("name", "synonyms"),
    [
        ("log.retention.hours", ("log.retention.ms", "log.retention.minutes", "log.retention.hours")),
        ("log.roll.ms", ("log.roll.ms", "log.roll.hours")),
        ("log.flush.interval.ms", ("log.flush.interval.ms", "log.flush.scheduler.interval.ms")),
        ("log.flush.scheduler.interval.ms", ("log.flush.scheduler.interval.ms",)),
        (
            "listener.name.client.ssl.key.password",
            ("listener.name.client.ssl.key.password", "ssl.key.password"),
        ),
        (
            "listener.name.client.plain.sasl.jaas.config",
            ("listener.name.client.plain.sasl.jaas.config", "sasl.jaas.config"),
        ),
        ("num.partitions", ("num.partitions",)),
    ],
)
def test_settings_that_say_the_same(name: str, synonyms: tuple[str, ...]) -> None:
    assert tuple(broker_synonyms(name)) == synonyms


def test_the_table_is_read_when_it_is_needed_and_fast() -> None:
    program = (
        "import sys, time; from pytest_msk.brokers.embedded import config_definitions as d\n"
        "assert d._histories.cache_info().currsize == 0"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    took = []
    for _ in range(5):
        config_definitions.definitions.cache_clear()
        config_definitions._histories.cache_clear()
        start = time.perf_counter()
        definitions((4, 3, 1))
        took.append(time.perf_counter() - start)
    assert min(took) < 0.010
