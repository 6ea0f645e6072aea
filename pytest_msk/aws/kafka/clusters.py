"""Clusters: create, describe, list, delete, in the API's first version and its second.

Clusters made through either show in both; the first hides serverless ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_msk.aws.errors import bad_request
from pytest_msk.aws.kafka import network
from pytest_msk.aws.kafka.api import Call, operation, provisioned_cluster
from pytest_msk.aws.kafka.operations import STALE_VERSION
from pytest_msk.aws.kafka.provisioned import create_provisioned, has_kraft
from pytest_msk.aws.kafka.serverless import create_serverless
from pytest_msk.aws.kafka.state import Cluster
from pytest_msk.aws.kafka.versions import find_version
from pytest_msk.aws.pages import page

_ZOOKEEPERS = 3


@operation("CreateCluster")
def create_cluster(call: Call) -> Mapping[str, Any]:
    """Answers at once; the cluster is ACTIVE when every one of its brokers answers."""
    tags = call.params.get("Tags", {})
    cluster = create_provisioned(call.region, call.params["ClusterName"], call.params, tags)
    return {"ClusterArn": str(cluster.arn), "ClusterName": cluster.name, "State": "CREATING"}


@operation("CreateClusterV2")
def create_cluster_v2(call: Call) -> Mapping[str, Any]:
    """As CreateCluster, for serverless clusters too."""
    name, tags = call.params["ClusterName"], call.params.get("Tags", {})
    provisioned, serverless = call.params.get("Provisioned"), call.params.get("Serverless")
    if (provisioned is None) == (serverless is None):
        raise bad_request("Exactly one of provisioned and serverless must be given.", "provisioned")
    if provisioned is not None:
        cluster = create_provisioned(call.region, name, provisioned, tags)
    else:
        cluster = create_serverless(call.region, name, serverless or {}, tags)
    return {
        "ClusterArn": str(cluster.arn),
        "ClusterName": cluster.name,
        "State": "CREATING",
        "ClusterType": cluster.kind,
    }


@operation("DescribeCluster")
def describe_cluster(call: Call) -> Mapping[str, Any]:
    """One provisioned cluster."""
    cluster = provisioned_cluster(call)
    call.region.service.wait_a_moment(cluster)
    return {"ClusterInfo": _describe(cluster)}


@operation("DescribeClusterV2")
def describe_cluster_v2(call: Call) -> Mapping[str, Any]:
    """One cluster of either type."""
    cluster = call.region.cluster(call.params["ClusterArn"])
    call.region.service.wait_a_moment(cluster)
    return {"ClusterInfo": _describe_v2(cluster)}


@operation("ListClusters")
def list_clusters(call: Call) -> Mapping[str, Any]:
    """Provisioned clusters, oldest first."""
    clusters, token = _list(call, "PROVISIONED")
    return {"ClusterInfoList": [_describe(cluster) for cluster in clusters], "NextToken": token}


@operation("ListClustersV2")
def list_clusters_v2(call: Call) -> Mapping[str, Any]:
    """Clusters of both types, oldest first."""
    kind = call.params.get("ClusterTypeFilter")
    if kind not in (None, "PROVISIONED", "SERVERLESS"):
        raise bad_request(
            f"Invalid value for clusterTypeFilter: {kind!r}. Valid values: [PROVISIONED, SERVERLESS]",
            "clusterTypeFilter",
        )
    clusters, token = _list(call, kind)
    return {"ClusterInfoList": [_describe_v2(cluster) for cluster in clusters], "NextToken": token}


@operation("DeleteCluster")
def delete_cluster(call: Call) -> Mapping[str, Any]:
    """Answers at once. Describe shows DELETING until the brokers are gone, then NotFoundException."""
    cluster = call.region.cluster(call.params["ClusterArn"])
    service = call.region.service
    with service.changed:
        if cluster.state not in ("ACTIVE", "FAILED"):
            raise bad_request(f"You can't delete a cluster in {cluster.state} state.", "clusterArn")
        if call.params.get("CurrentVersion", cluster.current_version) != cluster.current_version:
            raise bad_request(STALE_VERSION, "currentVersion")
        service.begin_delete(cluster)
    return {"ClusterArn": str(cluster.arn), "State": "DELETING"}


def _list(call: Call, kind: str | None) -> tuple[list[Cluster], str | None]:
    call.region.service.wait_a_moment(*call.region.clusters())
    prefix = call.params.get("ClusterNameFilter", "")
    wanted = [
        cluster
        for cluster in call.region.clusters()
        if cluster.name.startswith(prefix) and kind in (None, cluster.kind)
    ]
    return page(call, wanted, lambda cluster: f"{cluster.number:012}")


def _identity(cluster: Cluster) -> dict[str, Any]:
    info = cluster.state_info
    active = cluster.active_operation
    return {
        "ActiveOperationArn": str(active.arn) if active else None,
        "ClusterArn": str(cluster.arn),
        "ClusterName": cluster.name,
        "CreationTime": cluster.creation_time,
        "CurrentVersion": cluster.current_version,
        "State": cluster.state,
        "StateInfo": {"Code": info.code, "Message": info.message} if info else None,
        "Tags": cluster.tags,
    }


def _describe(cluster: Cluster) -> dict[str, Any]:
    """``ClusterInfo``: identity and settings side by side."""
    return _identity(cluster) | cluster.settings | _zookeeper(cluster)


def _describe_v2(cluster: Cluster) -> dict[str, Any]:
    """``Cluster``: settings under the member for the cluster's type."""
    if cluster.kind == "SERVERLESS":
        settings = {"Serverless": cluster.settings}
    else:
        settings = {"Provisioned": cluster.settings | _zookeeper(cluster)}
    return _identity(cluster) | {"ClusterType": cluster.kind} | settings


def _zookeeper(cluster: Cluster) -> dict[str, str]:
    """ZooKeeper's addresses, of a cluster that has ZooKeeper and got as far as having any."""
    version = find_version(cluster.spec.kafka_version, strict=False)
    instance_type = cluster.settings["BrokerNodeGroupInfo"]["InstanceType"]
    if has_kraft(version, instance_type) or cluster.state in ("CREATING", "FAILED"):
        return {}
    hosts = [network.host(cluster, f"z-{number}") for number in range(1, _ZOOKEEPERS + 1)]
    return {
        "ZookeeperConnectString": ",".join(f"{host}:2181" for host in hosts),
        "ZookeeperConnectStringTls": ",".join(f"{host}:2182" for host in hosts),
    }
