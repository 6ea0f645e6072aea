"""GetBootstrapBrokers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pytest_msk.aws.errors import bad_request
from pytest_msk.aws.kafka.api import Call, operation
from pytest_msk.aws.kafka.state import Cluster
from pytest_msk.aws.kafka.vpc_connections import LISTENERS, private_schemes
from pytest_msk.brokers.plane import Broker
from pytest_msk.spec import Listener

_KEYS: Mapping[Listener, str] = {
    "plaintext": "BootstrapBrokerString",
    "tls": "BootstrapBrokerStringTls",
    "scram": "BootstrapBrokerStringSaslScram",
    "iam": "BootstrapBrokerStringSaslIam",
}
_PUBLIC_KEYS: Mapping[Listener, str] = {
    "tls": "BootstrapBrokerStringPublicTls",
    "scram": "BootstrapBrokerStringPublicSaslScram",
    "iam": "BootstrapBrokerStringPublicSaslIam",
}
_VPC_KEYS: Mapping[Listener, str] = {
    "tls": "BootstrapBrokerStringVpcConnectivityTls",
    "scram": "BootstrapBrokerStringVpcConnectivitySaslScram",
    "iam": "BootstrapBrokerStringVpcConnectivitySaslIam",
}
_IPV6_KEYS: Mapping[Listener, str] = {
    "plaintext": "BootstrapBrokerStringIpv6",
    "tls": "BootstrapBrokerStringTlsIpv6",
    "scram": "BootstrapBrokerStringSaslScramIpv6",
    "iam": "BootstrapBrokerStringSaslIamIpv6",
}

_MOST_BROKERS = 3


@operation("GetBootstrapBrokers")
def get_bootstrap_brokers(call: Call) -> Mapping[str, Any]:
    """A key for each way into the cluster that its settings open.

    The string has real addresses of live brokers. It is empty where the plane that runs the cluster
    has no such listener open, which for the metadata plane is always.
    """
    cluster = call.region.cluster(call.params["ClusterArn"])
    if cluster.state in ("CREATING", "FAILED", "DELETING"):
        raise bad_request(
            f"You can't get bootstrap broker nodes for a cluster in {cluster.state} state.", "clusterArn"
        )
    brokers = cluster.brokers.brokers
    return {key: _bootstrap_string(brokers, listener) for key, listener in _listeners(cluster).items()}


def _listeners(cluster: Cluster) -> dict[str, Listener]:
    """Key to listener.

    A broker has one address for each listener on this machine. It is that of a public key, of another
    VPC's and of an IPv6 one too: they lead in by the same authentication.
    """
    opened = cluster.spec.listeners
    connectivity = cluster.settings.get("BrokerNodeGroupInfo", {}).get("ConnectivityInfo", {})
    ways = [(_KEYS, opened)]
    if connectivity.get("PublicAccess", {}).get("Type") == "SERVICE_PROVIDED_EIPS":
        ways.append((_PUBLIC_KEYS, opened))
    if connectivity.get("NetworkType") == "DUAL":
        ways.append((_IPV6_KEYS, opened))
    ways.append((_VPC_KEYS, frozenset(LISTENERS[scheme] for scheme in private_schemes(cluster))))
    return {key: listener for keys, shown in ways for listener, key in keys.items() if listener in shown}


def _bootstrap_string(brokers: Sequence[Broker], listener: Listener) -> str:
    """Up to three brokers, of different availability zones as far as there are any."""
    ready = sorted((broker for broker in brokers if listener in broker.endpoints), key=lambda one: one.id)
    first_of_zone = {broker.rack: broker for broker in reversed(ready)}
    spread = sorted(ready, key=lambda broker: broker is not first_of_zone[broker.rack])
    return ",".join(str(broker.endpoints[listener]) for broker in spread[:_MOST_BROKERS])
