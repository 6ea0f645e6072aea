"""Makes encoders: for one message in one version, a function that writes its bytes."""

from __future__ import annotations

import struct
import uuid
from collections.abc import Callable
from struct import Struct as Packing

from pytest_msk.brokers.wire.definitions import Definition, Field, Struct
from pytest_msk.brokers.wire.message import Message
from pytest_msk.brokers.wire.source import FORMATS, MAX_STRING, Source

Part = bytes | bytearray | memoryview
Encoder = Callable[[Message, Callable[[Part], object]], None]
"""Takes a message, and what takes the parts of its bytes. Raises `FAULTS` where a value cannot be written."""

FAULTS = (struct.error, TypeError, AttributeError, ValueError, OverflowError)

# As a number: `struct` would write anything at all as a truth value.
_FORMATS = FORMATS | {"bool": "b"}


def _written_varint(value: int) -> bytes:
    written = bytearray()
    while value > 0x7F:  # noqa: PLR2004
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)


_SMALL = [_written_varint(value) for value in range(128)]


def unsigned_varint(value: int) -> bytes:
    """Write an unsigned varint (KIP-482)."""
    return _SMALL[value] if value < len(_SMALL) else _written_varint(value)


def make_encoder(definition: Definition, version: int) -> Encoder:
    """Make the encoder of a message in one version."""
    return _Maker(definition, version).make()


def check_fields(fields_of: Struct, version: int, message: Message) -> None:
    """Look at the attributes that are not written in a version.

    Raises:
        TypeError: one is no field of the structure, or the version lacks it, it has a value, and Kafka's
            definition does not say that it may be left out (Java's ``UnsupportedVersionException``).
    """
    fields = {field.name: field for field in fields_of.fields}
    for name, value in vars(message).items():
        if name not in fields:
            raise TypeError(f"{fields_of.name} has no field {name!r}; it has {', '.join(fields)}")
        field = fields[name]
        if version not in field.versions and not field.ignorable and not field.is_default(value):
            raise TypeError(f"{fields_of.name}.{name} is {value!r}, and version {version} has no such field")


def explain(definition: Definition, version: int, message: object) -> str | None:
    """What is wrong with a message that could not be encoded; None where nothing is found."""
    return _fault_of_struct(definition.struct, version, definition, message)


def _fault_of_struct(fields_of: Struct, version: int, definition: Definition, message: object) -> str | None:
    if not isinstance(message, Message):
        return f" is {message!r} and no Message of {fields_of.name}"
    given = vars(message)
    for field in fields_of.fields:
        if version in field.versions:
            fault = _fault(field, version, definition, given.get(field.name, field.make_default()))
            if fault:
                return f".{field.name}{fault}"
    return None


def _fault(field: Field, version: int, definition: Definition, value: object) -> str | None:
    if value is None:
        return None if version in field.nullable else " is None, which it may not be"
    if not field.array:
        return _fault_of_value(field, version, definition, value)
    if not isinstance(value, (list, tuple)):
        return f" is {value!r} and no list"
    for index, element in enumerate(value):
        fault = _fault_of_value(field, version, definition, element)
        if fault:
            return f"[{index}]{fault}"
    return None


def _fault_of_value(field: Field, version: int, definition: Definition, value: object) -> str | None:
    if field.struct:
        return _fault_of_struct(field.struct, version, definition, value)
    return None if _fits(field.kind, value) else f" is {value!r}, which is no {field.kind}"


def _fits(kind: str, value: object) -> bool:
    if kind == "uuid":
        return isinstance(value, uuid.UUID)
    if kind in {"bytes", "records"}:
        return isinstance(value, (bytes, bytearray, memoryview))
    try:
        if kind == "string":
            return len(value.encode()) <= MAX_STRING  # type: ignore[attr-defined]
        struct.pack(">" + _FORMATS[kind], value)
    except FAULTS:
        return False
    return True


