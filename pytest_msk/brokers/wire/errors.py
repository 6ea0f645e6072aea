"""Kafka's errors, by name and by number."""

from __future__ import annotations

from pytest_msk.brokers.wire.definitions import table

NONE = 0

CODES: dict[str, int] = table("errors")
"""Names as in ``org.apache.kafka.common.protocol.Errors``."""

_NAMES = {code: name for name, code in CODES.items()}


class KafkaError(Exception):
    """What a broker refuses a request with, or a part of one.

    Args:
        error: the error's name.
        message: what is wrong, for people; None where there is no more to say than the name does.

    Raises:
        KeyError: Kafka has no error of that name.
    """

    def __init__(self, error: str, message: str | None = None) -> None:
        super().__init__(error if message is None else f"{error}: {message}")
        self.name = error
        self.code = CODES[error]
        self.message = message


def code(error: str) -> int:
    """The number of an error.

    Raises:
        KeyError: Kafka has no error of that name.
    """
    return CODES[error]


def name(number: int) -> str:
    """The name of an error; as Kafka's clients do, an unknown number counts as ``UNKNOWN_SERVER_ERROR``."""
    return _NAMES.get(number, "UNKNOWN_SERVER_ERROR")
