"""Updates that brokers act on: their number, their type, their configuration, their version, a reboot."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from pytest_msk.aws.errors import bad_request
from pytest_msk.aws.kafka import rules
from pytest_msk.aws.kafka.api import Call, operation, provisioned_cluster
from pytest_msk.aws.kafka.configurations import configuration_properties
from pytest_msk.aws.kafka.operations import (
    IDENTICAL,
    ClusterOperation,
    Update,
    check_active,
    new_operation_arn,
    start,
    update,
)
from pytest_msk.aws.kafka.provisioned import has_kraft
from pytest_msk.aws.kafka.state import Cluster
from pytest_msk.aws.kafka.versions import Version, find_version

_FIRST_TO_SHRINK = (2, 8, 1)
_SMALLEST = "kafka.t3.small"
_VERSION_STEPS = ("INITIALIZE_UPDATE", "UPDATE_APACHE_KAFKA_BINARIES", "FINALIZE_UPDATE")


@operation("UpdateBrokerCount")
def update_broker_count(call: Call) -> Mapping[str, Any]:
    """More brokers, which hold nothing at first; or fewer, where those that go hold nothing."""
    target: int = call.params["TargetNumberOfBrokerNodes"]

    def plan(cluster: Cluster) -> Update:
        parameter = "targetNumberOfBrokerNodes"
        present = cluster.spec.brokers
        if target == present:
            raise bad_request(IDENTICAL, parameter)
        version = _version(cluster)
        zones = len(cluster.spec.zone_ids)
        kraft = has_kraft(version, _instance_type(cluster))
        rules.check_broker_count(target, zones, kraft=kraft, parameter=parameter)
        if target < present:
            _check_fewer(cluster, target, zones, version)
        call.region.check_quotas("PROVISIONED", target - present)
        ids = {"CreatedBrokerIds": [*map(float, range(present + 1, target + 1))]}
        if target < present:
            ids = {"DeletedBrokerIds": [*map(float, range(target + 1, present + 1))]}
        return Update(
            "INCREASE_BROKER_COUNT" if target > present else "DECREASE_BROKER_COUNT",
            {"NumberOfBrokerNodes": present},
            {"NumberOfBrokerNodes": target, "BrokerCountUpdateInfo": ids},
            cluster.spec.changed(brokers=target),
            {**cluster.settings, "NumberOfBrokerNodes": target},
        )

    return update(call, plan)


@operation("UpdateBrokerType")
def update_broker_type(call: Call) -> Mapping[str, Any]:
    """Another instance type of the same family. No broker of ours is larger for it."""
    target: str = call.params["TargetInstanceType"]

    def plan(cluster: Cluster) -> Update:
        present = _instance_type(cluster)
        if target == present:
            raise bad_request(IDENTICAL, "targetInstanceType")
        rules.check_instance_type(target, "targetInstanceType")
        if rules.is_express(target) != rules.is_express(present):
            raise bad_request(
                f"A cluster cannot change between Standard and Express brokers: it has {present}, "
                f"and {target} was asked for.",
                "targetInstanceType",
            )
        if cluster.settings.get("StorageMode") == "TIERED" and target == _SMALLEST:
            raise bad_request(
                f"{target} has no tiered storage, which the cluster uses.", "targetInstanceType"
            )
        settings = deepcopy(cluster.settings)
        settings["BrokerNodeGroupInfo"]["InstanceType"] = target
        return Update(
            "UPDATE_BROKER_TYPE", {"InstanceType": present}, {"InstanceType": target}, cluster.spec, settings
        )

    return update(call, plan)


@operation("UpdateClusterConfiguration")
def update_cluster_configuration(call: Call) -> Mapping[str, Any]:
    """Another configuration, or another revision of the same one."""
    wanted: Mapping[str, Any] = call.params["ConfigurationInfo"]

    def plan(cluster: Cluster) -> Update:
        present = _configuration(cluster)
        express = rules.is_express(_instance_type(cluster))
        properties = configuration_properties(call.region, wanted, _version(cluster), express=express)
        if present == wanted:
            raise bad_request(IDENTICAL, "configurationInfo")
        return Update(
            "UPDATE_CLUSTER_CONFIGURATION",
            {"ConfigurationInfo": present} if present else {},
            {"ConfigurationInfo": dict(wanted)},
            cluster.spec.changed(configuration=properties),
            _with_software(cluster, ConfigurationArn=wanted["Arn"], ConfigurationRevision=wanted["Revision"]),
        )

    return update(call, plan)


@operation("UpdateClusterKafkaVersion")
def update_cluster_kafka_version(call: Call) -> Mapping[str, Any]:
    """A newer version; its brokers take over one after the other."""
    target: str = call.params["TargetKafkaVersion"]
    wanted: Mapping[str, Any] | None = call.params.get("ConfigurationInfo")

    def plan(cluster: Cluster) -> Update:
        present, strict = _version(cluster), call.region.service.strict
        if target == present.name:
            raise bad_request(IDENTICAL, "targetKafkaVersion")
        version = find_version(target, strict=strict, parameter="targetKafkaVersion")
        if not present.upgrades_to(version):
            raise bad_request(
                f"A cluster of KafkaVersion [{present.name}] cannot be updated to [{target}]. "
                f"Compatible versions: [{', '.join(present.targets)}]",
                "targetKafkaVersion",
            )
        info = wanted or _configuration(cluster)
        express = rules.is_express(_instance_type(cluster))
        properties = configuration_properties(call.region, info, version, express=express)
        changes: dict[str, Any] = {"KafkaVersion": target}
        if wanted:
            changes |= {"ConfigurationArn": wanted["Arn"], "ConfigurationRevision": wanted["Revision"]}
        return Update(
            "UPDATE_CLUSTER_KAFKA_VERSION",
            {"KafkaVersion": present.name},
            {"KafkaVersion": target, **({"ConfigurationInfo": dict(wanted)} if wanted else {})},
            cluster.spec.changed(kafka_version=target, configuration=properties),
            _with_software(cluster, **changes),
            _VERSION_STEPS,
        )

    return update(call, plan)


@operation("RebootBroker")
def reboot_broker(call: Call) -> Mapping[str, Any]:
    """One broker restarts, on its port and with its data. Needs no version, and changes none."""
    service = call.region.service
    with service.changed:
        cluster = provisioned_cluster(call)
        check_active(cluster)
        broker_id = _one_broker(cluster, call.params["BrokerIds"])
        begun = ClusterOperation(
            new_operation_arn(cluster), "REBOOT_NODE", verb="REBOOT", during="REBOOTING_BROKER"
        )
        return start(service, cluster, begun, lambda: cluster.brokers.reboot(broker_id))


def _check_fewer(cluster: Cluster, target: int, zones: int, version: Version) -> None:
    if version.number < _FIRST_TO_SHRINK:
        raise bad_request(
            f"Brokers can be removed since Kafka 2.8.1, and the cluster's version is {version.name}.",
            "targetNumberOfBrokerNodes",
        )
    present = cluster.spec.brokers
    if present - target != zones:
        raise bad_request(
            "Brokers are removed one from each Availability Zone at a time: "
            f"{present - zones} of {present} would be left, not {target}.",
            "targetNumberOfBrokerNodes",
        )


def _one_broker(cluster: Cluster, broker_ids: list[str]) -> int:
    if len(broker_ids) != 1:
        raise bad_request("Exactly one broker can be rebooted at a time.", "brokerIds")
    text = broker_ids[0]
    if not text.isdecimal() or not 1 <= int(text) <= cluster.spec.brokers:
        raise bad_request(
            f"There is no broker {text!r}: the cluster has 1 to {cluster.spec.brokers}.", "brokerIds"
        )
    return int(text)


def _version(cluster: Cluster) -> Version:
    return find_version(cluster.spec.kafka_version, strict=False)


def _instance_type(cluster: Cluster) -> str:
    found: str = cluster.settings["BrokerNodeGroupInfo"]["InstanceType"]
    return found


def _configuration(cluster: Cluster) -> dict[str, Any] | None:
    """``ConfigurationInfo`` of the cluster; None where it has the default configuration."""
    software = cluster.settings["CurrentBrokerSoftwareInfo"]
    if software["ConfigurationArn"] is None:
        return None
    return {"Arn": software["ConfigurationArn"], "Revision": software["ConfigurationRevision"]}


def _with_software(cluster: Cluster, **changes: Any) -> dict[str, Any]:
    software = {**cluster.settings["CurrentBrokerSoftwareInfo"], **changes}
    return {**cluster.settings, "CurrentBrokerSoftwareInfo": software}
