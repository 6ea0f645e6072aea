"""The settings of an embedded cluster, and what becomes of changes to them, against real brokers."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from pytest_msk.brokers.clock import real_monotonic
from pytest_msk.brokers.docker.plane import DockerPlane
from pytest_msk.brokers.embedded import alter_configs, describe_configs, topic_admin  # noqa: F401  # handlers
from pytest_msk.brokers.embedded.cluster import Cluster
from pytest_msk.brokers.embedded.dispatch import served_versions
from pytest_msk.brokers.plane import Endpoint
from pytest_msk.brokers.wire import errors
from pytest_msk.brokers.wire.client import Connection
from pytest_msk.brokers.wire.message import Message
from pytest_msk.spec import ClusterSpec
from tests import docker_engine
from tests.brokers.docker.support import new_arn
from tests.brokers.embedded import clusters
from tests.brokers.embedded.config_requests import (
    APPEND,
    BROKER,
    CLIENT_METRICS,
    DELETE,
    GROUP,
    SET,
    SUBTRACT,
    TOPIC,
    Ask,
    Request,
    described,
    incremental,
    legacy,
    outcomes,
    setting,
)

STATIC = {
    "compression.type": " lz4",
    "log.cleanup.policy": "delete , compact",
    "log.retention.hours": "24",
    "log.roll.jitter.hours": "3",
    "message.max.bytes": "2000000",
    "my.own.setting": "x",
    "num.partitions": "2",
}
OF_THE_PLANE = {
    *("advertised.listeners", "controller.quorum.voters", "inter.broker.listener.name"),
    *("listener.security.protocol.map", "listeners"),
}
PATIENCE = 5.0


@dataclass
class Sides:
    """A broker in a container, and an embedded one, with the same configuration and the same topic."""

    version: str
    real: Ask
    ours: Ask

    @property
    def resources(self) -> list[tuple[int, str]]:
        known = [(TOPIC, "orders"), (BROKER, "1"), (BROKER, "")]
        known += [(CLIENT_METRICS, "watch")] if self.version > "3.7" else []
        return known + ([(GROUP, "billing")] if self.version > "4" else [])

    def differences(self) -> Any:
        """What either side tells of the settings, and the other not so."""
        found = []
        both = zip(described(self.real, self.resources), described(self.ours, self.resources), strict=True)
        for resource, (real, ours) in zip(self.resources, both, strict=True):
            names = sorted((real.keys() | ours.keys()) - OF_THE_PLANE)
            found += [
                (resource, name, real.get(name), ours.get(name))
                for name in names
                if real.get(name) != ours.get(name)
            ]
        return found

    def check(self, request: Request) -> None:
        """Have both sides do something, and compare what they say and what has become of it."""
        real, ours = self.real(*request), self.ours(*request)
        assert outcomes(ours) == outcomes(real), real
        until = time.monotonic() + PATIENCE
        while self.differences() and time.monotonic() < until:
            time.sleep(0.05)
        assert self.differences() == []


@contextmanager
def container(spec: ClusterSpec) -> Iterator[Ask]:
    brokers = DockerPlane().brokers(spec, new_arn(spec.name))
    try:
        brokers.start()
        endpoint = brokers.brokers[0].endpoints["internal"]
        with Connection((endpoint.host, endpoint.port)) as connection:
            yield lambda api, message: connection.ask(api, message, real_monotonic() + 30)
    finally:
        brokers.stop()


def embedded(spec: ClusterSpec) -> Ask:
    cluster = Cluster(spec, clusters.StillClock())
    cluster.brokers[1].endpoints = {"internal": Endpoint("127.0.0.1", 9092)}

    served = served_versions(cluster.release)

    def asked(api: str, message: Message) -> Message:
        return clusters.ask(cluster, api, served[api][-1], **vars(message))

    return asked


@pytest.fixture(scope="module", params=["3.7.1", "3.9.1", "4.3.1"])
def sides(request: pytest.FixtureRequest) -> Iterator[Sides]:
    docker_engine.require_docker(request.param)
    spec = ClusterSpec("settings", kafka_version=request.param, configuration=STATIC)
    with container(spec) as real:
        sides = Sides(request.param, real, embedded(spec))
        for ask in (real, sides.ours):
            ask("CreateTopics", Message(topics=[new_topic("orders")], timeout_ms=10_000))
        yield sides


@pytest.fixture
def both(sides: Sides) -> Sides:
    """With nothing set on either side but what is set on a new one."""
    new = {"min.insync.replicas": "1"} if sides.version > "4.1" else {}
    undo = legacy(*[(kind, name, new if name == "" else {}) for kind, name in sides.resources])
    sides.check(undo)
    return sides


def new_topic(name: str, **configs: str) -> Message:
    return Message(
        name=name,
        num_partitions=1,
        replication_factor=1,
        assignments=[],
        configs=[Message(name=key.replace("_", "."), value=value) for key, value in configs.items()],
    )


def topic(key: str, value: str | None, how: int = SET) -> Request:
    return setting(TOPIC, "orders", key, value, how)


def broker(key: str, value: str | None, how: int = SET, name: str = "1") -> Request:
    return setting(BROKER, name, key, value, how)


def all_brokers(key: str, value: str | None, how: int = SET) -> Request:
    return broker(key, value, how, "")


def test_the_settings_of_a_new_cluster_are_the_same(both: Sides) -> None:
    assert both.differences() == []
    told = described(both.ours, [(BROKER, "1")])[0]
    assert told["my.own.setting"]["sensitive"]
    assert len(told) > 250


def test_a_new_topic_is_told_of_in_the_same_way(both: Sides) -> None:
    wanted = new_topic("new", cleanup_policy="compact, delete", retention_ms=" 1000")
    request = Message(topics=[wanted], timeout_ms=10_000, validate_only=True)
    real, ours = (ask("CreateTopics", request).topics[0] for ask in (both.real, both.ours))
    assert ours.configs == real.configs


@pytest.mark.parametrize(
    ("kind", "name"), [(TOPIC, "missing"), (TOPIC, "two words"), (BROKER, "7"), (BROKER, "x")]
)
def test_what_cannot_be_told(both: Sides, kind: int, name: str) -> None:
    (ours,) = described(both.ours, [(kind, name)])
    assert [ours] == described(both.real, [(kind, name)])
    assert "error" in ours


TOPIC_VALUES: Sequence[tuple[str, str]] = [
    ("retention.ms", "1000"),
    ("retention.ms", " 1000 "),
    ("retention.ms", "-2"),
    ("retention.ms", "soon"),
    ("no.such.setting", "1"),
    ("cleanup.policy", "compact"),
    ("cleanup.policy", " compact , delete "),
    ("cleanup.policy", "compact,compact"),
    ("cleanup.policy", ""),
    ("cleanup.policy", "bad"),
    ("compression.type", "snappy"),
    ("compression.type", "brotli"),
    ("compression.gzip.level", "0"),
    ("internal.segment.bytes", "1000"),
    ("leader.replication.throttled.replicas", "0:1,1:1"),
    ("leader.replication.throttled.replicas", "*"),
    ("leader.replication.throttled.replicas", "x"),
    ("local.retention.ms", "99999999999999"),
    ("max.message.bytes", "2147483648"),
    ("message.format.version", "2.8"),
    ("message.timestamp.difference.max.ms", "55"),
    ("min.cleanable.dirty.ratio", "0.25f"),
    ("min.cleanable.dirty.ratio", "1e-4"),
    ("min.cleanable.dirty.ratio", "1.5"),
    ("min.compaction.lag.ms", "9223372036854775807"),
    ("min.insync.replicas", "0"),
    ("preallocate", "TRUE"),
    ("preallocate", "yes"),
    ("remote.storage.enable", "true"),
    ("segment.bytes", "100"),
]


@pytest.mark.parametrize(("key", "value"), TOPIC_VALUES)
def test_a_value_for_a_topic(both: Sides, key: str, value: str) -> None:
    both.check(topic(key, value))


TOPIC_CHANGES: dict[str, Sequence[Request]] = {
    "lists": [
        topic("cleanup.policy", "compact", APPEND),
        topic("cleanup.policy", "delete", SUBTRACT),
        topic("cleanup.policy", "nonsense", APPEND),
        topic("cleanup.policy", None, DELETE),
    ],
    "what is no list": [topic("retention.ms", "1", APPEND), topic("no.such.setting", "1", SUBTRACT)],
    "nothing to delete": [topic("no.such.setting", None, DELETE), topic("retention.ms", "x", DELETE)],
    "null": [topic("retention.ms", None), topic("cleanup.policy", None, APPEND)],
    "conflicts": [topic("min.compaction.lag.ms", "5"), topic("max.compaction.lag.ms", "4")],
    "an unknown operation": [topic("retention.ms", "1", 9)],
    "one key twice": [
        incremental((TOPIC, "orders", [("retention.ms", SET, "1"), ("retention.ms", DELETE, None)]))
    ],
    "one resource twice": [
        incremental(
            (TOPIC, "orders", [("retention.ms", SET, "5")]), (TOPIC, "orders", [("segment.ms", SET, "5")])
        )
    ],
    "one resource by itself": [
        incremental(
            (TOPIC, "orders", [("retention.ms", SET, "6")]),
            (TOPIC, "missing", [("retention.ms", SET, "6")]),
            (BROKER, "1", [("background.threads", SET, "x")]),
        )
    ],
    "all or nothing": [
        incremental((TOPIC, "orders", [("retention.ms", SET, "7"), ("segment.ms", SET, "x")]))
    ],
    "only to see": [
        incremental((TOPIC, "orders", [("retention.ms", SET, "8")]), validate_only=True),
        incremental((TOPIC, "orders", [("retention.ms", SET, "x")]), validate_only=True),
    ],
    "no such topic": [
        setting(TOPIC, "missing", "retention.ms", "x"),
        setting(TOPIC, "", "retention.ms", "1"),
        setting(TOPIC, "two words", "retention.ms", "1"),
    ],
    "no such resource": [
        setting(0, "orders", "retention.ms", "1"),
        setting(99, "orders", "retention.ms", "1"),
    ],
    "all at once": [
        legacy((TOPIC, "orders", {"retention.ms": "77", "segment.ms": "88"})),
        legacy((TOPIC, "orders", {"segment.ms": "99"})),
        legacy((TOPIC, "orders", {"segment.ms": None})),
        legacy((TOPIC, "orders", {"no.such.setting": "1"})),
        legacy((TOPIC, "orders", [("segment.ms", "1"), ("segment.ms", "2")])),
        legacy((TOPIC, "orders", {"segment.ms": "5"}), validate_only=True),
        legacy((TOPIC, "missing", {})),
        legacy((TOPIC, "missing", {"segment.ms": "x"})),
        legacy((8, "1", {"root": "INFO"})),
        legacy((TOPIC, "orders", {})),
    ],
}


@pytest.mark.parametrize("requests", TOPIC_CHANGES.values(), ids=TOPIC_CHANGES.keys())
def test_changes_to_a_topic(both: Sides, requests: Sequence[Request]) -> None:
    for request in requests:
        both.check(request)


BROKER_VALUES: Sequence[tuple[str, str]] = [
    ("auto.create.topics.enable", "false"),
    ("broker.id", "5"),
    ("compression.type", "bad"),
    ("group.consumer.assignment.interval.ms", "999999"),
    ("leader.replication.throttled.rate", "-1"),
    ("leader.replication.throttled.rate", "100"),
    ("listener.name.other.max.connections", "5"),
    ("listener.name.other.ssl.keystore.password", "secret"),
    ("listener.name.other.ssl.keystore.type", "JKS"),
    ("log.cleaner.dedupe.buffer.size", "100"),
    ("log.cleaner.threads", "5"),
    ("log.flush.interval.ms", "77"),
    ("log.local.retention.ms", "99999999999"),
    ("log.message.timestamp.type", "LogAppendTime"),
    ("log.retention.hours", "5"),
    ("log.retention.ms", "-5"),
    ("log.retention.ms", "0"),
    ("log.retention.ms", "1000"),
    ("log.roll.ms", "0"),
    ("max.connections", "0"),
    ("max.connections.per.ip", "0"),
    ("max.connections.per.ip.overrides", "127.0.0.1:5"),
    ("max.connections.per.ip.overrides", "bad"),
    ("message.max.bytes", "500"),
    ("metric.reporters", "no.such.Reporter"),
    ("min.insync.replicas", "1"),
    ("my.own.setting", "y"),
    ("num.io.threads", "17"),
    ("num.io.threads", "8"),
    ("num.network.threads", "9"),
    ("principal.builder.class", "no.such.Builder"),
    ("producer.id.expiration.ms", "-5"),
    ("sasl.enabled.mechanisms", "PLAIN"),
    ("sasl.jaas.config", "secret"),
    ("ssl.keystore.location", "/x"),
    ("transaction.partition.verification.enable", "false"),
    ("unclean.leader.election.enable", "TRUE"),
]


@pytest.mark.parametrize("name", ["1", ""])
@pytest.mark.parametrize(("key", "value"), BROKER_VALUES)
def test_a_value_for_brokers(both: Sides, key: str, value: str, name: str) -> None:
    both.check(broker(key, value, name=name))


BROKER_CHANGES: dict[str, Sequence[Request]] = {
    "lists": [
        broker("log.cleanup.policy", "delete", SUBTRACT),
        broker("log.cleanup.policy", "delete", APPEND),
        all_brokers("log.cleanup.policy", "compact", APPEND),
        broker("message.max.bytes", "1", APPEND),
    ],
    "one before all": [
        all_brokers("log.retention.ms", "5000"),
        broker("log.retention.ms", "7000"),
        all_brokers("log.retention.ms", None, DELETE),
        broker("log.retention.ms", None, DELETE),
    ],
    "fewer and more threads": [broker("num.io.threads", "8"), broker("num.io.threads", "3")],
    "null": [broker("log.retention.ms", None)],
    "an unknown operation": [broker("log.retention.ms", "1", 9)],
    "another broker": [broker("log.retention.ms", "1", name=name) for name in ("7", "x", "-1")],
    "what must be in sync": [
        all_brokers("min.insync.replicas", "2"),
        broker("min.insync.replicas", None, DELETE),
        all_brokers("min.insync.replicas", None, DELETE),
    ],
    "all at once": [
        legacy((BROKER, "1", {"log.retention.ms": "1234", "my.own.setting": "z"})),
        legacy((BROKER, "1", {"broker.id": "1"})),
        legacy((BROKER, "", {"log.retention.ms": "4321"})),
        legacy((BROKER, "2", {})),
        legacy((BROKER, "1", {})),
    ],
}


@pytest.mark.parametrize("requests", BROKER_CHANGES.values(), ids=BROKER_CHANGES.keys())
def test_changes_to_brokers(both: Sides, requests: Sequence[Request]) -> None:
    for request in requests:
        both.check(request)


OTHER_VALUES: Sequence[tuple[int, str, str, str]] = [
    (GROUP, "billing", "consumer.session.timeout.ms", "50000"),
    (GROUP, "billing", "consumer.session.timeout.ms", "1"),
    (GROUP, "billing", "consumer.heartbeat.interval.ms", "x"),
    (GROUP, "billing", "consumer.heartbeat.interval.ms", "99999"),
    (GROUP, "billing", "share.auto.offset.reset", "by_duration:PT1H"),
    (GROUP, "billing", "share.auto.offset.reset", "by_duration:P"),
    (GROUP, "billing", "streams.num.standby.replicas", "50"),
    (GROUP, "billing", "no.such.setting", "1"),
    (GROUP, "", "consumer.heartbeat.interval.ms", "6000"),
    (CLIENT_METRICS, "watch", "interval.ms", "50"),
    (CLIENT_METRICS, "watch", "interval.ms", "5000"),
    (CLIENT_METRICS, "watch", "match", "client_id=a.*,client_software_name=b"),
    (CLIENT_METRICS, "watch", "match", "x=1"),
    (CLIENT_METRICS, "watch", "match", "client_id=("),
    (CLIENT_METRICS, "watch", "no.such.setting", "1"),
    (CLIENT_METRICS, "", "metrics", "a"),
]


@pytest.mark.parametrize(("kind", "name", "key", "value"), OTHER_VALUES)
def test_a_value_for_another_resource(both: Sides, kind: int, name: str, key: str, value: str) -> None:
    both.check(setting(kind, name, key, value))


def test_lists_of_other_resources_are_only_set_whole(both: Sides) -> None:
    both.check(setting(CLIENT_METRICS, "watch", "metrics", "a.b,c"))
    both.check(setting(CLIENT_METRICS, "watch", "metrics", "d", APPEND))


def test_lists_of_unknown_settings(both: Sides) -> None:
    both.check(topic("no.such.setting", "1", APPEND))
    if both.version > "4.2":  # earlier ones fail with an error of their own making
        both.check(broker("no.such.setting", "1", APPEND))


def test_which_resources_there_are(both: Sides) -> None:
    both.check(setting(CLIENT_METRICS, "watch", "metrics", "a"))
    kinds: list[list[int]] = [[]]
    if both.version > "4.1":
        both.check(setting(GROUP, "billing", "consumer.session.timeout.ms", "50000"))
        kinds += [[TOPIC, GROUP], [BROKER], [CLIENT_METRICS], [77]]
    for wanted in kinds:
        real, ours = (
            ask("ListConfigResources", Message(resource_types=wanted)) for ask in (both.real, both.ours)
        )
        assert errors.name(ours.error_code) == errors.name(real.error_code)
        assert named(ours) == named(real)


def named(answer: Message) -> list[tuple[int, str]]:
    return sorted((each.resource_type, each.resource_name) for each in answer.config_resources)