class _Maker:
    def __init__(self, definition: Definition, version: int) -> None:
        self._definition = definition
        self._version = version
        self._flexible = version in definition.flexible
        self._source = Source(
            {
                "varint": unsigned_varint,
                "pack": struct.pack,
                "check_fields": check_fields,
                "int16": Packing(">h").pack,
                "int32": Packing(">i").pack,
            }
        )

    def make(self) -> Encoder:
        source = self._source
        with source.block("def encode(message, write):"):
            self._struct(self._definition.struct, "message", "write")
        return source.compile(f"{self._definition.struct.name} v{self._version} encoder", "encode")

    def _struct(self, fields_of: Struct, message: str, write: str) -> None:
        """Add what writes the structure in a variable."""
        source = self._source
        given, get = source.variable(), source.variable()
        fields = [field for field in fields_of.fields if self._version in field.versions]
        free = source.constant(
            {field.name for field in fields_of.fields if self._version in field.versions or field.ignorable}
        )
        source.add(
            f"{given} = {message}.__dict__",
            f"if not {given}.keys() <= {free}: "
            f"check_fields({source.constant(fields_of)}, {self._version}, {message})",
            f"{get} = {given}.get",
        )
        tagged = sorted((field for field in fields if self._is_tagged(field)), key=lambda field: field.tag)
        run: list[Field] = []
        for field in fields:
            if field in tagged:
                continue
            if field.kind in _FORMATS and not field.array:
                run.append(field)
                continue
            self._run(run, get, write)
            run = []
            self._field(field, self._value(field, get), write)
        no_tags = self._flexible and not tagged
        self._run(run, get, write, end="x" if no_tags and run else "")
        if no_tags and not run:
            source.add(f"{write}(b'\\0')")
        elif tagged:
            self._tagged(tagged, get, write)

    def _is_tagged(self, field: Field) -> bool:
        return self._flexible and self._version in field.tagged

    def _value(self, field: Field, get: str) -> str:
        """Add what reads a field into a variable."""
        value = self._source.variable()
        self._source.add(f"{value} = {self._got(field, get)}")
        return value

    def _got(self, field: Field, get: str) -> str:
        # Encoders change no default, so that one of each will do.
        default = field.make_default()
        if default is None:
            return f"{get}({field.name!r})"
        literal = repr(default) if isinstance(default, (int, str, bytes)) else self._source.constant(default)
        return f"{get}({field.name!r}, {literal})"

    def _run(self, fields: list[Field], get: str, write: str, end: str = "") -> None:
        """Fields of one size each, written at one go; the end may be a byte of zero."""
        if fields:
            packing = Packing(">" + "".join(_FORMATS[field.kind] for field in fields) + end)
            values = ", ".join(self._got(field, get) for field in fields)
            self._source.add(f"{write}({self._source.constant(packing.pack)}({values}))")

    def _field(self, field: Field, value: str, write: str) -> None:
        source = self._source
        flexible = self._flexible if field.flexible is None else self._version in field.flexible
        if self._version in field.nullable:
            with source.block(f"if {value} is None:"):
                if field.struct and not field.array:
                    null = "b'\\xff'"
                elif flexible:
                    null = "b'\\0'"
                else:
                    null = repr(b"\xff" * (2 if field.kind == "string" and not field.array else 4))
                source.add(f"{write}({null})")
            with source.block("else:"):
                if field.struct and not field.array:
                    source.add(f"{write}(b'\\1')")
                self._present(field, value, write, flexible=flexible)
        else:
            self._present(field, value, write, flexible=flexible)

    def _present(self, field: Field, value: str, write: str, *, flexible: bool) -> None:
        if not field.array:
            self._single(field, value, write, flexible=flexible)
            return
        source = self._source
        source.add(f"n = len({value})", f"{write}({_length('int32', flexible=flexible)})")
        if field.kind in _FORMATS:
            source.add(f"if n: {write}(pack(f'>{{n}}{_FORMATS[field.kind]}', *{value}))")
            return
        element = source.variable()
        with source.block(f"for {element} in {value}:"):
            self._single(field, element, write, flexible=flexible)

    def _single(self, field: Field, value: str, write: str, *, flexible: bool) -> None:
        """One value, of a field or of an array's element."""
        source = self._source
        if field.struct:
            self._struct(field.struct, value, write)
        elif field.kind in _FORMATS:
            source.add(f"{write}({source.constant(Packing('>' + _FORMATS[field.kind]).pack)}({value}))")
        elif field.kind == "uuid":
            source.add(f"{write}({value}.bytes)")
        else:
            text = field.kind == "string"
            if text:
                source.add(f"{value} = {value}.encode()")
            source.add(f"n = len({value})")
            if text:
                source.add(f"if n > {MAX_STRING}: raise ValueError('too long')")
            kind = "int16" if text else "int32"
            source.add(f"{write}({_length(kind, flexible=flexible)})", f"{write}({value})")

    def _tagged(self, fields: list[Field], get: str, write: str) -> None:
        source = self._source
        tags = source.variable()
        source.add(f"{tags} = []")
        for field in fields:
            value, parts = self._value(field, get), source.variable()
            with source.block(f"if {self._differs(field, value)}:"):
                source.add(f"{parts} = []")
                self._field(field, value, f"{parts}.append")
                source.add(
                    f"{parts} = b''.join({parts})",
                    f"{tags}.append({unsigned_varint(field.tag)!r} + varint(len({parts})) + {parts})",
                )
        source.add(f"{write}(varint(len({tags})))", f"{write}(b''.join({tags}))")

    def _differs(self, field: Field, value: str) -> str:
        """A condition: the field has to be written."""
        default = self._source.constant(field.make_default())
        if field.struct and not field.array:
            structure = self._source.constant(field.struct)
            return f"{value} is not {default} and not {structure}.is_default({value})"
        return f"{value} != {default}"


def _length(kind: str, *, flexible: bool) -> str:
    return "varint(n + 1)" if flexible else f"{kind}(n)"
