"""Makes decoders: for one message in one version, a function that reads its bytes."""

from __future__ import annotations

import functools
import itertools
import struct
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager
from struct import Struct as Packing

from pytest_msk.brokers.wire.definitions import Definition, Field, Struct
from pytest_msk.brokers.wire.message import Message
from pytest_msk.brokers.wire.source import FORMATS, MAX_STRING, SIZES, Source

_UUID_BYTES = 16
_VARINT_BYTES = 5
_VARINT_MORE = 0x80


class Malformed(Exception):  # noqa: N818  # it says what the bytes are
    """Bytes that are no such message."""


Decoder = Callable[[memoryview, int], tuple[Message, int]]
"""Takes a message's bytes and how many they are; returns it with where it ended. Raises `FAULTS`."""

FAULTS = (Malformed, struct.error, IndexError, UnicodeDecodeError)


def unsigned_varint(data: memoryview, position: int) -> tuple[int, int]:
    """Read an unsigned varint (KIP-482): its value, and the position behind it."""
    value = 0
    for shift in range(0, 7 * _VARINT_BYTES, 7):
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < _VARINT_MORE:
            return value, position
    raise Malformed("a varint of more than 5 bytes")


def make_decoder(definition: Definition, version: int) -> Decoder:
    """Make the decoder of a message in one version.

    What it returns holds no more than a list entry for each byte it was given before the bytes run
    out: lengths are compared with what is left before anything is made.
    """
    return _Maker(definition, version).make()


@functools.lru_cache(maxsize=4096)
def _uuid(raw: bytes) -> uuid.UUID:
    return uuid.UUID(bytes=raw)


def _short(what: str) -> Malformed:
    return Malformed(f"{what} is longer than what is left")


def _null(what: str) -> Malformed:
    return Malformed(f"{what} is null")


