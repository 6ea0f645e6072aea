"""DescribeClientQuotas and AlterClientQuotas: quotas are kept and told, nobody is held to them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import ip_address

from pytest_msk.brokers.baseline import QuotaKey
from pytest_msk.brokers.embedded.api import Request, handles
from pytest_msk.brokers.embedded.topic_admin import outcome
from pytest_msk.brokers.embedded.topics import cut
from pytest_msk.brokers.wire.errors import NONE, KafkaError
from pytest_msk.brokers.wire.message import Message

Entity = frozenset[tuple[str, str | None]]
"""Whom a quota is for: ``user``, ``client-id`` or ``ip`` with a name, None standing for the default."""

_LARGEST = {"int": (1 << 31) - 1, "long": (1 << 63) - 1}
_CLIENT_KEYS = {
    "producer_byte_rate": "long",
    "consumer_byte_rate": "long",
    "request_percentage": "double",
    "controller_mutation_rate": "double",
}
_IP_KEYS = {"connection_creation_rate": "int"}
_TYPES = frozenset({"user", "client-id", "ip"})
_EXACT, _DEFAULT, _SPECIFIED = range(3)


class Quotas:
    """The client quotas of a cluster, by whom they are for, then by key."""

    def __init__(self) -> None:
        self.by_entity: dict[Entity, dict[str, float]] = {}

    def alter(self, entity: Iterable[Message], ops: Iterable[Message], *, validate_only: bool) -> None:
        """Set and remove some quotas of one entity.

        Raises:
            KafkaError: ``INVALID_REQUEST``; nothing was changed.
        """
        who = _entity(entity)
        keys = _IP_KEYS if any(kind == "ip" for kind, _ in who) else _CLIENT_KEYS
        changes: dict[str, float | None] = {}
        for op in ops:
            if op.key in changes:
                raise _invalid(f"Quota key {cut(op.key)} is there more than once.")
            changes[op.key] = None if op.remove else _checked(keys, op.key, op.value)
        if validate_only:
            return
        values = {**self.by_entity.get(who, {}), **changes}
        left = {key: value for key, value in values.items() if value is not None}
        if left:
            self.by_entity[who] = left
        else:
            self.by_entity.pop(who, None)

    def all(self) -> dict[QuotaKey, float]:
        """All quotas, by whom they are for and key."""
        return {(who, key): value for who, values in self.by_entity.items() for key, value in values.items()}

    def restore(self, quotas: Mapping[QuotaKey, float]) -> None:
        """Have just the quotas that `all` gave once."""
        self.by_entity.clear()
        for (who, key), value in quotas.items():
            self.by_entity.setdefault(who, {})[key] = value


@handles("AlterClientQuotas", 0, 1)
def alter_client_quotas(request: Request) -> Message:
    """Set and remove quotas, each entity's by themselves (KIP-546)."""
    entries = []
    for entry in request.body.entries:
        error = None
        try:
            request.cluster.quotas.alter(entry.entity, entry.ops, validate_only=request.body.validate_only)
        except KafkaError as refused:
            error = refused
        entries.append(Message(entity=entry.entity, **outcome(error)))
    return Message(entries=entries)


@handles("DescribeClientQuotas", 0, 1)
def describe_client_quotas(request: Request) -> Message:
    """Tell the quotas of the entities that match all components; if strict, that have no other ones."""
    try:
        exact, kinds = _filter(request.body.components)
    except KafkaError as error:
        return Message(entries=None, **outcome(error))
    entries = []
    for who, values in request.cluster.quotas.by_entity.items():
        found = dict(who)
        if request.body.strict and len(found) != len(exact) + len(kinds):
            continue
        if kinds <= found.keys() and exact.items() <= found.items():
            entries.append(
                Message(
                    entity=[Message(entity_type=kind, entity_name=name) for kind, name in who],
                    values=[Message(key=key, value=value) for key, value in values.items()],
                )
            )
    return Message(error_code=NONE, error_message=None, entries=entries)


def _invalid(text: str) -> KafkaError:
    return KafkaError("INVALID_REQUEST", text)


def _entity(parts: Iterable[Message]) -> Entity:
    names: dict[str, str | None] = {}
    for part in parts:
        if part.entity_type not in _TYPES:
            raise _invalid(f"There is no client quota entity type {cut(part.entity_type)!r}.")
        if part.entity_type in names:
            raise _invalid(f"Client quota entity type {part.entity_type} is there more than once.")
        if part.entity_name is not None and not part.entity_name:
            raise _invalid(f"An empty {part.entity_type} is not supported.")
        names[part.entity_type] = part.entity_name
    if not names:
        raise _invalid("The client quota entity is empty.")
    if "ip" in names:
        if len(names) > 1:
            raise _invalid("A client quota entity is either an IP or made of user and client id.")
        _check_address(names["ip"])
    return frozenset(names.items())


def _check_address(address: str | None) -> None:
    """Take addresses only: Kafka looks names up, which would block here."""
    if address is None:
        return
    try:
        ip_address(address)
    except ValueError:
        raise _invalid(f"{cut(address)} is not a valid IP.") from None


def _checked(keys: dict[str, str], key: str, value: float) -> float:
    if key not in keys:
        raise _invalid(f"There is no quota {cut(key)}.")
    if not value > 0:
        raise _invalid(f"Quota {key} must be greater than 0.")
    kind = keys[key]
    if kind != "double":
        if value > _LARGEST[kind]:
            raise _invalid(f"The value of {key} is too large for {kind}.")
        if value % 1 > 1e-6:  # noqa: PLR2004 - what Kafka takes for a whole number
            raise _invalid(f"{key} cannot be a fraction.")
    return value


def _filter(components: Iterable[Message]) -> tuple[dict[str, str | None], frozenset[str]]:
    """What components ask for: by type the name (None: the default), and types that may have any name."""
    exact: dict[str, str | None] = {}
    kinds: set[str] = set()
    for component in components:
        kind, match = component.entity_type, component.match
        if not kind:
            raise _invalid("A component's entity type is empty.")
        if kind in exact or kind in kinds:
            raise _invalid(f"Entity type {kind} is there more than once.")
        if kind not in _TYPES:
            raise KafkaError("UNSUPPORTED_VERSION", f"There is no entity type {cut(kind)}.")
        if component.match_type not in (_EXACT, _DEFAULT, _SPECIFIED):
            raise _invalid(f"There is no match type {component.match_type}.")
        if (match is None) == (component.match_type == _EXACT):
            raise _invalid("An exact match, and no other, takes a name.")
        if component.match_type == _SPECIFIED:
            kinds.add(kind)
        else:
            exact[kind] = match
    types = kinds | exact.keys()
    if "ip" in types and len(types) > 1:
        raise _invalid("An IP does not go together with a user or client id.")
    return exact, frozenset(kinds)
