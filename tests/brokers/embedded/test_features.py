"""Which features of its release a broker tells a client of."""

from __future__ import annotations

import pytest

from pytest_msk.brokers.embedded import api_versions  # noqa: F401  # registers its handler
from tests.brokers.embedded.clusters import ask, cluster_of


@pytest.mark.parametrize(("version", "told"), [(3, False), (4, True)])
def test_clients_that_know_no_level_zero_are_told_of_none(version: int, told: bool) -> None:
    answer = ask(
        cluster_of(1, kafka_version="3.9.1"),
        "ApiVersions",
        version,
        client_software_name="apache-kafka-java",
        client_software_version="3.6.2",
    )
    lowest = {feature.name: feature.min_version for feature in answer.supported_features}
    assert lowest["metadata.version"] == 1
    assert (0 in lowest.values()) is told
