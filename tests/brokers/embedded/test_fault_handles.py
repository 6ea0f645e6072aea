"""What every fault has: a count, an end, and on other planes a reason why it cannot be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from pytest_msk import MskCluster, UnsupportedOnPlaneError, mock_msk
from pytest_msk.brokers.clock import real_monotonic
from pytest_msk.brokers.wire.client import Connection
from pytest_msk.brokers.wire.errors import KafkaError
from pytest_msk.brokers.wire.message import Message
from pytest_msk.faults import Fault
from pytest_msk.mock import MockMsk
from tests.docker_engine import require_docker

Make = Callable[..., Fault]

REQUEST_FAULTS: dict[str, Make] = {
    "fail": lambda cluster, **where: cluster.fail("ListGroups", error="COORDINATOR_NOT_AVAILABLE", **where),
    "delay": lambda cluster, **where: cluster.delay("ListGroups", 0.01, **where),
    "drop": lambda cluster, **where: cluster.drop("ListGroups", **where),
    "throttle": lambda cluster, **where: cluster.throttle("ListGroups", ms=5, **where),
    "on": lambda cluster, **where: cluster.on("ListGroups", lambda _: None, **where),
}
EMBEDDED_ONLY: dict[str, Callable[[MskCluster], Any]] = {
    **REQUEST_FAULTS,
    "partition": lambda cluster: cluster.partition(1),
    "requests": lambda cluster: cluster.requests(),
    "compact": lambda cluster: cluster.compact(),
    "apply_retention": lambda cluster: cluster.apply_retention(),
}


@pytest.fixture
def cluster(msk: MockMsk) -> MskCluster:
    return msk.cluster(brokers=2)


def ask(cluster: MskCluster, broker: int = 1) -> None:
    at = cluster.brokers[broker - 1]
    # Of a connection that is dropped.
    with Connection((at.host, at.port)) as connection, suppress(KafkaError):
        connection.ask("ListGroups", Message(), real_monotonic() + 10)


@pytest.mark.parametrize("make", REQUEST_FAULTS.values(), ids=REQUEST_FAULTS)
def test_it_counts_how_often_it_has_happened(cluster: MskCluster, make: Make) -> None:
    always, twice, elsewhere = make(cluster), make(cluster, times=2), make(cluster, broker=2)
    for _ in range(3):
        ask(cluster)
    assert (always.fired, twice.fired, elsewhere.fired) == (3, 2, 0)
    ask(cluster, broker=2)
    assert (always.fired, twice.fired, elsewhere.fired) == (4, 2, 1)


@pytest.mark.parametrize("make", REQUEST_FAULTS.values(), ids=REQUEST_FAULTS)
def test_it_is_over_when_it_is_stopped_and_keeps_its_count(cluster: MskCluster, make: Make) -> None:
    with make(cluster) as fault:
        ask(cluster)
    ask(cluster)
    fault.stop()
    assert fault.fired == 1


@pytest.fixture(scope="module", params=["docker", "metadata"])
def elsewhere(request: pytest.FixtureRequest) -> Iterator[MskCluster]:
    """A cluster of another plane."""
    if request.param == "docker":
        require_docker()
    with mock_msk(backend=request.param) as msk:
        yield msk.cluster()


@pytest.mark.parametrize("name", EMBEDDED_ONLY)
def test_on_other_planes_it_says_what_to_do(elsewhere: MskCluster, name: str) -> None:
    with pytest.raises(UnsupportedOnPlaneError, match="Only embedded brokers can do this .*docker=False"):
        EMBEDDED_ONLY[name](elsewhere)
