"""How clients reach a cluster and get in: public access, other VPCs, IPv6, encryption, authentication."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from typing import Any

from pytest_msk.aws.errors import bad_request
from pytest_msk.aws.kafka import listeners, rules
from pytest_msk.aws.kafka.api import Call, operation
from pytest_msk.aws.kafka.operations import IDENTICAL, Update, update
from pytest_msk.aws.kafka.provisioned import has_kraft
from pytest_msk.aws.kafka.security import (
    Security,
    check_security,
    client_authentication,
    is_same,
    present_security,
    schemes_of,
    updated_security,
)
from pytest_msk.aws.kafka.state import Cluster
from pytest_msk.aws.kafka.versions import Version, find_version
from pytest_msk.aws.kafka.vpc_connections import deactivate, private_schemes

SEVERAL_SETTINGS = (
    "You can't update multiple connectivity settings in the same request. Modify your request to update only "
    "NetworkType, VpcConnectivity, or PublicAccess connectivity setting, and try again."
)
NO_SECURITY_UPDATES = (
    "The request does not include any updates to the security setting of the cluster. Verify the request, "
    "then try again."
)
AT_REST = "Updating encryption-at-rest settings on your cluster is not currently supported."
IN_CLUSTER = "Updating the inter-broker encryption setting on your cluster is not currently supported."

_CONNECTIVITY_TYPE = "UPDATE_CONNECTIVITY"
_SECURITY_TYPE = "UPDATE_SECURITY"
_PUBLIC = "SERVICE_PROVIDED_EIPS"
_PUBLIC_ACCESS = ("DISABLED", _PUBLIC)
_SECURITY_MEMBERS = {"ClientAuthentication": "clientAuthentication", "EncryptionInfo": "encryptionInfo"}
"""What UpdateSecurity takes, and its name on the wire."""


@operation("UpdateConnectivity")
def update_connectivity(call: Call) -> Mapping[str, Any]:
    """Public access, private connectivity to other VPCs, IPv6, ZooKeeper's ports.

    The brokers stay as they are: a listener has one address on this machine, whoever it is for.
    """

    def plan(cluster: Cluster) -> Update:
        source, target = _connectivity_change(cluster, call.params)
        zookeeper = call.params.get("ZookeeperAccess")
        if zookeeper is not None:
            present = {"Enabled": _zookeeper_access(cluster)}
            _check_zookeeper(cluster, zookeeper, present, alone=not target)
            source, target = {**source, "ZookeeperAccess": present}, {**target, "ZookeeperAccess": zookeeper}
        if not target:
            given = "ConnectivityInfo" in call.params
            missing = "At least one of connectivityInfo and zookeeperAccess must be given."
            raise bad_request(IDENTICAL if given else missing, "connectivityInfo")
        settings = deepcopy(cluster.settings)
        settings["BrokerNodeGroupInfo"]["ConnectivityInfo"] |= target.get("ConnectivityInfo", {})
        return Update(_CONNECTIVITY_TYPE, source, target, cluster.spec, settings)

    service = call.region.service
    return update(call, plan, lambda cluster: deactivate(service, cluster, private_schemes(cluster)))


@operation("UpdateSecurity")
def update_security(call: Call) -> Mapping[str, Any]:
    """Other ways to authenticate, or other encryption between clients and brokers: other listeners."""
    request = call.params

    def plan(cluster: Cluster) -> Update:
        given = [name for name in _SECURITY_MEMBERS if name in request]
        if not given:
            raise bad_request(
                "At least one of clientAuthentication and encryptionInfo must be given.",
                "clientAuthentication",
            )
        target = updated_security(cluster.settings, request)
        _check_encryption(cluster, request.get("EncryptionInfo", {}))
        # The developer guide calls the operation idempotent: a setting that is given as it is stays so.
        # A request that changes nothing at all is refused, though.
        if is_same(present_security(cluster.settings), target):
            raise bad_request(NO_SECURITY_UPDATES)
        check_security(target)
        _check_relied_on(cluster, target, _SECURITY_MEMBERS[given[0]])
        settings = _with_security(cluster, target, given)
        return Update(
            _SECURITY_TYPE,
            _shown(cluster.settings, given),
            _shown(settings, given),
            cluster.spec.changed(**listeners.opened(call.region, target)),
            settings,
        )

    return update(call, plan)


def _connectivity_change(
    cluster: Cluster, request: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Source and target of what a request changes; empty where it is all as before."""
    present = _connectivity(cluster)
    merged = _merged(present, request.get("ConnectivityInfo", {}))
    changed = [name for name in merged if merged[name] != present[name]]
    if len(changed) > 1:
        raise bad_request(SEVERAL_SETTINGS, "connectivityInfo")
    if not changed:
        return {}, {}
    name = changed[0]
    _CHECKS[name](cluster, present[name], merged[name])
    return {"ConnectivityInfo": {name: present[name]}}, {"ConnectivityInfo": {name: merged[name]}}


