"""From a request for a provisioned cluster to its spec and to what Describe shows of it."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

from pytest_msk.aws.arns import partition
from pytest_msk.aws.kafka import listeners, network, rules
from pytest_msk.aws.kafka.configurations import configuration_properties
from pytest_msk.aws.kafka.monitoring import check_log_destinations, logging_info, open_monitoring
from pytest_msk.aws.kafka.security import Security, check_security, client_authentication, read_security
from pytest_msk.aws.kafka.state import Cluster, Region
from pytest_msk.aws.kafka.tags import check_tags
from pytest_msk.aws.kafka.versions import Version, find_version
from pytest_msk.spec import ClusterSpec

_DEFAULT_VOLUME_SIZE = 1000
"""GiB; what the console proposes. AWS does not say what the API fills in."""

_NO_VPC_AUTHENTICATION = {
    "Sasl": {"Scram": {"Enabled": False}, "Iam": {"Enabled": False}},
    "Tls": {"Enabled": False},
}


def create_provisioned(
    region: Region, name: str, request: Mapping[str, Any], tags: Mapping[str, str]
) -> Cluster:
    """Check a request, and start the cluster it asks for.

    Args:
        region: where.
        name: the cluster's name.
        request: the members of ``ProvisionedRequest``; CreateCluster's own have the same names.
        tags: the cluster's tags.

    Raises:
        AwsError: the first rule that the request breaks.
    """
    strict = region.service.strict
    rules.check_name(name)
    check_tags(tags)
    version = find_version(request["KafkaVersion"], strict=strict)
    zones = network.zone_ids(region, request["BrokerNodeGroupInfo"]["ClientSubnets"])
    security = read_security(request, strict=strict)
    _check(region, request, version, zones)
    check_security(security)
    # From the configuration on, which must not be deleted before the cluster is there, nor a quota be passed.
    with region.service.changed:
        spec = ClusterSpec(
            name=name,
            brokers=request["NumberOfBrokerNodes"],
            kafka_version=version.name,
            configuration=configuration_properties(
                region,
                request.get("ConfigurationInfo"),
                version,
                express=rules.is_express(request["BrokerNodeGroupInfo"]["InstanceType"]),
            ),
            zone_ids=tuple(zones),
            **listeners.opened(region, security),
            # MSK's brokers do not make topics on first use; where nothing was said about security the
            # cluster is one for trying things out, and they do, unless the rules are to be AWS's.
            auto_create_topics=not security.named and not strict,
        )
        region.check_quotas("PROVISIONED", spec.brokers)
        settings = _settings(region, request, zones, security)
        return region.create_cluster("PROVISIONED", spec, settings, tags, region.service.plane)


def _check(region: Region, request: Mapping[str, Any], version: Version, zones: Sequence[str]) -> None:
    group = request["BrokerNodeGroupInfo"]
    instance_type = group["InstanceType"]
    rules.check_instance_type(instance_type)
    rules.check_subnets(
        group["ClientSubnets"],
        zones,
        region.name,
        express=rules.is_express(instance_type),
        strict=region.service.strict,
    )
    kraft = has_kraft(version, instance_type)
    rules.check_broker_count(request["NumberOfBrokerNodes"], len(zones), kraft=kraft)
    rules.check_connectivity(group.get("ConnectivityInfo", {}))
    rules.check_storage(request, version)
    rules.check_express(request, version)
    check_log_destinations(region, request.get("LoggingInfo", {}))


def has_kraft(version: Version, instance_type: str) -> bool:
    """Whether a cluster's metadata is kept by KRaft controllers. Express 3.9 is KRaft without saying so."""
    return version.kraft or (rules.is_express(instance_type) and version.release >= (3, 9))


def _settings(
    region: Region, request: Mapping[str, Any], zones: Sequence[str], security: Security
) -> dict[str, Any]:
    """The members of ``Provisioned``, as far as the request decides them."""
    express = rules.is_express(request["BrokerNodeGroupInfo"]["InstanceType"])
    configuration = request.get("ConfigurationInfo", {})
    settings = {
        "BrokerNodeGroupInfo": _broker_node_group(region, request["BrokerNodeGroupInfo"], zones),
        "CurrentBrokerSoftwareInfo": {
            "KafkaVersion": request["KafkaVersion"],
            "ConfigurationArn": configuration.get("Arn"),
            "ConfigurationRevision": configuration.get("Revision"),
        },
        "EncryptionInfo": _encryption(region, request.get("EncryptionInfo", {}), security),
        "EnhancedMonitoring": request.get("EnhancedMonitoring", "DEFAULT"),
        "NumberOfBrokerNodes": request["NumberOfBrokerNodes"],
        "StorageMode": None if express else request.get("StorageMode", "LOCAL"),
        "Rebalancing": {"Status": "ACTIVE"} | request.get("Rebalancing", {}) if express else None,
    }
    if "ClientAuthentication" in request:
        settings["ClientAuthentication"] = client_authentication(security)
    if "OpenMonitoring" in request:
        settings["OpenMonitoring"] = open_monitoring(request["OpenMonitoring"])
    if "LoggingInfo" in request:
        settings["LoggingInfo"] = logging_info(request["LoggingInfo"])
    return settings


def _broker_node_group(region: Region, group: Mapping[str, Any], zones: Sequence[str]) -> dict[str, Any]:
    filled = {
        "BrokerAZDistribution": group.get("BrokerAZDistribution", "DEFAULT"),
        "ClientSubnets": list(group["ClientSubnets"]),
        "InstanceType": group["InstanceType"],
        "SecurityGroups": group.get("SecurityGroups")
        or network.default_security_groups(region, group["ClientSubnets"]),
        "ConnectivityInfo": {
            "PublicAccess": {"Type": "DISABLED"},
            "VpcConnectivity": {"ClientAuthentication": deepcopy(_NO_VPC_AUTHENTICATION)},
            "NetworkType": group.get("ConnectivityInfo", {}).get("NetworkType", "IPV4"),
        },
        "ZoneIds": list(zones),
    }
    if not rules.is_express(group["InstanceType"]):
        volume = {"VolumeSize": _DEFAULT_VOLUME_SIZE} | group.get("StorageInfo", {}).get("EbsStorageInfo", {})
        filled["StorageInfo"] = {"EbsStorageInfo": volume}
    return filled


def _encryption(region: Region, encryption: Mapping[str, Any], security: Security) -> dict[str, Any]:
    key = encryption.get("EncryptionAtRest", {}).get("DataVolumeKMSKeyId", "alias/aws/kafka")
    return {
        "EncryptionAtRest": {"DataVolumeKMSKeyId": _key_arn(region, key)},
        "EncryptionInTransit": {"ClientBroker": security.client_broker, "InCluster": security.in_cluster},
    }


def _key_arn(region: Region, key: str) -> str:
    """The ARN of a KMS key, from its ARN, its id, or an alias (whose key's id is made up)."""
    if re.fullmatch(r"arn:[^/]+:key/.+", key):
        return key
    prefix = f"arn:{partition(region.name)}:kms:{region.name}:{region.account_id}"
    if "alias/" in key:
        alias = key[key.index("alias/") :]
        key = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{prefix}:{alias}"))
    return f"{prefix}:key/{key}"
