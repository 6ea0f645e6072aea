"""What the MSK API's operations do to brokers, seen by Kafka clients; README's table goes by `ACTS`."""

from __future__ import annotations

import json
import socket
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest

from pytest_msk import MskCluster
from pytest_msk.aws.kafka.topics import decode_configs, encode_configs
from pytest_msk.brokers.admin import Admin, ConfigValue
from pytest_msk.brokers.admin.scram import scram_users
from pytest_msk.brokers.wire import codec
from pytest_msk.brokers.wire.message import Message
from pytest_msk.mock import MockMsk
from tests.aws.kafka_api import PROVISIONED, finished
from tests.docker_engine import require_docker

Acts = Callable[[MskCluster], None]

ACTS: dict[str, Acts] = {}
"""The operations that are felt by brokers, or tell what they say, with what shows it."""

# kafka-python loses sockets of brokers that refuse it while they restart.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")


def acts(operation: str) -> Callable[[Acts], Acts]:
    def register(test: Acts) -> Acts:
        ACTS[operation] = test
        return test

    return register


@pytest.fixture(scope="module")
def updated(msk: MockMsk) -> Iterator[MskCluster]:
    """A cluster of three brokers that tests may make another of."""
    cluster = msk.cluster(brokers=3, kafka_version="3.7.1")
    yield cluster
    cluster._open.close()
    cluster.client.delete_cluster(ClusterArn=cluster.arn)


def current(cluster: MskCluster) -> dict[str, str]:
    info = cluster.client.describe_cluster(ClusterArn=cluster.arn)["ClusterInfo"]
    return {"ClusterArn": cluster.arn, "CurrentVersion": info["CurrentVersion"]}


def complete(cluster: MskCluster, answer: Any) -> None:
    operation = finished(cluster.client, answer["ClusterOperationArn"], patience=120)
    assert operation["OperationState"].endswith("_COMPLETE"), operation


def answers(address: str) -> bool:
    host, port = address.split(":")
    with socket.socket() as client:
        return client.connect_ex((host, int(port))) == 0


def brokers(cluster: MskCluster) -> list[int]:
    with cluster._asked() as admin:
        return admin.brokers()


def topic(cluster: MskCluster) -> dict[str, str]:
    return {"ClusterArn": cluster.arn, "TopicName": cluster.unique_topic(partitions=2)}


def made(cluster: MskCluster, create: Callable[..., Any], request: dict[str, Any]) -> None:
    arn = create(**request)["ClusterArn"]
    client = cluster.client

    def is_there() -> bool:
        info = client.describe_cluster(ClusterArn=arn)["ClusterInfo"]
        assert info["State"] != "FAILED", info
        return bool(info["State"] == "ACTIVE")

    cluster.wait_for(is_there, timeout=120)
    servers = client.get_bootstrap_brokers(ClusterArn=arn)["BootstrapBrokerString"].split(",")
    with Admin(",".join(servers)) as admin:
        assert admin.brokers() == [1, 2, 3]
    client.delete_cluster(ClusterArn=arn)
    cluster.wait_for(lambda: not any(map(answers, servers)), timeout=60)


@acts("CreateCluster")
def create_cluster(cluster: MskCluster) -> None:
    made(cluster, cluster.client.create_cluster, {"ClusterName": "by-v1", **PROVISIONED})


@acts("CreateClusterV2")
def create_cluster_v2(cluster: MskCluster) -> None:
    request = {"ClusterName": "by-v2", "Provisioned": dict(PROVISIONED)}
    made(cluster, cluster.client.create_cluster_v2, request)


ACTS["DeleteCluster"] = create_cluster


@acts("GetBootstrapBrokers")
def get_bootstrap_brokers(cluster: MskCluster) -> None:
    found = cluster.client.get_bootstrap_brokers(ClusterArn=cluster.arn)["BootstrapBrokerString"]
    with Admin(found) as admin:
        assert set(admin.brokers()) == {broker.id for broker in cluster.brokers}


