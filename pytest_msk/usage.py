"""Which tests ask for MSK, and where a run keeps what it knows; light enough for every run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_msk.session import MskSession
    from pytest_msk.settings import Settings

MARKER = "msk"
CLUSTER_FIXTURE = "msk_cluster"
# All of ours depend on the first. The others count by name: below an override by the user, pytest 8.4 does
# not see what the overridden fixture depends on.
_FIXTURES = frozenset({"_msk", CLUSTER_FIXTURE, "msk_client", "msk_cluster_factory"})

settings_key: pytest.StashKey[Settings] = pytest.StashKey()
session_key: pytest.StashKey[MskSession] = pytest.StashKey()
item_key: pytest.StashKey[pytest.Item] = pytest.StashKey()
"""The test that runs."""


def uses_msk(item: pytest.Item) -> bool:
    """Whether a test asks for MSK by a fixture, its own or an inherited one, or by the marker."""
    return not _FIXTURES.isdisjoint(fixture_names(item)) or item.get_closest_marker(MARKER) is not None


def fixture_names(item: pytest.Item) -> list[str]:
    """Names of all fixtures that a test uses, those of its fixtures included."""
    return getattr(item, "fixturenames", [])
