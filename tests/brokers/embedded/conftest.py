"""Embedded clusters that clients reach by sockets."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pytest_msk import mock_msk
from pytest_msk.brokers.embedded.plane import EmbeddedBrokers, EmbeddedPlane
from pytest_msk.mock import MockMsk
from pytest_msk.spec import ClusterSpec

ARN = "arn:aws:kafka:us-east-1:123456789012:cluster/embedded/0-1"


@pytest.fixture(scope="module")
def msk() -> Iterator[MockMsk]:
    """Makes clusters as users hold them, `MskCluster`."""
    with mock_msk("embedded") as msk:
        yield msk


@pytest.fixture(scope="session")
def plane() -> Iterator[EmbeddedPlane]:
    plane = EmbeddedPlane()
    yield plane
    plane.close()


@pytest.fixture
def cluster_of(plane: EmbeddedPlane) -> Iterator[Callable[..., EmbeddedBrokers]]:
    """Makes clusters that end with the test."""
    made = []

    def make(**spec: Any) -> EmbeddedBrokers:
        cluster = plane.brokers(ClusterSpec("embedded", **spec), ARN)
        made.append(cluster)
        cluster.start()
        return cluster

    yield make
    for cluster in made:
        assert cluster.failures() == []
        cluster.stop()


@pytest.fixture
def one(cluster_of: Callable[..., EmbeddedBrokers]) -> EmbeddedBrokers:
    return cluster_of()


@pytest.fixture
def three(cluster_of: Callable[..., EmbeddedBrokers]) -> EmbeddedBrokers:
    return cluster_of(brokers=3)


@pytest.fixture
def connect(one: EmbeddedBrokers) -> Iterator[Callable[[], socket.socket]]:
    """Opens connections to the one broker."""
    opened = []

    def connected() -> socket.socket:
        endpoint = one.brokers[0].endpoints["internal"]
        made = socket.create_connection((endpoint.host, endpoint.port), timeout=10)
        opened.append(made)
        return made

    yield connected
    for connection in opened:
        connection.close()
