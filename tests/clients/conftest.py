"""Clusters for client libraries. Brokers that fail to serve a request fail the test that sent it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.clients import confluent as confluent_kafka
from tests.clients import kafka_python
from tests.clients.clusters import OLD, SINGLE, Cluster, Clusters
from tests.leaks import collect_sockets


@pytest.fixture(scope="package")
def clusters() -> Iterator[Clusters]:
    found = Clusters()
    try:
        yield found
    finally:
        found.close()


@pytest.fixture(scope="module", params=[OLD, SINGLE], ids=str)
def cluster(request: pytest.FixtureRequest, clusters: Clusters) -> Cluster:
    """A cluster of the shape that is asked for; modules ask for others by `parametrize(indirect=True)`."""
    return clusters.get(request.param)


@pytest.fixture
def bootstrap(cluster: Cluster) -> str:
    return cluster.bootstrap


@pytest.fixture(autouse=True)
def _served(cluster: Cluster) -> Iterator[None]:
    yield
    failures = cluster.failures()
    assert not failures, "\n".join(failures)


@pytest.fixture
def clients(cluster: Cluster) -> Iterator[kafka_python.Clients]:
    """Makes clients of kafka-python."""
    with ExitStack() as closing:
        yield kafka_python.Clients(cluster, closing)
    collect_sockets()


@pytest.fixture
def confluent(cluster: Cluster) -> Iterator[confluent_kafka.Clients]:
    """Makes clients of confluent-kafka."""
    with ExitStack() as closing:
        yield confluent_kafka.Clients(cluster, closing)
