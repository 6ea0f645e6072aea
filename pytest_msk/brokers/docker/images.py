"""Which image runs which Kafka: the one table of versions."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pytest_msk.errors import MskUsageError

OFFICIAL = "apache/kafka:{version}"

FIRST = "3.7.0"
"""The first release that has an official image."""

NEWEST_PATCH: Mapping[str, int] = {
    "3.7": 2,
    "3.8": 1,
    "3.9": 2,
    "4.0": 2,
    "4.1": 2,
    "4.2": 2,
    "4.3": 1,
}
"""Minor release to its newest patch: what MSK's ``3.7.x`` and ``3.7.x.kraft`` run."""

RELEASES: tuple[str, ...] = tuple(
    f"{minor}.{patch}" for minor, newest in NEWEST_PATCH.items() for patch in range(newest + 1)
)

_VERSION = re.compile(r"(?P<minor>\d+\.\d+)\.(?:(?P<patch>\d+)|x(?:\.kraft)?)(?:\.tiered)?")


def is_versioned(template: str) -> bool:
    """Whether an image template has one image for each Kafka version."""
    return "{version}" in template


def image_for(template: str, kafka_version: str) -> str:
    """The image that runs a Kafka version.

    Args:
        template: an image name with ``{version}`` in it, or one that is used for every version.
        kafka_version: Kafka's own number or MSK's name.

    Raises:
        MskUsageError: no image has that version.
    """
    if not is_versioned(template):
        return template
    return template.replace("{version}", kafka_release(kafka_version))


def kafka_release(kafka_version: str) -> str:
    """Kafka's own number for a version that may be one of MSK's names: ``3.7.x.kraft`` is ``3.7.2``.

    Raises:
        MskUsageError: it is not the name of a version, or no official image has it.
    """
    match = _VERSION.fullmatch(kafka_version)
    if match is None:
        raise MskUsageError(
            f"Kafka version {kafka_version!r} is neither a release of Apache Kafka (3.7.1) "
            "nor one of MSK's names (3.7.x, 3.9.x, 4.0.x.kraft)."
        )
    minor, patch = match["minor"], match["patch"]
    if _number(f"{minor}.{patch or 0}") < _number(FIRST):
        raise MskUsageError(
            f"Kafka version {kafka_version!r} cannot run in a container: no apache/kafka image exists below "
            f"{FIRST}. The nearest versions that have one: {', '.join(nearest(kafka_version))}."
        )
    if patch is not None:
        return f"{minor}.{patch}"
    if minor not in NEWEST_PATCH:
        raise MskUsageError(
            f"Kafka version {kafka_version!r}: no release {minor} is known. "
            f"The nearest versions that have an image: {', '.join(nearest(kafka_version))}."
        )
    return f"{minor}.{NEWEST_PATCH[minor]}"


def nearest(kafka_version: str, count: int = 3) -> tuple[str, ...]:
    """The releases with an official image that are nearest to a version, in their order."""
    match = _VERSION.fullmatch(kafka_version)
    if match is None:
        return RELEASES[-count:]
    wanted = _number(f"{match['minor']}.{match['patch'] or 0}")
    others = [release for release in RELEASES if release != kafka_version]
    below = sum(_number(release) < wanted for release in others)
    start = min(max(below - count // 2 - 1, 0), len(others) - count)
    return tuple(others[start : start + count])


def _number(release: str) -> tuple[int, ...]:
    return tuple(int(part) for part in release.split("."))
