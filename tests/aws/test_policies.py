"""Cluster policies."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.aws.kafka_api import create, create_serverless, refused


def policy(arn: str, **changes: Any) -> str:
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "kafka.amazonaws.com", "AWS": "arn:aws:iam::111122223333:root"},
        "Action": ["kafka:CreateVpcConnection", "kafka:GetBootstrapBrokers", "kafka:DescribeClusterV2"],
        "Resource": arn,
        **changes,
    }
    without_none = {name: value for name, value in statement.items() if value is not None}
    return json.dumps({"Version": "2012-10-17", "Statement": [without_none]}, indent=2)


@pytest.mark.parametrize("make", [create, create_serverless])
def test_put_get_delete(client: Any, make: Any) -> None:
    arn = make(client)
    first = client.put_cluster_policy(ClusterArn=arn, Policy=policy(arn))["CurrentVersion"]
    got = client.get_cluster_policy(ClusterArn=arn)
    assert json.loads(got["Policy"]) == json.loads(policy(arn))
    assert got["CurrentVersion"] == first
    other = policy(arn, Effect="Deny")
    second = client.put_cluster_policy(ClusterArn=arn, Policy=other, CurrentVersion=first)["CurrentVersion"]
    assert second != first
    client.delete_cluster_policy(ClusterArn=arn)
    with refused("NotFoundException") as refusal:
        client.get_cluster_policy(ClusterArn=arn)
    assert refusal.message == f"The cluster {arn} has no policy."
    with refused("NotFoundException"):
        client.delete_cluster_policy(ClusterArn=arn)


def test_the_clusters_version_is_another(client: Any) -> None:
    arn = create(client)
    version = client.put_cluster_policy(ClusterArn=arn, Policy=policy(arn))["CurrentVersion"]
    assert version != client.describe_cluster(ClusterArn=arn)["ClusterInfo"]["CurrentVersion"]


@pytest.mark.parametrize(
    ("version", "text"),
    [
        ({}, "Current cluster policy version needed for Update"),
        ({"CurrentVersion": "KOLD"}, "The version of the cluster policy isn't current."),
    ],
)
def test_an_update_needs_the_current_version(client: Any, version: dict[str, str], text: str) -> None:
    arn = create(client)
    client.put_cluster_policy(ClusterArn=arn, Policy=policy(arn))
    with refused("BadRequestException") as refusal:
        client.put_cluster_policy(ClusterArn=arn, Policy=policy(arn), **version)
    assert refusal.parameter == "currentVersion"
    assert refusal.message.startswith(text)


def test_a_first_put_with_a_version(client: Any) -> None:
    arn = create(client)
    with refused("BadRequestException") as refusal:
        client.put_cluster_policy(ClusterArn=arn, Policy=policy(arn), CurrentVersion="KOLD")
    assert refusal.parameter == "currentVersion"


def test_topics_and_groups_of_the_cluster_are_resources(client: Any) -> None:
    arn = create(client)
    resources = [arn, arn.replace(":cluster/", ":topic/") + "/*", arn.replace(":cluster/", ":group/") + "/g"]
    client.put_cluster_policy(ClusterArn=arn, Policy=policy(arn, Resource=resources))


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ("{", "it is not JSON"),
        ("[]", "it has no Statement"),
        ("{}", "it has no Statement"),
        ('{"Statement": []}', "it has no Statement"),
        ('{"Statement": ["x"]}', "a Statement is not an object"),
    ],
)
def test_malformed_documents(client: Any, document: str, why: str) -> None:
    arn = create(client)
    with refused("BadRequestException") as refusal:
        client.put_cluster_policy(ClusterArn=arn, Policy=document)
    assert refusal.parameter == "policy"
    assert refusal.message.startswith(f"The cluster policy is not valid: {why}")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"Principal": None}, "has no Principal"),
        ({"Action": None}, "has no Action"),
        ({"Effect": "Maybe"}, "neither Allow nor Deny"),
        ({"Resource": "arn:aws:kafka:us-east-1:123456789012:cluster/other/0-1"}, "the Resource"),
    ],
)
def test_malformed_statements(client: Any, changes: dict[str, Any], why: str) -> None:
    arn = create(client)
    with refused("BadRequestException") as refusal:
        client.put_cluster_policy(ClusterArn=arn, Policy=policy(arn, **changes))
    assert why in refusal.message
