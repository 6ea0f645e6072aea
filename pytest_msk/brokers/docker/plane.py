"""The container plane."""

from __future__ import annotations

import threading
from collections.abc import Callable

from pytest_msk.brokers.auth.logins import Logins
from pytest_msk.brokers.docker import engine, images, properties
from pytest_msk.brokers.docker.cluster import DockerBrokers
from pytest_msk.brokers.docker.listeners import Doors
from pytest_msk.spec import ClusterSpec


def _iam_doors(logins: Logins) -> Doors:
    from pytest_msk.brokers.docker.doors import IamDoors

    return IamDoors(logins)


class DockerPlane:
    """Runs every broker in a container of its own, of an image that inside looks as apache/kafka does.

    Args:
        image: the image, with ``{version}`` for Kafka's version; without it, one image for every version.
        startup_timeout: seconds from the first container to all brokers being ready.
        make_doors: makes what stands in front of a cluster's brokers and lets clients in that log in with
            IAM, which Kafka does not know.
    """

    name = "docker"

    def __init__(
        self,
        image: str = images.OFFICIAL,
        startup_timeout: float = 120.0,
        make_doors: Callable[[Logins], Doors] = _iam_doors,
    ) -> None:
        self._image = image
        self._make_doors = make_doors
        self._startup_timeout = startup_timeout
        self._clusters: set[DockerBrokers] = set()
        self._lock = threading.Lock()

    @property
    def host(self) -> str:
        """The host at which brokers are advertised: 127.0.0.1 unless the engine is on another machine."""
        return engine.published_host()

    def check(self) -> None:
        """Make sure that a container engine answers, within seconds.

        Raises:
            BackendUnavailableError: none does.
        """
        engine.check()

    def check_spec(self, spec: ClusterSpec) -> None:
        """Make sure that there is an image for the version, and that the configuration may be set.

        Raises:
            MskUsageError: one of these is not so.
        """
        images.image_for(self._image, spec.kafka_version)
        properties.check_configuration(spec.configuration)

    def brokers(self, spec: ClusterSpec, arn: str) -> DockerBrokers:
        """The brokers for a cluster.

        Raises:
            MskUsageError: as `check_spec`.
        """
        self.check_spec(spec)
        cluster = DockerBrokers(
            spec,
            arn,
            self._image,
            startup_timeout=self._startup_timeout,
            on_stopped=self._forget,
            make_doors=self._make_doors,
        )
        with self._lock:
            self._clusters.add(cluster)
        return cluster

    def close(self) -> None:
        """Stop whatever clusters of this plane nobody has stopped: the last resort."""
        with self._lock:
            clusters = list(self._clusters)
        for cluster in clusters:
            cluster.stop()

    def _forget(self, cluster: DockerBrokers) -> None:
        with self._lock:
            self._clusters.discard(cluster)
