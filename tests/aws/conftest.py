from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest

from pytest_msk.aws.kafka.state import MskService
from pytest_msk.aws.patch import Patch
from pytest_msk.brokers.metadata import MetadataPlane
from pytest_msk.brokers.plane import Plane
from tests.aws.kafka_api import check_answers, create, moto_server
from tests.aws.planes import PATIENCE, FakePlane


@pytest.fixture(autouse=True)
def own_aws_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that the machine's own AWS settings say."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")


@pytest.fixture
def strict() -> bool:
    return False


@pytest.fixture
def service(strict: bool) -> Iterator[MskService]:
    """An MSK without brokers."""
    service = MskService(MetadataPlane(), strict=strict)
    yield service
    service.close()


@pytest.fixture
def plane(service: MskService) -> FakePlane:
    """The service's plane, made one with brokers that are only addresses."""
    fake = FakePlane()
    service.plane = _checked(fake)
    return fake


def _checked(plane: Plane) -> Plane:
    return plane


@pytest.fixture(scope="session")
def aws() -> boto3.Session:
    """One session for all tests: a new one reads botocore's models anew, for a fifth of a second."""
    return boto3.Session("testing", "testing", region_name="us-east-1")


@pytest.fixture(scope="session")
def checked_client(aws: boto3.Session) -> Any:
    """A kafka client each of whose answers is checked against the model."""
    client = aws.client("kafka")
    check_answers(client)
    return client


@pytest.fixture(scope="session")
def server_client(aws: boto3.Session) -> Iterator[Any]:
    """The same, but its requests go to moto's server."""
    with moto_server() as url:
        client = aws.client("kafka", endpoint_url=url)
        check_answers(client)
        yield client


@pytest.fixture
def client(service: MskService, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A kafka client of the service; with PYTEST_MSK_API_BY_SERVER=1 one that goes to moto's server."""
    by_server = os.environ.get("PYTEST_MSK_API_BY_SERVER") == "1"
    client = request.getfixturevalue("server_client" if by_server else "checked_client")
    with Patch(service):
        yield client


@pytest.fixture
def active(client: Any, service: MskService) -> Callable[..., str]:
    """Create a cluster and wait until it is ACTIVE; its ARN."""

    def make(name: str = "orders", **changes: Any) -> str:
        arn = create(client, name, **changes)
        service.wait_active(arn, PATIENCE)
        return arn

    return make
