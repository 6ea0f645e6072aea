"""The same tests on every plane that runs brokers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pytest_msk import MskCluster, mock_msk
from pytest_msk.mock import MockMsk
from tests.conformance.wire import Wire
from tests.docker_engine import NEWER_VERSION, require_docker
from tests.leaks import collect_sockets

PLANES = ["embedded", "docker"]
RACK_AWARE = "org.apache.kafka.common.replica.RackAwareReplicaSelector"


# By package: containers take seconds to start, and no other test meets the patched boto3.
@pytest.fixture(scope="package", params=PLANES)
def msk(request: pytest.FixtureRequest) -> Iterator[MockMsk]:
    if request.param == "docker":
        require_docker()
    with mock_msk(backend=request.param) as msk:
        yield msk


@pytest.fixture(scope="package")
def shared_one(msk: MockMsk) -> MskCluster:
    return msk.cluster(name="one")


@pytest.fixture(scope="package")
def shared_three(msk: MockMsk) -> MskCluster:
    return msk.cluster(name="three", brokers=3, configuration={"replica.selector.class": RACK_AWARE})


# Clients do not outlive their test, as brokers may stop in the next one.
@pytest.fixture
def one(shared_one: MskCluster) -> Iterator[MskCluster]:
    """A cluster of one broker."""
    yield shared_one
    shared_one._open.close()
    collect_sockets()


@pytest.fixture
def three(shared_three: MskCluster) -> Iterator[MskCluster]:
    """A cluster of three brokers."""
    yield shared_three
    shared_three._open.close()
    shared_three._start_stopped_brokers()
    collect_sockets()


@pytest.fixture(scope="package")
def newer(msk: MockMsk, shared_one: MskCluster) -> MskCluster:
    """A cluster of one broker of a newer Kafka."""
    if shared_one.network is not None:
        require_docker(NEWER_VERSION)
    return msk.cluster(name="newer", kafka_version=NEWER_VERSION)


@pytest.fixture
def wire(one: MskCluster) -> Iterator[Wire]:
    """Requests to the cluster of one broker."""
    with Wire(one) as wire:
        yield wire


@pytest.fixture
def wires(three: MskCluster) -> Iterator[Wire]:
    """Requests to the cluster of three brokers."""
    with Wire(three) as wire:
        yield wire


@pytest.fixture
def newer_wire(newer: MskCluster) -> Iterator[Wire]:
    """Requests to the cluster of a newer Kafka."""
    with Wire(newer) as wire:
        yield wire
