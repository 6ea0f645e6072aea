"""The listeners of a broker in a container: what they are called, where, and what they ask of clients."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from pytest_msk.brokers.plane import Endpoint
from pytest_msk.spec import ClusterSpec, Listener

if TYPE_CHECKING:
    from pytest_msk.brokers.auth.keys import ClusterKeys


@dataclass(frozen=True)
class Place:
    """A listener inside the container.

    Attributes:
        name: what Kafka calls it.
        port: its port in the container, whose published port is another.
        protocol: its security protocol.
    """

    name: str
    port: int
    protocol: str


PUBLISHED: Mapping[Listener, Place] = {
    "internal": Place("INTERNAL", 9095, "PLAINTEXT"),
    "plaintext": Place("CLIENT", 9092, "PLAINTEXT"),
    "tls": Place("CLIENT_SECURE", 9094, "SSL"),
    "scram": Place("CLIENT_SASL_SCRAM", 9096, "SASL_SSL"),
    # Kafka knows nothing of IAM: TLS and the login are the business of the door in front.
    "iam": Place("CLIENT_IAM", 9098, "PLAINTEXT"),
}
"""The listeners whose ports are published, called as MSK calls them and on MSK's ports; INTERNAL is ours."""

NETWORK = Place("REPLICATION", 9093, "PLAINTEXT")
"""The listener for the container network, other brokers included."""
CONTROLLER = Place("CONTROLLER", 9091, "PLAINTEXT")

SETTINGS = "/tmp/pytest-msk"  # noqa: S108  # in the container, where `start.sh` keeps others out
"""The folder in the container that `start.sh` makes, and looks in for what is copied in."""

_KEYSTORE = "keystore.pem"
_TLS: Mapping[str, str] = {
    "ssl.enabled.protocols": "TLSv1.2,TLSv1.3",
    "ssl.keystore.type": "PEM",
    "ssl.keystore.location": f"{SETTINGS}/{_KEYSTORE}",
}
_SCRAM: Mapping[str, str] = {
    "sasl.enabled.mechanisms": "SCRAM-SHA-512",
    "scram-sha-512.sasl.jaas.config": "org.apache.kafka.common.security.scram.ScramLoginModule required;",
}


class Doors(Protocol):
    """What stands in front of the brokers of one cluster, and lets in who logs in with IAM."""

    def address(self, broker_id: int) -> Endpoint:
        """Where clients find a broker's door: the same whenever asked, and held from the first time on."""

    def lead(self, broker_id: int, target: Endpoint) -> None:
        """Let clients in from now on.

        Args:
            broker_id: whose door.
            target: the broker's own listener, which speaks plaintext. It need not be open yet, and is not
                while the broker is stopped.
        """

    def close(self) -> None:
        """Let nobody in any more, end the connections, and give the addresses back."""


def properties(
    spec: ClusterSpec,
    host: str,
    advertised: Mapping[Listener, Endpoint],
    authorities: Sequence[str],
    *,
    controller: bool,
) -> Mapping[str, str]:
    """What makes a broker listen, as ``server.properties``. No secret is in it.

    Args:
        spec: the cluster.
        host: the name that the broker has on the container network.
        advertised: the listeners that are open, each with where clients find it.
        authorities: who may sign the certificates of clients, PEM; for `wants_certificates`.
        controller: whether the broker is a controller as well.
    """
    opened = {PUBLISHED[name]: str(endpoint) for name, endpoint in advertised.items()}
    opened[NETWORK] = f"{host}:{NETWORK.port}"
    bound = [*opened, CONTROLLER] if controller else list(opened)
    named = [*PUBLISHED.values(), NETWORK, CONTROLLER]
    found = {
        "controller.listener.names": CONTROLLER.name,
        "inter.broker.listener.name": NETWORK.name,
        "listener.security.protocol.map": ",".join(f"{place.name}:{place.protocol}" for place in named),
        "listeners": ",".join(f"{place.name}://:{place.port}" for place in bound),
        "advertised.listeners": ",".join(f"{place.name}://{address}" for place, address in opened.items()),
    }
    if "tls" in advertised:
        found |= _of("tls", {**_TLS, "ssl.client.auth": spec.client_certificates})
        if wants_certificates(spec):
            found |= _of("tls", _trusting(authorities))
    if "scram" in advertised:
        found |= _of("scram", {**_TLS, "ssl.client.auth": "none", **_SCRAM})
    return found


def wants_certificates(spec: ClusterSpec) -> bool:
    """Whether clients are asked for certificates."""
    return "tls" in spec.listeners and spec.client_certificates != "none"


def keystore(spec: ClusterSpec, keys: Callable[[], ClusterKeys]) -> Mapping[str, bytes]:
    """The file with the brokers' private key and certificates, where a listener of a spec needs one."""
    if not {"tls", "scram"} & spec.listeners:
        return {}
    server = keys().server
    return {_KEYSTORE: server.key + server.certificates}


def _trusting(authorities: Sequence[str]) -> Mapping[str, str]:
    certificates = "".join(f"{pem.strip()}\n" for pem in authorities)
    return {"ssl.truststore.type": "PEM", "ssl.truststore.certificates": certificates}


def _of(listener: Listener, properties: Mapping[str, str]) -> Mapping[str, str]:
    prefix = f"listener.name.{PUBLISHED[listener].name.lower()}."
    return {f"{prefix}{name}": value for name, value in properties.items()}
