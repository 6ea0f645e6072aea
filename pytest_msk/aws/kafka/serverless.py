"""Serverless clusters: brokers of their own, reached with IAM alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_msk.aws.errors import bad_request
from pytest_msk.aws.kafka import network, rules
from pytest_msk.aws.kafka.state import Cluster, Region
from pytest_msk.aws.kafka.tags import check_tags
from pytest_msk.spec import ClusterSpec

_MOST_VPCS = 5
_MOST_SECURITY_GROUPS = 5
_LEAST_ZONES = 2
_PARTITION_BYTES = 250 << 30
"""What a partition holds at most, and by default (developer guide, "MSK Serverless quota")."""
_BROKERS = 3
"""Serverless clusters have each partition on three brokers (developer guide); AWS shows none of them."""


def create_serverless(
    region: Region, name: str, request: Mapping[str, Any], tags: Mapping[str, str]
) -> Cluster:
    """Check a request, and start the cluster it asks for.

    Args:
        region: where.
        name: the cluster's name.
        request: the members of ``ServerlessRequest``.
        tags: the cluster's tags.

    Raises:
        AwsError: the first rule that the request breaks.
    """
    rules.check_name(name)
    vpcs = request["VpcConfigs"]
    if not 1 <= len(vpcs) <= _MOST_VPCS:
        raise bad_request(f"A serverless cluster has 1 to {_MOST_VPCS} VPC configurations.", "vpcConfigs")
    for vpc in vpcs:
        _check_vpc(region, vpc)
    iam = request.get("ClientAuthentication", {}).get("Sasl", {}).get("Iam", {})
    if not iam.get("Enabled", True):
        raise bad_request("Serverless clusters authenticate with IAM: it cannot be disabled.", "enabled")
    check_tags(tags)
    region.check_quotas("SERVERLESS")
    settings = {
        "VpcConfigs": [_filled(region, vpc) for vpc in vpcs],
        "ClientAuthentication": {"Sasl": {"Iam": {"Enabled": True}}},
        "ConnectivityInfo": {"NetworkType": "IPV4"},
    }
    zones = network.zone_ids(region, vpcs[0]["SubnetIds"])
    spec = ClusterSpec(
        name=name,
        brokers=_BROKERS,
        configuration={"log.retention.bytes": str(_PARTITION_BYTES)},
        listeners=frozenset({"iam"}),
        zone_ids=tuple(zones),
        auto_create_topics=False,
    )
    return region.create_cluster("SERVERLESS", spec, settings, tags, region.service.plane)


def _check_vpc(region: Region, vpc: Mapping[str, Any]) -> None:
    zones = set(network.zone_ids(region, vpc["SubnetIds"]))
    if not zones or (region.service.strict and len(zones) < _LEAST_ZONES):
        raise bad_request(
            f"A serverless cluster needs subnets in at least {_LEAST_ZONES} Availability Zones.", "subnetIds"
        )
    if len(vpc.get("SecurityGroupIds", ())) > _MOST_SECURITY_GROUPS:
        raise bad_request(
            f"A VPC configuration has at most {_MOST_SECURITY_GROUPS} security groups.", "securityGroupIds"
        )


def _filled(region: Region, vpc: Mapping[str, Any]) -> dict[str, Any]:
    groups = vpc.get("SecurityGroupIds") or network.default_security_groups(region, vpc["SubnetIds"])
    return {"SubnetIds": vpc["SubnetIds"], "SecurityGroupIds": groups}
