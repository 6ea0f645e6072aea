"""ListGroups, DescribeGroups and DeleteGroups."""

from __future__ import annotations

from collections.abc import Callable

from pytest_msk.brokers.embedded.api import Request, handles
from pytest_msk.brokers.embedded.groups.classic import ClassicGroup
from pytest_msk.brokers.embedded.groups.classic_rebalance import State
from pytest_msk.brokers.embedded.groups.group import NEW_COORDINATOR, Group, operations
from pytest_msk.brokers.embedded.metadata import NO_OPERATIONS
from pytest_msk.brokers.wire.errors import NONE, KafkaError, code
from pytest_msk.brokers.wire.message import Message

_TELLS_UNKNOWN_GROUPS = 6
"""The first version of DescribeGroups in which a group that there is not is an error (KIP-1043)."""

_STATES_IN_ANY_CASE = (3, 8)
"""The first release that takes ``stable`` for ``Stable`` when it lists groups."""

_DEAD = "Dead"


@handles("ListGroups", 0, 5)
def list_groups(request: Request) -> Message:
    """List the groups that the broker coordinates, or those of them that are of given states and types."""
    fits = _filter(request)
    return Message(
        error_code=NONE,
        groups=[
            Message(
                group_id=group.id,
                protocol_type=group.protocol_type,
                group_state=str(group.state),
                group_type=group.kind,
            )
            for group in request.cluster.groups.coordinated_by(request.broker)
            if fits(group)
        ],
    )


@handles("DescribeGroups", 0, 6)
def describe_groups(request: Request) -> Message:
    """Describe classic groups."""
    return Message(groups=[_described(request, group_id) for group_id in request.body.groups])


@handles("DeleteGroups", 0, 3)
def delete_groups(request: Request) -> Message:
    """Delete groups that are empty, with their offsets."""
    return Message(
        results=[
            Message(group_id=group_id, error_code=_delete(request, group_id))
            for group_id in dict.fromkeys(request.body.groups_names)
        ]
    )


def _filter(request: Request) -> Callable[[Group], bool]:
    any_case = request.cluster.release >= _STATES_IN_ANY_CASE
    states = {state.strip().lower() if any_case else state for state in request.body.states_filter}
    types = {kind.lower() for kind in request.body.types_filter}

    def fits(group: Group) -> bool:
        state = group.state.lower() if any_case else str(group.state)
        return (not states or state in states) and (not types or group.kind in types)

    return fits


def _described(request: Request, group_id: str) -> Message:
    cluster = request.cluster
    try:
        cluster.coordinates(request.broker, "group", group_id)
    except KafkaError as error:
        return Message(group_id=group_id, error_code=error.code)
    try:
        described = _details(cluster.groups.classic(group_id, create=False), cluster.release)
    except KafkaError as error:
        described = Message(group_id=group_id, error_code=NONE, group_state=_DEAD)
        if request.version >= _TELLS_UNKNOWN_GROUPS:
            described.error_code, described.error_message = error.code, error.message
    asked = request.body.include_authorized_operations and described.error_code == NONE
    described.authorized_operations = operations(cluster.release) if asked else NO_OPERATIONS
    return described


def _details(group: ClassicGroup, release: tuple[int, ...]) -> Message:
    """A group's description. What its members say of themselves shows only while it is stable."""
    stable = group.state == State.STABLE
    assigned = stable or release >= NEW_COORDINATOR
    return Message(
        group_id=group.id,
        error_code=NONE,
        group_state=str(group.state),
        protocol_type=group.protocol_type,
        protocol_data=group.protocol_name if stable else "",
        members=[
            Message(
                member_id=member.id,
                group_instance_id=member.instance_id,
                client_id=member.client_id,
                client_host=member.client_host,
                member_metadata=member.metadata(group.protocol_name) if stable else b"",
                member_assignment=member.assignment if assigned else b"",
            )
            for member in group.members.values()
        ],
    )


def _delete(request: Request, group_id: str) -> int:
    groups = request.cluster.groups
    try:
        request.cluster.coordinates(request.broker, "group", group_id)
        if not groups.existing(group_id).empty:
            return code("NON_EMPTY_GROUP")
        groups.check_writable(group_id)
    except KafkaError as error:
        return error.code
    groups.remove(group_id)
    return NONE
