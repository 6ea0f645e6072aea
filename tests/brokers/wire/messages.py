"""Messages at random, of any definition in any version."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Callable
from random import Random
from typing import Any

from pytest_msk.brokers.wire import definitions
from pytest_msk.brokers.wire.definitions import Field, Struct
from pytest_msk.brokers.wire.message import NO_ID, Message

BITS = {"int8": 7, "int16": 15, "int32": 31, "int64": 63, "uint16": 16, "uint32": 32}

TEXTS = ("", "orders", "t" * 126, "t" * 127, "t" * 300, "héllo wörld", "日本語", '🦊\0\n"\\')

MAKERS: dict[str, Callable[[Random], Any]] = {
    "bool": lambda random: random.choice([True, False]),
    "float64": lambda random: random.choice([0.0, -1.5, 1e300, 5e-324, random.uniform(-1e6, 1e6)]),
    "string": lambda random: random.choice(TEXTS),
    "uuid": lambda random: random.choice([NO_ID, uuid.UUID(int=random.getrandbits(128))]),
    "bytes": lambda random: random.randbytes(random.choice([0, 1, 126, 127, 128, 5000])),
    "records": lambda random: random.randbytes(random.choice([0, 1, 126, 127, 128, 5000])),
}

EVERY = [
    (name, version)
    for name in definitions.names()
    for version in range(
        definitions.definition(name).versions.low, definitions.definition(name).versions.high + 1
    )
]
"""Every message in every version."""


def message(random: Random, name: str, version: int) -> Message:
    """A message with values of every kind, where some fields are left out."""
    return _struct(random, definitions.definition(name).struct, version)


def _struct(random: Random, struct: Struct, version: int) -> Message:
    fields = [field for field in struct.fields if version in field.versions]
    return Message(
        **{
            field.name: _value(random, field, version)
            for field in fields
            if random.random() < 0.9 or _has_no_default(field, version)
        }
    )


def _has_no_default(field: Field, version: int) -> bool:
    return field.default is None and version not in field.nullable


def _value(random: Random, field: Field, version: int) -> Any:
    if version in field.nullable and random.random() < 0.2:
        return None
    if not field.array:
        return _single(random, field, version)
    sizes = [0, 1, 2, 3] if field.struct else [0, 1, 2, 3, 126, 127, 128, 300]
    return [_single(random, field, version) for _ in range(random.choice(sizes))]


def _single(random: Random, field: Field, version: int) -> Any:
    if field.struct:
        return _struct(random, field.struct, version)
    if field.kind in BITS:
        bits = BITS[field.kind]
        low = 0 if field.kind.startswith("u") else -(1 << bits)
        high = (1 << bits) - 1
        return random.choice([low, high, 0, 1, random.randint(low, high), field.default or 0])
    return MAKERS[field.kind](random)


def completed(struct: Struct, version: int, built: Message) -> Message:
    """The message as it should be read after it was written: defaults for whatever was left out."""
    fields = {}
    for field in struct.fields:
        value = vars(built).get(field.name, field.make_default())
        if version not in field.versions:
            value = field.make_default()
        elif field.struct and isinstance(value, list):
            value = [completed(field.struct, version, each) for each in value]
        elif field.struct and value is not None:
            value = completed(field.struct, version, value)
        fields[field.name] = value
    return Message(**fields)


def as_json(struct: Struct, version: int, built: Message) -> dict[str, Any]:
    """The message as Kafka's `JsonConverter` classes want it."""
    fields = {}
    for field in struct.fields:
        if version not in field.versions:
            continue
        value = vars(built).get(field.name, field.make_default())
        if isinstance(value, list):
            value = [_json_value(field, version, each) for each in value]
        else:
            value = _json_value(field, version, value)
        first, *rest = field.name.split("_")
        fields[first + "".join(word.capitalize() for word in rest)] = value
    return fields


def _json_value(field: Field, version: int, value: Any) -> Any:
    if field.struct and value is not None:
        return as_json(field.struct, version, value)
    if isinstance(value, uuid.UUID):
        return base64.urlsafe_b64encode(value.bytes).decode().rstrip("=")
    if isinstance(value, (bytes, memoryview)):
        return base64.b64encode(value).decode()
    return value
