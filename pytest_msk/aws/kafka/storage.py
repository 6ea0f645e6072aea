"""Updates of a cluster's storage: the size of its brokers' volumes, their throughput, the storage mode.

No broker can feel any of it. Kafka has no setting for the size of a volume: its limits are those of
each partition, and MSK changes none of them when a volume grows. TIERED needs a plug-in for remote
storage, which neither plane has: the mode is shown, and records stay in the local log.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

from pytest_msk.aws.errors import bad_request
from pytest_msk.aws.kafka import rules
from pytest_msk.aws.kafka.api import Call, operation
from pytest_msk.aws.kafka.operations import IDENTICAL, Update, update
from pytest_msk.aws.kafka.state import Cluster
from pytest_msk.aws.kafka.versions import find_version

NO_EBS_UPDATES = (
    "The request does not include any updates to the EBS volumes of the cluster. Verify the request, then "
    "try again."
)
TOO_SMALL_A_STEP = "The minimum increase in storage size of the cluster should be atleast 100GB"

_LARGEST_VOLUME = 16384
_SMALLEST_STEP = 100
"""GB, of all volumes of a cluster together."""

_COOL_DOWN = timedelta(hours=6)
"""How long MSK optimises volumes that have grown, and lets nobody change them again; in strict mode only."""

_ALL_BROKERS = "ALL"

# AWS publishes neither name.
_BROKER_STORAGE_TYPE = "UPDATE_BROKER_STORAGE"
_STORAGE_TYPE = "UPDATE_STORAGE"


@operation("UpdateBrokerStorage")
def update_broker_storage(call: Call) -> Mapping[str, Any]:
    """Larger volumes, or provisioned throughput on or off, for all brokers alike."""

    def plan(cluster: Cluster) -> Update:
        _check_standard(cluster)
        wanted = _of_all_brokers(call.params["TargetBrokerEBSVolumeInfo"])
        return _volume_update(call, cluster, wanted, _BROKER_STORAGE_TYPE)

    return update(call, plan)


@operation("UpdateStorage")
def update_storage(call: Call) -> Mapping[str, Any]:
    """The same as UpdateBrokerStorage; or another storage mode."""
    mode: str | None = call.params.get("StorageMode")
    members = ("VolumeSizeGB", "ProvisionedThroughput")
    wanted = {name: call.params[name] for name in members if name in call.params}

    def plan(cluster: Cluster) -> Update:
        _check_standard(cluster)
        if mode is None and not wanted:
            raise bad_request(
                "One of storageMode, provisionedThroughput and volumeSizeGB must be given.", "storageMode"
            )
        if mode is None:
            return _volume_update(call, cluster, wanted, _STORAGE_TYPE)
        if wanted:
            raise bad_request(
                "The storage mode is updated in a request of its own, without provisionedThroughput and "
                "volumeSizeGB.",
                "storageMode",
            )
        return _mode_update(cluster, mode)

    return update(call, plan)


def _check_standard(cluster: Cluster) -> None:
    if rules.is_express(_group(cluster)["InstanceType"]):
        raise bad_request(rules.EXPRESS_STORAGE, "clusterArn")


def _of_all_brokers(infos: list[Mapping[str, Any]]) -> Mapping[str, Any]:
    ids = [info["KafkaBrokerNodeId"] for info in infos]
    if [id_.upper() for id_ in ids] != [_ALL_BROKERS]:
        raise bad_request(
            f"The storage of all brokers is updated at once: give one element, whose kafkaBrokerNodeId is "
            f"{_ALL_BROKERS}, instead of {ids}.",
            "kafkaBrokerNodeId",
        )
    return infos[0]


def _mode_update(cluster: Cluster, mode: str) -> Update:
    present = cluster.settings["StorageMode"]
    if mode == present:
        raise bad_request(IDENTICAL, "storageMode")
    if mode == "TIERED":
        version = find_version(cluster.spec.kafka_version, strict=False)
        rules.check_tiered(version, _group(cluster)["InstanceType"])
    return Update(
        _STORAGE_TYPE,
        {"StorageMode": present},
        {"StorageMode": mode},
        cluster.spec,
        {**cluster.settings, "StorageMode": mode},
    )


def _volume_update(call: Call, cluster: Cluster, wanted: Mapping[str, Any], type_: str) -> Update:
    volume: Mapping[str, Any] = _group(cluster)["StorageInfo"]["EbsStorageInfo"]
    size = wanted.get("VolumeSizeGB", volume["VolumeSize"])
    present = volume.get("ProvisionedThroughput", {"Enabled": False})
    throughput = _throughput(present, wanted.get("ProvisionedThroughput", {}))
    if (size, throughput) == (volume["VolumeSize"], present):
        raise bad_request(NO_EBS_UPDATES)
    _check_size(volume["VolumeSize"], size, cluster.spec.brokers)
    rules.check_throughput(throughput, size, _group(cluster)["InstanceType"])
    if call.region.service.strict:
        _check_cooled_down(cluster)
    settings = deepcopy(cluster.settings)
    changed = settings["BrokerNodeGroupInfo"]["StorageInfo"]["EbsStorageInfo"]
    changed["VolumeSize"] = size
    if "ProvisionedThroughput" in volume or "ProvisionedThroughput" in wanted:
        changed["ProvisionedThroughput"] = throughput
    return Update(type_, _shown(volume), _shown(changed), cluster.spec, settings)


def _throughput(present: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**present, **given}
    return merged if merged.get("Enabled") else {"Enabled": False}


def _check_size(present: int, target: int, brokers: int) -> None:
    if target < present:
        raise bad_request(
            f"A volume cannot be made smaller: it has {present} GiB, and {target} GiB were asked for.",
            "volumeSizeGB",
        )
    if target > _LARGEST_VOLUME:
        raise bad_request(f"A volume has at most {_LARGEST_VOLUME} GiB.", "volumeSizeGB")
    if 0 < (target - present) * brokers < _SMALLEST_STEP:
        raise bad_request(TOO_SMALL_A_STEP, "volumeSizeGB")


def _check_cooled_down(cluster: Cluster) -> None:
    ends = [
        one.end_time
        for one in cluster.operations
        if one.end_time and one.error is None and "BrokerEBSVolumeInfo" in one.target
    ]
    if ends and datetime.now(UTC) < max(ends) + _COOL_DOWN:
        raise bad_request(
            "The cluster's storage is being optimized after its last update. It can be updated again "
            f"from {max(ends) + _COOL_DOWN:%Y-%m-%dT%H:%M:%SZ}.",
            "clusterArn",
        )


def _shown(volume: Mapping[str, Any]) -> dict[str, Any]:
    info = {"KafkaBrokerNodeId": _ALL_BROKERS, "VolumeSizeGB": volume["VolumeSize"]}
    if "ProvisionedThroughput" in volume:
        info["ProvisionedThroughput"] = volume["ProvisionedThroughput"]
    return {"BrokerEBSVolumeInfo": [info]}


def _group(cluster: Cluster) -> Mapping[str, Any]:
    found: Mapping[str, Any] = cluster.settings["BrokerNodeGroupInfo"]
    return found
