"""FindCoordinator: which broker a group, or a transactional id, is to talk to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_msk.brokers.embedded.api import Request, handles
from pytest_msk.brokers.embedded.metadata import reachable_brokers
from pytest_msk.brokers.wire.errors import NONE, KafkaError
from pytest_msk.brokers.wire.message import Message

if TYPE_CHECKING:
    from pytest_msk.brokers.embedded.cluster import CoordinatorKind

_KINDS: dict[int, CoordinatorKind] = {0: "group", 1: "transaction"}
_MANY_KEYS = 4
_NOBODY = -1


@handles("FindCoordinator", 0, 6)
def find_coordinator(request: Request) -> Message:
    """Name the coordinators, for the listener that the client has come by.

    Share groups (key type 2) have none here: ``INVALID_REQUEST``, as from brokers that do not know them.
    """
    body = request.body
    if request.version >= _MANY_KEYS:
        return Message(coordinators=[_coordinator(request, key) for key in body.coordinator_keys])
    found = _coordinator(request, body.key)
    del found.key
    if found.error_code == NONE:
        found.error_message = "NONE"
    return found


def _coordinator(request: Request, key: str) -> Message:
    try:
        leader = _leader(request, key)
    except KafkaError as error:
        found = Message(key=key, node_id=_NOBODY, host="", port=_NOBODY, error_code=error.code)
        if error.message is not None:
            found.error_message = error.message
        return found
    endpoint = reachable_brokers(request)[leader]
    return Message(key=key, node_id=leader, host=endpoint.host, port=endpoint.port, error_code=NONE)


def _leader(request: Request, key: str) -> int:
    kind = _KINDS.get(request.body.key_type)
    if kind is None:
        raise KafkaError("INVALID_REQUEST", "There are no coordinators of that kind.")
    leader = request.cluster.coordinator(kind, key)
    if leader not in reachable_brokers(request):
        raise KafkaError("COORDINATOR_NOT_AVAILABLE")
    return leader