def _check_public_access(cluster: Cluster, _: Any, target: Mapping[str, Any]) -> None:
    access = target["Type"]
    if access not in _PUBLIC_ACCESS:
        raise bad_request(
            f"Invalid value for type: {access!r}. Valid values: [{', '.join(_PUBLIC_ACCESS)}]", "type"
        )
    if access == _PUBLIC:
        security = present_security(cluster.settings)
        rules.check_public_access(security, cluster.spec.configuration, _version(cluster), "publicAccess")


def _check_vpc_connectivity(cluster: Cluster, _: Any, target: Mapping[str, Any]) -> None:
    rules.check_vpc_connectivity(
        schemes_of(target["ClientAuthentication"]),
        present_security(cluster.settings),
        _version(cluster),
        _instance_type(cluster),
        "vpcConnectivity",
    )


def _check_network_type(cluster: Cluster, present: str, target: str) -> None:
    rules.check_network_type(present, target, _version(cluster))


_CHECKS: Mapping[str, Callable[[Cluster, Any, Any], None]] = {
    "PublicAccess": _check_public_access,
    "VpcConnectivity": _check_vpc_connectivity,
    "NetworkType": _check_network_type,
}


def _check_zookeeper(
    cluster: Cluster, wanted: Mapping[str, Any], present: Mapping[str, Any], *, alone: bool
) -> None:
    if has_kraft(_version(cluster), _instance_type(cluster)):
        raise bad_request("The cluster has no ZooKeeper.", "zookeeperAccess")
    if "Enabled" not in wanted:
        raise bad_request("enabled must be given for zookeeperAccess.", "enabled")
    if alone and wanted == present:
        raise bad_request(IDENTICAL, "zookeeperAccess")


def _zookeeper_access(cluster: Cluster) -> bool:
    """Whether ZooKeeper's ports are open, which they are at first and Describe has no member for."""
    changes = (
        one.target["ZookeeperAccess"]["Enabled"]
        for one in reversed(cluster.operations)
        if "ZookeeperAccess" in one.target and one.state == "UPDATE_COMPLETE"
    )
    return next(changes, True)


def _check_encryption(cluster: Cluster, wanted: Mapping[str, Any]) -> None:
    """Refuse all but a new ``clientBroker``; what is as before is no update."""
    present = cluster.settings["EncryptionInfo"]
    at_rest = wanted.get("EncryptionAtRest", present["EncryptionAtRest"])
    if at_rest != present["EncryptionAtRest"]:
        raise bad_request(AT_REST, "encryptionAtRest")
    in_cluster = present["EncryptionInTransit"]["InCluster"]
    if wanted.get("EncryptionInTransit", {}).get("InCluster", in_cluster) != in_cluster:
        raise bad_request(IN_CLUSTER, "inCluster")


def _check_relied_on(cluster: Cluster, target: Security, parameter: str) -> None:
    """Refuse to take away what public access or connectivity to other VPCs stands on."""
    connectivity, version = _connectivity(cluster), _version(cluster)
    if connectivity["PublicAccess"]["Type"] == _PUBLIC:
        rules.check_public_access(target, cluster.spec.configuration, version, parameter)
    schemes = schemes_of(connectivity["VpcConnectivity"]["ClientAuthentication"])
    rules.check_vpc_connectivity(schemes, target, version, _instance_type(cluster), parameter)


def _with_security(cluster: Cluster, target: Security, given: Sequence[str]) -> dict[str, Any]:
    settings = deepcopy(cluster.settings)
    settings["EncryptionInfo"]["EncryptionInTransit"]["ClientBroker"] = target.client_broker
    if "ClientAuthentication" in given:
        settings["ClientAuthentication"] = client_authentication(target)
    return settings


def _shown(settings: Mapping[str, Any], given: Sequence[str]) -> dict[str, Any]:
    """The members that are given, as far as they can change; without what was never set."""
    transit = {"EncryptionInTransit": settings["EncryptionInfo"]["EncryptionInTransit"]}
    found = {"ClientAuthentication": settings.get("ClientAuthentication"), "EncryptionInfo": transit}
    return {name: found[name] for name in given if found[name] is not None}


def _merged(present: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """A structure with the members that are given, and at every depth those that are not as they were."""
    changed = {
        name: _merged(present.get(name, {}), value) if isinstance(value, Mapping) else value
        for name, value in given.items()
    }
    return {**present, **changed}


def _connectivity(cluster: Cluster) -> Mapping[str, Any]:
    found: Mapping[str, Any] = cluster.settings["BrokerNodeGroupInfo"]["ConnectivityInfo"]
    return found


def _instance_type(cluster: Cluster) -> str:
    found: str = cluster.settings["BrokerNodeGroupInfo"]["InstanceType"]
    return found


def _version(cluster: Cluster) -> Version:
    return find_version(cluster.spec.kafka_version, strict=False)
