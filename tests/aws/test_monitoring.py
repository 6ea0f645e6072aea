"""Updates of monitoring, logging and rebalancing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import boto3
import pytest

from pytest_msk.aws.kafka.operations import IDENTICAL
from tests.aws.kafka_api import create_serverless, finished, group, refused
from tests.aws.planes import FakePlane

Active = Callable[..., str]

EXPRESS = {"KafkaVersion": "3.9.x", **group(InstanceType="express.m7g.large")}
OFF = {"Enabled": False}
LOGS = {"Enabled": True, "LogGroup": "msk"}
STREAM = {"Enabled": True, "DeliveryStream": "msk"}
BUCKET = {"Enabled": True, "Bucket": "msk-logs", "Prefix": "orders/"}


def described(client: Any, arn: str) -> Any:
    return client.describe_cluster(ClusterArn=arn)["ClusterInfo"]


def update(client: Any, arn: str, name: str = "update_monitoring", **changes: Any) -> Any:
    current = described(client, arn)["CurrentVersion"]
    answer = getattr(client, name)(ClusterArn=arn, CurrentVersion=current, **changes)
    return finished(client, answer["ClusterOperationArn"])


def exporters(**on: bool) -> dict[str, Any]:
    return {"Prometheus": {name: {"EnabledInBroker": is_on} for name, is_on in on.items()}}


class TestMonitoring:
    @pytest.mark.parametrize(
        "level", ["PER_BROKER", "PER_TOPIC_PER_BROKER", "PER_TOPIC_PER_PARTITION", "DEFAULT"]
    )
    def test_each_level(self, client: Any, plane: FakePlane, active: Active, level: str) -> None:
        arn = active()
        done = update(client, arn, EnhancedMonitoring=level)
        assert (done["OperationType"], done["OperationState"]) == ("UPDATE_MONITORING", "UPDATE_COMPLETE")
        assert done["SourceClusterInfo"] == {"EnhancedMonitoring": "DEFAULT"}
        assert done["TargetClusterInfo"] == {"EnhancedMonitoring": level}
        assert described(client, arn)["EnhancedMonitoring"] == level
        assert plane.made["orders"].applied == []

    def test_open_monitoring(self, client: Any, active: Active) -> None:
        arn = active()
        done = update(client, arn, OpenMonitoring=exporters(JmxExporter=True))
        assert done["SourceClusterInfo"] == {}
        assert done["TargetClusterInfo"] == {
            "OpenMonitoring": exporters(JmxExporter=True, NodeExporter=False)
        }
        update(client, arn, OpenMonitoring=exporters(NodeExporter=True))
        assert described(client, arn)["OpenMonitoring"] == exporters(JmxExporter=True, NodeExporter=True)

    def test_what_is_left_out_stays(self, client: Any, active: Active) -> None:
        arn = active(
            EnhancedMonitoring="PER_BROKER",
            OpenMonitoring=exporters(JmxExporter=True),
            LoggingInfo={"BrokerLogs": {"CloudWatchLogs": LOGS}},
        )
        before = described(client, arn)
        update(client, arn, LoggingInfo={"BrokerLogs": {"S3": BUCKET}})
        after = described(client, arn)
        assert after["LoggingInfo"] == {"BrokerLogs": {"CloudWatchLogs": LOGS, "Firehose": OFF, "S3": BUCKET}}
        for name in ("EnhancedMonitoring", "OpenMonitoring"):
            assert after[name] == before[name]
        update(client, arn, EnhancedMonitoring="DEFAULT")
        assert described(client, arn)["LoggingInfo"] == after["LoggingInfo"]

    def test_logging_is_described_with_all_destinations(self, client: Any, active: Active) -> None:
        arn = active()
        info = {"BrokerLogs": {"Firehose": STREAM}, "AuthorizerLogs": {"S3": BUCKET}}
        done = update(client, arn, LoggingInfo=info)
        full = {
            "BrokerLogs": {"CloudWatchLogs": OFF, "Firehose": STREAM, "S3": OFF},
            "AuthorizerLogs": {"CloudWatchLogs": OFF, "Firehose": OFF, "S3": BUCKET},
        }
        assert done["TargetClusterInfo"] == {"LoggingInfo": full}
        assert described(client, arn)["LoggingInfo"] == full

    def test_a_destination_is_turned_off_as_a_whole(self, client: Any, active: Active) -> None:
        arn = active(LoggingInfo={"BrokerLogs": {"CloudWatchLogs": LOGS}})
        update(client, arn, LoggingInfo={"BrokerLogs": {"CloudWatchLogs": OFF}})
        assert described(client, arn)["LoggingInfo"]["BrokerLogs"]["CloudWatchLogs"] == OFF

    def test_the_same_again(self, client: Any, active: Active) -> None:
        done = update(client, active(), EnhancedMonitoring="DEFAULT")
        assert done["OperationState"] == "UPDATE_COMPLETE"

    def test_nothing_given(self, client: Any, active: Active) -> None:
        with refused("BadRequestException") as refusal:
            update(client, active())
        assert refusal.message == (
            "At least one of enhancedMonitoring, openMonitoring and loggingInfo must be given."
        )

    def test_serverless_clusters(self, client: Any) -> None:
        with refused("BadRequestException") as refusal:
            client.update_monitoring(ClusterArn=create_serverless(client), CurrentVersion="K1")
        assert refusal.message == "This operation cannot be performed on serverless clusters."


class TestDestinations:
    @pytest.mark.parametrize("kind", ["BrokerLogs", "AuthorizerLogs"])
    @pytest.mark.parametrize(
        ("destination", "parameter", "what"),
        [
            ("CloudWatchLogs", "logGroup", "CloudWatch log group"),
            ("Firehose", "deliveryStream", "delivery stream"),
            ("S3", "bucket", "bucket"),
        ],
    )
    def test_without_a_name(
        self, *, client: Any, active: Active, kind: str, destination: str, parameter: str, what: str
    ) -> None:
        info: dict[str, Any] = {"BrokerLogs": {}}
        info[kind] = {destination: {"Enabled": True}}
        with refused("BadRequestException") as refusal:
            update(client, active(), LoggingInfo=info)
        assert refusal.parameter == parameter
        assert refusal.message.endswith(f"you must specify a {what}.")

    def test_the_text_that_is_known(self, client: Any, active: Active) -> None:
        with refused("BadRequestException") as refusal:
            update(client, active(), LoggingInfo={"BrokerLogs": {"CloudWatchLogs": {"Enabled": True}}})
        assert refusal.message == (
            "To use CloudWatch Logs as a destination for broker logs, you must specify a CloudWatch log "
            "group."
        )

    def test_a_log_group(self, client: Any, aws: boto3.Session, active: Active) -> None:
        self.check(client, active(), "CloudWatchLogs", LOGS, self.make_group(aws))

    def make_group(self, aws: boto3.Session) -> Callable[[str], None]:
        logs = aws.client("logs")
        return lambda name: logs.create_log_group(logGroupName=name)

    def test_a_delivery_stream(self, client: Any, aws: boto3.Session, active: Active) -> None:
        firehose = aws.client("firehose")
        target = {"RoleARN": "arn:aws:iam::123456789012:role/r", "BucketARN": "arn:aws:s3:::any"}

        def make(name: str) -> None:
            firehose.create_delivery_stream(
                DeliveryStreamName=name, ExtendedS3DestinationConfiguration=target
            )

        self.check(client, active(), "Firehose", STREAM, make)

    def test_a_bucket(self, client: Any, aws: boto3.Session, active: Active) -> None:
        s3 = aws.client("s3")
        self.check(client, active(), "S3", BUCKET, lambda name: s3.create_bucket(Bucket=name))

    def check(
        self,
        client: Any,
        arn: str,
        destination: str,
        setting: dict[str, Any],
        make: Callable[[str], None],
    ) -> None:
        """A destination's name is taken on trust until its service is used, and looked up from then on."""
        name = {"CloudWatchLogs": "LogGroup", "Firehose": "DeliveryStream", "S3": "Bucket"}[destination]
        parameter = name[0].lower() + name[1:]
        info = {"BrokerLogs": {destination: setting}}
        assert update(client, arn, LoggingInfo=info)["OperationState"] == "UPDATE_COMPLETE"
        make("another")
        with refused("BadRequestException") as refusal:
            update(client, arn, LoggingInfo=info)
        assert refusal.parameter == parameter
        assert refusal.message == (
            f"The {parameter} {setting[name]!r}, a destination of logs, does not exist."
        )
        make(setting[name])
        assert update(client, arn, LoggingInfo=info)["OperationState"] == "UPDATE_COMPLETE"

    def test_what_is_off_is_not_looked_up(self, client: Any, aws: boto3.Session, active: Active) -> None:
        self.make_group(aws)("another")
        info = {"BrokerLogs": {"CloudWatchLogs": {"Enabled": False, "LogGroup": "gone"}}}
        assert update(client, active(), LoggingInfo=info)["OperationState"] == "UPDATE_COMPLETE"


