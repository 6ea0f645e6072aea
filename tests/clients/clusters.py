"""Clusters for client libraries: which there are, and what a test can do with one."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from pytest_msk.brokers.admin import Admin
from pytest_msk.brokers.coordination import GROUP_OFFSETS, TRANSACTION_STATE, partition_of
from pytest_msk.brokers.docker.plane import DockerPlane
from pytest_msk.brokers.embedded.plane import EmbeddedPlane
from pytest_msk.brokers.plane import Brokers, Plane
from pytest_msk.clients import Library, client_config
from pytest_msk.spec import ClusterSpec
from tests.docker_engine import require_docker

PATIENCE = 15.0
"""Seconds until something that has to happen soon counts as not happening."""

_ZONES = ("use1-az1", "use1-az2", "use1-az4")

T = TypeVar("T")


@dataclass(frozen=True)
class Shape:
    """What a cluster is like."""

    kafka_version: str
    brokers: int
    plane: str = "embedded"

    def __str__(self) -> str:
        return f"{self.plane}-{self.kafka_version}-{self.brokers}"


OLD = Shape("3.7.1", 3)
NEW = Shape("4.1.1", 3)
SINGLE = Shape("4.1.1", 1)
SINGLE_OLD = Shape("3.7.1", 1)
CONTAINERS = Shape("3.7.1", 3, "docker")

# Three real brokers tell each other of changes at their own pace, which not every test here allows for yet.
_ASKED_FOR = (CONTAINERS,) if os.environ.get("PYTEST_MSK_CLIENTS_ON_CONTAINERS") == "1" else ()

EVERYWHERE = (OLD, SINGLE, *_ASKED_FOR)
EVERYWHERE_TOO = (SINGLE_OLD, NEW, *_ASKED_FOR)
"""The other two combinations: each library is tested with old and new, with one broker and three."""


class Cluster:
    """A running cluster.

    Args:
        shape: what it is like.
        brokers: its brokers, started.
    """

    def __init__(self, shape: Shape, brokers: Brokers) -> None:
        self.shape = shape
        self._brokers = brokers

    @property
    def bootstrap(self) -> str:
        return ",".join(str(broker.endpoints["internal"]) for broker in self._brokers.brokers)

    @property
    def broker_ids(self) -> Sequence[int]:
        return [broker.id for broker in self._brokers.brokers]

    def config(self, library: Library, **more: Any) -> dict[str, Any]:
        """Settings for fast tests, and some more."""
        return {**client_config(library, self.bootstrap), **more}

    def topic(
        self, partitions: int = 1, *, name: str = "topic", led_by: int | None = None, **configs: str
    ) -> str:
        """Make a topic of its own for the caller; in names of configs, write `_` for a dot."""
        topic = unique(name)
        dotted = {config.replace("_", "."): value for config, value in configs.items()}
        with Admin(self.bootstrap) as admin:
            admin.create_topic(topic, partitions, None, dotted)
            if led_by is not None:
                admin.move_leader(topic, 0, led_by)
        return topic

    def leader(self, topic: str, partition: int = 0) -> int:
        with Admin(self.bootstrap) as admin:
            return admin.topic(topic).partitions[partition].leader

    def transaction_coordinator(self, transactional_id: str) -> int:
        """The broker that coordinates it now. There has to have been a transactional producer before."""
        return self._coordinator(TRANSACTION_STATE, transactional_id)

    def group_coordinator(self, group: str) -> int:
        """The broker that coordinates it now. There has to have been a group before."""
        return self._coordinator(GROUP_OFFSETS, group)

    def _coordinator(self, topic: str, key: str) -> int:
        with Admin(self.bootstrap) as admin:
            partitions = admin.topic(topic).partitions
        return partitions[partition_of(key, len(partitions))].leader

    @contextmanager
    def without(self, broker_id: int) -> Iterator[None]:
        """Have a broker stopped meanwhile."""
        self._brokers.stop_broker(broker_id)
        try:
            yield
        finally:
            self._brokers.start_broker(broker_id)

    def failures(self) -> Sequence[str]:
        """What the brokers could not serve by a fault of their own."""
        return self._brokers.failures()


class Clusters:
    """Starts clusters when they are asked for, each one once."""

    def __init__(self) -> None:
        self._planes: dict[str, Plane] = {}
        self._clusters: dict[Shape, Cluster] = {}

    def get(self, shape: Shape) -> Cluster:
        if shape not in self._clusters:
            self._clusters[shape] = self._started(shape)
        return self._clusters[shape]

    def close(self) -> None:
        for plane in self._planes.values():
            plane.close()

    def _started(self, shape: Shape) -> Cluster:
        if shape.plane == "docker":
            require_docker(shape.kafka_version)
        name = unique("clients")
        spec = ClusterSpec(name, brokers=shape.brokers, kafka_version=shape.kafka_version, zone_ids=_ZONES)
        arn = f"arn:aws:kafka:us-east-1:123456789012:cluster/{name}/{uuid.uuid4()}-1"
        brokers = self._plane(shape.plane).brokers(spec, arn)
        brokers.start()
        return Cluster(shape, brokers)

    def _plane(self, name: str) -> Plane:
        if name not in self._planes:
            self._planes[name] = DockerPlane() if name == "docker" else EmbeddedPlane()
        return self._planes[name]


def unique(prefix: str) -> str:
    """A name that nobody else uses."""
    return f"{prefix}-{uuid.uuid4().hex[:10]}"


def until(what: Callable[[], T], patience: float = PATIENCE) -> T:
    """Ask again and again until the answer is true, and return it."""
    end = time.monotonic() + patience
    while not (answer := what()):
        assert time.monotonic() < end, f"not so after {patience:g} s; the last answer was {answer!r}"
    return answer
