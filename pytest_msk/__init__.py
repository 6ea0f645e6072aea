"""Amazon MSK clusters as pytest fixtures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_msk.brokers.admin import KafkaRequestError
    from pytest_msk.cluster import MskCluster
    from pytest_msk.errors import (
        BackendUnavailableError,
        BrokerStartError,
        ConditionTimeoutError,
        MskError,
        MskUsageError,
        UnsupportedOnPlaneError,
    )
    from pytest_msk.fixtures import msk_cluster_fixture
    from pytest_msk.mock import mock_msk
    from pytest_msk.records import Record, RecordsTimeoutError
    from pytest_msk.spec import ClusterSpec

__all__ = [
    "BackendUnavailableError",
    "BrokerStartError",
    "ClusterSpec",
    "ConditionTimeoutError",
    "KafkaRequestError",
    "MskCluster",
    "MskError",
    "MskUsageError",
    "Record",
    "RecordsTimeoutError",
    "UnsupportedOnPlaneError",
    "mock_msk",
    "msk_cluster_fixture",
]

_HOMES = {
    "BackendUnavailableError": "errors",
    "BrokerStartError": "errors",
    "ClusterSpec": "spec",
    "ConditionTimeoutError": "errors",
    "KafkaRequestError": "brokers.admin",
    "MskCluster": "cluster",
    "MskError": "errors",
    "MskUsageError": "errors",
    "Record": "records",
    "RecordsTimeoutError": "records",
    "UnsupportedOnPlaneError": "errors",
    "mock_msk": "mock",
    "msk_cluster_fixture": "fixtures",
}


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used: pytest loads the plugin in every run."""
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
