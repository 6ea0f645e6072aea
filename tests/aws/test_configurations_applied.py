"""What a configuration does to the brokers of a cluster that is made with it, as Kafka's clients see it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import KafkaError, Producer
from confluent_kafka.admin import AdminClient, ConfigResource

from pytest_msk import mock_msk
from pytest_msk.brokers.clock import real_monotonic
from pytest_msk.clients import client_config
from tests.aws.kafka_api import create
from tests.clients.confluent import close

START_PATIENCE = 60
SECONDS = 20

CONFIGURATION = b"""\
# Names and values as java.util.Properties reads them.
auto.create.topics.enable : false
message.max.bytes = 40\\
    00
num.partitions 4
log.message.timestamp.type=\\u004cogAppendTime
"""


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    """A kafka client, on embedded brokers."""
    with mock_msk("embedded") as msk:
        yield msk.client


@pytest.fixture(scope="module")
def configured(client: Any) -> str:
    """Bootstrap string of a cluster that was made with `CONFIGURATION`."""
    made = client.create_configuration(Name="small", ServerProperties=CONFIGURATION)
    return started(client, "configured", ConfigurationInfo={"Arn": made["Arn"], "Revision": 1})


@pytest.fixture(scope="module")
def unconfigured(client: Any) -> str:
    """Bootstrap string of a cluster that was made without a configuration."""
    return started(client, "unconfigured")


def started(client: Any, name: str, **changes: Any) -> str:
    arn = create(client, name, **changes)
    until = real_monotonic() + START_PATIENCE
    while (info := client.describe_cluster(ClusterArn=arn)["ClusterInfo"])["State"] == "CREATING":
        assert real_monotonic() < until, info
    assert info["State"] == "ACTIVE", info
    found: str = client.get_bootstrap_brokers(ClusterArn=arn)["BootstrapBrokerString"]
    return found


def settings(bootstrap: str, kind: str, name: str) -> dict[str, str]:
    """What a broker or a topic has, by DescribeConfigs."""
    admin = AdminClient(client_config("confluent-kafka", bootstrap))
    resource = ConfigResource(kind, name)
    described = admin.describe_configs([resource], request_timeout=SECONDS)[resource].result(SECONDS)
    return {entry.name: entry.value for entry in described.values()}


def topics(bootstrap: str) -> set[str]:
    return set(AdminClient(client_config("confluent-kafka", bootstrap)).list_topics(timeout=SECONDS).topics)


def sent(bootstrap: str, topic: str, value: bytes) -> int | None:
    """The code of the error that a record meets; None when it is acknowledged."""
    reports: list[KafkaError | None] = []
    config = client_config("confluent-kafka", bootstrap)
    # How long a producer goes on to hope for a topic that brokers do not know.
    producer = Producer({**config, "topic.metadata.propagation.max.ms": 500})
    try:
        producer.produce(topic, value, on_delivery=lambda error, _: reports.append(error))
        assert producer.flush(SECONDS) == 0
    finally:
        close(producer)
    (error,) = reports
    return error.code() if error else None


def test_a_client_reads_the_values_back_from_every_broker(configured: str) -> None:
    for broker in ("1", "2", "3"):
        found = settings(configured, "broker", broker)
        assert found["auto.create.topics.enable"] == "false"
        assert found["message.max.bytes"] == "4000"
        assert found["num.partitions"] == "4"
        assert found["log.message.timestamp.type"] == "LogAppendTime"


def test_topics_are_not_made_on_first_use(configured: str) -> None:
    assert sent(configured, "unheard-of", b"1") == KafkaError.UNKNOWN_TOPIC_OR_PART
    assert "unheard-of" not in topics(configured)


def test_without_a_configuration_they_are(unconfigured: str) -> None:
    assert sent(unconfigured, "unheard-of", b"1") is None
    assert "unheard-of" in topics(unconfigured)
    assert settings(unconfigured, "broker", "1")["message.max.bytes"] == "1048588"


def test_a_topic_has_the_brokers_values(client: Any, configured: str) -> None:
    arn = client.list_clusters(ClusterNameFilter="configured")["ClusterInfoList"][0]["ClusterArn"]
    client.create_topic(ClusterArn=arn, TopicName="small", PartitionCount=1, ReplicationFactor=3)
    assert settings(configured, "topic", "small")["max.message.bytes"] == "4000"
    assert sent(configured, "small", b"." * 3000) is None
    assert sent(configured, "small", b"." * 5000) == KafkaError.MSG_SIZE_TOO_LARGE
