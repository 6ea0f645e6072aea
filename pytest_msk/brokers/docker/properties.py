"""The ``server.properties`` of a broker in a container."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pytest_msk.brokers.defaults import broker_defaults
from pytest_msk.brokers.docker import listeners
from pytest_msk.brokers.plane import Endpoint
from pytest_msk.errors import MskUsageError
from pytest_msk.spec import ClusterSpec, Listener

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


def is_own(name: str) -> bool:
    """Whether a property makes a broker what it is, or a listener: brokers take it only from their files."""
    return name in _OWN or name.startswith("listener.name.")


def server_properties(
    spec: ClusterSpec,
    broker_id: int,
    host: str,
    voters: Mapping[int, str],
    advertised: Mapping[Listener, Endpoint],
    *,
    authorities: Sequence[str] = (),
) -> Mapping[str, str]:
    """The properties of one broker. No secret is in them.

    Args:
        spec: the cluster.
        broker_id: which of its brokers, from 1.
        host: the name that the broker has on the container network.
        voters: the controllers that the cluster started with, which never change: id to host.
        advertised: the listeners that are open, each with where clients on this machine find it.
        authorities: who may sign the certificates of clients that are asked for one; PEM.
    """
    is_controller = broker_id in voters
    return {
        **broker_defaults(spec),
        **spec.configuration,
        "process.roles": "broker,controller" if is_controller else "broker",
        "node.id": str(broker_id),
        "broker.rack": spec.rack(broker_id),
        "controller.quorum.voters": ",".join(
            f"{id_}@{voter}:{listeners.CONTROLLER.port}" for id_, voter in voters.items()
        ),
        **listeners.properties(spec, host, advertised, authorities, controller=is_controller),
        "log.dirs": DATA,
    }


def render(properties: Mapping[str, str]) -> str:
    """Properties as the text of a Java properties file."""
    return "".join(f"{_escape(name, '=: ')}={_escape(value)}\n" for name, value in properties.items())


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
