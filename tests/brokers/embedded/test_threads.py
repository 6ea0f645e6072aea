"""All embedded clusters of a process share one thread, which ends with the last of them."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from pytest_msk.brokers.embedded.plane import EmbeddedBrokers, EmbeddedPlane
from pytest_msk.brokers.wire.message import Message
from pytest_msk.spec import ClusterSpec
from tests.brokers.embedded.conftest import ARN
from tests.brokers.embedded.test_server import client, until


def brokers_threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "pytest-msk brokers"}


@pytest.fixture
def planes() -> Iterator[list[EmbeddedPlane]]:
    planes = [EmbeddedPlane(), EmbeddedPlane()]
    yield planes
    for plane in planes:
        plane.close()


def started(plane: EmbeddedPlane, name: str) -> EmbeddedBrokers:
    cluster = plane.brokers(ClusterSpec(name, 3), ARN)
    cluster.start()
    return cluster


def test_clusters_of_any_plane_share_it(planes: list[EmbeddedPlane]) -> None:
    already = brokers_threads()
    clusters = [started(planes[number % 2], f"cluster-{number}") for number in range(6)]
    assert len(brokers_threads()) == 1
    assert brokers_threads() >= already
    for cluster in clusters:
        with client(cluster, 3) as asking:
            assert len(asking.ask("Metadata", Message(topics=[]), until()).brokers) == 3


def test_it_ends_with_the_last_plane_and_comes_again(planes: list[EmbeddedPlane]) -> None:
    already = brokers_threads()
    for name in ("first", "second"):
        kept = started(planes[1], name)
        started(planes[0], name)
        planes[0].close()
        with client(kept) as asking:
            assert len(asking.ask("Metadata", Message(topics=[]), until()).brokers) == 3
        planes[1].close()
        assert brokers_threads() == already
