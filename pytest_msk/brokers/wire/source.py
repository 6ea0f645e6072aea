"""Python source put together line by line, for encoders and decoders, which are made when first needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from struct import Struct as Packing
from typing import Any

FORMATS = {
    "bool": "?",
    "int8": "b",
    "int16": "h",
    "uint16": "H",
    "int32": "i",
    "uint32": "I",
    "int64": "q",
    "float64": "d",
}
"""Types of one size, with what `struct` calls them. A UUID has one size too, and a way of its own."""

SIZES = {kind: Packing(">" + letter).size for kind, letter in FORMATS.items()}

MAX_STRING = 0x7FFF
"""Bytes of the longest string, also where the length is a varint."""


class Source:
    """A function's source, and the objects that it refers to.

    Args:
        given: names that the source may use.
    """

    def __init__(self, given: Mapping[str, object]) -> None:
        self._lines: list[str] = []
        self._depth = 0
        self._names: dict[str, object] = dict(given)
        self._count = 0

    def add(self, *lines: str) -> None:
        """Add lines at the present depth."""
        self._lines += ["\t" * self._depth + line for line in lines]

    @contextmanager
    def block(self, head: str) -> Iterator[None]:
        """What is added meanwhile stands under the head: ``if x:``."""
        self.add(head)
        self._depth += 1
        yield
        self._depth -= 1

    def variable(self) -> str:
        """A name that nothing else has."""
        self._count += 1
        return f"v{self._count}"

    def constant(self, value: object) -> str:
        """A name for an object."""
        name = self.variable().upper()
        self._names[name] = value
        return name

    def compile(self, title: str, function: str) -> Callable[..., Any]:
        """The function of that name. The title stands in tracebacks."""
        exec(compile("\n".join(self._lines), f"<{title}>", "exec"), self._names)  # noqa: S102  # our own source
        made: Callable[..., Any] = self._names[function]  # type: ignore[assignment]
        return made
