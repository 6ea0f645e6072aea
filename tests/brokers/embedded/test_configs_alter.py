"""AlterConfigs and IncrementalAlterConfigs. `test_configs_docker` has what real brokers do."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_msk.brokers.embedded import alter_configs, describe_configs  # noqa: F401  # they register handlers
from pytest_msk.brokers.embedded.cluster import Cluster
from pytest_msk.brokers.wire.message import Message
from tests.brokers.embedded import clusters
from tests.brokers.embedded.clusters import cluster_of
from tests.brokers.embedded.config_requests import (
    APPEND,
    BROKER,
    CLIENT_METRICS,
    DELETE,
    GROUP,
    LOGGER,
    SET,
    SUBTRACT,
    TOPIC,
    Operation,
    Request,
    described,
    incremental,
    legacy,
    outcomes,
    setting,
)

VERSIONS = {"IncrementalAlterConfigs": 1, "AlterConfigs": 2, "DescribeConfigs": 4}


def with_topic(brokers: int = 1, *, kafka_version: str = "3.9.1", **configuration: str) -> Cluster:
    properties: dict[str, Any] = configuration
    cluster = cluster_of(brokers, kafka_version=kafka_version, **properties)
    cluster.topics.create("orders")
    return cluster


def answer(cluster: Cluster, request: Request, broker: int = 1) -> Message:
    api, message = request
    return clusters.ask(cluster, api, VERSIONS[api], broker, **vars(message))


def errors_of(cluster: Cluster, request: Request, broker: int = 1) -> list[str]:
    return [error for *_, error in outcomes(answer(cluster, request, broker))]


def refused(cluster: Cluster, request: Request, broker: int = 1) -> tuple[str, str]:
    """The error of the one resource of a request, and the text with it."""
    found = answer(cluster, request, broker)
    ((_, _, error),) = outcomes(found)
    return error, found.responses[0].error_message


def overrides(cluster: Cluster, name: str = "orders") -> dict[str, str]:
    return dict(cluster.configs.overrides("topic", name))


class TestTopics:
    def test_set_and_delete(self) -> None:
        cluster = with_topic()
        request = incremental((TOPIC, "orders", [("retention.ms", SET, "5"), ("segment.ms", SET, "6")]))
        found = answer(cluster, request)
        assert outcomes(found) == [(TOPIC, "orders", "NONE")]
        assert found.responses[0].error_message is None
        topic = cluster.topics.get("orders")
        assert topic is not None
        assert topic.configs == {"retention.ms": "5", "segment.ms": "6"}
        assert cluster.configs.topic(topic, "retention.ms") == 5
        assert errors_of(cluster, setting(TOPIC, "orders", "retention.ms", None, DELETE)) == ["NONE"]
        assert topic.configs == {"segment.ms": "6"}
        assert cluster.configs.topic(topic, "retention.ms") > 5

    @pytest.mark.parametrize(
        ("operations", "expected"),
        [
            ([(APPEND, "compact")], "delete,compact"),
            ([(APPEND, "delete")], "delete"),
            ([(APPEND, "compact,delete")], "delete,compact"),
            ([(SUBTRACT, "compact")], "delete"),
            ([(APPEND, "compact"), (SUBTRACT, "delete")], "compact"),
            ([(SUBTRACT, "delete"), (APPEND, "compact")], "compact"),
        ],
    )
    def test_lists_change_from_what_they_are_by_default(
        self, operations: list[tuple[int, str]], expected: str
    ) -> None:
        cluster = with_topic()
        for how, value in operations:
            assert errors_of(cluster, setting(TOPIC, "orders", "cleanup.policy", value, how)) == ["NONE"]
        assert overrides(cluster) == {"cleanup.policy": expected}

    @pytest.mark.parametrize(
        ("operation", "error", "words"),
        [
            (("retention.ms", SET, "soon"), "INVALID_CONFIG", ["retention.ms", "soon"]),
            (("retention.ms", SET, "-2"), "INVALID_CONFIG", ["retention.ms", "-2", "at least -1"]),
            (("no.such.setting", SET, "1"), "INVALID_CONFIG", ["no.such.setting"]),
            (("retention.ms", APPEND, "1"), "INVALID_CONFIG", ["retention.ms", "APPEND", "LIST"]),
            (("no.such.setting", SUBTRACT, "1"), "INVALID_CONFIG", ["no.such.setting", "LIST"]),
            (("cleanup.policy", APPEND, "keep"), "INVALID_CONFIG", ["cleanup.policy", "keep", "compact"]),
            (("compression.type", SET, "brotli"), "INVALID_CONFIG", ["compression.type", "brotli", "zstd"]),
            (("retention.ms", SET, None), "INVALID_REQUEST", ["retention.ms"]),
            (("retention.ms", 9, "1"), "UNKNOWN_SERVER_ERROR", ["retention.ms", "9"]),
        ],
    )
    def test_what_is_refused(self, operation: Operation, error: str, words: list[str]) -> None:
        cluster = with_topic()
        found, text = refused(cluster, incremental((TOPIC, "orders", [operation])))
        assert found == error
        assert all(word in text for word in words), text
        assert overrides(cluster) == {}

    def test_a_resource_changes_as_a_whole_or_not_at_all(self) -> None:
        cluster = with_topic()
        request = incremental((TOPIC, "orders", [("retention.ms", SET, "5"), ("segment.ms", SET, "x")]))
        assert errors_of(cluster, request) == ["INVALID_CONFIG"]
        assert overrides(cluster) == {}

    def test_settings_are_checked_with_those_that_are_there(self) -> None:
        cluster = with_topic()
        assert errors_of(cluster, setting(TOPIC, "orders", "max.compaction.lag.ms", "5")) == ["NONE"]
        request = setting(TOPIC, "orders", "min.compaction.lag.ms", "6")
        assert refused(cluster, request)[0] == "INVALID_CONFIG"

    def test_resources_by_themselves_and_in_order(self) -> None:
        cluster = with_topic()
        request = incremental(
            (TOPIC, "missing", [("retention.ms", SET, "5")]),
            (TOPIC, "orders", [("retention.ms", SET, "5")]),
            (TOPIC, "missing", [("segment.ms", SET, "5")]),
            (TOPIC, "absent", [("retention.ms", SET, "x")]),
            (TOPIC, "", [("retention.ms", SET, "5")]),
            (77, "orders", []),
            (LOGGER, "1", [("root", SET, "INFO")]),
        )
        assert outcomes(answer(cluster, request)) == [
            (TOPIC, "missing", "INVALID_REQUEST"),
            (TOPIC, "orders", "NONE"),
            (TOPIC, "missing", "INVALID_REQUEST"),
            (TOPIC, "absent", "INVALID_CONFIG"),
            (TOPIC, "", "INVALID_REQUEST"),
            (77, "orders", "INVALID_REQUEST"),
            (LOGGER, "1", "INVALID_REQUEST"),
        ]
        assert overrides(cluster) == {"retention.ms": "5"}
        request = setting(TOPIC, "missing", "retention.ms", "5")
        assert errors_of(cluster, request) == ["UNKNOWN_TOPIC_OR_PARTITION"]

    def test_one_key_twice(self) -> None:
        operations: list[Operation] = [("retention.ms", SET, "5"), ("retention.ms", DELETE, None)]
        request = incremental((TOPIC, "orders", operations))
        assert errors_of(with_topic(), request) == ["INVALID_REQUEST"]

    def test_only_to_see(self) -> None:
        cluster = with_topic()
        seen: list[Any] = []
        cluster.configs.on_change.append(lambda *change: seen.append(change))
        for value, error in [("5", "NONE"), ("x", "INVALID_CONFIG")]:
            request = incremental((TOPIC, "orders", [("retention.ms", SET, value)]), validate_only=True)
            assert errors_of(cluster, request) == [error]
        request = legacy((TOPIC, "orders", {"retention.ms": "5"}), validate_only=True)
        assert errors_of(cluster, request) == ["NONE"]
        assert (overrides(cluster), seen) == ({}, [])

    def test_changes_are_announced(self) -> None:
        cluster = with_topic()
        seen: list[Any] = []
        cluster.configs.on_change.append(lambda *change: seen.append(change))
        answer(cluster, setting(TOPIC, "orders", "retention.ms", "5"))
        answer(cluster, setting(BROKER, "", "log.retention.ms", "5"))
        answer(cluster, setting(BROKER, "1", "log.retention.ms", "5"))
        assert seen == [("topic", "orders"), ("broker", ""), ("broker", "1")]

    @pytest.mark.parametrize("api", ["IncrementalAlterConfigs", "AlterConfigs"])
    def test_every_version(self, api: str) -> None:
        for version in range(VERSIONS[api] + 1):
            cluster = with_topic()
            config = Message(name="retention.ms", value="5")
            if api == "IncrementalAlterConfigs":
                config.config_operation = SET
            resource = Message(resource_type=TOPIC, resource_name="orders", configs=[config])
            clusters.ask(cluster, api, version, resources=[resource])
            assert overrides(cluster) == {"retention.ms": "5"}


class TestLegacy:
    def test_what_is_not_named_goes_back_to_its_default(self) -> None:
        cluster = with_topic()
        for configs in ({"retention.ms": "5", "segment.ms": "6"}, {"segment.ms": "7"}, {}):
            assert errors_of(cluster, legacy((TOPIC, "orders", configs))) == ["NONE"]
            assert overrides(cluster) == configs

    @pytest.mark.parametrize(
        ("kind", "name", "configs", "error"),
        [
            (TOPIC, "orders", {"retention.ms": "x"}, "INVALID_CONFIG"),
            (TOPIC, "orders", {"retention.ms": None}, "INVALID_REQUEST"),
            (TOPIC, "orders", [("retention.ms", "1"), ("retention.ms", "2")], "INVALID_REQUEST"),
            (TOPIC, "missing", {}, "UNKNOWN_TOPIC_OR_PARTITION"),
            (LOGGER, "1", {"root": "INFO"}, "INVALID_REQUEST"),
            (BROKER, "1", {"broker.id": "1"}, "INVALID_REQUEST"),
        ],
    )
    def test_what_is_refused(self, kind: int, name: str, configs: Any, error: str) -> None:
        assert errors_of(with_topic(), legacy((kind, name, configs))) == [error]

    def test_brokers(self) -> None:
        cluster = with_topic()
        assert errors_of(cluster, legacy((BROKER, "1", {"log.retention.ms": "5", "my.own": "x"}))) == ["NONE"]
        assert cluster.configs.dynamic() == {"1": {"log.retention.ms": "5", "my.own": "x"}}
        assert errors_of(cluster, legacy((BROKER, "1", {}))) == ["NONE"]
        assert cluster.configs.dynamic() == {}


class TestBrokers:
    def test_one_and_all(self) -> None:
        cluster = with_topic(3)
        assert errors_of(cluster, setting(BROKER, "", "message.max.bytes", "500"), broker=2) == ["NONE"]
        assert errors_of(cluster, setting(BROKER, "2", "message.max.bytes", "600"), broker=2) == ["NONE"]
        assert [cluster.configs.broker(each, "message.max.bytes") for each in (1, 2, 3)] == [500, 600, 500]
        request = setting(BROKER, "2", "message.max.bytes", None, DELETE)
        assert errors_of(cluster, request, broker=2) == ["NONE"]
        assert cluster.configs.broker(2, "message.max.bytes") == 500

    @pytest.mark.parametrize("name", ["2", "x", "-1"])
    def test_another_broker_is_not_this_ones_to_change(self, name: str) -> None:
        request = setting(BROKER, name, "message.max.bytes", "500")
        error, text = refused(with_topic(3), request)
        assert error == "INVALID_REQUEST"
        assert name in text

    @pytest.mark.parametrize(
        ("name", "value", "words"),
        [
            ("auto.create.topics.enable", "false", ["auto.create.topics.enable", "dynamically"]),
            ("log.retention.hours", "5", ["log.retention.hours"]),
            ("message.max.bytes", "-1", ["message.max.bytes", "-1", "at least 0"]),
            ("listener.name.other.max.connections", "x", ["max.connections", "x"]),
            ("ssl.keystore.location", "/x", ["ssl.keystore.location", "listener"]),
            ("log.retention.ms", "0", ["log.retention.ms"]),
            ("log.roll.ms", "0", ["log.roll.ms"]),
            ("log.cleaner.dedupe.buffer.size", "100", ["log.cleaner.dedupe.buffer.size"]),
            ("log.local.retention.ms", "99999999999", ["log.local.retention.ms", "99999999999"]),
            ("max.connections", "0", ["max.connections=0"]),
            ("max.connections.per.ip", "0", ["max.connections.per.ip.overrides"]),
            ("max.connections.per.ip.overrides", "host", ["max.connections.per.ip.overrides", "host"]),
            (
                "max.connections.per.ip.overrides",
                "no host:5",
                ["max.connections.per.ip.overrides", "no host"],
            ),
            ("num.io.threads", "0", ["num.io.threads", "at least 1"]),
            ("num.io.threads", "1", ["num.io.threads=1", "half", "4"]),
            ("num.io.threads", "9", ["num.io.threads=9", "double", "4"]),
            ("principal.builder.class", "my.Builder", ["my.Builder", "could not be found"]),
            ("metric.reporters", "my.Reporter", ["metric.reporters"]),
            ("listeners", "CLIENT://127.0.0.1:5", ["listeners"]),
            (
                "listener.name.client.ssl.keystore.location",
                "/x",
                ["listener.name.client.ssl.keystore.location"],
            ),
        ],
    )
    def test_what_is_refused(self, name: str, value: str, words: list[str]) -> None:
        cluster = with_topic()
        error, text = refused(cluster, setting(BROKER, "1", name, value))
        assert error == "INVALID_REQUEST"
        assert all(word in text for word in words), text
        assert cluster.configs.dynamic() == {}

    @pytest.mark.parametrize(
        "name", ["sasl.enabled.mechanisms", "listener.name.other.ssl.keystore.type", "listeners"]
    )
    def test_some_settings_are_for_one_broker_alone(self, name: str) -> None:
        cluster = with_topic()
        error, text = refused(cluster, setting(BROKER, "", name, "X"))
        assert (error, name in text) == ("INVALID_REQUEST", True)

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("my.own.setting", "x"),
            ("num.io.threads", "8"),
            ("listener.name.other.ssl.keystore.type", "JKS"),
            ("listener.name.client.max.connections", "5"),
            ("leader.replication.throttled.rate", "100"),
            ("max.connections.per.ip.overrides", "127.0.0.1:5,host.name:7"),
            ("metric.reporters", "org.apache.kafka.common.metrics.JmxReporter"),
        ],
    )
    def test_what_is_taken(self, name: str, value: str) -> None:
        cluster = with_topic()
        assert errors_of(cluster, setting(BROKER, "1", name, value)) == ["NONE"]
        assert cluster.configs.dynamic() == {"1": {name: value}}

    def test_a_change_goes_on_from_the_last(self) -> None:
        cluster = with_topic()
        for threads, error in [("8", "NONE"), ("16", "NONE"), ("7", "INVALID_REQUEST"), ("8", "NONE")]:
            assert errors_of(cluster, setting(BROKER, "1", "num.io.threads", threads)) == [error]

    def test_in_sync_replicas_are_the_same_everywhere_where_they_count_for_elections(self) -> None:
        cluster = with_topic(3, kafka_version="4.1.1")
        assert errors_of(cluster, setting(BROKER, "", "min.insync.replicas", "1")) == ["NONE"]
        for name, value, how in [("1", "1", SET), ("1", None, DELETE), ("", None, DELETE)]:
            request = setting(BROKER, name, "min.insync.replicas", value, how)
            error, text = refused(cluster, request)
            assert (error, "min.insync.replicas" in text) == ("INVALID_CONFIG", True)
        assert errors_of(cluster, legacy((BROKER, "", {}))) == ["INVALID_CONFIG"]
        assert errors_of(with_topic(3), setting(BROKER, "1", "min.insync.replicas", "1")) == ["NONE"]


class TestOthers:
    @pytest.mark.parametrize(
        ("name", "value", "error"),
        [
            ("consumer.session.timeout.ms", "50000", "NONE"),
            ("consumer.session.timeout.ms", "1", "INVALID_CONFIG"),
            ("consumer.session.timeout.ms", "99999999", "INVALID_CONFIG"),
            ("consumer.heartbeat.interval.ms", "16000", "INVALID_CONFIG"),
            ("streams.num.standby.replicas", "3", "INVALID_CONFIG"),
            ("share.auto.offset.reset", "earliest", "NONE"),
            ("no.such.setting", "1", "INVALID_CONFIG"),
        ],
    )
    def test_groups(self, name: str, value: str, error: str) -> None:
        cluster = with_topic(kafka_version="4.3.1")
        found, text = refused(cluster, setting(GROUP, "billing", name, value))
        assert found == error
        if error == "NONE":
            assert cluster.configs.overrides("group", "billing") == {name: value}
        else:
            assert name in text
            assert cluster.configs.names("group") == []

    def test_a_session_outlasts_a_heartbeat(self) -> None:
        cluster = with_topic(kafka_version="4.3.1", group_consumer_min_session_timeout_ms="1000")
        assert refused(cluster, setting(GROUP, "g", "consumer.heartbeat.interval.ms", "9000"))[0] == "NONE"
        error, text = refused(cluster, setting(GROUP, "g", "consumer.session.timeout.ms", "9000"))
        assert (error, "consumer.heartbeat.interval.ms" in text) == ("INVALID_CONFIG", True)

    @pytest.mark.parametrize(
        ("name", "value", "error"),
        [
            ("interval.ms", "500", "NONE"),
            ("interval.ms", "5", "INVALID_REQUEST"),
            ("no.such.setting", "1", "INVALID_REQUEST"),
            ("match", "client_id=a.*", "NONE"),
            ("match", "client_id", "INVALID_CONFIG"),
            ("match", "colour=red", "INVALID_CONFIG"),
            ("match", "client_id=(", "INVALID_CONFIG"),
            ("match", f"client_id={'(' * 20_000}", "INVALID_CONFIG"),
        ],
    )
    def test_subscriptions_to_client_metrics(self, name: str, value: str, error: str) -> None:
        cluster = with_topic()
        found, _ = refused(cluster, setting(CLIENT_METRICS, "watch", name, value))
        assert found == error
        assert cluster.configs.names("client-metrics") == (["watch"] if error == "NONE" else [])

    @pytest.mark.parametrize("kind", [GROUP, CLIENT_METRICS])
    def test_they_need_a_name(self, kind: int) -> None:
        cluster = with_topic(kafka_version="4.3.1")
        assert errors_of(cluster, incremental((kind, "", []))) == ["INVALID_REQUEST"]

    @pytest.mark.parametrize("kind", [GROUP, CLIENT_METRICS])
    def test_releases_that_do_not_know_them(self, kind: int) -> None:
        assert errors_of(with_topic(kafka_version="3.6.2"), incremental((kind, "x", []))) == [
            "INVALID_REQUEST"
        ]


NAMES = st.sampled_from(
    ["retention.ms", "max.message.bytes", "cleanup.policy", "segment.ms", "no.such.setting"]
)
TEXTS = st.sampled_from(["1", "-1", "0", "x", "compact", "delete", "compact,delete", "2147483648", ""])
CHANGES = st.lists(
    st.tuples(NAMES, st.sampled_from([SET, DELETE, APPEND, SUBTRACT]), TEXTS), unique_by=lambda op: op[0]
)


@given(st.lists(st.tuples(CHANGES, st.booleans()), max_size=8))
def test_what_is_told_is_what_was_taken(history: list[tuple[list[Operation], bool]]) -> None:
    """Whatever is tried: what was refused or only tried has changed nothing, and what is set is valid."""
    cluster = with_topic()
    for operations, validate_only in history:
        before = overrides(cluster)
        request = incremental((TOPIC, "orders", operations), validate_only=validate_only)
        (error,) = errors_of(cluster, request)
        after = overrides(cluster)
        if error != "NONE" or validate_only:
            assert after == before
        else:
            for name, how, value in operations:
                if how == SET:
                    assert after[name] == value
                elif how == DELETE:
                    assert name not in after
        cluster.configs.check_topic(after)
        (told,) = described(
            lambda api, message: clusters.ask(cluster, api, VERSIONS[api], **vars(message)),
            [(TOPIC, "orders")],
        )
        assert {name for name, found in told.items() if found["source"] == 1} == after.keys()
