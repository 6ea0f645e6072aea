"""Where a cluster stands: subnets, availability zones, security groups, host names.

Subnets that exist in moto's EC2 are looked up there; others are taken on trust, and get zones and a
security group that are made up but always the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

from pytest_msk import neighbours
from pytest_msk.aws.arns import Arn, partition
from pytest_msk.aws.kafka.state import Cluster, Region, base36

_DIRECTIONS = {
    "north": "n", "south": "s", "east": "e", "west": "w", "central": "c", "gov": "g",
    "northeast": "ne", "northwest": "nw", "southeast": "se", "southwest": "sw",
}  # fmt: skip

UNSUPPORTED_ZONES = frozenset({"use1-az3"})
"""Zone ids in which MSK places no brokers."""

_CERTIFICATE_NAME_LENGTH = 64


def zone_ids(region: Region, subnets: Sequence[str]) -> list[str]:
    """The availability zone id of each subnet, in the order of the subnets."""
    known = [_ec2_subnet(region, subnet) for subnet in subnets]
    taken = {subnet.availability_zone_id for subnet in known if subnet}
    fresh = (zone for zone in _zones(region.name) if zone not in taken)
    return [subnet.availability_zone_id if subnet else next(fresh) for subnet in known]


def default_security_groups(region: Region, subnets: Sequence[str]) -> list[str]:
    """The default security group of the VPC that the subnets are in."""
    ec2 = neighbours.backend("ec2", region.account_id, region.name)
    for subnet in filter(None, (_ec2_subnet(region, subnet) for subnet in subnets)):
        groups = ec2.groups.get(subnet.vpc_id, {}).values()
        default = [group.id for group in groups if group.name == "default"]
        if default:
            return default
    return [made_up_id("sg", region.account_id, region.name)]


def made_up_id(prefix: str, *of: object) -> str:
    """An id of EC2's form that is the same whenever it is made of the same things."""
    digest = hashlib.sha256("/".join(map(str, of)).encode()).hexdigest()
    return f"{prefix}-{digest[:17]}"


def _zones(region_name: str) -> Iterator[str]:
    first, *directions, number = region_name.split("-")
    prefix = first + "".join(_DIRECTIONS.get(part, part[:1]) for part in directions) + number
    index = 0
    while True:
        index += 1
        if f"{prefix}-az{index}" not in UNSUPPORTED_ZONES:
            yield f"{prefix}-az{index}"


def _ec2_subnet(region: Region, subnet_id: str) -> Any:
    ec2 = neighbours.backend("ec2", region.account_id, region.name)
    zones = ec2.subnets.values() if ec2 else ()
    return next((zone[subnet_id] for zone in list(zones) if subnet_id in zone), None)


def host(cluster: Cluster, node: str) -> str:
    """The DNS name that AWS would give a node of a cluster.

    Args:
        cluster: the cluster.
        node: the first label: ``b-1``, ``z-2``, ``c-10001``.
    """
    arn = cluster.arn
    tail = f"{short_id(arn)}.c{arn.number}.kafka.{arn.region}.{_dns_suffix(arn.region)}"
    # The certificate's common name, "*.<name>.<tail>", has to keep to its limit: the name gives way.
    name = arn.name.lower()[: _CERTIFICATE_NAME_LENGTH - len(f"*..{tail}")]
    return f"{node}.{name}.{tail}"


def short_id(arn: Arn) -> str:
    """Six letters and digits that a cluster's names have in common."""
    number = int(hashlib.sha256(arn.id.encode()).hexdigest(), 16)
    return base36(number).lower()[-6:]


def _dns_suffix(region_name: str) -> str:
    return "amazonaws.com.cn" if partition(region_name) == "aws-cn" else "amazonaws.com"
