"""Checks of single values that people write: each returns the value or says what is allowed."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

_TRUE = ("1", "true", "yes", "on")
_FALSE = ("0", "false", "no", "off")
_VERSION = r"\d+\.\d+\.(\d+|x)(\.\d+)?(\.kraft|\.tiered)?"
_CLUSTER_NAME = r"[0-9A-Za-z][0-9A-Za-z-]{0,63}"
_TOPIC_NAME = r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}"


def truth(value: Any) -> bool:
    """A boolean, or its usual spellings."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in _TRUE:
        return True
    if isinstance(value, str) and value.lower() in _FALSE:
        return False
    raise ValueError(f"{value!r} is neither true nor false; write one of {', '.join(_TRUE + _FALSE)}")


def flag(value: Any) -> bool:
    """A boolean, written as one."""
    if isinstance(value, bool):
        return value
    raise ValueError(f"{value!r} is not a bool; write True or False")


def one_of(*allowed: str) -> Callable[[Any], str]:
    """One of some words."""

    def check(value: Any) -> str:
        if value in allowed:
            return str(value)
        raise ValueError(f"{value!r} is not one of {', '.join(map(repr, allowed))}")

    return check


def count(value: Any) -> int:
    """A whole number of at least 1, as an int."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{value!r} is a {type(value).__name__}; write a whole number of at least 1")
    if value < 1:
        raise ValueError(f"{value!r} is too small; write a whole number of at least 1")
    return value


def at_least_one(value: Any) -> int:
    """A whole number of at least 1, as an int or in digits."""
    digits = isinstance(value, str) and value.strip().lstrip("-").isdigit()
    return count(int(value) if digits else value)


def positive_seconds(value: Any) -> float:
    """A number of seconds above 0, as a number or in digits."""
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{value!r} is not a number of seconds") from None
    if not 0 < seconds < float("inf"):
        raise ValueError(f"{value!r} is no time to wait; write a number of seconds above 0")
    return seconds


def text(value: Any) -> str:
    """A string that is not empty."""
    if isinstance(value, str) and value:
        return value
    raise ValueError(f"{value!r} is not a string with something in it")


def kafka_version(value: Any) -> str:
    """Kafka's own version number, or MSK's name for one."""
    if isinstance(value, str) and re.fullmatch(_VERSION, value):
        return value
    raise ValueError(
        f"{value!r} is not a Kafka version; write Kafka's number, such as '3.7.1', "
        "or MSK's name, such as '3.7.x.kraft'"
    )


def cluster_name(value: Any) -> str:
    """A cluster's name by MSK's rule."""
    if isinstance(value, str) and re.fullmatch(_CLUSTER_NAME, value):
        return value
    raise ValueError(
        f"{value!r} is not a cluster name; write 1 to 64 letters, digits and hyphens, a letter or digit first"
    )


def topic_name(value: Any) -> str:
    """A topic's name by Kafka's rule."""
    if isinstance(value, str) and re.fullmatch(_TOPIC_NAME, value):
        return value
    raise ValueError(
        f"{value!r} is not a topic name; write 1 to 249 of letters, digits, '.', '_' and '-', "
        "and not '.' or '..'"
    )
