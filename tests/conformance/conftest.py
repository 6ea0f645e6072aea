"""The same tests on every plane that runs brokers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pytest_msk import MskCluster, mock_msk
from pytest_msk.mock import MockMsk
from tests.docker_engine import require_docker

PLANES = ["embedded", "docker"]


# By module: `mock_msk` patches boto3 for as long as it lasts, and other tests expect no patch.
@pytest.fixture(scope="module", params=PLANES)
def msk(request: pytest.FixtureRequest) -> Iterator[MockMsk]:
    if request.param == "docker":
        require_docker()
    with mock_msk(backend=request.param) as msk:
        yield msk


@pytest.fixture(scope="module")
def one(msk: MockMsk) -> MskCluster:
    """A cluster of one broker."""
    return msk.cluster(name="one")


@pytest.fixture(scope="module")
def three(msk: MockMsk) -> MskCluster:
    """A cluster of three brokers."""
    return msk.cluster(name="three", brokers=3)