@acts("ListNodes")
def list_nodes(cluster: MskCluster) -> None:
    nodes = cluster.client.list_nodes(ClusterArn=cluster.arn)["NodeInfoList"]
    for node in nodes:
        if "BrokerNodeInfo" in node:
            assert answers(node["BrokerNodeInfo"]["Endpoints"][0])


@acts("CreateTopic")
def create_topic(cluster: MskCluster) -> None:
    cluster.client.create_topic(
        ClusterArn=cluster.arn, TopicName="by-the-api", PartitionCount=3, ReplicationFactor=2
    )
    (found,) = [topic for topic in cluster.topics() if topic.name == "by-the-api"]
    assert [len(partition.replicas) for partition in found.partitions] == [2, 2, 2]
    cluster.client.delete_topic(ClusterArn=cluster.arn, TopicName="by-the-api")
    assert "by-the-api" not in {topic.name for topic in cluster.topics()}


ACTS["DeleteTopic"] = create_topic


@acts("DescribeTopic")
def describe_topic(cluster: MskCluster) -> None:
    asked = topic(cluster)
    with cluster._asked() as admin:
        admin.set_configs(asked["TopicName"], {"retention.ms": "1234"})
    described = cluster.client.describe_topic(**asked)
    assert described["PartitionCount"] == 2
    assert decode_configs(described["Configs"])["retention.ms"] == "1234"


@acts("DescribeTopicPartitions")
def describe_topic_partitions(cluster: MskCluster) -> None:
    asked = topic(cluster)
    partitions = cluster.client.describe_topic_partitions(**asked)["Partitions"]
    with cluster._asked() as admin:
        found = admin.topic(asked["TopicName"]).partitions
    assert [(one["Partition"], one["Leader"]) for one in partitions] == [
        (one.id, one.leader) for one in found
    ]


@acts("ListTopics")
def list_topics(cluster: MskCluster) -> None:
    asked = topic(cluster)
    listed = cluster.client.list_topics(ClusterArn=cluster.arn, TopicNameFilter=asked["TopicName"])
    assert [one["TopicName"] for one in listed["Topics"]] == [asked["TopicName"]]


@acts("UpdateTopic")
def update_topic(cluster: MskCluster) -> None:
    asked = topic(cluster)
    wanted = {"retention.ms": ConfigValue("4321", "DYNAMIC_TOPIC_CONFIG")}
    cluster.client.update_topic(**asked, Configs=encode_configs(wanted))
    cluster.client.update_topic(**asked, PartitionCount=3)
    with cluster._asked() as admin:
        assert admin.describe_configs(asked["TopicName"])["retention.ms"].value == "4321"
        assert len(admin.topic(asked["TopicName"]).partitions) == 3


@acts("UpdateBrokerCount")
def update_broker_count(cluster: MskCluster) -> None:
    client = cluster.client
    complete(cluster, client.update_broker_count(TargetNumberOfBrokerNodes=6, **current(cluster)))
    assert brokers(cluster) == [1, 2, 3, 4, 5, 6]
    with cluster._asked() as admin:
        for found in admin.topics():
            if not found.internal:
                admin.delete_topic(found.name)
    complete(cluster, client.update_broker_count(TargetNumberOfBrokerNodes=3, **current(cluster)))
    assert brokers(cluster) == [1, 2, 3]


@acts("RebootBroker")
def reboot_broker(cluster: MskCluster) -> None:
    """Who was connected to the broker is no more."""
    broker = cluster.brokers[1]
    with (
        socket.create_connection((broker.host, broker.port)) as connection,
        connection.makefile("rb") as answers,
    ):
        # The broker has taken up the connection once it answers; before, its end would be a reset.
        connection.sendall(codec.request_frame("ApiVersions", 0, 1, "tests", Message()))
        assert answers.read(int.from_bytes(answers.read(4), "big"))
        complete(cluster, cluster.client.reboot_broker(ClusterArn=cluster.arn, BrokerIds=["2"]))
        connection.settimeout(10)
        assert connection.recv(1) == b""
    assert brokers(cluster) == [1, 2, 3]


