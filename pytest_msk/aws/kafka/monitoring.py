"""Monitoring, logging and rebalancing: what is told about a cluster, and who moves its partitions.

No broker does anything else for it yet: neither metrics endpoints nor log delivery are there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from typing import Any

from pytest_msk import neighbours
from pytest_msk.aws.errors import bad_request
from pytest_msk.aws.kafka import rules
from pytest_msk.aws.kafka.api import Call, operation
from pytest_msk.aws.kafka.operations import IDENTICAL, Update, update
from pytest_msk.aws.kafka.state import Cluster, Region

# AWS publishes neither name.
_MONITORING_TYPE = "UPDATE_MONITORING"
_REBALANCING_TYPE = "UPDATE_REBALANCING"


@operation("UpdateMonitoring")
def update_monitoring(call: Call) -> Mapping[str, Any]:
    """Other metrics or logs. What is left out stays; what is the same as before is taken all the same."""

    def plan(cluster: Cluster) -> Update:
        present = cluster.settings
        changed = _monitoring(call.params, present)
        if not changed:
            raise bad_request(
                "At least one of enhancedMonitoring, openMonitoring and loggingInfo must be given.",
                "enhancedMonitoring",
            )
        if "LoggingInfo" in changed:
            check_log_destinations(call.region, changed["LoggingInfo"])
        return Update(
            _MONITORING_TYPE,
            {name: present[name] for name in changed if name in present},
            changed,
            cluster.spec,
            {**deepcopy(present), **changed},
        )

    return update(call, plan)


@operation("UpdateRebalancing")
def update_rebalancing(call: Call) -> Mapping[str, Any]:
    """Pauses or resumes intelligent rebalancing. Our brokers move no partition either way."""
    target: str | None = call.params["Rebalancing"].get("Status")

    def plan(cluster: Cluster) -> Update:
        rules.check_rebalancing(cluster.settings["BrokerNodeGroupInfo"]["InstanceType"])
        if target is None:
            raise bad_request("The status of rebalancing must be given: ACTIVE or PAUSED.", "status")
        present = cluster.settings["Rebalancing"]
        if target == present["Status"]:
            raise bad_request(IDENTICAL, "rebalancing")
        change = {"Rebalancing": {"Status": target}}
        return Update(
            _REBALANCING_TYPE,
            {"Rebalancing": present},
            change,
            cluster.spec,
            {**cluster.settings, **change},
        )

    return update(call, plan)


def open_monitoring(given: Mapping[str, Any], present: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """``OpenMonitoring`` as Describe shows it: both exporters, explicit.

    Args:
        given: the request's.
        present: what the cluster has, for what the request leaves out.
    """
    off = {"EnabledInBroker": False}
    before = (present or {}).get("Prometheus", {})
    return {"Prometheus": {"JmxExporter": off, "NodeExporter": off, **before, **given["Prometheus"]}}


def logging_info(given: Mapping[str, Any], present: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """``LoggingInfo`` as Describe shows it: of each kind of logs that was ever given, all destinations.

    Args:
        given: the request's.
        present: what the cluster has, for what the request leaves out.
    """
    off = {"Enabled": False}
    before = present or {}
    return dict(before) | {
        logs: {"CloudWatchLogs": off, "Firehose": off, "S3": off, **before.get(logs, {}), **destinations}
        for logs, destinations in given.items()
    }


def check_log_destinations(region: Region, logging: Mapping[str, Any]) -> None:
    """Refuse a destination without a name, or one that is not there.

    Names are looked up in those of moto's services that have been called, and taken on trust otherwise.
    """
    rules.check_log_destinations(logging)
    for destinations in logging.values():
        for destination, (member, wire, names) in _LOOK_UPS.items():
            setting = destinations.get(destination, {})
            if not setting.get("Enabled"):
                continue
            known = names(region)
            if known is not None and setting[member] not in known:
                raise bad_request(
                    f"The {wire} {setting[member]!r}, a destination of logs, does not exist.", wire
                )


def _monitoring(request: Mapping[str, Any], present: Mapping[str, Any]) -> dict[str, Any]:
    changed: dict[str, Any] = {}
    if "EnhancedMonitoring" in request:
        changed["EnhancedMonitoring"] = request["EnhancedMonitoring"]
    if "OpenMonitoring" in request:
        changed["OpenMonitoring"] = open_monitoring(request["OpenMonitoring"], present.get("OpenMonitoring"))
    if "LoggingInfo" in request:
        changed["LoggingInfo"] = logging_info(request["LoggingInfo"], present.get("LoggingInfo"))
    return changed


def _log_groups(region: Region) -> Iterable[str] | None:
    backend = neighbours.backend("logs", region.account_id, region.name)
    return None if backend is None else list(backend.groups)


def _delivery_streams(region: Region) -> Iterable[str] | None:
    backend = neighbours.backend("firehose", region.account_id, region.name)
    return None if backend is None else list(backend.delivery_streams)


def _buckets(_: Region) -> Iterable[str] | None:
    """Those of every account: a bucket's name is nobody else's, and its owner may let MSK write."""
    accounts = list(neighbours.backends("s3").values())
    backends = [backend for account in accounts for backend in list(account.values())]
    return [name for backend in backends for name in list(backend.buckets)] if backends else None


# By destination: the member that names it, that member on the wire, and the names that there are.
_LOOK_UPS: Mapping[str, tuple[str, str, Callable[[Region], Iterable[str] | None]]] = {
    "CloudWatchLogs": ("LogGroup", "logGroup", _log_groups),
    "Firehose": ("DeliveryStream", "deliveryStream", _delivery_streams),
    "S3": ("Bucket", "bucket", _buckets),
}
