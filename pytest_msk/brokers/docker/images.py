"""Which image runs which Kafka: the one table of versions."""

from __future__ import annotations

from pytest_msk.brokers.versions import NEWEST_PATCH, number, parsed
from pytest_msk.errors import MskUsageError

OFFICIAL = "apache/kafka:{version}"

FIRST = "3.7.0"
"""The first release that has an official image."""

RELEASES: tuple[str, ...] = tuple(
    f"{minor}.{patch}"
    for minor, newest in NEWEST_PATCH.items()
    if number(f"{minor}.0") >= number(FIRST)
    for patch in range(newest + 1)
)


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
    minor, patch = parsed(kafka_version)
    if number(f"{minor}.{patch or 0}") < number(FIRST):
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
    try:
        minor, patch = parsed(kafka_version)
    except MskUsageError:
        return RELEASES[-count:]
    wanted = number(f"{minor}.{patch or 0}")
    others = [release for release in RELEASES if release != kafka_version]
    below = sum(number(release) < wanted for release in others)
    start = min(max(below - count // 2 - 1, 0), len(others) - count)
    return tuple(others[start : start + count])
