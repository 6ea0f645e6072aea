"""Kafka versions: what MSK offers, what can be upgraded to what.

The table follows the list of supported versions in the developer guide, oldest first. The `x` of
``3.7.x`` is part of the name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pytest_msk.aws.errors import bad_request
from pytest_msk.aws.kafka.api import Call, operation, provisioned_cluster
from pytest_msk.aws.pages import page

_DEPRECATED = (
    "1.1.1", "2.1.0", "2.2.1", "2.3.1", "2.4.1", "2.4.1.1", "2.5.1", "2.6.0", "2.6.1", "2.6.2", "2.6.3",
    "2.7.0", "2.7.1", "2.7.2", "2.8.0", "2.8.1", "2.8.2.tiered", "3.1.1", "3.2.0", "3.3.1", "3.3.2",
    "3.4.0", "3.5.1", "3.6.0",
)  # fmt: skip
"""Past the end of their support. New clusters may still ask for them."""

_SUPPORTED = (
    "3.7.x", "3.7.x.kraft", "3.8.x", "3.8.x.kraft", "3.9.x", "3.9.x.kraft", "4.0.x.kraft", "4.1.x.kraft",
)  # fmt: skip

_EXPRESS = ("3.6", "3.8", "3.9")

_KAFKA_RELEASE = re.compile(r"\d+\.\d+\.\d+")
_LAST_PATCH = 99
_FIRST_TIERED = (3, 6)
_FIRST_KRAFT = (3, 3)


@dataclass(frozen=True)
class Version:
    """A Kafka version as CreateCluster names it.

    Attributes:
        name: MSK's name (``3.7.x.kraft``) or Kafka's own number (``3.7.1``).
        listed: whether MSK lists it; otherwise it is one of Kafka's own numbers.
    """

    name: str
    listed: bool = True

    @property
    def release(self) -> tuple[int, int]:
        """Major and minor number."""
        major, minor, *_ = self.name.split(".")
        return int(major), int(minor)

    @property
    def number(self) -> tuple[int, ...]:
        """Major, minor and patch; a patch that MSK leaves open is the last there can be."""
        _, _, patch, *_ = self.name.split(".")
        return *self.release, _LAST_PATCH if patch == "x" else int(patch)

    @property
    def kraft(self) -> bool:
        """Whether the cluster has KRaft controllers rather than ZooKeeper.

        Of Kafka's own numbers those that can are taken to: it is how our brokers run.
        """
        if self.listed:
            return self.name.endswith(".kraft")
        return self.release >= _FIRST_KRAFT

    @property
    def tiered(self) -> bool:
        """Whether brokers of this version can have tiered storage."""
        return self.name.endswith(".tiered") or self.release >= _FIRST_TIERED

    @property
    def express(self) -> bool:
        """Whether Express brokers come in this version."""
        return f"{self.release[0]}.{self.release[1]}" in _EXPRESS

    @property
    def targets(self) -> list[str]:
        """What a cluster of this version can be upgraded to in place.

        Forward only, not from ZooKeeper to KRaft, and a tiered cluster only to what keeps its tier.
        """
        return [version.name for version in LISTED if self.upgrades_to(version)]

    def upgrades_to(self, other: Version) -> bool:
        """Whether a cluster of this version can be upgraded to another in place."""
        newer = other.release > self.release
        if other.release == self.release and self.listed == other.listed:
            newer = self._is_before(other)
        tier_kept = other.tiered or not self.name.endswith(".tiered")
        return newer and tier_kept and other.kraft == self.kraft

    def _is_before(self, other: Version) -> bool:
        """Whether another of the same minor release is the newer one."""
        if self.listed:
            return LISTED.index(other) > LISTED.index(self)
        return other.number > self.number


LISTED = tuple(Version(name) for name in _DEPRECATED + _SUPPORTED)
"""MSK's versions, oldest first."""


def find_version(name: str, *, strict: bool, parameter: str = "kafkaVersion") -> Version:
    """The version that a caller named.

    Args:
        name: the name.
        strict: take MSK's names only, as AWS does, and not Kafka's own numbers too.
        parameter: the member that the name came in, for the refusal.

    Raises:
        AwsError: BadRequestException in AWS's words.
    """
    for version in LISTED:
        if version.name == name:
            return version
    if not strict and _KAFKA_RELEASE.fullmatch(name):
        return Version(name, listed=False)
    valid = ", ".join(version.name for version in LISTED)
    raise bad_request(f"Unsupported KafkaVersion [{name}]. Valid values: [{valid}]", parameter)


@operation("ListKafkaVersions")
def list_kafka_versions(call: Call) -> Mapping[str, Any]:
    """All versions, oldest first, with whether they are past the end of their support."""
    versions, token = page(call, LISTED, lambda version: f"{LISTED.index(version):03}")
    items = [
        {"Version": version.name, "Status": "DEPRECATED" if version.name in _DEPRECATED else "ACTIVE"}
        for version in versions
    ]
    return {"KafkaVersions": items, "NextToken": token}


@operation("GetCompatibleKafkaVersions")
def get_compatible_kafka_versions(call: Call) -> Mapping[str, Any]:
    """What one cluster, or every version, can be upgraded to."""
    sources = LISTED
    if "ClusterArn" in call.params:
        cluster = provisioned_cluster(call)
        sources = (find_version(cluster.spec.kafka_version, strict=False),)
    return {
        "CompatibleKafkaVersions": [
            {"SourceVersion": version.name, "TargetVersions": version.targets} for version in sources
        ]
    }
