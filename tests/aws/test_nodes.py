"""ListNodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.aws.kafka_api import group
from tests.aws.planes import FakePlane

Active = Callable[..., str]


def nodes(client: Any, arn: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.list_nodes(ClusterArn=arn)["NodeInfoList"]
    return found


def test_brokers(client: Any, active: Active) -> None:
    arn = active(NumberOfBrokerNodes=6)
    brokers = [node for node in nodes(client, arn) if node.get("NodeType") == "BROKER"]
    infos = [broker["BrokerNodeInfo"] for broker in brokers]
    assert [info["BrokerId"] for info in infos] == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    subnets = ["subnet-a", "subnet-b", "subnet-c"]
    assert [info["ClientSubnet"] for info in infos] == subnets * 2
    assert {broker["InstanceType"] for broker in brokers} == {"m5.large"}
    assert {info["CurrentBrokerSoftwareInfo"]["KafkaVersion"] for info in infos} == {"3.7.x.kraft"}
    assert len({info["AttachedENIId"] for info in infos}) == 6
    assert len({info["ClientVpcIpAddress"] for info in infos}) == 6
    middle = arn.split(":cluster/")[1]
    assert all(f":broker/{middle}/" in broker["NodeARN"] for broker in brokers)
    assert len({broker["NodeARN"] for broker in brokers}) == 6
    assert all(broker["AddedToClusterTime"].endswith("Z") for broker in brokers)


def test_they_are_the_same_when_asked_again(client: Any, active: Active) -> None:
    arn = active()
    assert nodes(client, arn) == nodes(client, arn)


def test_kraft_controllers(client: Any, active: Active) -> None:
    controllers = nodes(client, active())[3:]
    assert len(controllers) == 3
    for number, controller in enumerate(controllers):
        (endpoint,) = controller["ControllerNodeInfo"]["Endpoints"]
        assert endpoint.startswith(f"c-{10001 + number}.orders.")
        assert not {"BrokerNodeInfo", "NodeType", "InstanceType"} & set(controller)


def test_zookeeper(client: Any, active: Active) -> None:
    zookeepers = nodes(client, active(KafkaVersion="3.7.x"))[3:]
    assert [node["ZookeeperNodeInfo"]["ZookeeperId"] for node in zookeepers] == [1.0, 2.0, 3.0]
    assert zookeepers[0]["ZookeeperNodeInfo"]["Endpoints"][0].startswith("z-1.orders.")


def test_express(client: Any, active: Active) -> None:
    arn = active(KafkaVersion="3.9.x", **group(InstanceType="express.m7g.large"))
    first, *_, last = nodes(client, arn)
    assert first["InstanceType"] == "express.m7g.large"
    assert "ControllerNodeInfo" in last


@pytest.mark.usefixtures("plane")
def test_a_live_broker_has_an_address_that_can_be_used(client: Any, active: Active) -> None:
    first, *_ = nodes(client, active())
    assert first["BrokerNodeInfo"]["Endpoints"] == ["127.0.0.1:10000"]


def test_a_broker_that_clients_cannot_reach_has_a_name(client: Any, active: Active, plane: FakePlane) -> None:
    plane.opens = frozenset()
    first, *_ = nodes(client, active())
    assert first["BrokerNodeInfo"]["Endpoints"][0].startswith("b-1.orders.")


def test_pages(client: Any, active: Active) -> None:
    arn = active(NumberOfBrokerNodes=12)
    pages = client.get_paginator("list_nodes").paginate(ClusterArn=arn, PaginationConfig={"PageSize": 4})
    together = [node for page in pages for node in page["NodeInfoList"]]
    assert together == nodes(client, arn)
    assert len(together) == 15


@pytest.mark.parametrize(("region", "length"), [("us-east-1", 22), ("us-west-2", 22), ("eu-central-1", 19)])
def test_host_names_leave_room_for_the_certificate(client: Any, aws: Any, region: str, length: int) -> None:
    kafka = aws.client("kafka", region_name=region)
    name = "An-Order-Cluster-With-A-Long-Name"
    arn = kafka.create_cluster(
        ClusterName=name,
        KafkaVersion="3.7.x.kraft",
        NumberOfBrokerNodes=1,
        **group(ClientSubnets=["subnet-a"]),
    )["ClusterArn"]
    host = nodes(kafka, arn)[0]["BrokerNodeInfo"]["Endpoints"][0]
    assert len(f"*{host.removeprefix('b-1')}") == 64
    # One character less where the number in the host name has two digits.
    assert len(host.split(".")[1]) in (length, length - 1)
    assert name.lower().startswith(host.split(".")[1])
