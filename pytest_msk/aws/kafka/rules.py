"""What MSK refuses in a request for a provisioned cluster.

Texts that real MSK is known to answer are kept to the letter; the other rules are the developer
guide's, in our words.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from pytest_msk.aws.errors import bad_request
from pytest_msk.aws.kafka.network import UNSUPPORTED_ZONES
from pytest_msk.aws.kafka.security import Security, schemes_of
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
_SMALLEST = "kafka.t3.small"

_FIRST_PUBLIC = (2, 6, 0)
_FIRST_PRIVATE_TO_OTHER_VPCS = (2, 7, 1)
_FIRST_DUAL_STACK = (3, 6, 0)
_ACLS = "allow.everyone.if.no.acl.found"

_TWO_ZONE_REGIONS = frozenset({"us-west-1"})
_MOST_BROKERS_ZOOKEEPER = 30
_MOST_BROKERS_KRAFT = 60

# By member: the member that names it and that member on the wire; what AWS calls service and name.
_LOG_DESTINATIONS = {
    "CloudWatchLogs": ("LogGroup", "logGroup", "CloudWatch Logs", "CloudWatch log group"),
    "Firehose": ("DeliveryStream", "deliveryStream", "Firehose", "delivery stream"),
    "S3": ("Bucket", "bucket", "Amazon S3", "bucket"),
}

NOT_A_MULTIPLE = (
    "The number of broker nodes must be a multiple of Availability Zones in the Client Subnets parameter."
)
EXPRESS_STORAGE = "Express brokers have no storage settings."
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
    if schemes_of(connectivity.get("VpcConnectivity", {}).get("ClientAuthentication", {})):
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
    check_throughput(volume.get("ProvisionedThroughput", {}), volume.get("VolumeSize"), instance_type)
    if request.get("StorageMode") == "TIERED":
        check_tiered(version, instance_type)


def check_tiered(version: Version, instance_type: str) -> None:
    """Refuse tiered storage where a version or a broker type does not have it."""
    if not version.tiered or instance_type == _SMALLEST:
        raise bad_request(
            f"Tiered storage is not available for {instance_type} brokers of version {version.name}.",
            "storageMode",
        )


def check_throughput(throughput: Mapping[str, Any], volume_size: int | None, instance_type: str) -> None:
    """Refuse provisioned throughput where a broker type or a volume does not have it, or too little of it."""
    if not throughput.get("Enabled"):
        return
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
        raise bad_request(EXPRESS_STORAGE, "storageInfo")
    if "StorageMode" in request:
        raise bad_request("Express brokers have no storage mode.", "storageMode")


def check_express(request: Mapping[str, Any], version: Version) -> None:
    """Refuse versions that Express brokers do not come in, and rebalancing on any others."""
    express = is_express(request["BrokerNodeGroupInfo"]["InstanceType"])
    if express and not version.express:
        raise bad_request(f"Express brokers do not support KafkaVersion [{version.name}].", "kafkaVersion")
    if "Rebalancing" in request:
        check_rebalancing(request["BrokerNodeGroupInfo"]["InstanceType"])


def check_rebalancing(instance_type: str) -> None:
    """Refuse intelligent rebalancing of Standard brokers."""
    if not is_express(instance_type):
        raise bad_request("Intelligent rebalancing is available with Express brokers only.", "rebalancing")


def check_public_access(
    security: Security, configuration: Mapping[str, str], version: Version, parameter: str
) -> None:
    """Refuse a cluster that would be public without being safe.

    Args:
        security: how clients get in.
        configuration: the ``server.properties`` of the cluster's configuration.
        version: the cluster's version.
        parameter: the member that would make it so.
    """
    if not _reached(version, _FIRST_PUBLIC):
        raise bad_request(
            f"Public access is available since Kafka 2.6.0, and the cluster's version is {version.name}.",
            parameter,
        )
    if security.client_broker != "TLS" or not security.in_cluster:
        raise bad_request(
            "Public access needs encryption in transit: clientBroker must be TLS and inCluster true.",
            parameter,
        )
    if not security.authenticated or security.unauthenticated:
        raise bad_request(
            "Public access needs SASL/SCRAM, SASL/IAM or TLS authentication, and unauthenticated access "
            "to be disabled.",
            parameter,
        )
    # Kafka takes any case, and blanks around; MSK's default is true.
    anyone = configuration.get(_ACLS, "true").strip().lower() != "false"
    if (security.scram or security.mutual_tls) and anyone:
        raise bad_request(
            f"Public access with SASL/SCRAM or TLS authentication needs a configuration with {_ACLS}=false.",
            parameter,
        )


def check_vpc_connectivity(
    schemes: frozenset[str], security: Security, version: Version, instance_type: str, parameter: str
) -> None:
    """Refuse private connectivity to other VPCs where a cluster cannot have it.

    Args:
        schemes: the schemes that it is to be on for.
        security: how clients get in.
        version: the cluster's version.
        instance_type: its broker type.
        parameter: the member that would make it so.
    """
    if not schemes:
        return
    if not _reached(version, _FIRST_PRIVATE_TO_OTHER_VPCS):
        raise bad_request(
            f"VPC connectivity is available since Kafka 2.7.1, and the cluster's version is {version.name}.",
            parameter,
        )
    if instance_type == _SMALLEST:
        raise bad_request(f"VPC connectivity is not available for {_SMALLEST} brokers.", parameter)
    missing = sorted(schemes - security.schemes)
    if missing:
        raise bad_request(
            f"VPC connectivity for {' and '.join(missing)} needs the cluster itself to have that "
            "authentication enabled.",
            parameter,
        )


def check_network_type(present: str, target: str, version: Version) -> None:
    """Refuse to take IPv6 away from a cluster, or to give it to one that is too old."""
    if present == "DUAL" and target != "DUAL":
        raise bad_request("A cluster of network type DUAL cannot be changed back to IPV4.", "networkType")
    if target == "DUAL" and not _reached(version, _FIRST_DUAL_STACK):
        raise bad_request(
            "The network type DUAL is available since Kafka 3.6.0, and the cluster's version is "
            f"{version.name}.",
            "networkType",
        )


def _reached(version: Version, release: tuple[int, int, int]) -> bool:
    """Whether a version is of a release of Kafka or a later one."""
    patch = version.name.split(".")[2]
    # The x of 3.7.x is the latest patch there is.
    return (*version.release, int(patch) if patch.isdecimal() else sys.maxsize) >= release


def check_log_destinations(logging: Mapping[str, Any]) -> None:
    """Refuse a destination of logs that is enabled without saying where."""
    for member, kind in (("BrokerLogs", "broker logs"), ("AuthorizerLogs", "authorizer logs")):
        destinations = logging.get(member, {})
        for destination, (name, wire, service, what) in _LOG_DESTINATIONS.items():
            given = destinations.get(destination, {})
            if given.get("Enabled") and not given.get(name):
                raise bad_request(
                    f"To use {service} as a destination for {kind}, you must specify a {what}.", wire
                )
