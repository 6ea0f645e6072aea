"""Channels: their control plane."""

from __future__ import annotations

import re
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import boto3
import pytest

from pytest_msk import mock_msk
from pytest_msk.brokers.admin.asking import Asking
from pytest_msk.brokers.clock import real_monotonic
from tests.aws.kafka_api import create, create_serverless, finished, group, refused
from tests.aws.planes import PATIENCE, FakePlane

Active = Callable[..., str]
Request = dict[str, Any]

EXPRESS = {"KafkaVersion": "3.9.x", **group(InstanceType="express.m7g.large")}
ROLE = "arn:aws:iam::123456789012:role/channel"
BUCKET = "arn:aws:s3:::orders"
CATALOG = "arn:aws:glue:us-east-1:123456789012:catalog/s3tablescatalog/orders"
SCHEMA = {"GsrArn": "arn:aws:glue:us-east-1:123456789012:schema/orders/orders"}


def s3(arn: str, name: str = "archive", topic: str = "orders", **storage: Any) -> Request:
    return {
        "ClusterArn": arn,
        "ChannelName": name,
        "TopicConfigurationList": [
            {
                "TopicArn": f"{arn.replace(':cluster/', ':topic/')}/{topic}",
                "RecordConverter": {"ValueConverter": "STRING"},
            }
        ],
        "S3DestinationConfiguration": {
            "Storage": {
                "BucketArn": BUCKET,
                "StorageClass": "STANDARD",
                "CompressionType": "GZIP",
                **storage,
            },
            "ServiceExecutionRoleArn": ROLE,
            "DeadLetterQueueS3": {"BucketArn": BUCKET},
        },
    }


def iceberg(arn: str) -> Request:
    request = s3(arn, "table")
    del request["S3DestinationConfiguration"]
    request["TopicConfigurationList"][0] |= {
        "RecordConverter": {"ValueConverter": "JSON"},
        "RecordSchema": SCHEMA,
    }
    request["IcebergDestinationConfiguration"] = {
        "AppendOnly": True,
        "Catalog": {"CatalogArn": CATALOG},
        "DeadLetterQueueS3": {"BucketArn": BUCKET},
        "DestinationTableList": [
            {
                "DestinationDatabaseName": "sales",
                "DestinationTableName": "orders",
                "PartitionSpec": {"PartitionStrategy": "TIME_HOUR", "SourceList": [{"SourceName": "at"}]},
            }
        ],
        "SchemaEvolution": {"EnableSchemaEvolution": False},
        "TableCreation": {"EnableTableCreation": True},
        "ServiceExecutionRoleArn": ROLE,
    }
    return request


@pytest.fixture
def express(active: Active) -> str:
    """An Express cluster; its ARN."""
    return active(**EXPRESS)


def settled(client: Any, cluster: str, channel: str) -> Any:
    until = real_monotonic() + PATIENCE
    while True:
        found = client.describe_channel(ClusterArn=cluster, ChannelArn=channel)
        if found["Status"] in ("ACTIVE", "FAILED"):
            return found
        assert real_monotonic() < until, found


def test_to_s3(client: Any, express: str) -> None:
    request = s3(express, OutputKeyTemplate="!{topic-name}/!{yyyy}/!{partition-id}-!{kafka-offset}.gz")
    before = client.describe_cluster(ClusterArn=express)["ClusterInfo"]
    made = client.create_channel(**request, Tags={"team": "orders"})
    arn = made["ChannelArn"]
    found = settled(client, express, arn)
    assert (found["Status"], found["DestinationType"], found["ChannelName"]) == ("ACTIVE", "S3", "archive")
    assert found["S3DestinationConfiguration"] == {
        **request["S3DestinationConfiguration"],
        "DataFreshnessInSeconds": 600,
    }
    assert found["TopicConfigurationList"] == request["TopicConfigurationList"]
    assert found["Tags"] == {"team": "orders"}
    assert found["StateInfo"]["Code"] == "MOVES_NOTHING"
    operation = finished(client, made["ClusterOperationArn"])
    assert (operation["OperationType"], operation["OperationState"]) == ("CREATE_CHANNEL", "UPDATE_COMPLETE")
    assert client.describe_cluster(ClusterArn=express)["ClusterInfo"] == before

    updated = client.update_channel(
        ClusterArn=express, ChannelArn=arn, S3DestinationUpdate={"DataFreshnessInSeconds": 300}
    )
    finished(client, updated["ClusterOperationArn"])
    found = settled(client, express, arn)
    assert found["S3DestinationConfiguration"]["DataFreshnessInSeconds"] == 300
    assert "ClusterOperationArn" not in found

    deleted = client.delete_channel(ClusterArn=express, ChannelArn=arn)
    finished(client, deleted["ClusterOperationArn"])
    with refused("NotFoundException"):
        client.describe_channel(ClusterArn=express, ChannelArn=arn)
    assert client.list_channels(ClusterArn=express)["Channels"] == []


