"""Managed VPC connections, as their owner and as the cluster's owner see them."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from pytest_msk.aws.kafka.state import MskService
from pytest_msk.aws.kafka.vpc_connections import Scheme, deactivate, private_schemes
from pytest_msk.brokers.clock import real_monotonic
from tests.aws.kafka_api import check_answers, create_serverless, finished, held_back, refused
from tests.aws.planes import PATIENCE, FakePlane

Make = Callable[..., str]

OWNER = "123456789012"
STRANGER = "111122223333"
AUTHENTICATION = {
    "Sasl": {"Scram": {"Enabled": True}, "Iam": {"Enabled": True}},
    "Tls": {
        "Enabled": True,
        "CertificateAuthorityArnList": [
            f"arn:aws:acm-pca:us-east-1:{OWNER}:certificate-authority/0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f"
        ],
    },
}


def private(service: MskService, arn: str, *schemes: Scheme) -> None:
    """Have private connectivity for these schemes, and for no others."""
    group = service.cluster(arn).settings["BrokerNodeGroupInfo"]
    group["ConnectivityInfo"]["VpcConnectivity"] = {
        "ClientAuthentication": {
            "Sasl": {
                "Scram": {"Enabled": "SASL_SCRAM" in schemes},
                "Iam": {"Enabled": "SASL_IAM" in schemes},
            },
            "Tls": {"Enabled": "TLS" in schemes},
        }
    }


@pytest.fixture
def open_cluster(service: MskService, active: Make) -> Make:
    """Create a cluster with private connectivity for every scheme; its ARN."""

    def make(name: str = "orders", **changes: Any) -> str:
        arn = active(name, ClientAuthentication=AUTHENTICATION, **changes)
        private(service, arn, "SASL_IAM", "SASL_SCRAM", "TLS")
        return arn

    return make


@pytest.fixture
def stranger(client: Any, aws: boto3.Session) -> Any:
    """A client of another account."""
    kafka = aws.client("kafka")
    check_answers(kafka)

    def from_the_account(request: Any, **_: Any) -> None:
        request.headers["x-moto-account-id"] = STRANGER

    kafka.meta.events.register("before-sign", from_the_account)
    return kafka


def connect(client: Any, cluster_arn: str, **changes: Any) -> Any:
    request = {
        "TargetClusterArn": cluster_arn,
        "Authentication": "SASL_IAM",
        "VpcId": "vpc-1",
        "ClientSubnets": ["subnet-1", "subnet-2", "subnet-3"],
        "SecurityGroups": ["sg-1"],
        **changes,
    }
    return client.create_vpc_connection(**request)


def settled(client: Any, arn: str) -> Any:
    """A connection, once it is on its way to no other state."""
    until = real_monotonic() + PATIENCE
    while True:
        found = client.describe_vpc_connection(Arn=arn)
        if not found["State"].endswith("ING"):
            return found
        assert real_monotonic() < until, found


def available(client: Any, cluster_arn: str, **changes: Any) -> str:
    """The ARN of a new connection that is AVAILABLE."""
    arn: str = connect(client, cluster_arn, **changes)["VpcConnectionArn"]
    assert settled(client, arn)["State"] == "AVAILABLE"
    return arn


def wait_unknown(client: Any, arn: str) -> None:
    until = real_monotonic() + PATIENCE
    while True:
        try:
            found = client.describe_vpc_connection(Arn=arn)
        except client.exceptions.NotFoundException:
            return
        assert found["State"] == "DELETING"
        assert real_monotonic() < until


def listed(client: Any, **request: Any) -> list[str]:
    answer = client.list_vpc_connections(**request)
    return [connection["VpcConnectionArn"] for connection in answer["VpcConnections"]]


def clients(client: Any, cluster_arn: str) -> list[Any]:
    found: list[Any] = client.list_client_vpc_connections(ClusterArn=cluster_arn)["ClientVpcConnections"]
    return found


def let_in(client: Any, arn: str, **changes: Any) -> None:
    """Put a policy that allows the other account to connect, with changes."""
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{STRANGER}:root"},
        "Action": ["kafka:CreateVpcConnection", "kafka:GetBootstrapBrokers"],
        "Resource": arn,
    }
    statements = (
        [statement | changes] if changes.get("Effect") != "Deny" else [statement, statement | changes]
    )
    document = json.dumps({"Version": "2012-10-17", "Statement": statements})
    client.put_cluster_policy(ClusterArn=arn, Policy=document)


class TestLife:
    def test_from_creation_to_deletion(self, client: Any, service: MskService, open_cluster: Make) -> None:
        cluster_arn = open_cluster()
        with held_back(service):
            made = connect(client, cluster_arn, Tags={"team": "orders"})
            arn = made.pop("VpcConnectionArn")
            assert client.describe_vpc_connection(Arn=arn)["State"] == "CREATING"
        prefix = f"arn:aws:kafka:us-east-1:{OWNER}:vpc-connection/{OWNER}/orders/"
        assert arn.startswith(prefix)
        described = settled(client, arn)
        del made["ResponseMetadata"], described["ResponseMetadata"]
        assert made == {
            "State": "CREATING",
            "Authentication": "SASL_IAM",
            "VpcId": "vpc-1",
            "ClientSubnets": ["subnet-1", "subnet-2", "subnet-3"],
            "SecurityGroups": ["sg-1"],
            "CreationTime": described["CreationTime"],
            "Tags": {"team": "orders"},
        }
        assert described == {
            "VpcConnectionArn": arn,
            "TargetClusterArn": cluster_arn,
            "State": "AVAILABLE",
            "Authentication": "SASL_IAM",
            "VpcId": "vpc-1",
            "Subnets": ["subnet-1", "subnet-2", "subnet-3"],
            "SecurityGroups": ["sg-1"],
            "CreationTime": described["CreationTime"],
            "Tags": {"team": "orders"},
        }
        with held_back(service):
            answer = client.delete_vpc_connection(Arn=arn)
            assert (answer["VpcConnectionArn"], answer["State"]) == (arn, "DELETING")
            assert client.describe_vpc_connection(Arn=arn)["State"] == "DELETING"
        wait_unknown(client, arn)
        assert listed(client) == []

    @pytest.mark.parametrize("scheme", ["SASL_IAM", "SASL_SCRAM", "TLS"])
    def test_every_scheme(self, client: Any, service: MskService, open_cluster: Make, scheme: Scheme) -> None:
        arn = open_cluster()
        private(service, arn, scheme)
        assert private_schemes(service.cluster(arn)) == {scheme}
        connection = settled(client, available(client, arn, Authentication=scheme))
        assert connection["Authentication"] == scheme

    def test_what_is_under_way_is_not_deleted(
        self, client: Any, service: MskService, open_cluster: Make
    ) -> None:
        arn = open_cluster()
        with held_back(service):
            connection = connect(client, arn)["VpcConnectionArn"]
            with refused("BadRequestException") as refusal:
                client.delete_vpc_connection(Arn=connection)
        assert refusal.message == "You can't delete a VPC connection in CREATING state."
        assert refusal.parameter == "arn"

    def test_after_deletion_the_same_can_be_made_again(self, client: Any, open_cluster: Make) -> None:
        arn = open_cluster()
        first = available(client, arn)
        client.delete_vpc_connection(Arn=first)
        wait_unknown(client, first)
        assert available(client, arn) != first

    def test_tags(self, client: Any, open_cluster: Make) -> None:
        arn = available(client, open_cluster(), Tags={"a": "1"})
        client.tag_resource(ResourceArn=arn, Tags={"b": "2"})
        client.untag_resource(ResourceArn=arn, TagKeys=["a"])
        assert client.list_tags_for_resource(ResourceArn=arn)["Tags"] == {"b": "2"}
        assert client.describe_vpc_connection(Arn=arn)["Tags"] == {"b": "2"}

    def test_the_tagging_api_knows_its_type(
        self, client: Any, aws: boto3.Session, open_cluster: Make
    ) -> None:
        arn = available(client, open_cluster(), Tags={"a": "1"})
        tagging = aws.client("resourcegroupstaggingapi")
        found = tagging.get_resources(ResourceTypeFilters=["kafka:vpc-connection"])
        assert [one["ResourceARN"] for one in found["ResourceTagMappingList"]] == [arn]


def test_operations_on_the_cluster(client: Any, service: MskService, open_cluster: Make) -> None:
    arn = open_cluster()
    before = client.describe_cluster(ClusterArn=arn)["ClusterInfo"]
    with held_back(service):
        connection = connect(client, arn)
        [going_on] = client.list_cluster_operations(ClusterArn=arn)["ClusterOperationInfoList"]
        assert client.describe_cluster(ClusterArn=arn)["ClusterInfo"]["State"] == "ACTIVE"
    assert going_on["OperationState"] == "PENDING"
    done = finished(client, going_on["OperationArn"])
    assert (done["OperationType"], done["OperationState"]) == ("CREATE_VPC_CONNECTION", "UPDATE_COMPLETE")
    about = {
        "VpcConnectionArn": connection["VpcConnectionArn"],
        "Owner": OWNER,
        "UserIdentity": {"Type": "AWSACCOUNT", "PrincipalId": OWNER},
        "CreationTime": connection["CreationTime"],
    }
    assert done["VpcConnectionInfo"] == about
    client.delete_vpc_connection(Arn=connection["VpcConnectionArn"])
    wait_unknown(client, connection["VpcConnectionArn"])
    [deletion, creation] = client.list_cluster_operations_v2(ClusterArn=arn)["ClusterOperationInfoList"]
    assert (deletion["OperationType"], deletion["OperationState"]) == (
        "DELETE_VPC_CONNECTION",
        "UPDATE_COMPLETE",
    )
    assert creation["OperationArn"] == going_on["OperationArn"]
    described = client.describe_cluster_operation_v2(ClusterOperationArn=deletion["OperationArn"])
    assert described["ClusterOperationInfo"]["Provisioned"]["VpcConnectionInfo"] == about
    assert client.describe_cluster(ClusterArn=arn)["ClusterInfo"] == before


class TestRules:
    def test_unknown_schemes(self, client: Any, open_cluster: Make) -> None:
        with refused("BadRequestException") as refusal:
            connect(client, open_cluster(), Authentication="IAM")
        assert refusal.message == (
            "Invalid value for authentication: 'IAM'. Valid values: [SASL_IAM, SASL_SCRAM, TLS]"
        )
        assert refusal.parameter == "authentication"

    @pytest.mark.parametrize(
        ("on", "text"), [((), "for: []"), (("TLS", "SASL_SCRAM"), "for: [SASL_SCRAM, TLS]")]
    )
    def test_a_scheme_that_is_not_turned_on(
        self, client: Any, service: MskService, open_cluster: Make, on: tuple[Scheme, ...], text: str
    ) -> None:
        arn = open_cluster()
        private(service, arn, *on)
        with refused("BadRequestException") as refusal:
            connect(client, arn)
        assert refusal.message.startswith("The cluster orders has no VPC connectivity for SASL_IAM.")
        assert refusal.message.endswith(text)
        assert refusal.parameter == "authentication"

    def test_a_new_cluster_has_none_turned_on(self, client: Any, active: Make) -> None:
        with refused("BadRequestException") as refusal:
            connect(client, active())
        assert refusal.parameter == "authentication"

    def test_a_cluster_that_is_not_active(
        self, client: Any, service: MskService, plane: FakePlane, open_cluster: Make
    ) -> None:
        arn = open_cluster()
        plane.apply_gate.clear()
        client.reboot_broker(ClusterArn=arn, BrokerIds=["1"])
        with refused("BadRequestException") as refusal:
            connect(client, arn)
        plane.apply_gate.set()
        assert refusal.message == (
            "You can't create a VPC connection to a cluster in REBOOTING_BROKER state."
        )
        assert refusal.parameter == "targetClusterArn"

    def test_serverless_clusters(self, client: Any, service: MskService) -> None:
        arn = create_serverless(client)
        service.wait_active(arn, PATIENCE)
        with refused("BadRequestException") as refusal:
            connect(client, arn, ClientSubnets=["subnet-1", "subnet-2"])
        assert refusal.message.startswith("This Region doesn't currently support VPC connectivity")

    @pytest.mark.parametrize(
        ("arn", "code"),
        [
            ("gone", "BadRequestException"),
            (f"arn:aws:kafka:us-east-1:{OWNER}:topic/gone/0-1/t", "BadRequestException"),
            (f"arn:aws:kafka:eu-west-1:{OWNER}:cluster/gone/0-1", "BadRequestException"),
            (f"arn:aws:kafka:us-east-1:{OWNER}:cluster/gone/0-1", "NotFoundException"),
            (f"arn:aws:kafka:us-east-1:{STRANGER}:cluster/gone/0-1", "NotFoundException"),
        ],
    )
    def test_targets_that_there_are_not(self, client: Any, arn: str, code: str) -> None:
        with refused(code) as refusal:
            connect(client, arn)
        assert refusal.parameter == "targetClusterArn"

    def test_another_region(self, client: Any, aws: boto3.Session, open_cluster: Make) -> None:
        elsewhere = aws.client("kafka", region_name="eu-west-1")
        with refused("BadRequestException") as refusal:
            connect(elsewhere, open_cluster())
        assert refusal.message == (
            "A VPC connection is made in its cluster's region: the cluster is in us-east-1, "
            "and this call went to eu-west-1."
        )

    def test_a_parked_cluster_is_unknown(self, client: Any, service: MskService, open_cluster: Make) -> None:
        arn = open_cluster()
        service.cluster(arn).parked = True
        with refused("NotFoundException"):
            connect(client, arn)

    def test_too_few_zones(self, client: Any, open_cluster: Make) -> None:
        with refused("BadRequestException") as refusal:
            connect(client, open_cluster(), ClientSubnets=["subnet-1", "subnet-2"])
        assert refusal.message == (
            "The client subnets must be in every Availability Zone of the cluster. "
            "There is none in: [use1-az4]"
        )
        assert refusal.parameter == "clientSubnets"

    def test_zones_are_those_of_ec2(self, client: Any, aws: boto3.Session, open_cluster: Make) -> None:
        ec2 = aws.client("ec2")
        subnets = {
            subnet["AvailabilityZone"]: subnet["SubnetId"] for subnet in ec2.describe_subnets()["Subnets"]
        }
        group = {"ClientSubnets": [subnets["us-east-1a"], subnets["us-east-1b"]]}
        group_info = {**group, "InstanceType": "kafka.m5.large"}
        arn = open_cluster(BrokerNodeGroupInfo=group_info, NumberOfBrokerNodes=2)
        with refused("BadRequestException") as refusal:
            connect(client, arn, ClientSubnets=[subnets["us-east-1a"], subnets["us-east-1d"]])
        assert refusal.parameter == "clientSubnets"
        available(client, arn, ClientSubnets=[subnets[f"us-east-1{zone}"] for zone in "abd"])

    def test_one_for_each_vpc_and_scheme(self, client: Any, open_cluster: Make) -> None:
        arn = open_cluster()
        first = available(client, arn)
        available(client, arn, VpcId="vpc-2")
        available(client, arn, Authentication="TLS")
        available(client, open_cluster("other"))
        with refused("BadRequestException") as refusal:
            connect(client, arn)
        assert refusal.message == (
            f"The VPC vpc-1 has a VPC connection to orders with SASL_IAM already: {first}"
        )
        assert refusal.parameter == "vpcId"

    def test_of_many_at_once_one_is_made(self, client: Any, open_cluster: Make) -> None:
        arn = open_cluster()

        def attempt(_: int) -> str:
            try:
                return str(connect(client, arn)["State"])
            except ClientError as error:
                return str(error.response["Error"]["Code"])

        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(attempt, range(8)))
        assert sorted(answers) == [*["BadRequestException"] * 7, "CREATING"]
        assert len(listed(client)) == 1

    def test_tags_that_are_not_allowed(self, client: Any, open_cluster: Make) -> None:
        with refused("BadRequestException") as refusal:
            connect(client, open_cluster(), Tags={"aws:a": "1"})
        assert refusal.parameter == "tags"
        assert listed(client) == []

    @pytest.mark.parametrize("call", ["describe_vpc_connection", "delete_vpc_connection"])
    @pytest.mark.parametrize(
        ("arn", "code"),
        [
            ("gone", "BadRequestException"),
            (f"arn:aws:kafka:us-east-1:{OWNER}:cluster/gone/0-1", "BadRequestException"),
            (f"arn:aws:kafka:us-east-1:{OWNER}:vpc-connection/{OWNER}/gone/0-1", "NotFoundException"),
        ],
    )
    def test_connections_that_there_are_not(self, client: Any, call: str, arn: str, code: str) -> None:
        with refused(code) as refusal:
            getattr(client, call)(Arn=arn)
        assert refusal.parameter == "arn"


class TestTwoAccounts:
    def test_each_sees_its_side(self, client: Any, stranger: Any, open_cluster: Make) -> None:
        arn = open_cluster()
        let_in(client, arn)
        own, foreign = available(client, arn), available(stranger, arn)
        assert f":{OWNER}:vpc-connection/{STRANGER}/orders/" in foreign
        assert (listed(client), listed(stranger)) == ([own], [foreign])
        described = stranger.describe_vpc_connection(Arn=foreign)
        assert clients(client, arn)[1] == {
            "Authentication": "SASL_IAM",
            "CreationTime": described["CreationTime"],
            "State": "AVAILABLE",
            "VpcConnectionArn": foreign,
            "Owner": STRANGER,
        }
        assert [one["Owner"] for one in clients(client, arn)] == [OWNER, STRANGER]
        with refused("NotFoundException"):
            clients(stranger, arn)

    def test_what_is_the_others(self, client: Any, stranger: Any, open_cluster: Make) -> None:
        arn = open_cluster()
        let_in(client, arn)
        foreign = available(stranger, arn)
        for call in (client.describe_vpc_connection, client.delete_vpc_connection):
            with refused("NotFoundException") as refusal:
                call(Arn=foreign)
            assert refusal.message == f"The VPC connection {foreign} does not exist."
        with refused("NotFoundException"):
            stranger.reject_client_vpc_connection(ClusterArn=arn, VpcConnectionArn=foreign)

    @pytest.mark.parametrize(
        "changes",
        [
            {},
            {"Principal": "*"},
            {"Principal": {"AWS": STRANGER}},
            {"Principal": {"AWS": [f"arn:aws:iam::{OWNER}:root", f"arn:aws:iam::{STRANGER}:role/clients"]}},
            {"Action": "kafka:*"},
            {"Action": "Kafka:createVpc*"},
        ],
    )
    def test_policies_that_let_in(
        self, client: Any, stranger: Any, open_cluster: Make, changes: dict[str, Any]
    ) -> None:
        arn = open_cluster()
        let_in(client, arn, **changes)
        available(stranger, arn)

    @pytest.mark.parametrize(
        "changes",
        [
            {"Principal": {"AWS": "arn:aws:iam::999988887777:root"}},
            {"Principal": {"Service": "kafka.amazonaws.com"}},
            {"Action": "kafka:GetBootstrapBrokers"},
            {"Effect": "Deny"},
            {"Effect": "Deny", "Principal": "*", "Action": "*"},
        ],
    )
    def test_policies_that_do_not(
        self, client: Any, stranger: Any, open_cluster: Make, changes: dict[str, Any]
    ) -> None:
        arn = open_cluster()
        let_in(client, arn, **changes)
        with refused("ForbiddenException") as refusal:
            connect(stranger, arn)
        assert refusal.message == (
            f"Account {STRANGER} needs a cluster policy of {arn} that allows it kafka:CreateVpcConnection."
        )
        assert refusal.parameter == "targetClusterArn"

    def test_a_resource_that_is_only_a_topic_of_it(
        self, client: Any, stranger: Any, open_cluster: Make
    ) -> None:
        arn = open_cluster()
        let_in(client, arn, Resource=arn.replace(":cluster/", ":topic/") + "/*")
        with refused("ForbiddenException"):
            connect(stranger, arn)

    def test_no_policy_at_all(self, client: Any, stranger: Any, open_cluster: Make) -> None:
        with refused("ForbiddenException"):
            connect(stranger, open_cluster())


class TestRejection:
    def test_by_the_clusters_owner(
        self, client: Any, stranger: Any, service: MskService, open_cluster: Make
    ) -> None:
        arn = open_cluster()
        let_in(client, arn)
        connection = available(stranger, arn)
        with held_back(service):
            client.reject_client_vpc_connection(ClusterArn=arn, VpcConnectionArn=connection)
            assert stranger.describe_vpc_connection(Arn=connection)["State"] == "REJECTING"
        assert settled(stranger, connection)["State"] == "REJECTED"
        assert [one["State"] for one in clients(client, arn)] == ["REJECTED"]
        with refused("BadRequestException") as refusal:
            client.reject_client_vpc_connection(ClusterArn=arn, VpcConnectionArn=connection)
        assert refusal.message == (
            "You can't reject a VPC connection in REJECTED state: it must be AVAILABLE."
        )
        assert refusal.parameter == "vpcConnectionArn"
        stranger.delete_vpc_connection(Arn=connection)
        wait_unknown(stranger, connection)
        assert clients(client, arn) == []

    def test_of_another_clusters(self, client: Any, open_cluster: Make) -> None:
        connection = available(client, open_cluster())
        with refused("NotFoundException") as refusal:
            client.reject_client_vpc_connection(ClusterArn=open_cluster("other"), VpcConnectionArn=connection)
        assert refusal.parameter == "vpcConnectionArn"

    def test_of_what_is_no_connection(self, client: Any, open_cluster: Make) -> None:
        arn = open_cluster()
        with refused("BadRequestException") as refusal:
            client.reject_client_vpc_connection(ClusterArn=arn, VpcConnectionArn=arn)
        assert refusal.parameter == "vpcConnectionArn"


class TestInactive:
    def test_when_the_scheme_is_turned_off(
        self, client: Any, service: MskService, open_cluster: Make
    ) -> None:
        arn = open_cluster()
        iam, tls = available(client, arn), available(client, arn, Authentication="TLS")
        private(service, arn, "TLS")
        states = {
            one["VpcConnectionArn"]: one["State"] for one in client.list_vpc_connections()["VpcConnections"]
        }
        assert states == {iam: "INACTIVE", tls: "AVAILABLE"}
        assert [one["VpcConnectionArn"] for one in clients(client, arn)] == [tls]
        with refused("BadRequestException") as refusal:
            client.reject_client_vpc_connection(ClusterArn=arn, VpcConnectionArn=iam)
        assert "in INACTIVE state" in refusal.message

    def test_it_does_not_come_back(self, client: Any, service: MskService, open_cluster: Make) -> None:
        arn = open_cluster()
        iam, tls = available(client, arn), available(client, arn, Authentication="TLS")
        deactivate(service, service.cluster(arn), {"TLS"})
        assert settled(client, iam)["State"] == "INACTIVE"
        assert settled(client, tls)["State"] == "AVAILABLE"
        fresh = available(client, arn)
        assert listed(client) == [iam, tls, fresh]
        client.delete_vpc_connection(Arn=iam)
        wait_unknown(client, iam)

    def test_one_that_is_being_made(self, client: Any, service: MskService, open_cluster: Make) -> None:
        arn = open_cluster()
        with held_back(service):
            connection = connect(client, arn)["VpcConnectionArn"]
            deactivate(service, service.cluster(arn), ())
        [made] = client.list_cluster_operations(ClusterArn=arn)["ClusterOperationInfoList"]
        finished(client, made["OperationArn"])
        assert client.describe_vpc_connection(Arn=connection)["State"] == "INACTIVE"

    def test_when_the_cluster_is_deleted(self, client: Any, service: MskService, open_cluster: Make) -> None:
        arn = open_cluster()
        connection = available(client, arn)
        service.delete(arn)
        found = client.describe_vpc_connection(Arn=connection)
        assert (found["State"], found["TargetClusterArn"]) == ("INACTIVE", arn)
        client.delete_vpc_connection(Arn=connection)
        wait_unknown(client, connection)


def test_lists_come_in_pages(client: Any, open_cluster: Make) -> None:
    arn = open_cluster()
    made = [available(client, arn, VpcId=f"vpc-{number}") for number in range(5)]
    pages = client.get_paginator("list_vpc_connections").paginate(PaginationConfig={"PageSize": 2})
    shown = [[one["VpcConnectionArn"] for one in page["VpcConnections"]] for page in pages]
    assert shown == [made[:2], made[2:4], made[4:]]
    pages = client.get_paginator("list_client_vpc_connections").paginate(
        ClusterArn=arn, PaginationConfig={"PageSize": 3}
    )
    shown = [[one["VpcConnectionArn"] for one in page["ClientVpcConnections"]] for page in pages]
    assert shown == [made[:3], made[3:]]
    with refused("BadRequestException") as refusal:
        client.list_vpc_connections(NextToken="x")
    assert refusal.parameter == "nextToken"


def test_a_list_shows_what_describe_does_but_for_the_network(client: Any, open_cluster: Make) -> None:
    arn = available(client, open_cluster())
    described = client.describe_vpc_connection(Arn=arn)
    [shown] = client.list_vpc_connections()["VpcConnections"]
    assert described | shown == described
    assert shown.keys() == {
        "VpcConnectionArn", "TargetClusterArn", "CreationTime", "Authentication", "VpcId", "State",
    }  # fmt: skip


def test_clients_of_a_cluster_that_there_is_not(client: Any) -> None:
    with refused("NotFoundException") as refusal:
        clients(client, f"arn:aws:kafka:us-east-1:{OWNER}:cluster/gone/0-1")
    assert refusal.parameter == "clusterArn"
