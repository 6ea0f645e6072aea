"""Kafka's versions: MSK's names for them, and what is in one that a client can see."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pytest_msk.errors import MskUsageError

Release = tuple[int, int, int]

NEWEST_PATCH: Mapping[str, int] = {
    "2.8": 2,
    "3.0": 2,
    "3.1": 2,
    "3.2": 3,
    "3.3": 2,
    "3.4": 1,
    "3.5": 2,
    "3.6": 2,
    "3.7": 2,
    "3.8": 1,
    "3.9": 2,
    "4.0": 2,
    "4.1": 2,
    "4.2": 2,
    "4.3": 1,
}
"""Minor release to its newest patch: what MSK's ``3.7.x`` and ``3.7.x.kraft`` run."""

_VERSION = re.compile(r"(?P<minor>\d+\.\d+)\.(?:(?P<patch>\d+)|x(?:\.kraft)?)(?:\.tiered)?")


def number(version: str) -> tuple[int, ...]:
    """A version made of numbers and dots as a tuple that sorts by age."""
    return tuple(int(part) for part in version.split("."))


def parsed(kafka_version: str) -> tuple[str, str | None]:
    """Minor release and patch of a version; None for a patch that MSK leaves open (``3.7.x``).

    Raises:
        MskUsageError: it is not the name of a version.
    """
    match = _VERSION.fullmatch(kafka_version)
    if match is None:
        raise MskUsageError(
            f"Kafka version {kafka_version!r} is neither a release of Apache Kafka (3.7.1) "
            "nor one of MSK's names (3.7.x, 3.9.x, 4.0.x.kraft)."
        )
    return match["minor"], match["patch"]


def release(kafka_version: str) -> Release:
    """The release of Apache Kafka behind a version: ``3.7.x.kraft`` is ``(3, 7, 2)``.

    Raises:
        MskUsageError: it is not the name of a version, or of one that is not known.
    """
    minor, patch = parsed(kafka_version)
    if minor not in NEWEST_PATCH:
        raise MskUsageError(
            f"Kafka version {kafka_version!r}: there are no brokers of {minor}. "
            f"Write one of {', '.join(f'{known}.x' for known in NEWEST_PATCH)}, or a release of these."
        )
    major, below = number(minor)
    return major, below, NEWEST_PATCH[minor] if patch is None else int(patch)
