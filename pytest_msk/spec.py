"""What a cluster should be: the one value that the control plane hands to a data plane."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal

Listener = Literal["plaintext", "tls", "scram", "iam", "internal"]
"""One way into a broker. ``internal`` is ours alone: it is open on every plane that runs brokers."""

CLIENT_LISTENERS: tuple[Listener, ...] = ("plaintext", "tls", "scram", "iam")


def _no_properties() -> Mapping[str, str]:
    return MappingProxyType({})


@dataclass(frozen=True)
class ClusterSpec:
    """What a cluster should be. A plane makes it so, and nothing else reaches a plane.

    Attributes:
        name: the cluster's name, as CreateCluster was given it.
        brokers: number of brokers; their ids are 1 to ``brokers``.
        kafka_version: as asked for: Apache Kafka's own number (``3.7.1``) or MSK's name for it
            (``3.7.x.kraft``).
        configuration: ``server.properties`` that differ from the plane's defaults, name to value.
        listeners: the listeners that clients are to find open.
        client_certificates: whether the ``tls`` listener asks clients for certificates: ``none``,
            ``requested`` (who has none is let in as nobody), or ``required``.
        client_authorities: the certificates (PEM) of those who may sign them, besides the cluster's own
            authority.
        zone_ids: availability zone ids, dealt to the brokers in turn as ``broker.rack``.
        auto_create_topics: whether a topic is made on first use, unless ``configuration`` says.
    """

    name: str
    brokers: int = 1
    kafka_version: str = "3.7.1"
    configuration: Mapping[str, str] = field(default_factory=_no_properties)
    listeners: frozenset[Listener] = frozenset({"plaintext"})
    client_certificates: Literal["none", "requested", "required"] = "none"
    client_authorities: tuple[str, ...] = ()
    zone_ids: tuple[str, ...] = ("use1-az1",)
    auto_create_topics: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "configuration", MappingProxyType(dict(self.configuration)))

    def __hash__(self) -> int:
        return hash((self.name, self.brokers, self.kafka_version, *sorted(self.configuration.items())))

    def __reduce__(self) -> tuple[Any, ...]:
        values = {**vars(self), "configuration": dict(self.configuration)}
        return _unpickled, (values,)

    def changed(self, **changes: Any) -> ClusterSpec:
        """This spec with some attributes replaced."""
        return replace(self, **changes)

    def rack(self, broker_id: int) -> str:
        """The availability zone id in which a broker stands."""
        return self.zone_ids[(broker_id - 1) % len(self.zone_ids)]


def _unpickled(values: dict[str, Any]) -> ClusterSpec:
    return ClusterSpec(**values)
