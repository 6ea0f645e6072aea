"""kafka-python 3: the admin client."""

from __future__ import annotations

import pytest
from kafka import OffsetSpec, TopicPartition
from kafka.admin import ConfigResource, KafkaAdminClient
from kafka.errors import (
    InvalidConfigurationError,
    InvalidPartitionsError,
    InvalidReplicationFactorError,
    InvalidTopicError,
    NoError,
    TopicAlreadyExistsError,
    UnknownTopicOrPartitionError,
)
from kafka.structs import OffsetAndMetadata

from tests.clients.clusters import EVERYWHERE, Cluster, unique, until
from tests.clients.kafka_python import Clients, read, send

PREFERRED = 0
"""The kind of election, as the protocol numbers them."""

pytestmark = pytest.mark.parametrize("cluster", EVERYWHERE, indirect=True, ids=str, scope="module")


@pytest.fixture
def admin(clients: Clients) -> KafkaAdminClient:
    return clients.admin()


def test_a_topic_is_made_described_grown_and_deleted(cluster: Cluster, admin: KafkaAdminClient) -> None:
    topic, brokers = unique("topic"), list(cluster.broker_ids)
    wanted = {"num_partitions": 2, "replication_factor": len(brokers)}
    admin.create_topics({topic: wanted}, wait_for_metadata=True)
    with pytest.raises(TopicAlreadyExistsError):
        admin.create_topics({topic: wanted})
    (described,) = admin.describe_topics([topic])
    assert [sorted(partition["replica_nodes"]) for partition in described["partitions"]] == [brokers] * 2
    admin.create_partitions({topic: 4})
    until(lambda: len(admin.describe_topics([topic])[0]["partitions"]) == 4)
    with pytest.raises(InvalidPartitionsError):
        admin.create_partitions({topic: 3})
    admin.delete_topics([topic])
    until(lambda: topic not in admin.list_topics())
    with pytest.raises(UnknownTopicOrPartitionError):
        admin.delete_topics([topic])


def test_what_is_only_validated_is_not_made(admin: KafkaAdminClient) -> None:
    topic = unique("topic")
    admin.create_topics({topic: {"num_partitions": 1}}, validate_only=True)
    assert topic not in admin.list_topics()


