"""Updates that brokers act on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pytest_msk.aws.kafka.configurations import add_revision
from pytest_msk.aws.kafka.operations import IDENTICAL
from pytest_msk.aws.kafka.rules import NOT_A_MULTIPLE
from pytest_msk.aws.kafka.state import MskService
from tests.aws.kafka_api import create_serverless, finished, group, refused
from tests.aws.planes import FakePlane

Active = Callable[..., str]

UPDATES: dict[str, dict[str, Any]] = {
    "update_broker_count": {"TargetNumberOfBrokerNodes": 6},
    "update_broker_type": {"TargetInstanceType": "kafka.m5.xlarge"},
    "update_cluster_configuration": {"ConfigurationInfo": {"Arn": "mine", "Revision": 1}},
    "update_cluster_kafka_version": {"TargetKafkaVersion": "3.9.x.kraft"},
}


def described(client: Any, arn: str) -> Any:
    return client.describe_cluster(ClusterArn=arn)["ClusterInfo"]


def update(client: Any, arn: str, update: str, **changes: Any) -> Any:
    """Update a cluster, and wait for the operation's end."""
    current = described(client, arn)["CurrentVersion"]
    answer = getattr(client, update)(ClusterArn=arn, CurrentVersion=current, **changes)
    return finished(client, answer["ClusterOperationArn"])


def configuration(service: MskService, **properties: str) -> dict[str, Any]:
    arn, revision = add_revision(service.region("123456789012", "us-east-1"), "mine", properties)
    return {"Arn": arn, "Revision": revision}


@pytest.mark.parametrize("name", UPDATES)
def test_serverless_clusters_are_not_updated(client: Any, name: str) -> None:
    arn = create_serverless(client)
    with refused("BadRequestException") as refusal:
        getattr(client, name)(ClusterArn=arn, CurrentVersion="K1", **UPDATES[name])
    assert refusal.message == "This operation cannot be performed on serverless clusters."


class TestBrokerCount:
    def test_more(self, client: Any, plane: FakePlane, active: Active) -> None:
        arn = active()
        done = update(client, arn, "update_broker_count", TargetNumberOfBrokerNodes=6)
        assert done["OperationType"] == "INCREASE_BROKER_COUNT"
        assert done["SourceClusterInfo"] == {"NumberOfBrokerNodes": 3}
        assert done["TargetClusterInfo"] == {
            "NumberOfBrokerNodes": 6,
            "BrokerCountUpdateInfo": {"CreatedBrokerIds": [4.0, 5.0, 6.0]},
        }
        assert [spec.brokers for spec in plane.made["orders"].applied] == [6]
        nodes = client.list_nodes(ClusterArn=arn)["NodeInfoList"]
        brokers = [node["BrokerNodeInfo"] for node in nodes if "BrokerNodeInfo" in node]
        assert [node["BrokerId"] for node in brokers] == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
        assert len({tuple(node["Endpoints"]) for node in brokers}) == 6

    def test_fewer(self, client: Any, plane: FakePlane, active: Active) -> None:
        arn = active(NumberOfBrokerNodes=6)
        done = update(client, arn, "update_broker_count", TargetNumberOfBrokerNodes=3)
        assert done["OperationType"] == "DECREASE_BROKER_COUNT"
        assert done["TargetClusterInfo"] == {
            "NumberOfBrokerNodes": 3,
            "BrokerCountUpdateInfo": {"DeletedBrokerIds": [4.0, 5.0, 6.0]},
        }
        assert described(client, arn)["NumberOfBrokerNodes"] == 3

    @pytest.mark.parametrize(
        ("changes", "target", "message"),
        [
            ({}, 3, IDENTICAL),
            ({}, 7, NOT_A_MULTIPLE),
            ({}, 63, "must not exceed 60 for a cluster in KRaft mode"),
            (
                {"NumberOfBrokerNodes": 9},
                3,
                "one from each Availability Zone at a time: 6 of 9 would be left",
            ),
            (
                {"NumberOfBrokerNodes": 6, "KafkaVersion": "2.7.0"},
                3,
                "Brokers can be removed since Kafka 2.8.1",
            ),
        ],
    )
    def test_refused(self, client: Any, active: Active, changes: Any, target: int, message: str) -> None:
        arn = active(**changes)
        with refused("BadRequestException") as refusal:
            update(client, arn, "update_broker_count", TargetNumberOfBrokerNodes=target)
        assert message in refusal.message
        assert refusal.parameter == "targetNumberOfBrokerNodes"
        assert client.list_cluster_operations(ClusterArn=arn)["ClusterOperationInfoList"] == []
        assert described(client, arn)["State"] == "ACTIVE"


