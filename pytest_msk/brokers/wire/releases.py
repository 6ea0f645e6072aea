"""Which versions of each API the brokers of a Kafka release advertise."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from types import MappingProxyType

from pytest_msk.brokers.wire.definitions import table

_FIRST = (2, 2)


@functools.cache
def advertised(release: tuple[int, ...]) -> Mapping[str, range]:
    """By API name, the versions that a broker of a release advertises to clients by default.

    A release that is later than all in the table counts as the last of them, an earlier one as the first.
    Since 4.0 brokers advertise Produce from version 0, though they serve it from 3 (KAFKA-18659).

    Args:
        release: of Kafka: `(3, 7, 1)`. Only major and minor matter.
    """
    minor = max(release[:2], _FIRST)
    found = {api: _at(minor, history) for api, history in _histories().items()}
    return MappingProxyType({api: versions for api, versions in found.items() if versions})


def _at(release: tuple[int, ...], history: dict[tuple[int, ...], range | None]) -> range | None:
    known = [since for since in history if since <= release]
    return history[max(known)] if known else None


@functools.cache
def _histories() -> dict[str, dict[tuple[int, ...], range | None]]:
    return {
        api: {_release(since): _versions(versions) for since, versions in history.items()}
        for api, history in table("releases").items()
    }


def _release(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


def _versions(text: str | None) -> range | None:
    if text is None:
        return None
    low, high = text.split("-")
    return range(int(low), int(high) + 1)