@pytest.mark.parametrize(
    ("name", "options", "error"),
    [
        ("bad", {"replication_factor": 9}, InvalidReplicationFactorError),
        ("bad", {"num_partitions": 0}, InvalidPartitionsError),
        ("bad name", {}, InvalidTopicError),
        ("bad", {"configs": {"no.such.config": "1"}}, InvalidConfigurationError),
        ("bad", {"configs": {"retention.ms": "soon"}}, InvalidConfigurationError),
    ],
    ids=["replicas", "partitions", "name", "config", "value"],
)
def test_a_bad_topic_is_refused(
    admin: KafkaAdminClient, name: str, options: dict[str, object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        admin.create_topics({name: options})


def test_configs_are_altered_and_reset(cluster: Cluster, admin: KafkaAdminClient) -> None:
    topic = cluster.topic(retention_ms="60000")

    def configs() -> dict[str, str]:
        described = admin.describe_configs([ConfigResource("topic", topic)], config_filter="all")
        return {name: config["value"] for name, config in described["topic"][topic].items()}

    assert configs()["retention.ms"] == "60000"
    assert configs()["segment.bytes"] == "1073741824"
    changes = {"retention.ms": "70000", "cleanup.policy": ("APPEND", "compact")}
    admin.alter_configs([ConfigResource("topic", topic, changes)])
    until(lambda: configs()["retention.ms"] == "70000")
    assert sorted(configs()["cleanup.policy"].split(",")) == ["compact", "delete"]
    admin.reset_configs([ConfigResource("topic", topic, ["retention.ms"])])
    until(lambda: configs()["retention.ms"] == "604800000")


def test_a_brokers_config_is_altered(cluster: Cluster, admin: KafkaAdminClient) -> None:
    broker = str(cluster.broker_ids[0])

    def threads() -> str:
        described = admin.describe_configs([ConfigResource("broker", broker)], config_filter="all")
        return str(described["broker"][broker]["log.cleaner.threads"]["value"])

    assert threads() == "1"
    admin.alter_configs([ConfigResource("broker", broker, {"log.cleaner.threads": "2"})])
    until(lambda: threads() == "2")
    admin.reset_configs([ConfigResource("broker", broker, ["log.cleaner.threads"])])
    until(lambda: threads() == "1")


def test_records_are_deleted(cluster: Cluster, clients: Clients, admin: KafkaAdminClient) -> None:
    topic = cluster.topic()
    partition = TopicPartition(topic, 0)
    send(clients.producer(), topic, [b"0", b"1", b"2"])
    answer = admin.delete_records({partition: 2})
    assert answer[partition]["low_watermark"] == 2
    assert [record.offset for record in read(clients.consumer(topic), 1)] == [2]
    for spec, offset in ((OffsetSpec.EARLIEST, 2), (OffsetSpec.LATEST, 3)):
        assert admin.list_partition_offsets({partition: spec})[partition].offset == offset


def test_a_group_is_listed_described_moved_and_deleted(
    cluster: Cluster, clients: Clients, admin: KafkaAdminClient
) -> None:
    topic, group = cluster.topic(partitions=2), unique("group")
    partition, other = TopicPartition(topic, 0), TopicPartition(topic, 1)
    send(clients.producer(), topic, [b"0", b"1", b"2"], partition=0)
    consumer = clients.consumer(topic, group_id=group)
    read(consumer, 3)
    consumer.commit()
    described = admin.describe_groups([group])[group]
    assert (described["group_state"], described["protocol_data"]) == ("Stable", "range")
    (member,) = described["members"]
    assert member["member_assignment"]["assigned_partitions"] == [{"topic": topic, "partitions": [0, 1]}]
    assert admin.delete_groups([group]) == {group: "NonEmptyGroupError"}
    consumer.close()
    assert (group, "Empty") in [(each["group_id"], each["group_state"]) for each in admin.list_groups()]
    assert admin.list_group_offsets(group)[group][partition].offset == 3
    assert admin.alter_group_offsets(group, {partition: OffsetAndMetadata(1, "", -1)}) == {partition: NoError}
    assert clients.consumer(group_id=group).committed(partition) == 1
    assert admin.delete_group_offsets(group, [partition]) == {partition: NoError}
    assert list(admin.list_group_offsets(group)[group]) == [other]
    assert admin.delete_groups([group]) == {group: "OK"}
    assert group not in [each["group_id"] for each in admin.list_groups()]


def test_the_cluster_describes_itself(cluster: Cluster, admin: KafkaAdminClient) -> None:
    described = admin.describe_cluster()
    assert [broker["broker_id"] for broker in described["brokers"]] == list(cluster.broker_ids)
    assert described["controller_id"] in cluster.broker_ids
    assert "metadata.version" in str(admin.describe_features())
    topic = cluster.topic()
    assert topic in str(admin.describe_log_dirs())


def test_transactions_are_listed_and_described(
    cluster: Cluster, clients: Clients, admin: KafkaAdminClient
) -> None:
    topic, transactional_id = cluster.topic(), unique("tx")
    producer = clients.producer(transactional_id=transactional_id)
    producer.init_transactions()
    producer.begin_transaction()
    send(producer, topic, [b"0"])
    assert transactional_id in str(admin.list_transactions())
    assert "ongoing" in str(admin.describe_transactions([transactional_id])).lower()
    assert "producer_id" in str(admin.describe_producers([TopicPartition(topic, 0)]))
    producer.abort_transaction()


def test_leaders_move_with_replicas(cluster: Cluster, admin: KafkaAdminClient) -> None:
    topic = cluster.topic()
    partition = TopicPartition(topic, 0)
    replicas = [*cluster.broker_ids[1:], cluster.broker_ids[0]]
    admin.alter_partition_reassignments({partition: replicas})
    until(lambda: admin.list_partition_reassignments() == {})
    until(lambda: admin.describe_topics([topic])[0]["partitions"][0]["replica_nodes"] == replicas)
    admin.elect_leaders(PREFERRED, {topic: [0]}, raise_errors=False)
    until(lambda: cluster.leader(topic) == replicas[0])