def test_to_iceberg(client: Any, express: str) -> None:
    request = iceberg(express)
    found = settled(client, express, client.create_channel(**request)["ChannelArn"])
    assert found["DestinationType"] == "ICEBERG"
    assert found["IcebergDestinationConfiguration"] == {
        **request["IcebergDestinationConfiguration"],
        "DataFreshnessInSeconds": 600,
        "CompressionType": "ZSTD",
    }
    with refused("BadRequestException") as refusal:
        client.update_channel(
            ClusterArn=express,
            ChannelArn=found["ChannelArn"],
            S3DestinationUpdate={"DataFreshnessInSeconds": 300},
        )
    assert refusal.message == "The channel table delivers to ICEBERG."


def test_lists(client: Any, express: str) -> None:
    for name, topic in (("a", "orders"), ("b", "orders-eu"), ("c", "carts")):
        client.create_channel(**s3(express, name, topic))
    listed = client.list_channels(ClusterArn=express, TopicNameFilter="orders")["Channels"]
    assert [channel["ChannelName"] for channel in listed] == ["a", "b"]
    first = client.list_channels(ClusterArn=express, MaxResults=2)
    second = client.list_channels(ClusterArn=express, NextToken=first["NextToken"])
    assert [len(page["Channels"]) for page in (first, second)] == [2, 1]
    with refused("ConflictException"):
        client.create_channel(**s3(express, "a"))


@pytest.mark.parametrize(
    ("change", "parameter", "message"),
    [
        (lambda r: r.pop("S3DestinationConfiguration"), "s3DestinationConfiguration", "Exactly one of"),
        (
            lambda r: r.update(TopicConfigurationList=r["TopicConfigurationList"] * 2),
            "topicConfigurationList",
            "exactly one topic",
        ),
        (
            lambda r: r["TopicConfigurationList"][0].update(
                TopicArn="arn:aws:kafka:us-east-1:123456789012:topic/other/0-1/orders"
            ),
            "topicArn",
            "is not a topic of the cluster",
        ),
        (
            lambda r: r["S3DestinationConfiguration"].update(DataFreshnessInSeconds=299),
            "dataFreshnessInSeconds",
            "from 300 to 900, not 299",
        ),
    ],
)
def test_refused(
    client: Any, express: str, change: Callable[[Any], None], parameter: str, message: str
) -> None:
    request = s3(express)
    change(request)
    with refused("BadRequestException") as refusal:
        client.create_channel(**request)
    assert message in refusal.message
    assert refusal.parameter == parameter


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("!{sequence-number}-!{kafka-offset}-!{partition-id}", "exactly one of"),
        ("!{yyyy}", "exactly one of"),
        ("!{sequence-number}/!{yyyy}", "in its last segment"),
        ("!{kafka-offset}", "needs !{partition-id}"),
        ("!{sequence-number}/", "in its last segment"),
        ("a b!{sequence-number}", "other characters"),
        ("a../!{sequence-number}", "neither .. nor ./"),
        ("!{year}/!{sequence-number}", "there is no variable 'year'"),
        ("a" * 1020 + "!{sequence-number}", "more than 1024"),
    ],
)
def test_templates(client: Any, express: str, template: str, message: str) -> None:
    with refused("BadRequestException") as refusal:
        client.create_channel(**s3(express, OutputKeyTemplate=template))
    assert message in refusal.message
    assert refusal.parameter == "outputKeyTemplate"


@pytest.mark.parametrize(
    ("change", "parameter"),
    [
        (lambda r, _: r.update(AppendOnly=False), "appendOnly"),
        (lambda r, _: r["SchemaEvolution"].update(EnableSchemaEvolution=True), "enableSchemaEvolution"),
        (lambda r, _: r["TableCreation"].update(EnableTableCreation=False), "enableTableCreation"),
        (lambda r, _: r.update(DestinationTableList=[]), "destinationTableList"),
        (lambda r, _: r["DestinationTableList"][0]["PartitionSpec"].pop("SourceList"), "sourceList"),
        (lambda r, _: r["Catalog"].update(CatalogArn="mine"), "catalogArn"),
        (lambda _, t: t.update(RecordConverter={"ValueConverter": "STRING"}), "valueConverter"),
        (lambda _, t: t.pop("RecordSchema"), "recordSchema"),
        (lambda _, t: t.update(RecordConverter={"ValueConverter": "JSON_SCHEMA_GSR"}), "recordSchema"),
    ],
)
def test_tables(client: Any, express: str, change: Callable[[Any, Any], None], parameter: str) -> None:
    request = deepcopy(iceberg(express))
    change(request["IcebergDestinationConfiguration"], request["TopicConfigurationList"][0])
    with refused("BadRequestException") as refusal:
        client.create_channel(**request)
    assert refusal.parameter == parameter