class TestRebalancing:
    def test_paused_and_resumed(self, client: Any, plane: FakePlane, active: Active) -> None:
        arn = active(**EXPRESS)
        done = update(client, arn, "update_rebalancing", Rebalancing={"Status": "PAUSED"})
        assert (done["OperationType"], done["OperationState"]) == ("UPDATE_REBALANCING", "UPDATE_COMPLETE")
        assert done["SourceClusterInfo"] == {"Rebalancing": {"Status": "ACTIVE"}}
        assert done["TargetClusterInfo"] == {"Rebalancing": {"Status": "PAUSED"}}
        assert described(client, arn)["Rebalancing"] == {"Status": "PAUSED"}
        update(client, arn, "update_rebalancing", Rebalancing={"Status": "ACTIVE"})
        assert described(client, arn)["Rebalancing"] == {"Status": "ACTIVE"}
        assert plane.made["orders"].applied == []

    @pytest.mark.parametrize(
        ("cluster", "rebalancing", "parameter", "message"),
        [
            (EXPRESS, {"Status": "ACTIVE"}, "rebalancing", IDENTICAL),
            (EXPRESS, {}, "status", "The status of rebalancing must be given: ACTIVE or PAUSED."),
            (
                {},
                {"Status": "PAUSED"},
                "rebalancing",
                "Intelligent rebalancing is available with Express brokers only.",
            ),
        ],
    )
    def test_refused(
        self, *, client: Any, active: Active, cluster: Any, rebalancing: Any, parameter: str, message: str
    ) -> None:
        arn = active(**cluster)
        with refused("BadRequestException") as refusal:
            update(client, arn, "update_rebalancing", Rebalancing=rebalancing)
        assert (refusal.message, refusal.parameter) == (message, parameter)
