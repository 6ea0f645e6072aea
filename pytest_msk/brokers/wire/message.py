"""A message of the Kafka protocol, or a structure inside one."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

NO_ID = uuid.UUID(int=0)
"""Kafka's zero UUID: no topic id."""


class Message:
    """The fields of a request, a response, or a structure inside one.

    Attributes are named as Kafka's message definitions name them, in snake case. A message that was
    decoded has them all, those that its version lacks with the definition's default. One that is made
    to be encoded may leave fields out, which then go as the definition's default.
    """

    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...

        def __setattr__(self, name: str, value: Any) -> None: ...

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Message) and self.__dict__ == other.__dict__

    __hash__ = None  # type: ignore[assignment]  # its fields may change

    def __repr__(self) -> str:
        return f"Message({', '.join(f'{name}={value!r}' for name, value in self.__dict__.items())})"
