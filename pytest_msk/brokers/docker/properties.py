"""The ``server.properties`` of a broker in a container."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_msk.brokers.defaults import broker_defaults
from pytest_msk.brokers.plane import Endpoint
from pytest_msk.errors import MskUsageError
from pytest_msk.spec import ClusterSpec

HOST_PORT = 9092
"""In the container: the listener whose port is published."""
NETWORK_PORT = 9093
"""In the container: the listener for the container network, other brokers included."""
CONTROLLER_PORT = 9091

DATA = "/var/lib/kafka/data"

_MAX_CONTROLLERS = 3

_OWN = frozenset(
    {
        "advertised.listeners",
        "broker.id",
        "broker.rack",
        "controller.listener.names",
        "controller.quorum.bootstrap.servers",
        "controller.quorum.voters",
        "inter.broker.listener.name",
        "listener.security.protocol.map",
        "listeners",
        "log.dir",
        "log.dirs",
        "metadata.log.dir",
        "node.id",
        "process.roles",
        "security.inter.broker.protocol",
        "zookeeper.connect",
    }
)


def check_configuration(configuration: Mapping[str, str]) -> None:
    """Refuse the properties that make a broker part of its cluster, which are not the caller's to set.

    Raises:
        MskUsageError: there are such properties; names them.
    """
    taken = sorted(_OWN.intersection(configuration))
    if taken:
        raise MskUsageError(
            f"The configuration must leave out {', '.join(taken)}: pytest-msk sets that for containers."
        )


def controller_ids(brokers: int) -> range:
    """The ids of the brokers that are controllers as well, of those that a cluster starts with."""
    return range(1, min(brokers, _MAX_CONTROLLERS) + 1)


def server_properties(
    spec: ClusterSpec, broker_id: int, host: str, voters: Mapping[int, str], advertised: Endpoint
) -> Mapping[str, str]:
    """The properties of one broker.

    Args:
        spec: the cluster.
        broker_id: which of its brokers, from 1.
        host: the name that the broker has on the container network.
        voters: the controllers that the cluster started with, which never change: id to host.
        advertised: where clients on this machine reach this broker.
    """
    return {
        **broker_defaults(spec),
        **spec.configuration,
        **_place(spec, broker_id, host, voters, advertised),
    }


def render(properties: Mapping[str, str]) -> str:
    """Properties as the text of a Java properties file."""
    return "".join(f"{_escape(name, '=: ')}={_escape(value)}\n" for name, value in properties.items())


def _place(
    spec: ClusterSpec, broker_id: int, host: str, voters: Mapping[int, str], advertised: Endpoint
) -> Mapping[str, str]:
    is_controller = broker_id in voters
    listeners = f"HOST://:{HOST_PORT},DOCKER://:{NETWORK_PORT}"
    if is_controller:
        listeners += f",CONTROLLER://:{CONTROLLER_PORT}"
    return {
        "process.roles": "broker,controller" if is_controller else "broker",
        "node.id": str(broker_id),
        "broker.rack": spec.rack(broker_id),
        "controller.quorum.voters": ",".join(
            f"{id_}@{voter}:{CONTROLLER_PORT}" for id_, voter in voters.items()
        ),
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "DOCKER",
        "listener.security.protocol.map": "HOST:PLAINTEXT,DOCKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "listeners": listeners,
        "advertised.listeners": f"HOST://{advertised},DOCKER://{host}:{NETWORK_PORT}",
        "log.dirs": DATA,
    }


def _escape(text: str, separators: str = "") -> str:
    escaped = "".join(_escape_character(character, separators) for character in text)
    return f"\\{escaped}" if escaped[:1] in {" ", "#", "!"} else escaped


def _escape_character(character: str, separators: str) -> str:
    if character in "\\" + separators:
        return f"\\{character}"
    if " " <= character <= "~":
        return character
    units = character.encode("utf-16-be")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
