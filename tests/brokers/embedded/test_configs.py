"""What is in effect, from all the places where a setting can be set."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from pytest_msk.brokers.embedded.cluster import Cluster
from pytest_msk.brokers.embedded.config_values import MOST_LONG
from pytest_msk.brokers.embedded.topics import Topic
from pytest_msk.brokers.plane import Endpoint
from pytest_msk.brokers.wire.errors import KafkaError
from pytest_msk.errors import BrokerStartError
from tests.brokers.embedded.clusters import cluster_of

HOUR_MS = 3_600_000


def configured(configuration: dict[str, str], version: str = "3.9.1") -> Cluster:
    properties: dict[str, Any] = configuration
    return cluster_of(kafka_version=version, **properties)


def topic_of(cluster: Cluster, **configs: str) -> Topic:
    return cluster.topics.create(
        "orders", configs={name.replace("_", "."): value for name, value in configs.items()}
    )


def set_broker(cluster: Cluster, name: str, **configs: str) -> None:
    cluster.configs.replace("broker", name, {key.replace("_", "."): value for key, value in configs.items()})


class TestBrokers:
    def test_a_default_a_configuration_and_what_was_set_since(self) -> None:
        cluster = cluster_of(2, num_partitions="7")
        value = cluster.configs.broker
        assert value(1, "message.max.bytes") == 1048588
        assert value(1, "num.partitions") == 7
        set_broker(cluster, "", message_max_bytes="5")
        assert (value(1, "message.max.bytes"), value(2, "message.max.bytes")) == (5, 5)
        set_broker(cluster, "2", message_max_bytes="6")
        assert (value(1, "message.max.bytes"), value(2, "message.max.bytes")) == (5, 6)
        set_broker(cluster, "2")
        set_broker(cluster, "")
        assert value(2, "message.max.bytes") == 1048588

    def test_types(self) -> None:
        value = cluster_of().configs.broker
        assert value(1, "log.cleaner.min.cleanable.ratio") == 0.5
        assert value(1, "log.cleanup.policy") == ["delete"]
        assert value(1, "auto.create.topics.enable") is True
        assert value(1, "compression.type") == "producer"
        assert value(1, "log.retention.ms") is None

    def test_a_broker_knows_itself(self) -> None:
        cluster = cluster_of(4)
        value = cluster.configs.broker
        assert [value(broker, "node.id") for broker in cluster.brokers] == [1, 2, 3, 4]
        assert [value(broker, "broker.id") for broker in cluster.brokers] == [1, 2, 3, 4]
        assert value(2, "broker.rack") == "b"
        assert value(3, "process.roles") == ["broker", "controller"]
        assert value(4, "process.roles") == ["broker"]
        assert value(2, "listeners") == "CLIENT://127.0.0.1:9002"

    def test_listeners(self) -> None:
        cluster = cluster_of()
        broker, door, other = cluster.brokers[1], Endpoint("127.0.0.1", 1), Endpoint("127.0.0.1", 2)
        broker.endpoints = {"internal": door, "plaintext": door}
        static = cluster.configs.static(broker)
        assert static["listeners"] == static["advertised.listeners"] == "CLIENT://127.0.0.1:1"
        assert static["inter.broker.listener.name"] == "CLIENT"
        broker.endpoints = {"internal": door, "iam": other}
        static = cluster.configs.static(broker)
        assert static["listeners"] == "REPLICATION://127.0.0.1:1,CLIENT_IAM://127.0.0.1:2"
        assert static["listener.security.protocol.map"].startswith(
            "REPLICATION:PLAINTEXT,CLIENT_IAM:SASL_SSL"
        )

    def test_the_plugins_defaults_are_the_brokers_configuration(self) -> None:
        assert cluster_of(3).configs.broker(1, "default.replication.factor") == 3
        assert cluster_of(1).configs.broker(1, "default.replication.factor") == 1

    def test_what_the_release_does_not_have(self) -> None:
        with pytest.raises(KeyError):
            cluster_of(kafka_version="4.0.x").configs.broker(1, "zookeeper.connect")
        assert cluster_of(kafka_version="3.9.x").configs.broker(1, "zookeeper.connect") is None

    def test_a_setting_in_other_units_takes_the_place_of_one_below(self) -> None:
        cluster = cluster_of(log_retention_ms="1000")
        set_broker(cluster, "", **{"log_retention_hours": "2"})
        topic = topic_of(cluster)
        assert cluster.configs.topic(topic, "retention.ms") == 2 * HOUR_MS


class TestStart:
    @pytest.mark.parametrize(
        ("configuration", "why"),
        [
            ({"num_partitions": "many"}, "num.partitions"),
            ({"num_partitions": "0"}, "num.partitions"),
            ({"log_roll_ms": "0"}, "log.roll.ms"),
            ({"log_retention_hours": "0"}, "log.retention.ms"),
            ({"log_cleaner_dedupe_buffer_size": "1000"}, "log.cleaner.dedupe.buffer.size"),
            ({"replica_fetch_wait_max_ms": "60000"}, "replica.fetch.wait.max.ms"),
            ({"connections_max_idle_ms": "50"}, "connections.max.idle.ms"),
            ({"queued_max_request_bytes": "5"}, "queued.max.request.bytes"),
            ({"max_connections_per_ip": "0"}, "max.connections.per.ip.overrides"),
            (
                {"log_cleaner_max_compaction_lag_ms": "1", "log_cleaner_min_compaction_lag_ms": "2"},
                "conflict",
            ),
            ({"group_consumer_session_timeout_ms": "1"}, "group.consumer.min.session.timeout.ms"),
            ({"group_consumer_heartbeat_interval_ms": "99999"}, "group.consumer.max.heartbeat.interval.ms"),
        ],
    )
    def test_brokers_refuse_a_configuration(self, configuration: dict[str, str], why: str) -> None:
        with pytest.raises(BrokerStartError, match=why.replace(".", r"\.")) as caught:
            configured(configuration)
        assert "'tests'" in str(caught.value)

    def test_brokers_take_settings_that_nobody_knows(self) -> None:
        cluster = cluster_of(my_own_setting="x")
        assert cluster.configs.static(cluster.brokers[1])["my.own.setting"] == "x"

    def test_a_restart_brings_another_configuration_and_keeps_what_was_set_since(self) -> None:
        cluster = cluster_of(2, num_partitions="3")
        topic = topic_of(cluster)
        assert cluster.configs.topic(topic, "max.message.bytes") == 1048588
        set_broker(cluster, "", log_retention_ms="5000")
        spec = cluster.spec.changed(configuration={"message.max.bytes": "77"})
        seen: list[Any] = []
        cluster.configs.on_change.append(lambda *change: seen.append(change))
        cluster.configs.restart(spec, 2)
        assert cluster.configs.broker(1, "num.partitions") == 3
        assert cluster.configs.broker(2, "num.partitions") == 1
        cluster.configs.restart(spec)
        assert seen == [("broker", "2"), ("broker", "1"), ("broker", "2")]
        assert cluster.configs.broker(1, "num.partitions") == 1
        assert cluster.configs.topic(topic, "max.message.bytes") == 77
        assert cluster.configs.topic(topic, "retention.ms") == 5000

    def test_a_restart_that_no_broker_would_survive_changes_nothing(self) -> None:
        cluster = cluster_of(num_partitions="3")
        with pytest.raises(BrokerStartError):
            cluster.configs.restart(cluster.spec.changed(configuration={"num.partitions": "x"}))
        assert cluster.configs.broker(1, "num.partitions") == 3


class TestTopics:
    def test_an_override_the_brokers_setting_a_default(self) -> None:
        cluster = cluster_of(message_max_bytes="500", log_roll_hours="2")
        topic = topic_of(cluster, retention_ms="1000")
        value = cluster.configs.topic
        assert value(topic, "retention.ms") == 1000
        assert value(topic, "max.message.bytes") == 500
        assert value(topic, "segment.ms") == 2 * HOUR_MS
        assert value(topic, "retention.bytes") == -1
        assert value(topic, "leader.replication.throttled.replicas") == []

    @pytest.mark.parametrize(
        ("configuration", "retention"),
        [
            ({}, 168 * HOUR_MS),
            ({"log_retention_hours": "1"}, HOUR_MS),
            ({"log_retention_hours": "1", "log_retention_minutes": "3"}, 180_000),
            ({"log_retention_minutes": "3", "log_retention_ms": "9"}, 9),
            ({"log_retention_ms": "-7"}, -1),
        ],
    )
    def test_retention_in_whatever_units(self, configuration: dict[str, str], retention: int) -> None:
        cluster = configured(configuration)
        assert cluster.configs.topic(topic_of(cluster), "retention.ms") == retention

    def test_changes_are_seen_at_once(self) -> None:
        cluster = cluster_of()
        topic = topic_of(cluster)
        seen: list[Any] = []
        cluster.configs.on_change.append(lambda *change: seen.append(change))
        assert cluster.configs.topic(topic, "retention.ms") == 168 * HOUR_MS
        cluster.configs.set_topic(topic, {"retention.ms": "5"})
        assert cluster.configs.topic(topic, "retention.ms") == 5
        cluster.configs.set_topic(topic, {})
        set_broker(cluster, "", log_retention_ms="6")
        assert cluster.configs.topic(topic, "retention.ms") == 6
        assert seen == [("topic", "orders"), ("topic", "orders"), ("broker", "")]

    def test_settings_that_only_brokers_have(self) -> None:
        cluster = cluster_of(producer_id_expiration_ms="5")
        topic = topic_of(cluster)
        assert cluster.configs.topic(topic, "producer.id.expiration.ms") == 5
        with pytest.raises(KeyError):
            cluster.configs.topic(topic, "no.such.setting")

    def test_a_topic_made_again_does_not_inherit(self) -> None:
        cluster = cluster_of()
        topic = topic_of(cluster, retention_ms="5")
        assert cluster.configs.topic(topic, "retention.ms") == 5
        cluster.topics.delete("orders")
        assert cluster.configs.topic(topic_of(cluster), "retention.ms") == 168 * HOUR_MS

    def test_deleted_topics_are_let_go(self) -> None:
        cluster = cluster_of()
        topic = topic_of(cluster)
        cluster.configs.topic(topic, "retention.ms")
        gone = weakref.ref(topic)
        cluster.topics.delete("orders")
        del topic
        gc.collect()
        assert gone() is None

    @pytest.mark.parametrize(
        ("version", "configuration", "overrides", "limit"),
        [
            ("3.9.1", {}, {}, MOST_LONG),
            ("3.9.1", {"log_message_timestamp_difference_max_ms": "9"}, {}, 9),
            ("3.9.1", {}, {"message_timestamp_difference_max_ms": "8"}, 8),
            (
                "3.9.1",
                {},
                {"message_timestamp_difference_max_ms": "8", "message_timestamp_before_max_ms": "7"},
                7,
            ),
            ("4.0.1", {}, {"message_timestamp_before_max_ms": "7"}, 7),
        ],
    )
    def test_limits_of_timestamps_by_their_old_name(
        self, version: str, configuration: dict[str, str], overrides: dict[str, str], limit: int
    ) -> None:
        cluster = configured(configuration, version)
        topic = topic_of(cluster, **overrides)
        assert cluster.configs.topic(topic, "message.timestamp.before.max.ms") == limit

    @pytest.mark.parametrize(
        ("configs", "why"),
        [
            ({"no.such.setting": "1"}, "no.such.setting"),
            ({"retention.ms": "x"}, "Invalid value x for configuration retention.ms"),
            ({"retention.ms": None}, "retention.ms"),
            ({"min.compaction.lag.ms": "6", "max.compaction.lag.ms": "5"}, "6.*max.compaction.lag.ms.*5"),
            ({"max.compaction.lag.ms": "5"}, None),
            ({"remote.storage.enable": "true"}, "Tiered Storage"),
            ({"leader.replication.throttled.replicas": "*" * 40_000}, "32767"),
        ],
    )
    def test_what_topics_may_override(self, configs: dict[str, str | None], why: str | None) -> None:
        cluster = cluster_of()
        if why is None:
            cluster.configs.check_topic(configs)
            return
        with pytest.raises(KafkaError, match=why) as caught:
            cluster.configs.check_topic(configs)
        assert caught.value.name == "INVALID_CONFIG"

    @pytest.mark.parametrize(
        ("configs", "why"),
        [
            ({}, None),
            ({"cleanup.policy": "compact"}, "compacted"),
            ({"retention.ms": "100", "local.retention.ms": "200"}, "local.retention.ms"),
            ({"retention.ms": "100", "local.retention.ms": "-1"}, "local.retention.ms"),
            ({"retention.bytes": "100", "local.retention.bytes": "200"}, "local.retention.bytes"),
            ({"retention.ms": "-1", "local.retention.ms": "200"}, None),
            ({"retention.ms": "100", "local.retention.ms": "50"}, None),
            ({"remote.log.copy.disable": "true", "local.retention.ms": "50"}, "must be the same"),
            ({"remote.storage.enable": "false"}, "remote.log.delete.on.disable"),
            ({"remote.storage.enable": "false", "remote.log.delete.on.disable": "true"}, None),
        ],
    )
    def test_tiered_storage(self, configs: dict[str, str | None], why: str | None) -> None:
        cluster = cluster_of(remote_log_storage_system_enable="true")
        before = {"remote.storage.enable": "true"}
        if why is None:
            cluster.configs.check_topic({**before, **configs}, before)
        else:
            with pytest.raises(KafkaError, match=why):
                cluster.configs.check_topic({**before, **configs}, before)


class TestGroups:
    def test_an_override_and_the_brokers_setting(self) -> None:
        cluster = cluster_of(kafka_version="4.3.1", group_consumer_session_timeout_ms="50000")
        value = cluster.configs.group
        assert value("billing", "consumer.session.timeout.ms") == 50_000
        assert value("billing", "share.auto.offset.reset") == "latest"
        cluster.configs.replace("group", "billing", {"consumer.session.timeout.ms": "55000"})
        assert value("billing", "consumer.session.timeout.ms") == 55_000
        assert value("shipping", "consumer.session.timeout.ms") == 50_000

    def test_earlier_releases_have_the_brokers_settings_alone(self) -> None:
        cluster = cluster_of(kafka_version="3.9.1")
        assert cluster.configs.group("billing", "consumer.session.timeout.ms") == 45_000
        with pytest.raises(KeyError):
            cluster.configs.group("billing", "consumer.assignment.interval.ms")


class TestWhatWasSet:
    def test_there_and_back(self) -> None:
        cluster = cluster_of(2, kafka_version="3.9.1")
        set_broker(cluster, "2", log_retention_ms="1")
        before = cluster.configs.dynamic()
        assert before == {"2": {"log.retention.ms": "1"}}
        set_broker(cluster, "", log_retention_ms="2")
        set_broker(cluster, "2")
        cluster.configs.replace("group", "billing", {"consumer.session.timeout.ms": "50000"})
        cluster.configs.replace("client-metrics", "watch", {"interval.ms": "500"})
        cluster.configs.restore(before)
        assert cluster.configs.dynamic() == before
        assert cluster.configs.broker(2, "log.retention.ms") == 1
        assert cluster.configs.names("group") == []

    def test_nothing_is_announced_that_has_not_changed(self) -> None:
        cluster = cluster_of()
        set_broker(cluster, "", log_retention_ms="2")
        seen: list[Any] = []
        cluster.configs.on_change.append(lambda *change: seen.append(change))
        cluster.configs.restore(cluster.configs.dynamic())
        assert seen == []

    def test_in_sync_replicas_are_the_same_everywhere_where_they_count_for_elections(self) -> None:
        cluster = cluster_of(3, kafka_version="4.1.x")
        assert cluster.configs.dynamic() == {"": {"min.insync.replicas": "2"}}
        assert cluster_of(3, kafka_version="4.0.x").configs.dynamic() == {}


class Settings(RuleBasedStateMachine):
    """A setting of brokers and topics, set at all places in any order, against a model of the precedence."""

    def __init__(self) -> None:
        super().__init__()
        self.cluster = cluster_of(2, message_max_bytes="100")
        self.topic = topic_of(self.cluster)
        self.brokers: dict[str, int] = {}
        self.of_topic: int | None = None

    @rule(name=st.sampled_from(["", "1", "2"]), value=st.none() | st.integers(0, 9))
    def set_broker(self, name: str, value: int | None) -> None:
        self.brokers.pop(name, None)
        if value is not None:
            self.brokers[name] = value
        self.cluster.configs.replace(
            "broker", name, {} if value is None else {"message.max.bytes": str(value)}
        )

    @rule(value=st.none() | st.integers(0, 9))
    def set_topic(self, value: int | None) -> None:
        self.of_topic = value
        overrides = {} if value is None else {"max.message.bytes": str(value)}
        self.cluster.configs.set_topic(self.topic, overrides)

    @invariant()
    def the_nearest_place_counts(self) -> None:
        expected = {broker: self.brokers.get(str(broker), self.brokers.get("", 100)) for broker in (1, 2)}
        for broker, value in expected.items():
            assert self.cluster.configs.broker(broker, "message.max.bytes") == value
        limit = expected[1] if self.of_topic is None else self.of_topic
        assert self.cluster.configs.topic(self.topic, "max.message.bytes") == limit


TestSettings = Settings.TestCase
TestSettings.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)
