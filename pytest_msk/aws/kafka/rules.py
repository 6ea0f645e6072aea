"""What MSK refuses in a request for a provisioned cluster.

Texts that real MSK is known to answer are kept to the letter; the other rules are the developer
guide's, in our words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pytest_msk.aws.errors import bad_request
from pytest_msk.aws.kafka.network import UNSUPPORTED_ZONES
from pytest_msk.aws.kafka.versions import Version

_CLUSTER_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z-]*")

_M5_SIZES = ("large", "xlarge", "2xlarge", "4xlarge", "8xlarge", "12xlarge", "16xlarge", "24xlarge")
_M7G_SIZES = _M5_SIZES[:-1]
INSTANCE_TYPES = (
    "kafka.t3.small",
    *(f"kafka.m5.{size}" for size in _M5_SIZES),
    *(f"kafka.m7g.{size}" for size in _M7G_SIZES),
    *(f"express.m7g.{size}" for size in _M7G_SIZES),
)
"""The broker types of the developer guide."""

_PROVISIONED_THROUGHPUT_TYPES = frozenset(
    f"kafka.{family}.{size}"
    for family, smallest in (("m5", "4xlarge"), ("m7g", "2xlarge"))
    for size in _M5_SIZES[_M5_SIZES.index(smallest) :]
)
_LEAST_THROUGHPUT = 250
_LEAST_THROUGHPUT_VOLUME = 10

_TWO_ZONE_REGIONS = frozenset({"us-west-1"})
_MOST_BROKERS_ZOOKEEPER = 30
_MOST_BROKERS_KRAFT = 60

NOT_A_MULTIPLE = (
    "The number of broker nodes must be a multiple of Availability Zones in the Client Subnets parameter."
)
WRONG_ZONES = (
    "The number of Availability Zones in the BrokerAZDistribution parameter must be equal to the number of "
    "client subnets."
)


def is_express(instance_type: str) -> bool:
    """Whether a broker type is one of the Express ones."""
    return instance_type.startswith("express.")


def check_name(name: str) -> None:
    """Refuse a cluster name with characters that MSK does not allow."""
    if not _CLUSTER_NAME.fullmatch(name):
        raise bad_request(
            "The parameter value contains one or more characters that are not valid.", "clusterName"
        )


def check_instance_type(instance_type: str, parameter: str = "instanceType") -> None:
    """Refuse a broker type that MSK does not have."""
    if instance_type not in INSTANCE_TYPES:
        raise bad_request(
            f"Unsupported InstanceType [{instance_type}]. Valid values: [{', '.join(INSTANCE_TYPES)}]",
            parameter,
        )


def check_subnets(
    subnets: Sequence[str], zones: Sequence[str], region_name: str, *, express: bool, strict: bool
) -> None:
    """Refuse subnets that share a zone or lie in one without MSK; and when strict, too many or few."""
    if not subnets:
        raise bad_request("At least one client subnet is needed.", "clientSubnets")
    for subnet, zone in zip(subnets, zones, strict=True):
        if zone in UNSUPPORTED_ZONES:
            raise bad_request(
                f"The subnet {subnet} is in the Availability Zone {zone}, which Amazon MSK does not support.",
                "clientSubnets",
            )
    if len(set(subnets)) < len(subnets) or len(set(zones)) < len(subnets):
        raise bad_request(WRONG_ZONES, "clientSubnets")
    allowed = {2} if region_name in _TWO_ZONE_REGIONS else {3} if express else {2, 3}
    if strict and len(subnets) not in allowed:
        raise bad_request(WRONG_ZONES, "clientSubnets")


def check_broker_count(
    brokers: int, zones: int, *, kraft: bool, parameter: str = "numberOfBrokerNodes"
) -> None:
    """Refuse a number of brokers that cannot be spread evenly, or is beyond the quota."""
    if brokers % zones:
        raise bad_request(NOT_A_MULTIPLE, parameter)
    most = _MOST_BROKERS_KRAFT if kraft else _MOST_BROKERS_ZOOKEEPER
    if brokers > most:
        mode = "KRaft" if kraft else "ZooKeeper"
        raise bad_request(
            f"The number of broker nodes must not exceed {most} for a cluster in {mode} mode.",
            parameter,
        )


def check_connectivity(connectivity: Mapping[str, Any]) -> None:
    """Refuse public access and multi-VPC authentication, which can only be turned on later."""
    if connectivity.get("PublicAccess", {}).get("Type", "DISABLED") != "DISABLED":
        raise bad_request(
            "When creating a cluster, the only valid value for the Type parameter in PublicAccess is "
            "DISABLED.",
            "type",
        )
    authentication = connectivity.get("VpcConnectivity", {}).get("ClientAuthentication", {})
    sasl = authentication.get("Sasl", {})
    schemes = (sasl.get("Scram", {}), sasl.get("Iam", {}), authentication.get("Tls", {}))
    if any(scheme.get("Enabled") for scheme in schemes):
        raise bad_request(
            "When creating a cluster, all vpcConnectivity auth schemes must be disabled ('enabled' : false). "
            "You can enable auth schemes after the cluster is created",
            "vpcConnectivity",
        )


def check_storage(request: Mapping[str, Any], version: Version) -> None:
    """Refuse storage that the broker type or the version cannot have."""
    group = request["BrokerNodeGroupInfo"]
    instance_type = group["InstanceType"]
    if is_express(instance_type):
        _check_express_storage(request)
        return
    volume = group.get("StorageInfo", {}).get("EbsStorageInfo", {})
    throughput = volume.get("ProvisionedThroughput", {})
    if throughput.get("Enabled"):
        _check_throughput(throughput, volume.get("VolumeSize"), instance_type)
    if request.get("StorageMode") == "TIERED" and (not version.tiered or instance_type == "kafka.t3.small"):
        raise bad_request(
            f"Tiered storage is not available for {instance_type} brokers of version {version.name}.",
            "storageMode",
        )


def _check_throughput(throughput: Mapping[str, Any], volume_size: int | None, instance_type: str) -> None:
    if instance_type not in _PROVISIONED_THROUGHPUT_TYPES:
        raise bad_request(
            f"Provisioned throughput is not available for brokers of type {instance_type}.", "instanceType"
        )
    if volume_size is not None and volume_size < _LEAST_THROUGHPUT_VOLUME:
        raise bad_request(
            f"Provisioned throughput needs a volume of at least {_LEAST_THROUGHPUT_VOLUME} GiB.",
            "volumeSize",
        )
    if throughput.get("VolumeThroughput", _LEAST_THROUGHPUT) < _LEAST_THROUGHPUT:
        raise bad_request(
            f"The volume throughput must be at least {_LEAST_THROUGHPUT} MiB per second.",
            "volumeThroughput",
        )


def _check_express_storage(request: Mapping[str, Any]) -> None:
    if "StorageInfo" in request["BrokerNodeGroupInfo"]:
        raise bad_request("Express brokers have no storage settings.", "storageInfo")
    if "StorageMode" in request:
        raise bad_request("Express brokers have no storage mode.", "storageMode")


def check_express(request: Mapping[str, Any], version: Version) -> None:
    """Refuse versions that Express brokers do not come in, and rebalancing on any others."""
    express = is_express(request["BrokerNodeGroupInfo"]["InstanceType"])
    if express and not version.express:
        raise bad_request(f"Express brokers do not support KafkaVersion [{version.name}].", "kafkaVersion")
    if not express and "Rebalancing" in request:
        raise bad_request("Intelligent rebalancing is available with Express brokers only.", "rebalancing")
