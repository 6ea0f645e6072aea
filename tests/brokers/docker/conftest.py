"""Clusters that tests of this folder share, and what to do where there is no engine."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

# testcontainers' reaper is an image of its own, which a machine without a registry does not have.
os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")

from pytest_msk.brokers.docker.cluster import DockerBrokers
from tests.brokers.docker import support


@pytest.fixture(scope="session")
def docker_engine() -> None:
    """An engine with the images that the tests need: without, skipped, or failed where Docker is required."""
    _demand(f"apache/kafka:{support.VERSION}")


@pytest.fixture(scope="session")
def kafka_4(docker_engine: None) -> str:
    """The newest release of Kafka 4 whose image the engine has."""
    for release in support.RELEASES_OF_4:
        if support.missing(f"apache/kafka:{release}") is None:
            return release
    _demand(f"apache/kafka:{support.RELEASES_OF_4[0]}")
    raise AssertionError


@pytest.fixture(scope="session")
def one_broker(docker_engine: None) -> Iterator[DockerBrokers]:
    with support.running() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def three_brokers(docker_engine: None) -> Iterator[DockerBrokers]:
    with support.running(brokers=3, zone_ids=("use1-az1", "use1-az2", "use1-az3")) as cluster:
        yield cluster


def _demand(image: str) -> None:
    reason = support.missing(image)
    if reason and support.docker_is_required():
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)
