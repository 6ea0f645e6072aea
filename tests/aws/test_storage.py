"""Updates of storage: volumes, throughput, storage mode."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from pytest_msk.aws.kafka.operations import IDENTICAL
from pytest_msk.aws.kafka.state import MskService
from pytest_msk.aws.kafka.storage import NO_EBS_UPDATES, TOO_SMALL_A_STEP
from tests.aws.kafka_api import create_serverless, finished, group, refused
from tests.aws.planes import FakePlane

Active = Callable[..., str]

EXPRESS = {"KafkaVersion": "3.9.x", **group(InstanceType="express.m7g.large")}
BIG = "kafka.m5.4xlarge"
ON = {"Enabled": True, "VolumeThroughput": 300}
OFF = {"Enabled": False}


def described(client: Any, arn: str) -> Any:
    return client.describe_cluster(ClusterArn=arn)["ClusterInfo"]


def volume(client: Any, arn: str) -> Any:
    return described(client, arn)["BrokerNodeGroupInfo"]["StorageInfo"]["EbsStorageInfo"]


def storage(size: int, **throughput: Any) -> dict[str, Any]:
    """A broker node group with a volume of a size, and of provisioned throughput if that is given."""
    provisioned = {"ProvisionedThroughput": throughput} if throughput else {}
    kind = {"InstanceType": BIG} if throughput else {}
    return group(StorageInfo={"EbsStorageInfo": {"VolumeSize": size, **provisioned}}, **kind)


def ask(client: Any, arn: str, name: str, **changes: Any) -> str:
    current = described(client, arn)["CurrentVersion"]
    if name == "update_broker_storage":
        changes = {"TargetBrokerEBSVolumeInfo": [{"KafkaBrokerNodeId": "All", **changes}]}
    answer = getattr(client, name)(ClusterArn=arn, CurrentVersion=current, **changes)
    assert answer["ClusterArn"] == arn
    operation: str = answer["ClusterOperationArn"]
    return operation


def update(client: Any, arn: str, name: str, **changes: Any) -> Any:
    return finished(client, ask(client, arn, name, **changes))


def info(size: int, **throughput: Any) -> dict[str, Any]:
    """Source or target of an operation."""
    provisioned = {"ProvisionedThroughput": throughput} if throughput else {}
    return {"BrokerEBSVolumeInfo": [{"KafkaBrokerNodeId": "ALL", "VolumeSizeGB": size, **provisioned}]}


BOTH = pytest.mark.parametrize(
    ("name", "type_"),
    [("update_broker_storage", "UPDATE_BROKER_STORAGE"), ("update_storage", "UPDATE_STORAGE")],
)


class TestVolumes:
    @BOTH
    def test_larger(self, client: Any, plane: FakePlane, active: Active, name: str, type_: str) -> None:
        arn = active(**storage(11))
        before = described(client, arn)
        done = update(client, arn, name, VolumeSizeGB=112)
        assert (done["OperationType"], done["OperationState"]) == (type_, "UPDATE_COMPLETE")
        assert (done["SourceClusterInfo"], done["TargetClusterInfo"]) == (info(11), info(112))
        after = described(client, arn)
        assert volume(client, arn) == {"VolumeSize": 112}
        assert after["CurrentVersion"] != before["CurrentVersion"]
        v2 = client.describe_cluster_v2(ClusterArn=arn)["ClusterInfo"]["Provisioned"]
        assert v2["BrokerNodeGroupInfo"] == after["BrokerNodeGroupInfo"]

    @BOTH
    def test_brokers_feel_nothing(
        self, client: Any, plane: FakePlane, active: Active, name: str, type_: str
    ) -> None:
        update(client, active(), name, VolumeSizeGB=2000)
        assert plane.made["orders"].applied == []

    @pytest.mark.parametrize("broker", ["ALL", "All", "all"])
    def test_the_word_for_all_brokers(self, client: Any, active: Active, broker: str) -> None:
        arn = active()
        update(client, arn, "update_broker_storage", KafkaBrokerNodeId=broker, VolumeSizeGB=2000)
        assert volume(client, arn) == {"VolumeSize": 2000}

    @pytest.mark.parametrize("brokers", [[], ["1"], ["ALL", "ALL"]])
    def test_some_brokers(self, client: Any, active: Active, brokers: list[str]) -> None:
        arn = active()
        with refused("BadRequestException") as refusal:
            client.update_broker_storage(
                ClusterArn=arn,
                CurrentVersion=described(client, arn)["CurrentVersion"],
                TargetBrokerEBSVolumeInfo=[
                    {"KafkaBrokerNodeId": broker, "VolumeSizeGB": 2000} for broker in brokers
                ],
            )
        assert refusal.parameter == "kafkaBrokerNodeId"
        assert "all brokers" in refusal.message

    @BOTH
    @pytest.mark.parametrize(
        ("size", "message", "parameter"),
        [
            (100, NO_EBS_UPDATES, None),
            (
                99,
                "A volume cannot be made smaller: it has 100 GiB, and 99 GiB were asked for.",
                "volumeSizeGB",
            ),
            (133, TOO_SMALL_A_STEP, "volumeSizeGB"),
            (16385, "A volume has at most 16384 GiB.", "volumeSizeGB"),
        ],
    )
    def test_refused_sizes(
        self,
        *,
        client: Any,
        active: Active,
        name: str,
        type_: str,
        size: int,
        message: str,
        parameter: str | None,
    ) -> None:
        arn = active(**storage(100))
        with refused("BadRequestException") as refusal:
            update(client, arn, name, VolumeSizeGB=size)
        assert (refusal.message, refusal.parameter) == (message, parameter)
        assert volume(client, arn) == {"VolumeSize": 100}
        assert client.list_cluster_operations(ClusterArn=arn)["ClusterOperationInfoList"] == []

    def test_the_step_counts_for_all_brokers_together(self, client: Any, active: Active) -> None:
        arn = active(**storage(100))
        update(client, arn, "update_broker_storage", VolumeSizeGB=134)
        assert volume(client, arn) == {"VolumeSize": 134}


class TestThroughput:
    @BOTH
    def test_on_and_off(self, client: Any, active: Active, name: str, type_: str) -> None:
        arn = active(**group(InstanceType=BIG))
        done = update(client, arn, name, ProvisionedThroughput=ON)
        assert (done["OperationType"], done["TargetClusterInfo"]) == (type_, info(1000, **ON))
        assert done["SourceClusterInfo"] == info(1000)
        assert volume(client, arn) == {"VolumeSize": 1000, "ProvisionedThroughput": ON}
        update(client, arn, name, ProvisionedThroughput=OFF)
        assert volume(client, arn) == {"VolumeSize": 1000, "ProvisionedThroughput": OFF}

    def test_together_with_the_size(self, client: Any, active: Active) -> None:
        arn = active(**storage(100, **ON))
        more = {"Enabled": True, "VolumeThroughput": 400}
        done = update(client, arn, "update_broker_storage", VolumeSizeGB=200, ProvisionedThroughput=more)
        assert done["SourceClusterInfo"] == info(100, **ON)
        assert volume(client, arn) == {"VolumeSize": 200, "ProvisionedThroughput": more}

    def test_stays_when_the_size_changes(self, client: Any, active: Active) -> None:
        arn = active(**storage(100, **ON))
        update(client, arn, "update_storage", VolumeSizeGB=200)
        assert volume(client, arn) == {"VolumeSize": 200, "ProvisionedThroughput": ON}

    @pytest.mark.parametrize(
        ("cluster", "throughput", "message", "parameter"),
        [
            ({}, OFF, NO_EBS_UPDATES, None),
            (storage(100, **ON), ON, NO_EBS_UPDATES, None),
            ({}, ON, "not available for brokers of type kafka.m5.large", "instanceType"),
            (
                group(InstanceType=BIG),
                {"Enabled": True, "VolumeThroughput": 249},
                "at least 250 MiB",
                "volumeThroughput",
            ),
        ],
    )
    def test_refused(
        self,
        *,
        client: Any,
        active: Active,
        cluster: Any,
        throughput: Any,
        message: str,
        parameter: str | None,
    ) -> None:
        arn = active(**cluster)
        with refused("BadRequestException") as refusal:
            update(client, arn, "update_broker_storage", ProvisionedThroughput=throughput)
        assert message in refusal.message
        assert refusal.parameter == parameter


class TestMode:
    def test_tiered_and_back(self, client: Any, plane: FakePlane, active: Active) -> None:
        arn = active()
        done = update(client, arn, "update_storage", StorageMode="TIERED")
        assert done["OperationType"] == "UPDATE_STORAGE"
        assert done["SourceClusterInfo"] == {"StorageMode": "LOCAL"}
        assert done["TargetClusterInfo"] == {"StorageMode": "TIERED"}
        assert described(client, arn)["StorageMode"] == "TIERED"
        update(client, arn, "update_storage", StorageMode="LOCAL")
        assert described(client, arn)["StorageMode"] == "LOCAL"
        assert plane.made["orders"].applied == []

    @pytest.mark.parametrize(
        ("cluster", "request_", "message"),
        [
            ({}, {"StorageMode": "LOCAL"}, IDENTICAL),
            ({"KafkaVersion": "3.5.1"}, {"StorageMode": "TIERED"}, "not available for kafka.m5.large"),
            (group(InstanceType="kafka.t3.small"), {"StorageMode": "TIERED"}, "not available for kafka.t3"),
            ({}, {"StorageMode": "TIERED", "VolumeSizeGB": 2000}, "in a request of its own"),
            ({}, {}, "One of storageMode, provisionedThroughput and volumeSizeGB must be given."),
        ],
    )
    def test_refused(self, client: Any, active: Active, cluster: Any, request_: Any, message: str) -> None:
        arn = active(**cluster)
        with refused("BadRequestException") as refusal:
            update(client, arn, "update_storage", **request_)
        assert message in refusal.message
        assert refusal.parameter == "storageMode"

    def test_unknown(self, client: Any, active: Active) -> None:
        with refused("BadRequestException") as refusal:
            update(client, active(), "update_storage", StorageMode="COLD")
        assert refusal.parameter == "storageMode"


@BOTH
def test_express_brokers_have_no_storage(client: Any, active: Active, name: str, type_: str) -> None:
    arn = active(**EXPRESS)
    with refused("BadRequestException") as refusal:
        update(client, arn, name, VolumeSizeGB=2000)
    assert refusal.message == "Express brokers have no storage settings."


@BOTH
def test_serverless_clusters_have_no_storage(client: Any, name: str, type_: str) -> None:
    arn = create_serverless(client)
    request: dict[str, Any] = {"TargetBrokerEBSVolumeInfo": []} if name == "update_broker_storage" else {}
    with refused("BadRequestException") as refusal:
        getattr(client, name)(ClusterArn=arn, CurrentVersion="K1", **request)
    assert refusal.message == "This operation cannot be performed on serverless clusters."


def test_twice_in_a_row(client: Any, active: Active) -> None:
    arn = active(**storage(100))
    update(client, arn, "update_broker_storage", VolumeSizeGB=200)
    update(client, arn, "update_storage", VolumeSizeGB=300)
    assert volume(client, arn) == {"VolumeSize": 300}


class TestStrict:
    @pytest.fixture
    def strict(self) -> bool:
        return True

    def test_volumes_rest_for_six_hours(self, client: Any, service: MskService, active: Active) -> None:
        arn = active(**storage(100))
        update(client, arn, "update_broker_storage", VolumeSizeGB=200)
        with refused("BadRequestException") as refusal:
            update(client, arn, "update_storage", VolumeSizeGB=300)
        assert "being optimized" in refusal.message
        update(client, arn, "update_storage", StorageMode="TIERED")
        (first, _) = service.cluster(arn).operations
        assert first.end_time
        first.end_time -= timedelta(hours=6)
        update(client, arn, "update_storage", VolumeSizeGB=300)
        assert volume(client, arn) == {"VolumeSize": 300}
