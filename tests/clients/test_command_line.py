"""Kafka's own command-line tools, run by their main classes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests import java
from tests.clients.clusters import NEW, SINGLE_OLD, Cluster, unique
from tests.clients.programs import run

pytestmark = pytest.mark.parametrize("cluster", [SINGLE_OLD, NEW], indirect=True, ids=str, scope="module")

VERSION = "4.1.1"
TOPICS = "org.apache.kafka.tools.TopicCommand"
CONFIGS = "kafka.admin.ConfigCommand"
GROUPS = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"
CONSOLE_PRODUCER = "org.apache.kafka.tools.ConsoleProducer"
CONSOLE_CONSUMER = "org.apache.kafka.tools.consumer.ConsoleConsumer"
VERIFIABLE_PRODUCER = "org.apache.kafka.tools.VerifiableProducer"
VERIFIABLE_CONSUMER = "org.apache.kafka.tools.VerifiableConsumer"

Tool = Callable[..., str]


def command(main: str, *arguments: str) -> list[str]:
    jars = java.class_path(
        f"org.apache.kafka:kafka-tools:{VERSION}", f"org.apache.kafka:kafka_2.13:{VERSION}"
    )
    return java.command(jars, main, *arguments)


@pytest.fixture
def tool(bootstrap: str) -> Tool:
    """Runs a tool on the cluster, and returns what it prints."""

    def run_tool(main: str, *arguments: str, stdin: str | None = None) -> str:
        return run(command(main, "--bootstrap-server", bootstrap, *arguments), stdin=stdin)

    return run_tool


def test_kafka_topics(cluster: Cluster, tool: Tool) -> None:
    topic = unique("topic")
    wanted = ["--partitions", "2", "--replication-factor", str(len(cluster.broker_ids))]
    printed = tool(TOPICS, "--create", "--topic", topic, *wanted, "--config", "retention.ms=60000")
    assert f"Created topic {topic}." in printed
    assert topic in tool(TOPICS, "--list").split()
    tool(TOPICS, "--alter", "--topic", topic, "--partitions", "3")
    described = tool(TOPICS, "--describe", "--topic", topic)
    assert "PartitionCount: 3" in described
    assert f"ReplicationFactor: {len(cluster.broker_ids)}" in described
    assert "retention.ms=60000" in described
    assert described.count("Leader: ") == 3
    tool(TOPICS, "--delete", "--topic", topic)
    assert topic not in tool(TOPICS, "--list").split()


def test_kafka_configs(cluster: Cluster, tool: Tool) -> None:
    topic = cluster.topic()
    about = ["--entity-type", "topics", "--entity-name", topic]
    tool(CONFIGS, *about, "--alter", "--add-config", "retention.ms=70000")
    assert "retention.ms=70000" in tool(CONFIGS, *about, "--describe")
    tool(CONFIGS, *about, "--alter", "--delete-config", "retention.ms")
    assert "retention.ms=70000" not in tool(CONFIGS, *about, "--describe")
    broker = ["--entity-type", "brokers", "--entity-name", str(cluster.broker_ids[0])]
    assert "min.insync.replicas=" in tool(CONFIGS, *broker, "--describe", "--all")


def test_the_consoles_and_kafka_consumer_groups(cluster: Cluster, tool: Tool) -> None:
    topic, group = cluster.topic(), unique("group")
    with_keys = ["--property", "parse.key=true", "--property", "key.separator=:"]
    tool(CONSOLE_PRODUCER, "--topic", topic, *with_keys, stdin="k:one\nk:two\nk:three\n")
    limits = ["--from-beginning", "--max-messages", "3", "--timeout-ms", "20000"]
    formatted = ["--property", "print.key=true", "--property", "key.separator=:"]
    printed = tool(CONSOLE_CONSUMER, "--topic", topic, "--group", group, *limits, *formatted)
    assert printed.splitlines() == ["k:one", "k:two", "k:three"]
    assert group in tool(GROUPS, "--list").split()
    described = tool(GROUPS, "--describe", "--group", group)
    (line,) = [line.split() for line in described.splitlines() if line.startswith(group)]
    assert line[1:6] == [topic, "0", "3", "3", "0"]
    reset = ["--reset-offsets", "--to-offset", "1", "--topic", topic, "--execute"]
    tool(GROUPS, "--group", group, *reset)
    printed = tool(CONSOLE_CONSUMER, "--topic", topic, "--group", group, "--max-messages", "2")
    assert printed.splitlines() == ["two", "three"]
    assert "successful" in tool(GROUPS, "--delete", "--group", group)


def test_the_verifiable_clients(cluster: Cluster, tool: Tool) -> None:
    topic, group = cluster.topic(partitions=2), unique("group")
    limits = ["--topic", topic, "--max-messages", "500"]
    sent = events(tool(VERIFIABLE_PRODUCER, *limits))
    assert [event["acked"] for event in sent if event["name"] == "tool_data"] == [500]
    read = events(tool(VERIFIABLE_CONSUMER, *limits, "--group-id", group, "--reset-policy", "earliest"))
    assert sum(event["count"] for event in read if event["name"] == "records_consumed") == 500
    assert [event["success"] for event in read if event["name"] == "offsets_committed"][-1]


def events(printed: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
