"""Cluster operations: how an update goes on, and how it is told of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pytest_msk.aws.kafka.state import MskService
from pytest_msk.errors import MskError
from tests.aws.kafka_api import create_serverless, finished, refused
from tests.aws.planes import FakePlane

Active = Callable[..., str]


def version(client: Any, arn: str) -> str:
    found: str = client.describe_cluster(ClusterArn=arn)["ClusterInfo"]["CurrentVersion"]
    return found


def grow(client: Any, arn: str, brokers: int = 6) -> str:
    """Ask for more brokers; the operation's ARN."""
    answer = client.update_broker_count(
        ClusterArn=arn, CurrentVersion=version(client, arn), TargetNumberOfBrokerNodes=brokers
    )
    assert answer["ClusterArn"] == arn
    operation_arn: str = answer["ClusterOperationArn"]
    return operation_arn


def test_an_operation_from_beginning_to_end(client: Any, plane: FakePlane, active: Active) -> None:
    arn = active()
    before = version(client, arn)
    plane.apply_gate.clear()
    operation_arn = grow(client, arn)
    assert operation_arn.startswith(arn.replace(":cluster/", ":cluster-operation/") + "/")
    cluster = client.describe_cluster(ClusterArn=arn)["ClusterInfo"]
    assert cluster["State"] == "UPDATING"
    assert cluster["ActiveOperationArn"] == operation_arn
    assert (cluster["NumberOfBrokerNodes"], cluster["CurrentVersion"]) == (3, before)
    going_on = client.describe_cluster_operation(ClusterOperationArn=operation_arn)["ClusterOperationInfo"]
    assert going_on["OperationState"] in ("PENDING", "UPDATE_IN_PROGRESS")
    assert "EndTime" not in going_on
    plane.apply_gate.set()
    done = finished(client, operation_arn)
    assert done["OperationState"] == "UPDATE_COMPLETE"
    assert done["OperationType"] == "INCREASE_BROKER_COUNT"
    assert done["EndTime"] >= done["CreationTime"]
    assert done["ClusterArn"] == arn
    assert "ErrorInfo" not in done
    cluster = client.describe_cluster(ClusterArn=arn)["ClusterInfo"]
    assert cluster["State"] == "ACTIVE"
    assert cluster["NumberOfBrokerNodes"] == 6
    assert cluster["CurrentVersion"] != before
    assert "ActiveOperationArn" not in cluster


def test_one_that_fails_leaves_the_cluster_as_it_was(client: Any, plane: FakePlane, active: Active) -> None:
    arn = active()
    before = version(client, arn)
    plane.apply_error = MskError("There is no room for more brokers.")
    failed = finished(client, grow(client, arn))
    assert failed["OperationState"] == "UPDATE_FAILED"
    assert failed["ErrorInfo"] == {
        "ErrorCode": "BROKER_FAILURE",
        "ErrorString": "There is no room for more brokers.",
    }
    cluster = client.describe_cluster(ClusterArn=arn)["ClusterInfo"]
    assert (cluster["State"], cluster["NumberOfBrokerNodes"]) == ("ACTIVE", 3)
    assert cluster["CurrentVersion"] == before
    plane.apply_error = None
    assert finished(client, grow(client, arn))["OperationState"] == "UPDATE_COMPLETE"


def test_the_second_version_of_the_api(client: Any, plane: FakePlane, active: Active) -> None:
    arn = active()
    operation_arn = grow(client, arn)
    first = finished(client, operation_arn)
    second = client.describe_cluster_operation_v2(ClusterOperationArn=operation_arn)["ClusterOperationInfo"]
    assert second["ClusterType"] == "PROVISIONED"
    assert second["StartTime"] == first["CreationTime"]
    for member in ("EndTime", "OperationArn", "OperationState", "OperationType"):
        assert second[member] == first[member]
    for member in ("OperationSteps", "SourceClusterInfo", "TargetClusterInfo"):
        assert second["Provisioned"][member] == first[member]
    (listed,) = client.list_cluster_operations_v2(ClusterArn=arn)["ClusterOperationInfoList"]
    assert listed == {name: value for name, value in second.items() if name != "Provisioned"}


def test_lists_begin_with_the_latest(client: Any, plane: FakePlane, active: Active) -> None:
    arn = active()
    made: list[str] = []
    for brokers in (6, 9, 12):
        made.insert(0, grow(client, arn, brokers))
        finished(client, made[0])
    for listing in ("list_cluster_operations", "list_cluster_operations_v2"):
        pages = client.get_paginator(listing).paginate(ClusterArn=arn, PaginationConfig={"PageSize": 2})
        listed = [[one["OperationArn"] for one in page["ClusterOperationInfoList"]] for page in pages]
        assert listed == [made[:2], made[2:]]


def test_a_cluster_that_nothing_was_done_to(client: Any, active: Active) -> None:
    arn = active()
    assert client.list_cluster_operations(ClusterArn=arn)["ClusterOperationInfoList"] == []
    assert client.list_cluster_operations_v2(ClusterArn=arn)["ClusterOperationInfoList"] == []


def test_only_an_active_cluster_is_updated(client: Any, plane: FakePlane, active: Active) -> None:
    arn = active()
    current = version(client, arn)
    plane.apply_gate.clear()
    grow(client, arn)
    with refused("BadRequestException") as refusal:
        client.update_broker_count(ClusterArn=arn, CurrentVersion=current, TargetNumberOfBrokerNodes=9)
    assert refusal.message == "You can't update a cluster in UPDATING state."
    assert refusal.parameter == "clusterArn"
    with refused("BadRequestException"):
        client.reboot_broker(ClusterArn=arn, BrokerIds=["1"])
    with refused("BadRequestException"):
        client.delete_cluster(ClusterArn=arn)


def test_an_update_needs_the_current_version(client: Any, plane: FakePlane, active: Active) -> None:
    arn = active()
    stale = version(client, arn)
    finished(client, grow(client, arn))
    with refused("BadRequestException") as refusal:
        client.update_broker_count(ClusterArn=arn, CurrentVersion=stale, TargetNumberOfBrokerNodes=9)
    assert refusal.message == (
        "The version of the cluster isn't current. Check the current version and try again."
    )
    assert refusal.parameter == "currentVersion"


def test_a_cluster_that_is_removed_while_it_is_updated(
    client: Any, service: MskService, plane: FakePlane, active: Active
) -> None:
    arn = active()
    plane.apply_gate.clear()
    operation_arn = grow(client, arn)
    service.delete(arn)
    with refused("NotFoundException"):
        client.describe_cluster_operation(ClusterOperationArn=operation_arn)
    assert plane.made["orders"].brokers == ()


@pytest.mark.parametrize("describe", ["describe_cluster_operation", "describe_cluster_operation_v2"])
def test_an_operation_that_there_is_not(client: Any, active: Active, describe: str) -> None:
    arn = active().replace(":cluster/", ":cluster-operation/") + "/0"
    with refused("NotFoundException") as refusal:
        getattr(client, describe)(ClusterOperationArn=arn)
    assert refusal.message == f"The cluster operation {arn} does not exist."
    with refused("BadRequestException") as refusal:
        getattr(client, describe)(ClusterOperationArn="mine")
    assert refusal.parameter == "clusterOperationArn"


def test_operations_of_serverless_clusters(client: Any) -> None:
    arn = create_serverless(client)
    assert client.list_cluster_operations_v2(ClusterArn=arn)["ClusterOperationInfoList"] == []
    with refused("BadRequestException") as refusal:
        client.list_cluster_operations(ClusterArn=arn)
    assert refusal.message == "This operation cannot be performed on serverless clusters."