class _Maker:
    def __init__(self, definition: Definition, version: int) -> None:
        self._definition = definition
        self._version = version
        self._flexible = version in definition.flexible
        self._source = Source(
            {
                "Malformed": Malformed,
                "Message": Message,
                "new": Message.__new__,
                "varint": unsigned_varint,
                "make_uuid": _uuid,
                "unpack": struct.unpack_from,
                "short": _short,
                "null": _null,
                "int8": Packing(">b").unpack_from,
                "int16": Packing(">h").unpack_from,
                "int32": Packing(">i").unpack_from,
            }
        )

    def make(self) -> Decoder:
        source = self._source
        with source.block("def decode(data, end):"):
            source.add("pos = 0")
            message = self._struct(self._definition.struct)
            source.add(f"return {message}, pos")
        return source.compile(f"{self._definition.struct.name} v{self._version} decoder", "decode")

    def _struct(self, fields_of: Struct) -> str:
        """Add what reads a structure; returns the variable that it is in then."""
        values: dict[str, str] = {}
        plain = [field for field in fields_of.fields if self._is_plain(field)]
        while plain:
            run = _leading_run(plain)
            if run:
                self._run(run, values)
                del plain[: len(run)]
            else:
                field = plain.pop(0)
                values[field.name] = self._field(field)
        for field in fields_of.fields:
            if field.name not in values:
                values[field.name] = self._source.variable()
                self._source.add(f"{values[field.name]} = {self._default(field)}")
        if self._flexible:
            self._tagged(fields_of, values)
        message = self._source.variable()
        # As Message(**values), without the call.
        items = ", ".join(f"{field.name!r}: {values[field.name]}" for field in fields_of.fields)
        self._source.add(f"{message} = new(Message)", f"{message}.__dict__ = {{{items}}}")
        return message

    def _is_plain(self, field: Field) -> bool:
        return self._version in field.versions and not self._is_tagged(field)

    def _is_tagged(self, field: Field) -> bool:
        return self._flexible and self._version in field.tagged

    def _default(self, field: Field) -> str:
        default = field.make_default()
        if isinstance(default, (list, Message)):
            return f"{self._source.constant(field.make_default)}()"
        return self._source.constant(default)

    def _run(self, fields: list[Field], values: dict[str, str]) -> None:
        """Fields of one size each, read at one go."""
        packing = Packing(">" + "".join(FORMATS[field.kind] for field in fields))
        for field in fields:
            values[field.name] = self._source.variable()
        names = "".join(f"{values[field.name]}, " for field in fields)
        self._source.add(
            f"{names}= {self._source.constant(packing.unpack_from)}(data, pos)", f"pos += {packing.size}"
        )

    def _field(self, field: Field) -> str:
        flexible = self._flexible if field.flexible is None else self._version in field.flexible
        nullable = self._version in field.nullable
        if field.array:
            return self._array(field, flexible=flexible, nullable=nullable)
        if field.struct and nullable:
            return self._nullable_struct(field, field.struct)
        return self._single(field, flexible=flexible, nullable=nullable)

    def _single(self, field: Field, *, flexible: bool, nullable: bool) -> str:
        """One value, of a field or of an array's element."""
        if field.struct:
            return self._struct(field.struct)
        if field.kind in FORMATS:
            values: dict[str, str] = {}
            self._run([field], values)
            return values[field.name]
        value = self._source.variable()
        if field.kind == "uuid":
            self._source.add(
                f"if pos + {_UUID_BYTES} > end: raise short({field.name!r})",
                f"{value} = make_uuid(bytes(data[pos:pos + {_UUID_BYTES}]))",
                f"pos += {_UUID_BYTES}",
            )
        else:
            self._sized(field, value, flexible=flexible, nullable=nullable)
        return value

    def _sized(self, field: Field, value: str, *, flexible: bool, nullable: bool) -> None:
        source = self._source
        text = field.kind == "string"
        self._length("int16" if text else "int32", flexible=flexible)
        with self._unless_null(field, value, nullable=nullable):
            source.add("stop = pos + n", f"if stop > end: raise short({field.name!r})")
            if text:
                if flexible:
                    source.add(f"if n > {MAX_STRING}: raise Malformed('{field.name} is too long a string')")
                source.add(f"{value} = str(data[pos:stop], 'utf-8')")
            elif field.kind == "records":
                source.add(f"{value} = data[pos:stop]")
            else:
                source.add(f"{value} = bytes(data[pos:stop])")
            source.add("pos = stop")

    def _length(self, kind: str, *, flexible: bool) -> None:
        """Add what reads a length into `n`: below zero for null."""
        source = self._source
        if flexible:
            source.add("n = data[pos] - 1")
            with source.block("if n < 127:"):
                source.add("pos += 1")
            with source.block("else:"):
                source.add("n, pos = varint(data, pos)", "n -= 1")
        else:
            source.add(f"n, = {kind}(data, pos)", f"pos += {SIZES[kind]}")

    def _unless_null(self, field: Field, value: str, *, nullable: bool) -> AbstractContextManager[None]:
        """Add what sees whether the length that was read means null; what follows is for where not."""
        null = f"{value} = None" if nullable else f"raise null({field.name!r})"
        self._source.add(f"if n < 0: {null}")
        return self._source.block("else:")

    def _nullable_struct(self, field: Field, struct: Struct) -> str:
        self._source.add("n, = int8(data, pos)", "pos += 1")
        value = self._source.variable()
        with self._unless_null(field, value, nullable=True):
            self._source.add(f"{value} = {self._struct(struct)}")
        return value

    def _array(self, field: Field, *, flexible: bool, nullable: bool) -> str:
        source = self._source
        values = source.variable()
        self._length("int32", flexible=flexible)
        with self._unless_null(field, values, nullable=nullable):
            source.add(f"if n * {self._smallest(field)} > end - pos: raise short({field.name!r})")
            if field.kind in FORMATS:
                source.add(
                    f"{values} = list(unpack(f'>{{n}}{FORMATS[field.kind]}', data, pos))",
                    f"pos += n * {SIZES[field.kind]}",
                )
                return values
            source.add(f"{values} = []")
            with source.block("for _ in range(n):"):
                element = self._single(field, flexible=flexible, nullable=False)
                source.add(f"{values}.append({element})")
        return values

    def _smallest(self, field: Field) -> int:
        """Bytes that an element of an array takes at least; one, if only to end loops over nothing."""
        if field.struct:
            plain = [each for each in field.struct.fields if self._is_plain(each)]
            return max(1, sum(1 if each.array else self._smallest(each) for each in plain) + self._flexible)
        return SIZES.get(field.kind, _UUID_BYTES if field.kind == "uuid" else 1)

    def _tagged(self, struct: Struct, values: dict[str, str]) -> None:
        """Add what reads the tagged fields at a structure's end; those that are not known are passed over."""
        source = self._source
        count, tag, stop = source.variable(), source.variable(), source.variable()
        source.add(f"{count} = data[pos]", "pos += 1")
        with source.block(f"if {count}:"):
            source.add(f"if {count} > 127: {count}, pos = varint(data, pos - 1)")
            with source.block(f"for _ in range({count}):"):
                source.add(
                    f"{tag}, pos = varint(data, pos)",
                    f"{stop}, pos = varint(data, pos)",
                    f"{stop} += pos",
                    f"if {stop} > end: raise short('a tagged field')",
                )
                for field in struct.fields:
                    if self._version in field.versions and self._is_tagged(field):
                        with source.block(f"if {tag} == {field.tag}:"):
                            source.add(
                                f"{values[field.name]} = {self._field(field)}",
                                f"if pos != {stop}: raise Malformed('{field.name} has a wrong size')",
                            )
                source.add(f"pos = {stop}")


def _leading_run(fields: list[Field]) -> list[Field]:
    return list(itertools.takewhile(lambda field: field.kind in FORMATS and not field.array, fields))
