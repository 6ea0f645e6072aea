"""Topics and configurations: made, described, changed, deleted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest

from pytest_msk.brokers.admin import Admin, Partition
from pytest_msk.brokers.wire import errors
from pytest_msk.brokers.wire.message import Message
from tests.conformance.wire import Wire, batch, named

BROKER, TOPIC = 4, 2
SET, DELETE, APPEND, SUBTRACT = range(4)
SOURCES = {1: "topic", 2: "dynamic broker", 3: "dynamic default", 4: "static", 5: "default"}


def create(wire: Wire, name: str, *, validate_only: bool = False, **fields: Any) -> Message:
    topic = {"num_partitions": 1, "replication_factor": 1, "assignments": [], "configs": [], **fields}
    asked = Message(name=name, **topic)
    answer = wire.ask("CreateTopics", topics=[asked], timeout_ms=5000, validate_only=validate_only)
    return named(answer.topics[0])


def config(**values: str | None) -> list[Message]:
    return [Message(name=name.replace("_", "."), value=value) for name, value in values.items()]


def describe(wire: Wire, name: str, *keys: str, kind: int = TOPIC) -> Message:
    resource = Message(resource_type=kind, resource_name=name, configuration_keys=list(keys) or None)
    return named(wire.ask("DescribeConfigs", resources=[resource], include_synonyms=True).results[0])


def sources(described: Message) -> dict[str, tuple[str | None, str]]:
    return {each.name: (each.value, SOURCES[each.config_source]) for each in described.configs}


def alter(wire: Wire, name: str, *changes: tuple[str, int, str | None], kind: int = TOPIC) -> Message:
    configs = [Message(name=key, config_operation=op, value=value) for key, op, value in changes]
    resource = Message(resource_type=kind, resource_name=name, configs=configs)
    answer = wire.ask("IncrementalAlterConfigs", resources=[resource], validate_only=False)
    return named(answer.responses[0])


def test_what_a_new_topic_is_told_to_be(wire: Wire) -> None:
    name = wire.topic("made") + "-wide"
    made = create(wire, name, num_partitions=3, configs=config(retention_ms="1000"))
    assert (made.error, made.num_partitions, made.replication_factor) == ("NONE", 3, 1)
    found = {each.name: (each.value, SOURCES[each.config_source]) for each in made.configs}
    assert found["retention.ms"] == ("1000", "topic")
    assert found["cleanup.policy"] == ("delete", "default")
    assert found["min.insync.replicas"] == ("1", "static")
    wire.cluster.wait_for(lambda: name in {topic.name for topic in wire.cluster.topics()})
    assert create(wire, name).error == "TOPIC_ALREADY_EXISTS"


def test_a_new_topic_takes_records_at_once(wire: Wire, wires: Wire) -> None:
    def errors_of(ask: Callable[..., Message], topic: str, partitions: Sequence[Partition]) -> set[str]:
        return {ask(topic, index=each.id, broker=each.leader).error for each in partitions}

    for each in [wire, wires] * 3:
        name = each.cluster.unique_topic(partitions=3)
        assert errors_of(partial(each.produce, records=batch(b"a")), name, each.partitions(name)) == {"NONE"}
        with Admin(each.cluster.bootstrap_servers) as admin:
            added = admin.add_partitions(name, 5).partitions[3:]
        assert errors_of(partial(each.fetch, offset=0), name, added) == {"NONE"}


def test_a_topic_that_is_only_checked(wire: Wire) -> None:
    name = wire.topic() + "-checked"
    assert create(wire, name, validate_only=True).error == "NONE"
    assert name not in {topic.name for topic in wire.cluster.topics()}


@pytest.mark.parametrize(
    ("name", "fields", "error"),
    [
        pytest.param("a b", {}, "INVALID_TOPIC_EXCEPTION", id="space"),
        pytest.param("", {}, "INVALID_TOPIC_EXCEPTION", id="empty"),
        pytest.param(".", {}, "INVALID_TOPIC_EXCEPTION", id="dot"),
        pytest.param("..", {}, "INVALID_TOPIC_EXCEPTION", id="dots"),
        pytest.param("x" * 250, {}, "INVALID_TOPIC_EXCEPTION", id="long"),
        pytest.param("bad", {"num_partitions": 0}, "INVALID_PARTITIONS", id="no partitions"),
        pytest.param("bad", {"num_partitions": -2}, "INVALID_PARTITIONS", id="fewer partitions"),
        pytest.param("bad", {"replication_factor": 2}, "INVALID_REPLICATION_FACTOR", id="replicas"),
        pytest.param("bad", {"replication_factor": 0}, "INVALID_REPLICATION_FACTOR", id="no replicas"),
        pytest.param("bad", {"configs": config(no_such="1")}, "INVALID_CONFIG", id="unknown setting"),
        pytest.param("bad", {"configs": config(retention_ms="soon")}, "INVALID_CONFIG", id="no number"),
        pytest.param("bad", {"configs": config(cleanup_policy="burn")}, "INVALID_CONFIG", id="no policy"),
        pytest.param("bad", {"configs": config(segment_bytes="13")}, "INVALID_CONFIG", id="too small"),
        pytest.param("bad", {"configs": config(retention_ms=None)}, "INVALID_CONFIG", id="null"),
        pytest.param(
            "bad",
            {
                "num_partitions": 2,
                "assignments": [Message(partition_index=0, broker_ids=[1])],
            },
            "INVALID_REQUEST",
            id="both",
        ),
        pytest.param(
            "bad",
            {
                "num_partitions": -1,
                "replication_factor": -1,
                "assignments": [Message(partition_index=0, broker_ids=[7])],
            },
            "INVALID_REPLICA_ASSIGNMENT",
            id="unknown broker",
        ),
        pytest.param(
            "bad",
            {
                "num_partitions": -1,
                "replication_factor": -1,
                "assignments": [Message(partition_index=1, broker_ids=[1])],
            },
            "INVALID_REPLICA_ASSIGNMENT",
            id="gap",
        ),
    ],
)
def test_topics_that_are_refused(wire: Wire, name: str, fields: dict[str, Any], error: str) -> None:
    assert create(wire, name, **fields).error == error


def test_names_that_collide(wire: Wire) -> None:
    name = wire.topic() + ".x"
    wire.cluster.create_topic(name)
    assert create(wire, name.replace(".", "_")).error == "INVALID_TOPIC_EXCEPTION"


def test_the_same_topic_twice_in_a_request(wire: Wire) -> None:
    name = wire.topic() + "-twice"
    topics = [Message(name=name, num_partitions=1, replication_factor=1)] * 2
    answer = wire.ask("CreateTopics", topics=topics, timeout_ms=5000)
    assert {errors.name(topic.error_code) for topic in answer.topics} == {"INVALID_REQUEST"}


def add_partitions(wire: Wire, name: str, count: int, **fields: Any) -> str:
    topic = Message(name=name, count=count, **{"assignments": None, **fields})
    answer = wire.ask("CreatePartitions", topics=[topic], timeout_ms=5000, validate_only=False)
    return errors.name(answer.results[0].error_code)


def test_more_partitions(wire: Wire) -> None:
    name = wire.topic(partitions=2)
    assert add_partitions(wire, name, 2) == "INVALID_PARTITIONS"
    assert add_partitions(wire, name, 1) == "INVALID_PARTITIONS"
    assert add_partitions(wire, "nowhere", 3) == "UNKNOWN_TOPIC_OR_PARTITION"
    wrong = [Message(broker_ids=[9])]
    assert add_partitions(wire, name, 3, assignments=wrong) == "INVALID_REPLICA_ASSIGNMENT"
    assert add_partitions(wire, name, 3) == "NONE"
    wire.cluster.wait_for(lambda: wire.produce(name, batch(b"a"), index=2).error == "NONE")


def test_topics_are_deleted(wire: Wire) -> None:
    name = wire.topic()

    def delete() -> str:
        answer = wire.ask("DeleteTopics", topics=[Message(name=name)], timeout_ms=5000)
        return errors.name(answer.responses[0].error_code)

    wire.produce(name, batch(b"a"))
    assert delete() == "NONE"
    wire.cluster.wait_for(lambda: wire.fetch(name, 0).error == "UNKNOWN_TOPIC_OR_PARTITION")
    assert delete() == "UNKNOWN_TOPIC_OR_PARTITION"
    wire.cluster.create_topic(name)
    assert wire.produce(name, batch(b"b")).base_offset == 0


def test_topics_by_id(wire: Wire) -> None:
    name = wire.topic()
    [found] = wire.ask("Metadata", topics=[Message(name=name)]).topics
    [by_id] = wire.ask("Metadata", topics=[Message(name=None, topic_id=found.topic_id)]).topics
    assert (by_id.name, by_id.topic_id) == (name, found.topic_id)
    wire.cluster.create_topic(other := name + "-again")
    asked = [Message(name=None, topic_id=found.topic_id)]
    answer = wire.ask("DeleteTopics", topics=asked, timeout_ms=5000)
    assert (answer.responses[0].name, answer.responses[0].error_code) == (name, 0)
    assert other in {topic.name for topic in wire.cluster.topics()}

    def error() -> str:
        [topic] = wire.ask("Metadata", topics=[Message(name=None, topic_id=found.topic_id)]).topics
        return errors.name(topic.error_code)

    wire.cluster.wait_for(lambda: error() == "UNKNOWN_TOPIC_ID")


@pytest.mark.parametrize(
    ("name", "error"), [("nowhere", "UNKNOWN_TOPIC_OR_PARTITION"), ("a b", "INVALID_TOPIC_EXCEPTION")]
)
def test_metadata_of_no_topic(wire: Wire, name: str, error: str) -> None:
    answer = wire.ask("Metadata", topics=[Message(name=name)], allow_auto_topic_creation=False)
    assert errors.name(answer.topics[0].error_code) == error


def test_a_topic_is_made_when_it_is_asked_for(wire: Wire) -> None:
    name = wire.topic() + "-asked-for"

    def error() -> str:
        answer = wire.ask("Metadata", topics=[Message(name=name)], allow_auto_topic_creation=True)
        return errors.name(answer.topics[0].error_code)

    assert error() == "UNKNOWN_TOPIC_OR_PARTITION"
    wire.cluster.wait_for(lambda: error() == "NONE")
    assert wire.produce(name, batch(b"a")).error == "NONE"


def test_where_a_setting_comes_from(wire: Wire) -> None:
    name = wire.topic(config={"cleanup.policy": "compact"})
    found = sources(describe(wire, name))
    assert found["cleanup.policy"] == ("compact", "topic")
    assert found["min.insync.replicas"] == ("1", "static")
    assert found["retention.ms"] == ("604800000", "default")
    assert describe(wire, "nowhere").error == "UNKNOWN_TOPIC_OR_PARTITION"
    assert describe(wire, "a b").error == "INVALID_TOPIC_EXCEPTION"
    assert set(sources(describe(wire, name, "retention.ms", "no.such"))) == {"retention.ms"}
    [policy] = describe(wire, name, "cleanup.policy").configs
    synonyms = [(each.name, each.value, SOURCES[each.source]) for each in policy.synonyms]
    assert synonyms == [
        ("cleanup.policy", "compact", "topic"),
        ("log.cleanup.policy", "delete", "default"),
    ]


def test_settings_of_a_topic_are_changed(wire: Wire) -> None:
    name = wire.topic()
    changes = (("retention.ms", SET, "5000"), ("cleanup.policy", APPEND, "compact"))
    assert alter(wire, name, *changes).error == "NONE"
    wire.cluster.wait_for(lambda: sources(describe(wire, name))["retention.ms"] == ("5000", "topic"))
    assert sources(describe(wire, name))["cleanup.policy"] == ("delete,compact", "topic")
    back = (("retention.ms", DELETE, None), ("cleanup.policy", SUBTRACT, "delete"))
    assert alter(wire, name, *back).error == "NONE"
    wire.cluster.wait_for(lambda: sources(describe(wire, name))["retention.ms"][1] == "default")
    assert sources(describe(wire, name))["cleanup.policy"] == ("compact", "topic")


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (("no.such", SET, "1"), "INVALID_CONFIG"),
        (("retention.ms", SET, "soon"), "INVALID_CONFIG"),
        (("retention.ms", SET, None), "INVALID_REQUEST"),
        (("retention.ms", APPEND, "1"), "INVALID_CONFIG"),
        (("cleanup.policy", SET, "burn"), "INVALID_CONFIG"),
        (("min.insync.replicas", SET, "0"), "INVALID_CONFIG"),
        (("retention.ms", 9, "1"), "UNKNOWN_SERVER_ERROR"),
    ],
    ids=str,
)
def test_changes_that_are_refused(wire: Wire, change: tuple[str, int, str | None], error: str) -> None:
    assert alter(wire, wire.topic(), change).error == error


def test_resources_that_cannot_be_changed(wire: Wire) -> None:
    change = ("retention.ms", SET, "1")
    assert alter(wire, "nowhere", change).error == "UNKNOWN_TOPIC_OR_PARTITION"
    assert alter(wire, "one", change, kind=BROKER).error == "INVALID_REQUEST"
    assert alter(wire, "x", change, kind=77).error == "INVALID_REQUEST"
    name = wire.topic()
    assert alter(wire, name, change, change).error == "INVALID_REQUEST"


def test_settings_of_brokers(wire: Wire) -> None:
    def found(name: str = "log.retention.ms") -> tuple[str | None, str]:
        return sources(describe(wire, "1", kind=BROKER))[name]

    assert found("auto.create.topics.enable")[1] == "static"
    assert alter(wire, "", ("log.retention.ms", SET, "7000"), kind=BROKER).error == "NONE"
    wire.cluster.wait_for(lambda: found() == ("7000", "dynamic default"))
    assert alter(wire, "1", ("log.retention.ms", SET, "8000"), kind=BROKER).error == "NONE"
    wire.cluster.wait_for(lambda: found() == ("8000", "dynamic broker"))
    topic = wire.topic()
    assert sources(describe(wire, topic))["retention.ms"] == ("8000", "dynamic broker")
    for broker in ("", "1"):
        assert alter(wire, broker, ("log.retention.ms", DELETE, None), kind=BROKER).error == "NONE"
    wire.cluster.wait_for(lambda: found()[1] == "default")


@pytest.mark.parametrize(
    "change",
    [("node.id", SET, "9"), ("log.retention.ms", SET, "soon"), ("log.dirs", SET, "/x")],
    ids=str,
)
def test_broker_settings_that_cannot_be_changed(wire: Wire, change: tuple[str, int, str]) -> None:
    assert alter(wire, "1", change, kind=BROKER).error in {"INVALID_REQUEST", "INVALID_CONFIG"}


def test_all_settings_of_a_topic_at_once(wire: Wire) -> None:
    name = wire.topic(config={"retention.ms": 1})
    configs = [Message(name="retention.bytes", value="99")]
    resource = Message(resource_type=TOPIC, resource_name=name, configs=configs)
    answer = wire.ask("AlterConfigs", resources=[resource], validate_only=False)
    assert answer.responses[0].error_code == 0
    wire.cluster.wait_for(lambda: sources(describe(wire, name))["retention.bytes"] == ("99", "topic"))
    assert sources(describe(wire, name))["retention.ms"][1] == "default"
