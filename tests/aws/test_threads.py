"""Many callers at once: nothing is lost, and nobody waits for ever."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pytest_msk.aws.kafka.state import MskService
from tests.aws.kafka_api import PROVISIONED, create, finished
from tests.aws.planes import FakePlane

CALLERS = 8
ROUNDS = 5


def live(client: Any, service: MskService, caller: int) -> list[str]:
    """One caller's clusters: every second one is deleted. Returns the names of those that are left."""
    left = []
    for turn in range(ROUNDS):
        name = f"caller-{caller}-{turn}"
        arn = create(client, name, Tags={"caller": str(caller)})
        service.wait_active(arn, 30)
        client.tag_resource(ResourceArn=arn, Tags={"turn": str(turn)})
        version = client.describe_cluster(ClusterArn=arn)["ClusterInfo"]["CurrentVersion"]
        grown = client.update_broker_count(
            ClusterArn=arn, CurrentVersion=version, TargetNumberOfBrokerNodes=6
        )
        assert finished(client, grown["ClusterOperationArn"])["OperationState"] == "UPDATE_COMPLETE"
        made = client.create_configuration(Name=name, ServerProperties=b"num.partitions=2")
        if turn % 2:
            client.delete_cluster(ClusterArn=arn)
            client.delete_configuration(Arn=made["Arn"])
        else:
            left.append(name)
    return left


def contend(client: Any, arn: str, caller: int) -> str | None:
    """Ask for an update of a cluster that others want to update, too; the operation's ARN if it began."""
    version = client.describe_cluster(ClusterArn=arn)["ClusterInfo"]["CurrentVersion"]
    try:
        answer = client.update_broker_count(
            ClusterArn=arn, CurrentVersion=version, TargetNumberOfBrokerNodes=6 + 3 * caller
        )
    except client.exceptions.BadRequestException:
        return None
    operation: str = answer["ClusterOperationArn"]
    return operation


def test_each_with_clusters_of_its_own(client: Any, service: MskService, plane: FakePlane) -> None:
    with ThreadPoolExecutor(CALLERS) as threads:
        found = threads.map(lambda caller: live(client, service, caller), range(CALLERS))
        left = {name for names in found for name in names}
    for cluster in service.clusters():
        if cluster.name not in left:
            assert service.wait_deleted(str(cluster.arn), 30)
    pages = client.get_paginator("list_clusters").paginate(PaginationConfig={"PageSize": 7})
    listed = [cluster for page in pages for cluster in page["ClusterInfoList"]]
    assert {cluster["ClusterName"] for cluster in listed} == left
    assert len(listed) == len(left)
    for cluster in listed:
        caller, turn = cluster["ClusterName"].split("-")[1:]
        assert cluster["Tags"] == {"caller": caller, "turn": turn}
        assert cluster["NumberOfBrokerNodes"] == 6
    configurations = client.list_configurations()["Configurations"]
    assert {configuration["Name"] for configuration in configurations} == left


def test_all_with_the_same_cluster(client: Any, service: MskService, plane: FakePlane) -> None:
    arn = create(client)
    service.wait_active(arn, 30)
    plane.apply_gate.clear()
    with ThreadPoolExecutor(CALLERS) as threads:
        begun = list(threads.map(lambda caller: contend(client, arn, caller), range(CALLERS)))
    plane.apply_gate.set()
    (operation,) = [one for one in begun if one]
    done = finished(client, operation)
    wanted = done["TargetClusterInfo"]["NumberOfBrokerNodes"]
    assert client.describe_cluster(ClusterArn=arn)["ClusterInfo"]["NumberOfBrokerNodes"] == wanted
    assert len(client.list_cluster_operations(ClusterArn=arn)["ClusterOperationInfoList"]) == 1


def test_all_with_one_name(client: Any, service: MskService, plane: FakePlane) -> None:
    def make(_: int) -> str | None:
        try:
            made: str = client.create_cluster(ClusterName="one", **PROVISIONED)["ClusterArn"]
        except client.exceptions.ConflictException:
            return None
        return made

    with ThreadPoolExecutor(CALLERS) as threads:
        made = [arn for arn in threads.map(make, range(CALLERS)) if arn]
    assert len(made) == 1
