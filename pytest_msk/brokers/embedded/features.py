"""The features of a new cluster of a Kafka release, and which level of each is on (KIP-584)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

ELR = "eligible.leader.replicas.version"
TRANSACTION = "transaction.version"
GROUP = "group.version"

_METADATA = "metadata.version"
_KRAFT = "kraft.version"

_FIRST_LEVELS_DROPPED = (4, 0)
_METADATA_LEVELS = {
    (3, 0): 1,
    (3, 1): 2,
    (3, 2): 3,
    (3, 3): 7,
    (3, 4): 8,
    (3, 5): 11,
    (3, 6): 14,
    (3, 7): 19,
    (3, 8): 20,
    (3, 9): 21,
    (4, 0): 25,
    (4, 1): 27,
    (4, 2): 29,
    (4, 3): 30,
    (4, 4): 33,
}


class Feature(NamedTuple):
    """One feature: the levels that the brokers know, and the one that is on (0: it is off)."""

    lowest: int
    highest: int
    level: int


def features(release: tuple[int, ...]) -> Mapping[str, Feature]:
    """By name, for a cluster that was formatted by this release with nothing said about features."""
    minor = release[:2]
    found = {}
    if minor in _METADATA_LEVELS:
        level = _METADATA_LEVELS[minor]
        found[_METADATA] = Feature(7 if minor >= _FIRST_LEVELS_DROPPED else 1, level, level)
    if minor >= (3, 9):
        found[_KRAFT] = Feature(0, 1, 0)  # the quorum's voters are fixed
    if minor >= (4, 0):
        found[TRANSACTION] = Feature(0, 2, 2)
        found[GROUP] = Feature(0, 1, 1)
        found[ELR] = Feature(0, 1, 1 if minor >= (4, 1) else 0)
    return found
