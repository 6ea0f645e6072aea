"""GetBootstrapBrokers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pytest_msk.aws.errors import bad_request
from pytest_msk.aws.kafka.api import Call, operation
from pytest_msk.brokers.plane import Broker
from pytest_msk.spec import Listener

_KEYS: Mapping[Listener, str] = {
    "plaintext": "BootstrapBrokerString",
    "tls": "BootstrapBrokerStringTls",
    "scram": "BootstrapBrokerStringSaslScram",
    "iam": "BootstrapBrokerStringSaslIam",
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
    return {
        key: _bootstrap_string(cluster.brokers.brokers, listener)
        for listener, key in _KEYS.items()
        if listener in cluster.spec.listeners
    }


def _bootstrap_string(brokers: Sequence[Broker], listener: Listener) -> str:
    """Up to three brokers, of different availability zones as far as there are any."""
    ready = sorted((broker for broker in brokers if listener in broker.endpoints), key=lambda one: one.id)
    first_of_zone = {broker.rack: broker for broker in reversed(ready)}
    spread = sorted(ready, key=lambda broker: broker is not first_of_zone[broker.rack])
    return ",".join(str(broker.endpoints[listener]) for broker in spread[:_MOST_BROKERS])