@acts("UpdateClusterConfiguration")
def update_cluster_configuration(cluster: MskCluster) -> None:
    client = cluster.client
    for revision, largest in enumerate(("2000", "3000"), start=1):
        content = f"message.max.bytes={largest}".encode()
        if revision == 1:
            arn = client.create_configuration(Name="felt", ServerProperties=content)["Arn"]
        else:
            client.update_configuration(Arn=arn, ServerProperties=content)
        chosen = {"Arn": arn, "Revision": revision}
        complete(cluster, client.update_cluster_configuration(ConfigurationInfo=chosen, **current(cluster)))
        with cluster._asked() as admin:
            assert admin.describe_broker_configs(2)["message.max.bytes"].value == largest


@acts("UpdateClusterKafkaVersion")
def update_cluster_kafka_version(cluster: MskCluster) -> None:
    if cluster.network is not None:
        require_docker("3.9.1")
    answer = cluster.client.update_cluster_kafka_version(TargetKafkaVersion="3.9.1", **current(cluster))
    complete(cluster, answer)
    with cluster._asked() as admin:
        assert admin.describe_broker_configs(3)["compression.zstd.level"].value == "3"


@acts("UpdateSecurity")
def update_security(cluster: MskCluster) -> None:
    """Plaintext is closed to clients, and open again."""
    client = cluster.client
    for transit in ("TLS", "TLS_PLAINTEXT"):
        encryption = {"EncryptionInTransit": {"ClientBroker": transit}}
        complete(cluster, client.update_security(EncryptionInfo=encryption, **current(cluster)))
        told = client.get_bootstrap_brokers(ClusterArn=cluster.arn)
        assert ("BootstrapBrokerString" in told) == (transit == "TLS_PLAINTEXT")


@acts("BatchAssociateScramSecret")
def batch_associate_scram_secret(cluster: MskCluster) -> None:
    """The secret's user is one of the brokers', and is no more."""
    region = boto3.Session().region_name or "us-east-1"
    secrets, kms = (boto3.client(name, region_name=region) for name in ("secretsmanager", "kms"))
    secret = secrets.create_secret(
        Name=f"AmazonMSK_{uuid.uuid4()}",
        KmsKeyId=kms.create_key()["KeyMetadata"]["KeyId"],
        SecretString=json.dumps({"username": "ann", "password": "secret"}),
    )["ARN"]
    client, asked = cluster.client, {"ClusterArn": cluster.arn, "SecretArnList": [secret]}
    scram = {"Sasl": {"Scram": {"Enabled": True}}, "Unauthenticated": {"Enabled": True}}
    complete(cluster, client.update_security(ClientAuthentication=scram, **current(cluster)))
    assert client.batch_associate_scram_secret(**asked)["UnprocessedScramSecrets"] == []
    with cluster._asked() as admin:
        assert scram_users(admin) == {"ann"}
        assert client.batch_disassociate_scram_secret(**asked)["UnprocessedScramSecrets"] == []
        assert scram_users(admin) == set()
    off = {"Sasl": {"Scram": {"Enabled": False}}, "Unauthenticated": {"Enabled": True}}
    complete(cluster, client.update_security(ClientAuthentication=off, **current(cluster)))


ACTS["BatchDisassociateScramSecret"] = batch_associate_scram_secret

OWN = {"UpdateBrokerCount", "RebootBroker", "UpdateClusterConfiguration", "UpdateClusterKafkaVersion",
       "UpdateSecurity", "BatchAssociateScramSecret", "BatchDisassociateScramSecret"}  # fmt: skip


@pytest.mark.parametrize("operation", sorted(ACTS.keys() - OWN))
def test_felt_by_brokers(shared_three: MskCluster, operation: str) -> None:
    ACTS[operation](shared_three)
    shared_three._open.close()


@pytest.mark.parametrize("operation", sorted(OWN))
def test_updates_felt_by_brokers(updated: MskCluster, operation: str) -> None:
    ACTS[operation](updated)
