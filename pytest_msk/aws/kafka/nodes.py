"""ListNodes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_msk.aws.kafka import network
from pytest_msk.aws.kafka.api import Call, operation, provisioned_cluster
from pytest_msk.aws.kafka.provisioned import has_kraft
from pytest_msk.aws.kafka.state import Cluster
from pytest_msk.aws.kafka.versions import find_version
from pytest_msk.aws.pages import page
from pytest_msk.aws.shapes import iso_8601
from pytest_msk.spec import CLIENT_LISTENERS

_QUORUM = 3
_FIRST_CONTROLLER = 10001
_ZOOKEEPER_VERSION = "3.8.3"


@operation("ListNodes")
def list_nodes(call: Call) -> Mapping[str, Any]:
    """Brokers, then the three KRaft controllers or ZooKeeper nodes.

    A broker's endpoint is the ``host:port`` of its first open listener, so that it can be used; AWS
    gives a host name without a port, and so does a broker here that no client can reach.
    """
    cluster = provisioned_cluster(call)
    version = find_version(cluster.spec.kafka_version, strict=False)
    instance_type = cluster.settings["BrokerNodeGroupInfo"]["InstanceType"]
    quorum = _controller if has_kraft(version, instance_type) else _zookeeper
    brokers = range(1, cluster.spec.brokers + 1)
    nodes = {f"1-{number:04}": _broker(cluster, number) for number in brokers}
    nodes |= {f"2-{number:04}": quorum(cluster, number) for number in range(1, _QUORUM + 1)}
    shown, token = page(call, nodes, str)
    return {"NodeInfoList": [nodes[key] for key in shown], "NextToken": token}


def _broker(cluster: Cluster, number: int) -> dict[str, Any]:
    group = cluster.settings["BrokerNodeGroupInfo"]
    subnets = group["ClientSubnets"]
    node = f"b-{number}"
    return _node(cluster, node) | {
        "NodeType": "BROKER",
        "InstanceType": group["InstanceType"].removeprefix("kafka."),
        "BrokerNodeInfo": {
            "AttachedENIId": network.made_up_id("eni", cluster.arn, node),
            "BrokerId": number,
            "ClientSubnet": subnets[(number - 1) % len(subnets)],
            "ClientVpcIpAddress": f"172.31.{(number - 1) % len(subnets) * 16}.{10 + number}",
            "CurrentBrokerSoftwareInfo": cluster.settings["CurrentBrokerSoftwareInfo"],
            "Endpoints": [_live_endpoint(cluster, number) or network.host(cluster, node)],
        },
    }


def _live_endpoint(cluster: Cluster, number: int) -> str | None:
    for broker in cluster.brokers.brokers:
        if broker.id == number:
            addresses = [str(broker.endpoints[one]) for one in CLIENT_LISTENERS if one in broker.endpoints]
            return addresses[0] if addresses else None
    return None


def _controller(cluster: Cluster, number: int) -> dict[str, Any]:
    node = f"c-{_FIRST_CONTROLLER + number - 1}"
    return _node(cluster, node) | {"ControllerNodeInfo": {"Endpoints": [network.host(cluster, node)]}}


def _zookeeper(cluster: Cluster, number: int) -> dict[str, Any]:
    node = f"z-{number}"
    return _node(cluster, node) | {
        "ZookeeperNodeInfo": {
            "AttachedENIId": network.made_up_id("eni", cluster.arn, node),
            "ClientVpcIpAddress": f"172.31.{(number - 1) * 16}.{200 + number}",
            "Endpoints": [network.host(cluster, node)],
            "ZookeeperId": number,
            "ZookeeperVersion": _ZOOKEEPER_VERSION,
        }
    }


def _node(cluster: Cluster, node: str) -> dict[str, Any]:
    return {
        "AddedToClusterTime": iso_8601(cluster.creation_time),
        "NodeARN": str(cluster.arn.node(node)),
    }
