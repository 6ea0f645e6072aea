"""Describe, list and delete, in both versions of the API, and the states a cluster goes through."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.exceptions import ParamValidationError

from pytest_msk.aws.kafka.state import MskService
from pytest_msk.errors import BrokerStartError, MskUsageError
from tests.aws.kafka_api import PROVISIONED, SERVERLESS, create, create_serverless, group, refused
from tests.aws.planes import PATIENCE, FakePlane

Active = Callable[..., str]

UNKNOWN = "arn:aws:kafka:us-east-1:123456789012:cluster/gone/0f0f0f0f-0000-4000-8000-000000000000-3"


def names(reply: dict[str, Any]) -> list[str]:
    return [cluster["ClusterName"] for cluster in reply["ClusterInfoList"]]


def test_the_arn(client: Any) -> None:
    arn = create(client, "Orders-1")
    prefix, resource = arn.rsplit(":", 1)
    kind, name, identity = resource.split("/")
    assert prefix == "arn:aws:kafka:us-east-1:123456789012"
    assert (kind, name) == ("cluster", "Orders-1")
    assert identity.count("-") == 5
    assert 1 <= int(identity.rsplit("-", 1)[1]) <= 25


def test_both_versions_of_the_api_show_the_same(client: Any, active: Active) -> None:
    arn = active(Tags={"a": "b"})
    old = client.describe_cluster(ClusterArn=arn)["ClusterInfo"]
    new = client.describe_cluster_v2(ClusterArn=arn)["ClusterInfo"]
    assert new["ClusterType"] == "PROVISIONED"
    identity = {"ClusterArn", "ClusterName", "CreationTime", "CurrentVersion", "State", "Tags"}
    assert {name: new[name] for name in identity} == {name: old[name] for name in identity}
    assert new["Provisioned"] == {name: value for name, value in old.items() if name not in identity}


def test_creation_time_is_now(client: Any) -> None:
    made = client.describe_cluster(ClusterArn=create(client))["ClusterInfo"]["CreationTime"]
    assert abs(datetime.now(UTC) - made) < timedelta(minutes=1)


def test_create_v2_provisioned(client: Any, service: MskService) -> None:
    reply = client.create_cluster_v2(ClusterName="orders", Provisioned=dict(PROVISIONED), Tags={"a": "b"})
    assert (reply["State"], reply["ClusterType"]) == ("CREATING", "PROVISIONED")
    service.wait_active(reply["ClusterArn"], PATIENCE)
    info = client.describe_cluster(ClusterArn=reply["ClusterArn"])["ClusterInfo"]
    assert info["Tags"] == {"a": "b"}
    assert info["NumberOfBrokerNodes"] == 3


class TestServerless:
    def test_create_and_describe(self, client: Any, service: MskService) -> None:
        arn = create_serverless(client)
        service.wait_active(arn, PATIENCE)
        info = client.describe_cluster_v2(ClusterArn=arn)["ClusterInfo"]
        assert info["ClusterType"] == "SERVERLESS"
        assert info["State"] == "ACTIVE"
        assert "Provisioned" not in info
        (vpc,) = info["Serverless"]["VpcConfigs"]
        assert vpc["SubnetIds"] == ["subnet-a", "subnet-b"]
        assert len(vpc["SecurityGroupIds"]) == 1
        assert info["Serverless"]["ClientAuthentication"] == {"Sasl": {"Iam": {"Enabled": True}}}

    def test_runs_brokers_of_its_own(self, client: Any, service: MskService, plane: FakePlane) -> None:
        service.wait_active(create_serverless(client), PATIENCE)
        spec = plane.made["events"].spec
        assert spec.listeners == {"iam"}
        assert (spec.brokers, spec.auto_create_topics) == (3, False)
        assert spec.configuration == {"log.retention.bytes": str(250 * 1024**3)}

    @pytest.mark.parametrize("call", ["describe_cluster", "list_nodes", "get_compatible_kafka_versions"])
    def test_what_serverless_clusters_do_not_have(self, client: Any, call: str) -> None:
        arn = create_serverless(client)
        with refused("BadRequestException") as refusal:
            getattr(client, call)(ClusterArn=arn)
        assert refusal.message == "This operation cannot be performed on serverless clusters."

    @pytest.mark.parametrize(
        ("changes", "parameter"),
        [
            ({"VpcConfigs": []}, "vpcConfigs"),
            ({"VpcConfigs": [{"SubnetIds": ["subnet-a"]}] * 6}, "vpcConfigs"),
            ({"VpcConfigs": [{"SubnetIds": []}]}, "subnetIds"),
            (
                {"VpcConfigs": [{"SubnetIds": ["subnet-a"], "SecurityGroupIds": ["sg-1"] * 6}]},
                "securityGroupIds",
            ),
            ({"ClientAuthentication": {"Sasl": {"Iam": {"Enabled": False}}}}, "enabled"),
        ],
    )
    def test_refusals(self, client: Any, changes: dict[str, Any], parameter: str) -> None:
        with refused("BadRequestException") as refusal:
            create_serverless(client, **changes)
        assert refusal.parameter == parameter

    def test_names_are_checked_too(self, client: Any) -> None:
        with refused("BadRequestException") as refusal:
            create_serverless(client, "my_events")
        assert refusal.parameter == "clusterName"


@pytest.mark.parametrize("both", [True, False])
def test_create_v2_takes_exactly_one_type(client: Any, both: bool) -> None:
    types = {"Provisioned": dict(PROVISIONED), "Serverless": dict(SERVERLESS)} if both else {}
    with refused("BadRequestException") as refusal:
        client.create_cluster_v2(ClusterName="orders", **types)
    assert refusal.message == "Exactly one of provisioned and serverless must be given."


class TestList:
    def test_the_first_version_hides_serverless_clusters(self, client: Any) -> None:
        create(client, "orders")
        create_serverless(client, "events")
        assert names(client.list_clusters()) == ["orders"]
        assert names(client.list_clusters_v2()) == ["orders", "events"]

    @pytest.mark.parametrize(("kind", "found"), [("PROVISIONED", ["orders"]), ("SERVERLESS", ["events"])])
    def test_type_filter(self, client: Any, kind: str, found: list[str]) -> None:
        create(client, "orders")
        create_serverless(client, "events")
        assert names(client.list_clusters_v2(ClusterTypeFilter=kind)) == found

    def test_an_unknown_type(self, client: Any) -> None:
        with refused("BadRequestException") as refusal:
            client.list_clusters_v2(ClusterTypeFilter="EXPRESS")
        assert refusal.parameter == "clusterTypeFilter"

    @pytest.mark.parametrize("call", ["list_clusters", "list_clusters_v2"])
    def test_the_name_filter_is_a_prefix(self, client: Any, call: str) -> None:
        for name in ("orders", "orders-2", "my-orders"):
            create(client, name)
        assert names(getattr(client, call)(ClusterNameFilter="orders")) == ["orders", "orders-2"]

    def test_items_are_whole(self, client: Any, active: Active) -> None:
        arn = active()
        (item,) = client.list_clusters()["ClusterInfoList"]
        assert item == client.describe_cluster(ClusterArn=arn)["ClusterInfo"]
        (item,) = client.list_clusters_v2()["ClusterInfoList"]
        assert item == client.describe_cluster_v2(ClusterArn=arn)["ClusterInfo"]


class TestPages:
    @pytest.fixture
    def five(self, client: Any) -> list[str]:
        return [create(client, f"c-{number}") for number in range(5)]

    @pytest.mark.usefixtures("five")
    @pytest.mark.parametrize("call", ["list_clusters", "list_clusters_v2"])
    def test_paginator(self, client: Any, call: str) -> None:
        pages = list(client.get_paginator(call).paginate(PaginationConfig={"PageSize": 2}))
        assert [names(page) for page in pages] == [["c-0", "c-1"], ["c-2", "c-3"], ["c-4"]]
        assert "NextToken" not in pages[-1]

    @pytest.mark.usefixtures("five")
    def test_a_full_last_page_has_no_token(self, client: Any) -> None:
        assert "NextToken" not in client.list_clusters(MaxResults=5)

    def test_inserts_and_deletions_between_two_pages(
        self, client: Any, service: MskService, five: list[str]
    ) -> None:
        first = client.list_clusters(MaxResults=2)
        service.delete(five[0], five[1], five[2])
        create(client, "a-new-one")
        second = client.list_clusters(MaxResults=10, NextToken=first["NextToken"])
        assert names(second) == ["c-3", "c-4", "a-new-one"]

    @pytest.mark.parametrize("token", ["nonsense", "bm9uc2Vuc2U=", "WzEsIDJd", "é", ""])
    def test_a_bad_token(self, client: Any, token: str) -> None:
        with refused("BadRequestException") as refusal:
            client.list_clusters(NextToken=token)
        assert refusal.parameter == "nextToken"
        assert "is not valid. Use the nextToken of the last ListClusters answer." in refusal.message

    @pytest.mark.usefixtures("five")
    def test_a_token_of_another_operation(self, client: Any) -> None:
        token = client.list_clusters(MaxResults=1)["NextToken"]
        with refused("BadRequestException") as refusal:
            client.list_clusters_v2(NextToken=token)
        assert refusal.parameter == "nextToken"

    @pytest.mark.parametrize("call", ["list_clusters", "list_clusters_v2", "list_kafka_versions"])
    def test_botocore_refuses_0_results_itself(self, client: Any, call: str) -> None:
        with pytest.raises(ParamValidationError, match="MaxResults, value: 0, valid min value: 1"):
            getattr(client, call)(MaxResults=0)

    def test_101_results(self, client: Any) -> None:
        with refused("BadRequestException") as refusal:
            client.list_clusters(MaxResults=101)
        assert refusal.parameter == "maxResults"
        assert refusal.message == "Invalid value of maxResults: 101 is more than the maximum of 100."


class TestArns:
    @pytest.mark.parametrize(
        "call",
        [
            "describe_cluster",
            "describe_cluster_v2",
            "delete_cluster",
            "get_bootstrap_brokers",
            "list_nodes",
            "get_cluster_policy",
            "delete_cluster_policy",
            "get_compatible_kafka_versions",
        ],
    )
    def test_an_unknown_cluster(self, client: Any, call: str) -> None:
        with refused("NotFoundException") as refusal:
            getattr(client, call)(ClusterArn=UNKNOWN)
        assert refusal.status == 404
        assert refusal.parameter == "clusterArn"
        assert refusal.message == f"The cluster {UNKNOWN} does not exist."

    @pytest.mark.parametrize(
        "arn",
        [
            "orders",
            "arn:aws:kafka:us-east-1:123456789012:cluster/orders",
            UNKNOWN.replace("cluster/", "topic/"),
        ],
    )
    def test_a_malformed_arn(self, client: Any, arn: str) -> None:
        with refused("BadRequestException") as refusal:
            client.describe_cluster(ClusterArn=arn)
        assert refusal.parameter == "clusterArn"
        assert f"{arn!r} is not valid. Its form is arn:<partition>:kafka:" in refusal.message

    def test_an_arn_of_another_region(self, client: Any, aws: boto3.Session) -> None:
        arn = create(client)
        with refused("NotFoundException") as refusal:
            aws.client("kafka", region_name="eu-west-1").describe_cluster(ClusterArn=arn)
        assert "It is an ARN of us-east-1, and this call went to eu-west-1." in refusal.message

    def test_an_arn_of_another_account(self, client: Any) -> None:
        with refused("NotFoundException") as refusal:
            client.describe_cluster(ClusterArn=UNKNOWN.replace("123456789012", "210987654321"))
        assert "It is an ARN of account 210987654321, and the caller is 123456789012." in refusal.message


class TestDelete:
    def test_deleting_then_gone(self, client: Any, service: MskService, active: Active) -> None:
        arn = active()
        reply = client.delete_cluster(ClusterArn=arn)
        assert reply["State"] == "DELETING"
        assert service.wait_deleted(arn, PATIENCE)
        with refused("NotFoundException"):
            client.describe_cluster(ClusterArn=arn)
        assert names(client.list_clusters()) == []

    def test_the_current_version(self, client: Any, active: Active) -> None:
        arn = active()
        with refused("BadRequestException") as refusal:
            client.delete_cluster(ClusterArn=arn, CurrentVersion="KOLD")
        assert refusal.parameter == "currentVersion"
        assert refusal.message == (
            "The version of the cluster isn't current. Check the current version and try again."
        )
        version = client.describe_cluster(ClusterArn=arn)["ClusterInfo"]["CurrentVersion"]
        client.delete_cluster(ClusterArn=arn, CurrentVersion=version)

    def test_a_name_is_free_again_when_the_cluster_is_gone(
        self, client: Any, service: MskService, active: Active
    ) -> None:
        arn = active()
        service.delete(arn)
        assert create(client) != arn


class TestStates:
    """With brokers that start when told."""

    def test_creating(self, client: Any, service: MskService, plane: FakePlane) -> None:
        plane.gate.clear()
        arn = create(client, KafkaVersion="3.6.0")
        info = client.describe_cluster(ClusterArn=arn)["ClusterInfo"]
        assert info["State"] == "CREATING"
        assert "ZookeeperConnectString" not in info
        plane.gate.set()
        service.wait_active(arn, PATIENCE)
        assert client.describe_cluster(ClusterArn=arn)["ClusterInfo"]["State"] == "ACTIVE"

    @pytest.mark.parametrize(
        ("error", "code", "message"),
        [
            (
                BrokerStartError("broker 1 died: out of memory"),
                "BROKER_FAILURE",
                "broker 1 died: out of memory",
            ),
            (KeyError("bug"), "BROKER_FAILURE", "KeyError: 'bug'"),
        ],
    )
    def test_brokers_that_do_not_start(
        self, *, client: Any, service: MskService, plane: FakePlane, error: Exception, code: str, message: str
    ) -> None:
        plane.start_error = error
        arn = create(client)
        with pytest.raises(BrokerStartError, match=message) as caught:
            service.wait_active(arn, PATIENCE)
        assert caught.value.__cause__ is error
        for info in (
            client.describe_cluster(ClusterArn=arn)["ClusterInfo"],
            client.describe_cluster_v2(ClusterArn=arn)["ClusterInfo"],
        ):
            assert info["State"] == "FAILED"
            assert info["StateInfo"] == {"Code": code, "Message": message}

    def test_a_version_that_the_plane_does_not_have(
        self, client: Any, service: MskService, plane: FakePlane
    ) -> None:
        plane.spec_error = MskUsageError("There is no image for Kafka 2.8.1. The nearest are 3.7.0, 3.7.1.")
        arn = create(client, KafkaVersion="2.8.1")
        with pytest.raises(BrokerStartError):
            service.wait_active(arn, PATIENCE)
        info = client.describe_cluster(ClusterArn=arn)["ClusterInfo"]
        assert info["State"] == "FAILED"
        assert info["StateInfo"] == {"Code": "INVALID_CLUSTER", "Message": str(plane.spec_error)}
        assert not plane.made["orders"].starting.is_set()

    def test_a_cluster_that_is_creating_cannot_be_deleted(self, client: Any, plane: FakePlane) -> None:
        plane.gate.clear()
        arn = create(client)
        with refused("BadRequestException") as refusal:
            client.delete_cluster(ClusterArn=arn)
        assert refusal.message == "You can't delete a cluster in CREATING state."

    def test_a_failed_cluster_can_be_deleted(
        self, client: Any, service: MskService, plane: FakePlane
    ) -> None:
        plane.start_error = BrokerStartError("no")
        arn = create(client)
        with pytest.raises(BrokerStartError):
            service.wait_active(arn, PATIENCE)
        client.delete_cluster(ClusterArn=arn)
        assert service.wait_deleted(arn, PATIENCE)
        assert plane.made["orders"].stopped == 1

    def test_the_name_is_taken_until_the_cluster_is_gone(
        self, client: Any, service: MskService, plane: FakePlane
    ) -> None:
        plane.gate.clear()
        plane.deaf = True
        arn = create(client)
        assert plane.made["orders"].starting.wait(PATIENCE)
        service.begin_delete(service.cluster(arn))
        assert client.describe_cluster(ClusterArn=arn)["ClusterInfo"]["State"] == "DELETING"
        with refused("ConflictException"):
            create(client)
        with refused("BadRequestException") as refusal:
            client.delete_cluster(ClusterArn=arn)
        assert refusal.message == "You can't delete a cluster in DELETING state."
        plane.gate.set()
        assert service.wait_deleted(arn, PATIENCE)
        create(client)


class TestIsolation:
    def test_regions(self, client: Any, aws: boto3.Session) -> None:
        elsewhere = aws.client("kafka", region_name="eu-west-1")
        create(client)
        assert names(elsewhere.list_clusters()) == []
        arn = create(elsewhere)
        assert arn.startswith("arn:aws:kafka:eu-west-1:")

    def test_china(self, client: Any, aws: boto3.Session) -> None:
        beijing = aws.client("kafka", region_name="cn-north-1")
        arn = create(beijing, **group(ClientSubnets=["subnet-a"]))
        assert arn.startswith("arn:aws-cn:kafka:cn-north-1:")
        assert beijing.list_kafka_versions()["KafkaVersions"]
        (node, *_) = beijing.list_nodes(ClusterArn=arn)["NodeInfoList"]
        assert node["BrokerNodeInfo"]["Endpoints"][0].endswith(".kafka.cn-north-1.amazonaws.com.cn")

    def test_accounts(self, client: Any, aws: boto3.Session) -> None:
        role = aws.client("sts").assume_role(
            RoleArn="arn:aws:iam::111122223333:role/tester", RoleSessionName="test"
        )["Credentials"]
        other = boto3.client(
            "kafka",
            region_name="us-east-1",
            aws_access_key_id=role["AccessKeyId"],
            aws_secret_access_key=role["SecretAccessKey"],
            aws_session_token=role["SessionToken"],
        )
        create(client)
        assert names(other.list_clusters()) == []
        assert create(other).startswith("arn:aws:kafka:us-east-1:111122223333:cluster/")
        assert len(names(client.list_clusters())) == 1


def test_polling_without_a_pause_leaves_time_to_the_brokers_threads(client: Any, plane: FakePlane) -> None:
    plane.gate.clear()
    arn = create(client, "slow")
    began = time.thread_time()
    for _ in range(10):
        assert client.describe_cluster(ClusterArn=arn)["ClusterInfo"]["State"] == "CREATING"
        assert client.list_clusters()["ClusterInfoList"][0]["State"] == "CREATING"
    waited = 20 * 0.02
    assert time.thread_time() - began < waited  # the thread slept instead
    plane.gate.set()