def test_clusters_that_have_none(client: Any, active: Active) -> None:
    standard = active()
    with refused("BadRequestException") as refusal:
        client.create_channel(**s3(standard))
    assert refusal.message == "Channels are for clusters with Express brokers."
    serverless = create_serverless(client)
    with refused("BadRequestException") as refusal:
        client.create_channel(**s3(serverless))
    assert refusal.message == "This operation cannot be performed on serverless clusters."


def test_a_bucket_that_there_is_not(client: Any, aws: boto3.Session, express: str) -> None:
    storage = aws.client("s3")
    storage.create_bucket(Bucket="other")
    made = client.create_channel(**s3(express))
    found = settled(client, express, made["ChannelArn"])
    assert found["Status"] == "FAILED"
    assert found["StateInfo"]["Message"] == "The bucket orders does not exist."
    assert finished(client, made["ClusterOperationArn"])["OperationState"] == "UPDATE_FAILED"
    storage.create_bucket(Bucket="orders")
    made = client.create_channel(**s3(express, "again"))
    assert settled(client, express, made["ChannelArn"])["Status"] == "ACTIVE"
    client.delete_channel(ClusterArn=express, ChannelArn=found["ChannelArn"])


@pytest.mark.parametrize("name", ["", "a/b", "x" * 129, "ü", "-a"])
def test_names(client: Any, express: str, name: str) -> None:
    with refused("BadRequestException") as refusal:
        client.create_channel(**s3(express, name))
    assert refusal.parameter == "channelName"
    assert client.list_channels(ClusterArn=express)["Channels"] == []


@pytest.mark.parametrize(
    ("old", "new"),
    [("/orders$", ""), ("us-east-1", "eu-west-1"), ("123456789012", "999999999999"), ("/orders/", "/other/")],
    ids=["no topic", "region", "account", "cluster"],
)
def test_topics_of_elsewhere(client: Any, express: str, old: str, new: str) -> None:
    request = s3(express)
    (topic,) = request["TopicConfigurationList"]
    topic["TopicArn"] = re.sub(old, new, topic["TopicArn"], count=1)
    with refused("BadRequestException") as refusal:
        client.create_channel(**request)
    assert refusal.parameter == "topicArn"


def test_logs_that_there_are_not(client: Any, aws: boto3.Session, express: str) -> None:
    aws.client("logs").create_log_group(logGroupName="there")
    for group_, parameter in (("nowhere", "logGroup"), (None, "logGroup"), ("there", None)):
        to = {"Enabled": True} | ({"LogGroup": group_} if group_ else {})
        request = {**s3(express), "LoggingInfo": {"CloudWatchLogs": to}}
        if parameter is None:
            assert client.create_channel(**request)["ChannelArn"]
            continue
        with refused("BadRequestException") as refusal:
            client.create_channel(**request)
        assert refusal.parameter == parameter


def test_brokers_that_do_not_answer(
    client: Any, plane: FakePlane, active: Active, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Asking.__init__, "__kwdefaults__", {"timeout": 0.1})
    with refused("BadRequestException") as refusal:
        client.create_channel(**s3(active(**EXPRESS)))
    assert refusal.parameter == "topicArn"


def test_topics_of_live_brokers() -> None:
    with mock_msk("embedded") as msk:
        client = msk.cluster().client
        arn = create(client, **EXPRESS)
        while client.describe_cluster(ClusterArn=arn)["ClusterInfo"]["State"] == "CREATING":
            pass
        with refused("BadRequestException") as refusal:
            client.create_channel(**s3(arn))
        assert refusal.message == "The topic orders does not exist."
        client.create_topic(ClusterArn=arn, TopicName="orders", PartitionCount=1, ReplicationFactor=3)
        made = client.create_channel(**s3(arn))
        settled(client, arn, made["ChannelArn"])
        with refused("BadRequestException") as refusal:
            client.delete_topic(ClusterArn=arn, TopicName="orders")
        assert "associated Channel" in refusal.message
        deleted = client.delete_channel(ClusterArn=arn, ChannelArn=made["ChannelArn"])
        finished(client, deleted["ClusterOperationArn"])
        client.delete_topic(ClusterArn=arn, TopicName="orders")
