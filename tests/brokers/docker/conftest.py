"""Clusters that tests of this folder share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pytest_msk.brokers.docker.cluster import DockerBrokers
from tests.brokers.docker import support
from tests.docker_engine import NEWER_VERSION, require_docker


@pytest.fixture(scope="session")
def docker_engine() -> None:
    """An engine with the image that most tests need."""
    require_docker()


@pytest.fixture(scope="session")
def kafka_4() -> str:
    """A release of Kafka 4 whose image the engine has."""
    require_docker(NEWER_VERSION)
    return NEWER_VERSION


@pytest.fixture(scope="package")
def one_broker(docker_engine: None) -> Iterator[DockerBrokers]:
    with support.running() as cluster:
        yield cluster


@pytest.fixture(scope="package")
def three_brokers(docker_engine: None) -> Iterator[DockerBrokers]:
    with support.running(brokers=3, zone_ids=("use1-az1", "use1-az2", "use1-az3")) as cluster:
        yield cluster