class TestBrokerType:
    def test_another_size(self, client: Any, plane: FakePlane, active: Active) -> None:
        arn = active()
        done = update(client, arn, "update_broker_type", TargetInstanceType="kafka.m5.4xlarge")
        assert done["OperationType"] == "UPDATE_BROKER_TYPE"
        assert done["SourceClusterInfo"] == {"InstanceType": "kafka.m5.large"}
        assert done["TargetClusterInfo"] == {"InstanceType": "kafka.m5.4xlarge"}
        cluster = described(client, arn)
        assert cluster["BrokerNodeGroupInfo"]["InstanceType"] == "kafka.m5.4xlarge"
        assert cluster["NumberOfBrokerNodes"] == 3
        assert plane.made["orders"].applied == []

    @pytest.mark.parametrize(
        ("changes", "target", "message"),
        [
            ({}, "kafka.m5.large", IDENTICAL),
            ({}, "kafka.m5.huge", "Unsupported InstanceType [kafka.m5.huge]"),
            ({}, "express.m7g.large", "cannot change between Standard and Express"),
            ({"StorageMode": "TIERED"}, "kafka.t3.small", "kafka.t3.small has no tiered storage"),
        ],
    )
    def test_refused(self, client: Any, active: Active, changes: Any, target: str, message: str) -> None:
        arn = active(**changes)
        with refused("BadRequestException") as refusal:
            update(client, arn, "update_broker_type", TargetInstanceType=target)
        assert message in refusal.message
        assert refusal.parameter == "targetInstanceType"


class TestConfiguration:
    def test_another(self, client: Any, service: MskService, plane: FakePlane, active: Active) -> None:
        arn = active()
        first = configuration(service, **{"num.partitions": "2"})
        second = configuration(service, **{"num.partitions": "4"})
        done = update(client, arn, "update_cluster_configuration", ConfigurationInfo=first)
        assert done["OperationType"] == "UPDATE_CLUSTER_CONFIGURATION"
        assert done["SourceClusterInfo"] == {}
        assert done["TargetClusterInfo"] == {"ConfigurationInfo": first}
        done = update(client, arn, "update_cluster_configuration", ConfigurationInfo=second)
        assert done["SourceClusterInfo"] == {"ConfigurationInfo": first}
        software = described(client, arn)["CurrentBrokerSoftwareInfo"]
        assert software["ConfigurationArn"] == second["Arn"]
        assert software["ConfigurationRevision"] == second["Revision"] == 2
        applied = [dict(spec.configuration) for spec in plane.made["orders"].applied]
        assert applied == [{"num.partitions": "2"}, {"num.partitions": "4"}]

    def test_refused(self, client: Any, service: MskService, plane: FakePlane, active: Active) -> None:
        arn = active()
        mine = configuration(service)
        update(client, arn, "update_cluster_configuration", ConfigurationInfo=mine)
        with refused("BadRequestException") as refusal:
            update(client, arn, "update_cluster_configuration", ConfigurationInfo=mine)
        assert (refusal.message, refusal.parameter) == (IDENTICAL, "configurationInfo")
        with refused("BadRequestException") as refusal:
            update(client, arn, "update_cluster_configuration", ConfigurationInfo={**mine, "Revision": 7})
        assert "no revision 7" in refusal.message
        with refused("BadRequestException") as refusal:
            update(client, arn, "update_cluster_configuration", ConfigurationInfo={"Arn": "x", "Revision": 1})
        assert refusal.message == "Invalid Configuration ARN."


