"""The plane without brokers: the MSK API alone, with empty bootstrap strings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pytest_msk.brokers.auth.keys import ClusterKeys
from pytest_msk.brokers.baseline import Baseline
from pytest_msk.brokers.plane import Broker
from pytest_msk.errors import UnsupportedOnPlaneError
from pytest_msk.spec import ClusterSpec


class MetadataPlane:
    """Runs nothing, always can."""

    name = "metadata"

    def check(self) -> None:
        """Always passes."""

    def check_spec(self, spec: ClusterSpec) -> None:
        """Always passes: there is nothing to run."""

    def brokers(self, spec: ClusterSpec, arn: str) -> NoBrokers:
        """A cluster without brokers."""
        return NoBrokers(spec)

    def close(self) -> None:
        """Holds nothing."""


class NoBrokers:
    """The brokers of a cluster that has none."""

    brokers: Sequence[Broker] = ()
    network: str | None = None
    endpoints_in_network: Sequence[str] = ()

    def __init__(self, spec: ClusterSpec) -> None:
        self._name = spec.name

    @property
    def keys(self) -> ClusterKeys:
        """Refused: nobody shows a certificate."""
        raise UnsupportedOnPlaneError(
            f"Cluster {self._name!r} has no certificates: the metadata backend answers the MSK API and runs "
            "no brokers. Leave --msk-backend out."
        )

    def start(self) -> None:
        """Ready at once."""

    def apply(self, spec: ClusterSpec) -> None:
        """Nothing to change."""

    def reboot(self, broker_id: int) -> None:
        """Nothing to restart."""

    def stop_broker(self, broker_id: int, *, graceful: bool = True) -> None:
        """Refused: there is no broker to stop."""
        raise self._no_broker(broker_id)

    def start_broker(self, broker_id: int) -> None:
        """Refused: there is no broker to start."""
        raise self._no_broker(broker_id)

    def logs(self, lines: int = 50) -> Mapping[int, str]:
        """No broker, no log."""
        return {}

    def baseline(self) -> Baseline:
        """Nothing is there."""
        return Baseline()

    def restore(self, baseline: Baseline) -> None:
        """Nothing was made."""

    def failures(self) -> Sequence[str]:
        """No broker, no failure."""
        return ()

    def stop(self) -> None:
        """Nothing to stop."""

    def _no_broker(self, broker_id: int) -> UnsupportedOnPlaneError:
        return UnsupportedOnPlaneError(
            f"Cluster {self._name!r} has no broker {broker_id}: the metadata backend answers the MSK API "
            "and runs no brokers. Leave --msk-backend out."
        )
