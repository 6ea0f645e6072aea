"""confluent-kafka: the admin client."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
)

from tests.clients.clusters import EVERYWHERE_TOO, Cluster, unique, until
from tests.clients.confluent import Clients, read, send

pytestmark = pytest.mark.parametrize("cluster", EVERYWHERE_TOO, indirect=True, ids=str, scope="module")


@pytest.fixture
def admin(confluent: Clients) -> AdminClient:
    return confluent.admin()


def result(futures: dict[Any, Any]) -> Any:
    """The one answer of a call about one thing."""
    (future,) = futures.values()
    return future.result(15)


def test_a_topic_is_made_described_grown_and_deleted(cluster: Cluster, admin: AdminClient) -> None:
    topic, brokers = unique("topic"), list(cluster.broker_ids)
    result(admin.create_topics([NewTopic(topic, 2, len(brokers))]))
    with pytest.raises(KafkaException) as caught:
        result(admin.create_topics([NewTopic(topic, 2, len(brokers))]))
    assert caught.value.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS
    partitions = until(lambda: admin.list_topics(topic, 10).topics[topic].partitions)
    assert [sorted(partition.replicas) for partition in partitions.values()] == [brokers] * 2
    result(admin.create_partitions([NewPartitions(topic, 4)]))
    until(lambda: len(admin.list_topics(topic, 10).topics[topic].partitions) == 4)
    result(admin.delete_topics([topic]))
    until(lambda: topic not in admin.list_topics(timeout=10).topics)


@pytest.mark.parametrize(
    ("topic", "code"),
    [
        (NewTopic("bad", 1, 9), KafkaError.INVALID_REPLICATION_FACTOR),
        (NewTopic("bad name", 1, 1), KafkaError.TOPIC_EXCEPTION),
        (NewTopic("bad", 1, 1, config={"no.such.config": "1"}), KafkaError.INVALID_CONFIG),
        (NewTopic("bad", 1, 1, config={"retention.ms": "soon"}), KafkaError.INVALID_CONFIG),
    ],
    ids=["replicas", "name", "config", "value"],
)
def test_a_bad_topic_is_refused(admin: AdminClient, topic: NewTopic, code: int) -> None:
    with pytest.raises(KafkaException) as caught:
        result(admin.create_topics([topic]))
    assert caught.value.args[0].code() == code


def test_configs_are_altered(cluster: Cluster, admin: AdminClient) -> None:
    topic = cluster.topic(retention_ms="60000")

    def configs() -> dict[str, Any]:
        found: dict[str, Any] = result(
            admin.describe_configs([ConfigResource(ConfigResource.Type.TOPIC, topic)])
        )
        return found

    assert configs()["retention.ms"].value == "60000"
    assert not configs()["retention.ms"].is_default
    change = ConfigEntry("retention.ms", "70000", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=[change])
    result(admin.incremental_alter_configs([resource]))
    until(lambda: configs()["retention.ms"].value == "70000")
    reset = ConfigEntry("retention.ms", None, incremental_operation=AlterConfigOpType.DELETE)
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=[reset])
    result(admin.incremental_alter_configs([resource]))
    until(lambda: configs()["retention.ms"].is_default)


def test_records_are_deleted(cluster: Cluster, confluent: Clients, admin: AdminClient) -> None:
    topic = cluster.topic()
    send(confluent.producer(), topic, [b"0", b"1", b"2"])
    deleted = result(admin.delete_records([TopicPartition(topic, 0, 2)]))
    assert deleted.low_watermark == 2
    assert [message.offset() for message in read(confluent.consumer(topic), 1)] == [2]
    for spec, offset in ((OffsetSpec.earliest(), 2), (OffsetSpec.latest(), 3)):
        assert result(admin.list_offsets({TopicPartition(topic, 0): spec})).offset == offset


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_a_group_is_listed_described_moved_and_deleted(
    cluster: Cluster, confluent: Clients, admin: AdminClient, protocol: str
) -> None:
    if protocol == "consumer" and not cluster.shape.kafka_version.startswith("4"):
        return
    topic, group = cluster.topic(), unique("group")
    send(confluent.producer(), topic, [b"0", b"1", b"2"])
    consumer = confluent.consumer(topic, group_id=group, group_protocol=protocol)
    read(consumer, 3)
    consumer.commit(asynchronous=False)
    described = result(admin.describe_consumer_groups([group]))
    assert described.state.name == "STABLE"
    assert described.type.name == protocol.upper()
    (member,) = described.members
    assert [part.partition for part in member.assignment.topic_partitions] == [0]
    with pytest.raises(KafkaException) as caught:
        result(admin.delete_consumer_groups([group]))
    assert caught.value.args[0].code() == KafkaError.NON_EMPTY_GROUP
    consumer.close()
    listed = admin.list_consumer_groups().result(15).valid
    assert [found.state.name for found in listed if found.group_id == group] == ["EMPTY"]

    def offsets() -> list[int]:
        asked = [ConsumerGroupTopicPartitions(group)]
        answer = result(admin.list_consumer_group_offsets(asked))
        return [part.offset for part in answer.topic_partitions]

    assert offsets() == [3]
    moved = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, 0, 1)])
    result(admin.alter_consumer_group_offsets([moved]))
    assert offsets() == [1]
    result(admin.delete_consumer_groups([group]))
    listed = admin.list_consumer_groups().result(15).valid
    assert group not in [found.group_id for found in listed]


def test_the_cluster_describes_itself(cluster: Cluster, admin: AdminClient) -> None:
    described = admin.describe_cluster().result(15)
    assert sorted(node.id for node in described.nodes) == list(cluster.broker_ids)
    assert described.controller.id in cluster.broker_ids
    assert sorted(admin.list_topics(timeout=10).brokers) == list(cluster.broker_ids)
