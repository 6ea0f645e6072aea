"""The fixtures, and the function that makes more of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_msk.cluster import MskCluster
    from pytest_msk.session import MskSession
    from pytest_msk.settings import Scope


@pytest.fixture(scope="session")
def _msk(pytestconfig: pytest.Config) -> Iterator[MskSession]:
    """The run's MSK; ends with the session."""
    from pytest_msk.session import msk_session

    session = msk_session(pytestconfig)
    yield session
    session.close()


@pytest.fixture(scope="session")
def msk_cluster(_msk: MskSession) -> Iterator[MskCluster]:
    """An MSK cluster as ``@pytest.mark.msk(...)`` says, shared in the scope that it or ``msk_scope`` says."""
    yield _msk.lease_cluster()
    _msk.release_cluster()


@pytest.fixture
def msk_client(_msk: MskSession) -> Any:
    """A boto3 ``kafka`` client, patched for this test."""
    _msk.patch()
    return _msk.runtime.client()


@pytest.fixture
def msk_cluster_factory(_msk: MskSession) -> Iterator[Callable[..., MskCluster]]:
    """Makes clusters, as many as wanted, with the marker's arguments; they end with the test."""
    with ExitStack() as leases:

        def make(**arguments: Any) -> MskCluster:
            lease = _msk.lease_arguments("msk_cluster_factory", arguments)
            leases.callback(_msk.release, lease)
            return lease.cluster

        yield make


def msk_cluster_fixture(name: str | None = None, scope: Scope = "function", **spec: Any) -> Any:
    """Make a fixture of one's own, to be assigned to a name in a conftest or a test module.

    Args:
        name: the fixture's name; None for the name that it is assigned to.
        scope: how long the fixture and its cluster live.
        **spec: the marker's other arguments.

    Returns:
        A pytest fixture whose value is an `MskCluster`.

    Raises:
        MskUsageError: an argument is unknown or not allowed.
    """
    from pytest_msk.marker import check_arguments

    check_arguments((), {"scope": scope, **spec})

    def cluster(_msk: MskSession, request: pytest.FixtureRequest) -> Iterator[MskCluster]:
        lease = _msk.lease_arguments(str(request.fixturename), {"scope": scope, **spec})
        yield lease.cluster
        _msk.release(lease)

    return pytest.fixture(scope=scope, name=name)(cluster)
