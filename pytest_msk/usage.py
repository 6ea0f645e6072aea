"""Which tests ask for MSK, and where a run keeps what it knows; light enough for every run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_msk.session import MskSession
    from pytest_msk.settings import Settings

MARKER = "msk"
CLUSTER_FIXTURE = "msk_cluster"
ROOT_FIXTURE = "_msk"
"""The fixture that all of ours depend on."""

settings_key: pytest.StashKey[Settings] = pytest.StashKey()
session_key: pytest.StashKey[MskSession] = pytest.StashKey()
item_key: pytest.StashKey[pytest.Item] = pytest.StashKey()
"""The test that runs."""


def uses_msk(item: pytest.Item) -> bool:
    """Whether a test asks for MSK by a fixture, its own or an inherited one, or by the marker."""
    return ROOT_FIXTURE in fixture_names(item) or item.get_closest_marker(MARKER) is not None


def fixture_names(item: pytest.Item) -> list[str]:
    """Names of all fixtures that a test uses, those of its fixtures included."""
    return getattr(item, "fixturenames", [])
