"""MskService: what the fixtures use of it, and that threads do not get in each other's way."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from pytest_msk.aws.errors import AwsError
from pytest_msk.aws.kafka.configurations import Configuration, add_revision
from pytest_msk.aws.kafka.state import MskService
from pytest_msk.brokers.metadata import MetadataPlane
from pytest_msk.errors import BrokerStartError, MskError
from tests.aws.kafka_api import create
from tests.aws.planes import PATIENCE, FakePlane


@pytest.fixture
def in_background() -> Iterator[Callable[..., Any]]:
    """Run a function in a thread; its future."""
    with ThreadPoolExecutor() as executor:
        yield executor.submit


def our_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("pytest-msk-")]


class TestWaitActive:
    def test_returns_when_the_brokers_are_ready(
        self, client: Any, service: MskService, plane: FakePlane, in_background: Callable[..., Any]
    ) -> None:
        plane.gate.clear()
        arn = create(client)
        waiting = in_background(service.wait_active, arn, PATIENCE)
        plane.gate.set()
        assert waiting.result(PATIENCE).state == "ACTIVE"

    def test_timeout(self, client: Any, service: MskService, plane: FakePlane) -> None:
        plane.gate.clear()
        with pytest.raises(BrokerStartError, match=r"orders is still CREATING after 0.01 s\."):
            service.wait_active(create(client), 0.01)

    def test_a_cluster_that_is_deleted_meanwhile(
        self, client: Any, service: MskService, plane: FakePlane, in_background: Callable[..., Any]
    ) -> None:
        plane.gate.clear()
        arn = create(client)
        waiting = in_background(service.wait_active, arn, PATIENCE)
        service.delete(arn)
        with pytest.raises((BrokerStartError, AwsError), match=r"was deleted while|does not exist"):
            waiting.result(PATIENCE)

    def test_a_cluster_that_does_not_exist(self, service: MskService) -> None:
        with pytest.raises(AwsError, match="does not exist"):
            service.wait_active("arn:aws:kafka:us-east-1:123456789012:cluster/a/0-1")


class TestDelete:
    def test_cancels_a_start(self, client: Any, service: MskService, plane: FakePlane) -> None:
        plane.gate.clear()
        arn = create(client)
        assert plane.made["orders"].starting.wait(PATIENCE)
        service.delete(arn)
        assert service.clusters() == []
        assert plane.made["orders"].stopped == 1

    def test_before_the_start(self, client: Any, service: MskService, plane: FakePlane) -> None:
        plane.spec_gate.clear()
        arn = create(client)
        remover = service.begin_delete(service.cluster(arn))
        plane.spec_gate.set()
        remover.join(PATIENCE)
        assert service.clusters() == []
        assert not plane.made["orders"].starting.is_set()

    def test_a_start_that_goes_through_nevertheless(
        self, client: Any, service: MskService, plane: FakePlane
    ) -> None:
        plane.gate.clear()
        plane.deaf = True
        arn = create(client)
        assert plane.made["orders"].starting.wait(PATIENCE)
        remover = service.begin_delete(service.cluster(arn))
        plane.gate.set()
        remover.join(PATIENCE)
        assert plane.made["orders"].stopped == 2
        assert plane.made["orders"].brokers == ()
        assert service.clusters() == []

    def test_what_is_gone_is_passed_over(self, client: Any, service: MskService) -> None:
        arn = create(client)
        service.delete(arn)
        service.delete(arn, "nonsense")
        assert service.wait_deleted(arn)

    def test_side_by_side(
        self, client: Any, service: MskService, plane: FakePlane, in_background: Callable[..., Any]
    ) -> None:
        # Each stop waits for the other two.
        together = threading.Barrier(3, timeout=PATIENCE)
        arns = [create(client, name) for name in "abc"]
        for arn in arns:
            service.wait_active(arn, PATIENCE)
        for brokers in plane.made.values():
            brokers.stop = together.wait  # type: ignore[method-assign, assignment]
        service.delete(*arns)
        assert service.clusters() == []

    def test_all_are_tried_and_the_errors_told(
        self, client: Any, service: MskService, plane: FakePlane
    ) -> None:
        arns = [create(client, name) for name in "abc"]
        for arn in arns:
            service.wait_active(arn, PATIENCE)
        plane.stop_errors = {"a": OSError("engine gone"), "c": MskError("volume in use")}
        with pytest.raises(MskError, match=r"2 cluster.*a: OSError: engine gone; c: volume in use") as caught:
            service.delete(*arns)
        assert isinstance(caught.value.__cause__, ExceptionGroup)
        assert [(cluster.name, cluster.state) for cluster in service.clusters()] == [
            ("a", "FAILED"),
            ("c", "FAILED"),
        ]
        service.delete(*arns)
        assert service.clusters() == []

    def test_one_error_is_the_cause(self, client: Any, service: MskService, plane: FakePlane) -> None:
        arn = create(client)
        service.wait_active(arn, PATIENCE)
        plane.stop_errors = {"orders": OSError("engine gone")}
        with pytest.raises(MskError) as caught:
            service.delete(arn)
        assert isinstance(caught.value.__cause__, OSError)
        info = client.describe_cluster(ClusterArn=arn)["ClusterInfo"]
        assert info["StateInfo"]["Message"] == "OSError: engine gone"


def test_close_leaves_no_thread(client: Any, service: MskService, plane: FakePlane) -> None:
    create(client, "ready")
    plane.gate.clear()
    create(client, "starting")
    client.delete_cluster(ClusterArn=str(service.wait_active(create_arn(service, "ready"), PATIENCE).arn))
    service.close()
    assert service.clusters() == []
    assert our_threads() == []


def create_arn(service: MskService, name: str) -> str:
    return next(str(cluster.arn) for cluster in service.clusters() if cluster.name == name)


def test_the_plane_of_the_next_cluster(client: Any, service: MskService) -> None:
    first, second = FakePlane(), FakePlane()
    service.plane = first
    create(client, "a")
    service.plane = second
    create(client, "b")
    assert ([*first.made], [*second.made]) == (["a"], ["b"])


def test_eight_threads_lose_nothing(client: Any, service: MskService, plane: FakePlane) -> None:
    rounds = 5

    def work(worker: int) -> list[str]:
        kept = []
        for number in range(rounds):
            arn = create(client, f"c-{worker}-{number}", Tags={"worker": str(worker)})
            service.wait_active(arn, PATIENCE)
            info = client.describe_cluster(ClusterArn=arn)["ClusterInfo"]
            assert (info["ClusterName"], info["State"]) == (f"c-{worker}-{number}", "ACTIVE")
            assert info["Tags"] == {"worker": str(worker)}
            client.tag_resource(ResourceArn=arn, Tags={"round": str(number)})
            if number % 2:
                client.delete_cluster(ClusterArn=arn)
                assert service.wait_deleted(arn, PATIENCE)
            else:
                kept.append(arn)
        return kept

    with ThreadPoolExecutor(8) as executor:
        kept = [arn for arns in executor.map(work, range(8)) for arn in arns]
    listed = [
        cluster["ClusterArn"]
        for page in client.get_paginator("list_clusters").paginate(PaginationConfig={"PageSize": 7})
        for cluster in page["ClusterInfoList"]
    ]
    assert sorted(listed) == sorted(kept)
    stopped = {name for name, brokers in plane.made.items() if brokers.stopped}
    assert stopped == {f"c-{worker}-{number}" for worker in range(8) for number in (1, 3)}


def test_eight_threads_want_one_name(client: Any) -> None:
    def work(_: int) -> bool:
        try:
            create(client, "the-one")
        except client.exceptions.ConflictException:
            return False
        return True

    with ThreadPoolExecutor(8) as executor:
        assert sum(executor.map(work, range(8))) == 1


class TestParked:
    """A cluster that waits for a later test is out of sight."""

    def test_callers_do_not_see_it(self, client: Any, service: MskService) -> None:
        arn = create(client, Tags={"a": "b"})
        service.cluster(arn).parked = True
        assert client.list_clusters()["ClusterInfoList"] == []
        for call in (client.describe_cluster, client.delete_cluster):
            with pytest.raises(client.exceptions.NotFoundException):
                call(ClusterArn=arn)
        assert create(client) != arn

    def test_its_owner_does(self, client: Any, service: MskService) -> None:
        arn = create(client)
        service.cluster(arn).parked = True
        assert [str(cluster.arn) for cluster in service.clusters()] == [arn]
        assert service.wait_active(arn, PATIENCE).parked
        service.delete(arn)
        assert service.clusters() == []


def test_services_know_nothing_of_each_other() -> None:
    one, other = MskService(MetadataPlane()), MskService(MetadataPlane())
    arn, _ = add_revision(one.region("1" * 12, "us-east-1"), "mine", {})
    assert one.region("1" * 12, "us-east-1").resource(Configuration, arn)
    assert not other.region("1" * 12, "us-east-1").resources(Configuration)