class TestKafkaVersion:
    def test_a_newer_one(self, client: Any, plane: FakePlane, active: Active) -> None:
        arn = active()
        done = update(client, arn, "update_cluster_kafka_version", TargetKafkaVersion="3.9.x.kraft")
        assert done["OperationType"] == "UPDATE_CLUSTER_KAFKA_VERSION"
        assert done["SourceClusterInfo"] == {"KafkaVersion": "3.7.x.kraft"}
        assert done["TargetClusterInfo"] == {"KafkaVersion": "3.9.x.kraft"}
        assert done["OperationSteps"] == [
            {"StepName": name, "StepInfo": {"StepStatus": "COMPLETED"}}
            for name in ("INITIALIZE_UPDATE", "UPDATE_APACHE_KAFKA_BINARIES", "FINALIZE_UPDATE")
        ]
        assert described(client, arn)["CurrentBrokerSoftwareInfo"]["KafkaVersion"] == "3.9.x.kraft"
        assert [spec.kafka_version for spec in plane.made["orders"].applied] == ["3.9.x.kraft"]

    def test_with_a_configuration(
        self, client: Any, service: MskService, plane: FakePlane, active: Active
    ) -> None:
        arn = active()
        mine = configuration(service, **{"num.partitions": "2"})
        done = update(
            client,
            arn,
            "update_cluster_kafka_version",
            TargetKafkaVersion="3.8.x.kraft",
            ConfigurationInfo=mine,
        )
        assert done["TargetClusterInfo"] == {"KafkaVersion": "3.8.x.kraft", "ConfigurationInfo": mine}
        software = described(client, arn)["CurrentBrokerSoftwareInfo"]
        assert software["ConfigurationArn"] == mine["Arn"]
        (spec,) = plane.made["orders"].applied
        assert (spec.kafka_version, dict(spec.configuration)) == ("3.8.x.kraft", {"num.partitions": "2"})

    def test_the_present_configuration_stays(
        self, client: Any, service: MskService, plane: FakePlane, active: Active
    ) -> None:
        mine = configuration(service, **{"num.partitions": "2"})
        arn = active(ConfigurationInfo=mine)
        update(client, arn, "update_cluster_kafka_version", TargetKafkaVersion="3.8.x.kraft")
        (spec,) = plane.made["orders"].applied
        assert dict(spec.configuration) == {"num.partitions": "2"}
        assert described(client, arn)["CurrentBrokerSoftwareInfo"]["ConfigurationArn"] == mine["Arn"]

    @pytest.mark.parametrize("target", ["3.7.2", "3.9.1", "3.9.x.kraft"])
    def test_from_a_number_of_kafkas_own(
        self, client: Any, plane: FakePlane, active: Active, target: str
    ) -> None:
        arn = active(KafkaVersion="3.7.1")
        done = update(client, arn, "update_cluster_kafka_version", TargetKafkaVersion=target)
        assert done["OperationState"] == "UPDATE_COMPLETE"

    @pytest.mark.parametrize(
        ("present", "target", "message"),
        [
            ("3.7.x.kraft", "3.7.x.kraft", IDENTICAL),
            ("3.7.x.kraft", "3.6.0", "cannot be updated to [3.6.0]. Compatible versions: [3.8.x.kraft, "),
            ("3.8.x", "3.9.x.kraft", "cannot be updated to [3.9.x.kraft]. Compatible versions: [3.9.x]"),
            ("3.7.2", "3.7.1", "cannot be updated to [3.7.1]"),
            ("3.7.x.kraft", "9.9.x", "Unsupported KafkaVersion [9.9.x]"),
        ],
    )
    def test_refused(self, client: Any, active: Active, present: str, target: str, message: str) -> None:
        arn = active(KafkaVersion=present)
        with refused("BadRequestException") as refusal:
            update(client, arn, "update_cluster_kafka_version", TargetKafkaVersion=target)
        assert message in refusal.message
        assert refusal.parameter == "targetKafkaVersion"


class TestReboot:
    def test_one_broker(self, client: Any, plane: FakePlane, active: Active) -> None:
        arn = active()
        before = described(client, arn)["CurrentVersion"]
        plane.apply_gate.clear()
        operation_arn = client.reboot_broker(ClusterArn=arn, BrokerIds=["2"])["ClusterOperationArn"]
        assert described(client, arn)["State"] == "REBOOTING_BROKER"
        plane.apply_gate.set()
        done = finished(client, operation_arn)
        assert (done["OperationType"], done["OperationState"]) == ("REBOOT_NODE", "REBOOT_COMPLETE")
        assert described(client, arn)["State"] == "ACTIVE"
        assert described(client, arn)["CurrentVersion"] == before
        assert plane.made["orders"].rebooted == [2]

    @pytest.mark.parametrize("broker_ids", [[], ["1", "2"], ["4"], ["0"], ["b-1"], ["-1"]])
    def test_refused(self, client: Any, plane: FakePlane, active: Active, broker_ids: list[str]) -> None:
        arn = active()
        with refused("BadRequestException") as refusal:
            client.reboot_broker(ClusterArn=arn, BrokerIds=broker_ids)
        assert refusal.parameter == "brokerIds"
        assert plane.made["orders"].rebooted == []


def test_express_brokers_keep_their_family(client: Any, plane: FakePlane, active: Active) -> None:
    arn = active(KafkaVersion="3.9.x", **group(InstanceType="express.m7g.large"))
    done = update(client, arn, "update_broker_type", TargetInstanceType="express.m7g.xlarge")
    assert done["OperationState"] == "UPDATE_COMPLETE"
    with refused("BadRequestException"):
        update(client, arn, "update_broker_type", TargetInstanceType="kafka.m5.large")
