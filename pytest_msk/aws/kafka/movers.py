"""What moves the records of replicators and channels: the seam behind which that is to come."""

from __future__ import annotations

from typing import Protocol

from pytest_msk.aws.kafka.resources import Resource
from pytest_msk.aws.kafka.state import StateInfo


class Mover(Protocol):
    """Copies records for a replicator or a channel, from `start` to `stop`. Called from any thread."""

    def start(self, resource: Resource) -> StateInfo | None:
        """Begin; what its state says of that, if anything.

        Raises:
            MskError: it cannot be begun; the resource is FAILED then.
        """

    def update(self, resource: Resource) -> None:
        """Go on as the resource is now."""

    def stop(self, resource: Resource) -> None:
        """Copy nothing more; return when that is so."""


class MovesNothing:
    """The mover that there is for now."""

    def start(self, resource: Resource) -> StateInfo:
        """Say so."""
        return StateInfo("MOVES_NOTHING", "pytest-msk answers for it, and does not move records yet.")

    def update(self, resource: Resource) -> None:
        """Nothing goes on."""

    def stop(self, resource: Resource) -> None:
        """Nothing went on."""


MOVER: Mover = MovesNothing()
