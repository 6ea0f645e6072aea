"""ListKafkaVersions and GetCompatibleKafkaVersions."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_msk.aws.kafka.versions import LISTED, find_version
from tests.aws.kafka_api import create


def test_list(client: Any) -> None:
    versions = client.list_kafka_versions()["KafkaVersions"]
    statuses = {version["Version"]: version["Status"] for version in versions}
    assert [*statuses] == [version.name for version in LISTED]
    assert statuses["1.1.1"] == statuses["3.5.1"] == "DEPRECATED"
    assert statuses["3.8.x"] == statuses["4.0.x.kraft"] == "ACTIVE"


def test_pages(client: Any) -> None:
    pages = client.get_paginator("list_kafka_versions").paginate(PaginationConfig={"PageSize": 5})
    together = [version["Version"] for page in pages for version in page["KafkaVersions"]]
    assert together == [version.name for version in LISTED]


def targets(client: Any, **cluster: str) -> list[str]:
    (entry,) = client.get_compatible_kafka_versions(**cluster)["CompatibleKafkaVersions"]
    found: list[str] = entry["TargetVersions"]
    return found


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("3.6.0", ["3.7.x", "3.8.x", "3.9.x"]),
        ("3.7.x.kraft", ["3.8.x.kraft", "3.9.x.kraft", "4.0.x.kraft", "4.1.x.kraft"]),
        ("2.8.2.tiered", ["3.6.0", "3.7.x", "3.8.x", "3.9.x"]),
        ("4.1.x.kraft", []),
        ("3.9.x", []),
        ("3.7.1", ["3.8.x.kraft", "3.9.x.kraft", "4.0.x.kraft", "4.1.x.kraft"]),
    ],
)
def test_of_a_cluster(client: Any, version: str, expected: list[str]) -> None:
    arn = create(client, KafkaVersion=version)
    assert targets(client, ClusterArn=arn) == expected


def test_patch_releases_are_forward_only_too() -> None:
    assert "2.6.1" in find_version("2.6.0", strict=True).targets
    assert "2.6.0" not in find_version("2.6.1", strict=True).targets


def test_of_all_versions(client: Any) -> None:
    entries = client.get_compatible_kafka_versions()["CompatibleKafkaVersions"]
    assert [entry["SourceVersion"] for entry in entries] == [version.name for version in LISTED]
