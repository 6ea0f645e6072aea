"""DescribeConfigs and ListConfigResources. `test_configs_docker` has what real brokers tell."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_msk.brokers.embedded import alter_configs, describe_configs  # noqa: F401  # they register handlers
from pytest_msk.brokers.embedded.cluster import Cluster
from pytest_msk.brokers.wire import errors
from pytest_msk.brokers.wire.message import Message
from tests.brokers.embedded import clusters
from tests.brokers.embedded.clusters import cluster_of
from tests.brokers.embedded.config_requests import (
    BROKER,
    CLIENT_METRICS,
    GROUP,
    LOGGER,
    TOPIC,
    Ask,
    described,
)

BOOLEAN, STRING, INT, SHORT, LONG, DOUBLE, LIST, CLASS, PASSWORD = range(1, 10)
OF_TOPIC, OF_BROKER, OF_ALL, STATIC, DEFAULT = range(1, 6)
OF_SUBSCRIPTION, OF_GROUP = 7, 8


def asking(cluster: Cluster, broker: int = 1, version: int = 4) -> Ask:
    return lambda api, message: clusters.ask(cluster, api, version, broker, **vars(message))


def one(cluster: Cluster, kind: int, name: str, setting: str, **options: Any) -> dict[str, Any]:
    (found,) = described(asking(cluster, **options), [(kind, name)], [setting])
    assert list(found) == [setting]
    entry: dict[str, Any] = found[setting]
    return entry


def error_of(cluster: Cluster, kind: int, name: str, broker: int = 1) -> Any:
    (found,) = described(asking(cluster, broker), [(kind, name)])
    return found["error"]


class TestTopics:
    def test_an_override(self) -> None:
        cluster = cluster_of(log_cleanup_policy="compact")
        cluster.topics.create("orders", configs={"cleanup.policy": "compact, delete"})
        assert one(cluster, TOPIC, "orders", "cleanup.policy") == {
            "value": "compact,delete",
            "read only": False,
            "source": OF_TOPIC,
            "sensitive": False,
            "type": LIST,
            "synonyms": [
                ("cleanup.policy", "compact,delete", OF_TOPIC),
                ("log.cleanup.policy", "compact", STATIC),
                ("log.cleanup.policy", "delete", DEFAULT),
            ],
        }

    def test_what_the_brokers_say(self) -> None:
        cluster = cluster_of()
        cluster.topics.create("orders")
        cluster.configs.replace("broker", "", {"log.retention.ms": "5"})
        cluster.configs.replace("broker", "2", {"log.retention.ms": "6"})
        first = one(cluster, TOPIC, "orders", "retention.ms")
        assert (first["value"], first["source"]) == ("5", OF_ALL)
        assert first["synonyms"] == [
            ("log.retention.ms", "5", OF_ALL),
            ("log.retention.hours", "168", DEFAULT),
        ]
        second = one(cluster, TOPIC, "orders", "retention.ms", broker=2)
        assert (second["value"], second["source"]) == ("6", OF_BROKER)

    def test_a_setting_in_other_units_is_no_synonym_to_begin_with(self) -> None:
        cluster = cluster_of(log_retention_hours="2")
        cluster.topics.create("orders")
        found = one(cluster, TOPIC, "orders", "retention.ms")
        assert (found["value"], found["source"], found["synonyms"]) == ("7200000", DEFAULT, [])

    def test_all_settings_or_some_with_synonyms_or_without(self) -> None:
        cluster = cluster_of()
        cluster.topics.create("orders", configs={"retention.ms": "5"})
        (everything,) = described(asking(cluster), [(TOPIC, "orders")], synonyms=False)
        assert everything.keys() == cluster.configs.definitions.topic.keys()
        assert not any(found["synonyms"] for found in everything.values())
        (same,) = described(asking(cluster), [(TOPIC, "orders")], [], synonyms=False)
        assert same == everything
        (some,) = described(asking(cluster), [(TOPIC, "orders")], ["retention.ms", "no.such.setting"])
        assert some.keys() == {"retention.ms"}

    def test_internal_settings_are_shown_where_they_are_set(self) -> None:
        cluster = cluster_of(kafka_version="4.3.1")
        cluster.topics.create("orders")
        (before,) = described(asking(cluster), [(TOPIC, "orders")])
        assert "internal.segment.bytes" not in before
        cluster.topics.create("small", configs={"internal.segment.bytes": "1000"})
        assert one(cluster, TOPIC, "small", "internal.segment.bytes")["value"] == "1000"

    def test_errors(self) -> None:
        cluster = cluster_of()
        assert error_of(cluster, TOPIC, "missing") == "UNKNOWN_TOPIC_OR_PARTITION"
        assert error_of(cluster, TOPIC, "two words") == "INVALID_TOPIC_EXCEPTION"


class TestBrokers:
    @pytest.mark.parametrize(
        ("name", "value", "read_only", "kind"),
        [
            ("broker.id", "1", True, INT),
            ("log.retention.hours", "168", True, INT),
            ("message.max.bytes", "1048588", False, INT),
            ("offsets.topic.replication.factor", "3", True, SHORT),
            ("log.cleaner.min.cleanable.ratio", "0.5", False, DOUBLE),
            ("log.cleaner.io.max.bytes.per.second", "1.7976931348623157E308", False, DOUBLE),
            ("auto.create.topics.enable", "true", True, BOOLEAN),
            ("broker.rack", "a", True, STRING),
            ("replica.lag.time.max.ms", "30000", True, LONG),
            ("log.dirs", "/var/lib/kafka/data", True, STRING),
        ],
    )
    def test_values(self, name: str, value: str, read_only: bool, kind: int) -> None:
        found = one(cluster_of(), BROKER, "1", name)
        assert (found["value"], found["read only"], found["type"]) == (value, read_only, kind)

    def test_where_a_value_comes_from(self) -> None:
        cluster = cluster_of(message_max_bytes=" 5")
        cluster.configs.replace("broker", "", {"message.max.bytes": "6"})
        cluster.configs.replace("broker", "1", {"message.max.bytes": "7"})
        found = one(cluster, BROKER, "1", "message.max.bytes")
        assert (found["value"], found["source"]) == ("7", OF_BROKER)
        assert found["synonyms"] == [
            ("message.max.bytes", "7", OF_BROKER),
            ("message.max.bytes", "6", OF_ALL),
            ("message.max.bytes", " 5", STATIC),
            ("message.max.bytes", "1048588", DEFAULT),
        ]

    def test_what_could_be_a_secret_is_not_told(self) -> None:
        cluster = cluster_of(my_own="x", ssl_key_password="pw")
        cluster.configs.replace("broker", "1", {"listener.name.other.ssl.key.password": "pw"})
        for name, kind in [("my.own", 0), ("ssl.key.password", PASSWORD)]:
            found = one(cluster, BROKER, "1", name)
            assert (found["value"], found["sensitive"], found["type"]) == (None, True, kind)
        found = one(cluster, BROKER, "1", "listener.name.other.ssl.key.password")
        assert (found["sensitive"], found["read only"]) == (True, True)
        assert found["synonyms"] == [
            ("listener.name.other.ssl.key.password", None, OF_BROKER),
            ("ssl.key.password", None, STATIC),
        ]

    def test_all_brokers_have_only_what_was_set_for_all(self) -> None:
        cluster = cluster_of()
        cluster.configs.replace("broker", "", {"log.retention.ms": "5"})
        cluster.configs.replace("broker", "1", {"log.retention.ms": "6", "message.max.bytes": "7"})
        (found,) = described(asking(cluster), [(BROKER, "")])
        assert found == {
            "log.retention.ms": {
                "value": "5",
                "read only": False,
                "source": OF_ALL,
                "sensitive": False,
                "type": LONG,
                "synonyms": [("log.retention.ms", "5", OF_ALL)],
            }
        }

    def test_each_broker_tells_of_itself_alone(self) -> None:
        cluster = cluster_of()
        assert one(cluster, BROKER, "2", "node.id", broker=2)["value"] == "2"
        assert error_of(cluster, BROKER, "2") == "INVALID_REQUEST"
        assert error_of(cluster, BROKER, "x") == "INVALID_REQUEST"

    def test_the_release_says_which_settings_there_are(self) -> None:
        for version, expected in [("3.9.1", True), ("4.0.1", False)]:
            (found,) = described(asking(cluster_of(kafka_version=version)), [(BROKER, "1")])
            assert ("zookeeper.connect" in found) is expected


class TestOthers:
    def test_groups(self) -> None:
        cluster = cluster_of(kafka_version="4.3.1")
        cluster.configs.replace("group", "billing", {"consumer.session.timeout.ms": "50000"})
        found = one(cluster, GROUP, "billing", "consumer.session.timeout.ms")
        assert (found["value"], found["source"], found["type"]) == ("50000", OF_GROUP, INT)
        assert found["synonyms"][-1] == ("group.consumer.session.timeout.ms", "45000", DEFAULT)
        other = one(cluster, GROUP, "billing", "consumer.heartbeat.interval.ms")
        assert (other["value"], other["source"]) == ("500", STATIC)
        assert error_of(cluster, GROUP, "") == "INVALID_REQUEST"

    def test_groups_of_releases_that_do_not_tell_of_the_brokers_settings(self) -> None:
        found = one(cluster_of(kafka_version="4.1.1"), GROUP, "billing", "consumer.heartbeat.interval.ms")
        assert (found["value"], found["source"]) == ("500", DEFAULT)
        assert found["synonyms"] == [("consumer.heartbeat.interval.ms", "500", DEFAULT)]

    def test_subscriptions_to_client_metrics(self) -> None:
        for version, names in [("3.9.1", {"interval.ms"}), ("4.3.1", {"interval.ms", "match", "metrics"})]:
            cluster = cluster_of(kafka_version=version)
            cluster.configs.replace("client-metrics", "watch", {"interval.ms": "500"})
            (found,) = described(asking(cluster), [(CLIENT_METRICS, "watch")])
            assert found.keys() == names
            assert (found["interval.ms"]["value"], found["interval.ms"]["source"]) == ("500", OF_SUBSCRIPTION)
            assert error_of(cluster, CLIENT_METRICS, "") == "INVALID_REQUEST"

    def test_embedded_brokers_have_no_loggers(self) -> None:
        assert error_of(cluster_of(), LOGGER, "1") == "INVALID_REQUEST"

    @pytest.mark.parametrize(
        ("kind", "version"), [(0, "4.3.1"), (77, "4.3.1"), (GROUP, "3.9.1"), (16, "3.6.1")]
    )
    def test_a_kind_that_the_release_does_not_know_spoils_the_whole_request(
        self, kind: int, version: str
    ) -> None:
        cluster = cluster_of(kafka_version=version)
        cluster.topics.create("orders")
        found = described(asking(cluster), [(TOPIC, "orders"), (kind, "x")])
        assert found == [{"error": "INVALID_REQUEST"}] * 2


@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_every_version_tells_what_it_has_fields_for(version: int) -> None:
    cluster = cluster_of()
    cluster.topics.create("orders", configs={"max.message.bytes": "5"})
    resource = Message(resource_type=TOPIC, resource_name="orders", configuration_keys=["max.message.bytes"])
    fields: dict[str, Any] = {"include_documentation": True} if version > 2 else {}
    answer = clusters.ask(
        cluster, "DescribeConfigs", version, resources=[resource], include_synonyms=True, **fields
    )
    (entry,) = answer.results[0].configs
    assert (entry.value, entry.config_source, len(entry.synonyms)) == ("5", OF_TOPIC, 2)
    assert entry.config_type == (INT if version > 2 else 0)
    assert not entry.documentation


@pytest.mark.parametrize(
    ("version", "kinds", "expected"),
    [
        (0, [], {(CLIENT_METRICS, "watch")}),
        (1, [GROUP], {(GROUP, "billing")}),
        (1, [TOPIC, BROKER], {(TOPIC, "orders"), (BROKER, "1"), (BROKER, "2")}),
        (
            1,
            [],
            {
                *((TOPIC, "orders"), (BROKER, "1"), (BROKER, "2"), (LOGGER, "1"), (LOGGER, "2")),
                *((GROUP, "billing"), (CLIENT_METRICS, "watch")),
            },
        ),
    ],
)
def test_which_resources_there_are(version: int, kinds: list[int], expected: set[tuple[int, str]]) -> None:
    cluster = cluster_of(2, kafka_version="4.3.1")
    cluster.topics.create("orders")
    cluster.configs.replace("group", "billing", {"consumer.session.timeout.ms": "50000"})
    cluster.configs.replace("client-metrics", "watch", {"interval.ms": "500"})
    fields: dict[str, Any] = {"resource_types": kinds} if version else {}
    answer = clusters.ask(cluster, "ListConfigResources", version, **fields)
    assert {(found.resource_type, found.resource_name) for found in answer.config_resources} == expected


def test_resources_of_an_unknown_kind() -> None:
    answer = clusters.ask(cluster_of(kafka_version="4.3.1"), "ListConfigResources", 1, resource_types=[77])
    assert errors.name(answer.error_code) == "UNSUPPORTED_VERSION"
    assert answer.config_resources == []
