"""Kafka's message definitions, as `tools/generate_wire_tables.py` took them from the Java client's jar."""

from __future__ import annotations

import functools
import json
import os
import uuid
from dataclasses import dataclass
from typing import Any, NamedTuple

from pytest_msk.brokers.wire.message import NO_ID, Message

_EVER = 1 << 15

_ZEROS: dict[str, object] = {
    "bool": False,
    "float64": 0.0,
    "string": "",
    "uuid": NO_ID,
    "bytes": b"",
    "records": None,
}


@dataclass(frozen=True, slots=True)
class Versions:
    """A span of versions, both ends in it: ``4-18``, ``12+``, ``3`` or ``none``."""

    low: int
    high: int

    @classmethod
    def parse(cls, text: str | None) -> Versions:
        """Read a span as Kafka's definitions write it."""
        if text is None or text == "none":
            return cls(0, -1)
        if text.endswith("+"):
            return cls(int(text[:-1]), _EVER)
        low, _, high = text.partition("-")
        return cls(int(low), int(high or low))

    def __contains__(self, version: int) -> bool:
        return self.low <= version <= self.high


class Field(NamedTuple):
    """A field of a message or of a structure in one.

    Attributes:
        name: in snake case.
        kind: its type; an array's is that of its elements. A structure's is the structure's name.
        flexible: the versions in which its length is a varint, where that differs from the message's.
        ignorable: it may be left out silently where a version lacks it, whatever its value.
        struct: the fields of the structure that it holds.
        default: as Kafka's definition has it, or the type's zero.
    """

    name: str
    kind: str
    array: bool
    versions: Versions
    nullable: Versions
    tag: int
    tagged: Versions
    flexible: Versions | None
    ignorable: bool
    struct: Struct | None
    default: Any

    def make_default(self) -> Any:
        """The default, made anew where it can be changed."""
        if self.default is None:
            return None
        if self.array:
            return []
        return self.struct.make_default() if self.struct else self.default

    def is_default(self, value: object) -> bool:
        """Whether a value says no more than leaving the field out."""
        if value is None or self.default is None:
            return value is self.default
        if self.array:
            return value == []
        if self.struct:
            return isinstance(value, Message) and self.struct.is_default(value)
        if self.kind == "bytes":
            return bytes(value) == self.default  # type: ignore[call-overload,no-any-return]
        return bool(value == self.default)


class Struct(NamedTuple):
    """A message, or a structure inside one."""

    name: str
    fields: tuple[Field, ...]

    def make_default(self) -> Message:
        """A structure in which every field has its default."""
        return Message(**{field.name: field.make_default() for field in self.fields})

    def is_default(self, message: Message) -> bool:
        """Whether every field that is set has its default."""
        fields = {field.name: field for field in self.fields}
        return all(name in fields and fields[name].is_default(value) for name, value in vars(message).items())


class Definition(NamedTuple):
    """One message of the protocol.

    Attributes:
        key: the number of the API that it is a request or a response of; -1 for other data.
        flexible: the versions that have varint lengths and tagged fields (KIP-482).
    """

    key: int
    versions: Versions
    flexible: Versions
    struct: Struct


def table(name: str) -> dict[str, Any]:
    """What a generated table has, without the note of where it is from."""
    # Without pathlib, which takes longer to import than the table to read.
    path = os.path.join(os.path.dirname(__file__), "tables", f"{name}.json")
    with open(path, encoding="utf-8") as file:
        found: dict[str, Any] = json.load(file)
    del found["source"]
    return found


@functools.cache
def apis() -> dict[int, str]:
    """Names of APIs by their numbers."""
    found = {raw["key"]: name for name, raw in _messages().items() if "key" in raw}
    return {key: name.removesuffix("Request").removesuffix("Response") for key, name in sorted(found.items())}


def names() -> list[str]:
    """Of every message: ``ProduceRequest``, ``ProduceResponse``, ``ConsumerProtocolSubscription``."""
    return list(_messages())


@functools.cache
def definition(name: str) -> Definition:
    """The definition of a message.

    Raises:
        KeyError: Kafka has no such message.
    """
    raw = _messages()[name]
    return Definition(
        raw.get("key", -1),
        Versions.parse(raw["versions"]),
        Versions.parse(raw["flexible"]),
        Struct(name, tuple(_field(*each) for each in raw["fields"])),
    )


def _field(name: str, kind: str, versions: str, facts: dict[str, Any] | None = None) -> Field:
    facts = facts or {}
    element = kind.removeprefix("[]")
    struct = Struct(element, tuple(_field(*each) for each in facts["fields"])) if "fields" in facts else None
    array = element != kind
    zero = [] if array else struct if struct else _ZEROS.get(element, 0)
    return Field(
        name,
        element,
        array,
        Versions.parse(versions),
        Versions.parse(facts.get("nullable")),
        facts.get("tag", -1),
        Versions.parse(facts.get("tagged")),
        Versions.parse(facts["flexible"]) if "flexible" in facts else None,
        facts.get("ignorable", False),
        struct,
        _value(facts["default"], element) if "default" in facts else zero,
    )


def _value(default: Any, kind: str) -> Any:
    return uuid.UUID(default) if kind == "uuid" and default is not None else default


@functools.cache
def _messages() -> dict[str, Any]:
    return table("messages")
