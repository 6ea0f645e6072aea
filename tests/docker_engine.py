"""Looks at the Docker engine on behalf of tests: is there one, and what has a cluster left on it?"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager

import docker
import pytest
from docker.errors import ImageNotFound

from pytest_msk.brokers.docker.engine import ENGINE_ERRORS, connected, reason

VERSION = "3.7.1"
NEWER_VERSION = "4.3.1"


@functools.cache
def missing(*versions: str) -> str | None:
    """Why tests that need containers cannot run here; None where they can."""
    try:
        with engine() as client:
            for version in versions or (VERSION,):
                client.images.get(f"apache/kafka:{version}")
    except ImageNotFound:
        return f"no image apache/kafka:{version} on the Docker engine; tests/images/build {version} makes one"
    except ENGINE_ERRORS as error:
        return f"no Docker engine: {reason(error)}"
    return None


def require_docker(*versions: str) -> None:
    """Skip the test where there is no engine, or no image of a version."""
    if why := missing(*versions):
        pytest.skip(why)


@contextmanager
def engine() -> Iterator[docker.DockerClient]:
    """A client of the engine that the environment names."""
    with connected() as client:
        yield client.client


def traces(cluster_name: str) -> list[str]:
    """Containers and networks, running or not, of clusters of that name."""
    label = "pytest-msk.cluster-arn"
    part = f":cluster/{cluster_name}/"
    with engine() as client:
        containers = client.containers.list(all=True, ignore_removed=True, filters={"label": label})
        networks = client.networks.list(filters={"label": label})
        return [
            thing.name
            for thing in [*containers, *networks]
            if part in (thing.attrs.get("Labels") or thing.labels)[label]
        ]
