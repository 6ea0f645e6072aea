"""Between JSON over HTTP and Python values, as a botocore shape describes them.

botocore itself checks required members, types and minima before it sends a request, but neither
maxima nor patterns nor enumerations, and a caller without botocore is not checked at all. So all
of it is checked here.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from botocore.model import StructureShape

from pytest_msk.aws.errors import AwsError, bad_request

Shape = Any
"""A shape of any kind. What attributes it has depends on ``type_name``, which no type checker follows."""


@dataclass(frozen=True)
class Parts:
    """Where the members of a request are, before they have types.

    Attributes:
        path: segments of the path, by the name between braces.
        query: values of each query parameter.
        body: the JSON object of the body.
    """

    path: Mapping[str, str]
    query: Mapping[str, list[str]]
    body: Mapping[str, Any]

    def find(self, shape: Shape, wire: str) -> Any:
        """The value of a member as JSON would have given it, or None."""
        location = shape.serialization.get("location")
        if location is None:
            return self.body.get(wire)
        texts = [self.path[wire]] if location == "uri" else self.query.get(wire, [])
        if not texts:
            return None
        if shape.type_name == "list":
            return [_from_text(shape.member, text) for text in texts]
        return _from_text(shape, texts[0])


def wire_name(member: str, shape: Shape) -> str:
    """A member's name in JSON, in the path or in the query."""
    return str(shape.serialization.get("name", member))


def read_input(shape: StructureShape, parts: Parts, unlimited: frozenset[str]) -> dict[str, Any]:
    """The members of a request, by the names that boto3's users write.

    Args:
        shape: the operation's input shape.
        parts: the request.
        unlimited: wire names of members whose maximum the service does not keep to.

    Raises:
        AwsError: BadRequestException that names the member which the model does not allow.
    """
    found = ((wire, parts.find(member, wire)) for _, member, wire in _members(shape))
    return _Reader(unlimited).structure(shape, dict(found), None)


def write_output(shape: StructureShape, result: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON body for an operation's result. Members that are None are left out.

    Raises:
        KeyError: the result has a member that the model does not know.
    """
    unknown = set(result) - set(shape.members)
    if unknown:
        raise KeyError(f"{shape.name} has no member {', '.join(sorted(unknown))}")
    return {
        wire: _write(member, result[name])
        for name, member, wire in _members(shape)
        if result.get(name) is not None
    }


def _members(shape: StructureShape) -> Iterator[tuple[str, Shape, str]]:
    for name, member in shape.members.items():
        yield name, member, wire_name(name, member)


def _from_text(shape: Shape, text: str) -> Any:
    """What a path segment or query value would be in JSON; left as it is when it cannot be."""
    if shape.type_name in ("integer", "long"):
        return int(text) if re.fullmatch(r"[+-]?\d+", text) else text
    if shape.type_name == "boolean":
        return {"true": True, "false": False}.get(text.lower(), text)
    return text


class _Reader:
    """Reads JSON values by shape and refuses what the shape does not allow."""

    def __init__(self, unlimited: frozenset[str]) -> None:
        self._unlimited = unlimited

    def structure(self, shape: StructureShape, value: Any, wire: str | None) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise _wrong_type(wire, "an object")
        members = {}
        for name, member, member_wire in _members(shape):
            if value.get(member_wire) is not None:
                members[name] = self._value(member, value[member_wire], member_wire)
            elif name in shape.required_members:
                raise bad_request(f"Missing required parameter: {member_wire}.", member_wire)
        return members

    def _value(self, shape: Shape, value: Any, wire: str) -> Any:
        kind = shape.type_name
        if kind == "structure":
            return self.structure(shape, value, wire)
        if kind == "list":
            return self._list(shape, value, wire)
        if kind == "map":
            return self._map(shape, value, wire)
        scalar = _SCALARS[kind](value, wire)
        if kind == "string":
            self._check_string(shape, scalar, wire)
        elif kind in ("integer", "long"):
            self._check_range(shape, scalar, wire, "value")
        return scalar

    def _list(self, shape: Shape, value: Any, wire: str) -> list[Any]:
        if not isinstance(value, list):
            raise _wrong_type(wire, "a list")
        self._check_range(shape, len(value), wire, "number of items")
        return [self._value(shape.member, item, wire) for item in value]

    def _map(self, shape: Shape, value: Any, wire: str) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise _wrong_type(wire, "a map")
        self._check_range(shape, len(value), wire, "number of entries")
        return {
            self._value(shape.key, key, wire): self._value(shape.value, item, wire)
            for key, item in value.items()
        }

    def _check_string(self, shape: Shape, value: str, wire: str) -> None:
        self._check_range(shape, len(value), wire, "length")
        if shape.enum and value not in shape.enum:
            valid = ", ".join(shape.enum)
            raise bad_request(f"Invalid value for {wire}: {value!r}. Valid values: [{valid}]", wire)
        pattern = shape.metadata.get("pattern")
        if pattern and not re.fullmatch(pattern, value):
            raise bad_request(f"Invalid value for {wire}: {value!r} does not match {pattern}", wire)

    def _check_range(self, shape: Shape, size: float, wire: str, what: str) -> None:
        least, most = shape.metadata.get("min"), shape.metadata.get("max")
        if least is not None and size < least:
            raise bad_request(f"Invalid {what} of {wire}: {size} is less than the minimum of {least}.", wire)
        if most is not None and size > most and wire not in self._unlimited:
            raise bad_request(f"Invalid {what} of {wire}: {size} is more than the maximum of {most}.", wire)


def _wrong_type(wire: str | None, wanted: str) -> AwsError:
    return bad_request(f"Invalid type of {wire or 'the request body'}: {wanted} is needed.", wire)


def _string(value: Any, wire: str) -> str:
    if not isinstance(value, str):
        raise _wrong_type(wire, "a string")
    return value


def _boolean(value: Any, wire: str) -> bool:
    if not isinstance(value, bool):
        raise _wrong_type(wire, "true or false")
    return value


def _integer(value: Any, wire: str) -> int:
    # 3.0 is the same JSON number as 3, and some languages write it so.
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise _wrong_type(wire, "a whole number")
    return value


def _blob(value: Any, wire: str) -> bytes:
    try:
        return base64.b64decode(_string(value, wire), validate=True)
    except binascii.Error as error:
        raise _wrong_type(wire, "base64 text") from error


# No input of kafka or kafkaconnect has a timestamp or a fraction.
_SCALARS: Mapping[str, Callable[[Any, str], Any]] = {
    "string": _string,
    "boolean": _boolean,
    "integer": _integer,
    "long": _integer,
    "blob": _blob,
}


def _write(shape: Shape, value: Any) -> Any:
    kind = shape.type_name
    if kind == "structure":
        return write_output(shape, value)
    if kind == "list":
        return [_write(shape.member, item) for item in value]
    if kind == "map":
        return {key: _write(shape.value, item) for key, item in value.items()}
    if kind == "timestamp":
        return iso_8601(value)
    if kind == "blob":
        return base64.b64encode(value).decode("ascii")
    return float(value) if kind in ("double", "float") else value


def iso_8601(moment: datetime) -> str:
    """The form in which the API writes timestamps: UTC, milliseconds, ``Z``."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
