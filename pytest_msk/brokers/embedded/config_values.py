"""Values of settings: from text, to text, and which a setting takes, as Kafka's ``ConfigDef`` has it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from pytest_msk.brokers.embedded.config_definitions import Kind, Setting
from pytest_msk.brokers.wire.errors import KafkaError

LONGEST = 0x7FFF
"""Characters of the longest value that can be set while brokers run."""

MOST_LONG = (1 << 63) - 1
"""Stands for no limit."""

# What Java's `String.trim` takes off, and what its regular expressions take for space.
_BLANK = "".join(map(chr, range(0x21)))
_SPACE = " \t\n\x0b\f\r"

_INTEGER = re.compile(r"[+-]?\d+")
_DECIMAL = re.compile(r"([+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)[fFdD]?")
_HEXADECIMAL = re.compile(r"([+-]?0[xX][0-9a-fA-F]*(?:\.[0-9a-fA-F]*)?[pP][+-]?[0-9]+)[fFdD]?")
_NOT_DECIMAL = {"NaN": math.nan, "Infinity": math.inf, "+Infinity": math.inf, "-Infinity": -math.inf}
_MOST_DIGITS = 1000
_BITS: Mapping[Kind, int] = {"short": 15, "int": 31, "long": 63}

_RELEASE = re.compile(r"(?P<minor>0\.[0-9]+\.[0-9]+|[1-9]\.[0-9]{1,3})(?:\.[^-]*|-IV[0-9]+)?")
_OLD_RELEASES = ("0.8.0", "0.8.1", "0.8.2", "0.9.0", "0.10.0", "0.10.1", "0.10.2", "0.11.0", "1.0", "1.1")
_LAST_2 = 8
_THROTTLED_REPLICA = re.compile(r"(?:[0-9]+:[0-9]+)?")
_OFFSET_RESET = re.compile(
    r"latest|earliest|by_duration:P(?=.)(?:[0-9]+D)?(?:T(?=.)(?:[0-9]+H)?(?:[0-9]+M)?(?:[0-9]+(?:\.[0-9]{1,9})?S)?)?"
)


def invalid(name: str, value: object, why: str) -> KafkaError:
    """That a setting cannot have a value, in the form that Kafka's clients know (``ConfigException``)."""
    return KafkaError("INVALID_CONFIG", f"Invalid value {_in_java(value)} for configuration {name}: {why}")


def parsed(setting: Setting, text: str | None) -> Any:
    """A setting's value: int, float, bool, str, a list of str, or None for null.

    Args:
        setting: which.
        text: the value as text; None stands for null.

    Raises:
        KafkaError: ``INVALID_CONFIG``: it is not of the setting's type, or not one that it takes.
    """
    value = None if text is None else _converted(setting, text)
    if isinstance(value, list) and isinstance(setting.rule, dict) and "empty" in setting.rule:
        value = list(dict.fromkeys(value))  # Kafka 4.2 and later take duplicates for one
    check(setting, value)
    return value


def shown(value: Any, kind: Kind | None = None) -> str | None:
    """A parsed value as brokers tell it (``ConfigDef.convertToString``)."""
    if value is None:
        return None
    if isinstance(value, list):
        return ",".join(value)
    if kind == "double":
        return double(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def split(text: str) -> list[str]:
    """The words between commas, without the space around them; none of an empty text."""
    return [word.strip(_SPACE) for word in text.split(",")] if text else []


def double(value: float) -> str:
    """A number as Java's ``Double.toString`` writes it."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if value == 0 or 1e-3 <= abs(value) < 1e7:  # noqa: PLR2004 - where Java goes without an exponent
        return repr(float(value))
    from decimal import Decimal  # nothing else here needs it

    sign, digits, exponent = Decimal(repr(float(value))).normalize().as_tuple()
    text = "".join(map(str, digits))
    point = int(exponent) + len(text) - 1
    return f"{'-' if sign else ''}{text[0]}.{text[1:] or '0'}E{point}"


def check(setting: Setting, value: Any) -> None:
    """Check a value against a setting's rule (the validators of ``ConfigDef``).

    Raises:
        KafkaError: ``INVALID_CONFIG``.
    """
    rule = setting.rule
    if rule is None:
        return
    if isinstance(rule, list):
        _check_range(setting.name, value, *rule)
    elif isinstance(rule, dict):
        _check_words(setting.name, value, rule)
    elif rule == "non-null" and value is None:
        raise invalid(setting.name, "null", "entry must be non null")
    elif rule == "non-empty" and value == "":
        raise invalid(setting.name, value, "String must be non-empty")
    elif rule == "throttled-replicas" and not _throttled_replicas(value):
        raise invalid(setting.name, value, "must be * or a list of [partitionId]:[brokerId]")
    elif rule == "offset-reset" and not _OFFSET_RESET.fullmatch(value):
        raise invalid(setting.name, value, "must be earliest, latest or by_duration:<PnDTnHnMn.nS>")


def _converted(setting: Setting, text: str) -> Any:
    name, kind = setting.name, setting.kind
    trimmed = text.strip(_BLANK)
    if kind == "boolean":
        if trimmed.lower() not in ("true", "false"):
            raise invalid(name, text, "Expected value to be either true or false")
        return trimmed.lower() == "true"
    if kind in _BITS:
        limit = 1 << _BITS[kind]
        # Of longer ones Python does not even say what they are.
        if (
            len(trimmed) > _MOST_DIGITS
            or not _INTEGER.fullmatch(trimmed)
            or not -limit <= int(trimmed) < limit
        ):
            raise invalid(name, text, f"Not a number of type {kind.upper()}")
        return int(trimmed)
    if kind == "double":
        value = _double(trimmed)
        if value is None:
            raise invalid(name, text, "Not a number of type DOUBLE")
        return value
    if kind == "list":
        return split(trimmed)
    return trimmed


def _double(text: str) -> float | None:
    """What Java's ``Double.parseDouble`` makes of a text; None where it refuses it."""
    match = _DECIMAL.fullmatch(text)
    if match is not None:
        return float(match[1])
    match = _HEXADECIMAL.fullmatch(text)
    try:
        return float.fromhex(match[1]) if match is not None else _NOT_DECIMAL.get(text)
    except (ValueError, OverflowError):
        return None


def _check_range(
    name: str, value: Any, low: float | None, high: float | None, also: int | None = None
) -> None:
    if value is None:
        raise invalid(name, None, "Value must be non-null")
    if also is not None and value == also:
        return
    if low is not None and value < low:
        raise invalid(name, value, f"Value must be at least {low}")
    if high is not None and value > high:
        raise invalid(name, value, f"Value must be no more than {high}")


def _check_words(name: str, value: Any, rule: Mapping[str, Any]) -> None:
    if "one of" in rule and value not in rule["one of"]:
        raise invalid(name, value, f"String must be one of: {', '.join(rule['one of'])}")
    if "any case of" in rule and (value is None or value.upper() not in rule["any case of"]):
        words = ", ".join(rule["any case of"])
        raise invalid(name, value, f"String must be one of (case insensitive): {words}")
    if "release up to" in rule and not _is_release(value, rule["release up to"]):
        raise invalid(name, value, f"Version {value} is not a valid version")
    if "list of" in rule and value is not None:
        words = rule["list of"]
        if not value and not rule.get("empty", True):
            raise invalid(name, value, "must not be empty")
        for each in value:
            if "empty" in rule and not each:
                raise invalid(name, value, "its values must not be empty")
            if words and each not in words:
                raise invalid(name, each, f"String must be one of: {', '.join(words)}")


def _is_release(text: str, last: str) -> bool:
    """Whether there was a release of Kafka of that name, or a version between releases, up to the last."""
    match, limit = _RELEASE.fullmatch(text), _RELEASE.fullmatch(last)
    if match is None or limit is None:
        return False
    if match["minor"] in _OLD_RELEASES:
        return True
    major, minor = map(int, match["minor"].split(".")[:2])
    latest = tuple(map(int, limit["minor"].split(".")[:2]))
    return (2, 0) <= (major, minor) <= latest and (major > 2 or minor <= _LAST_2)  # noqa: PLR2004


def _throttled_replicas(value: list[str]) -> bool:
    words = [each.strip(_BLANK) for each in value]
    return all(map(_THROTTLED_REPLICA.fullmatch, words)) or "".join(words) == "*"


def _in_java(value: object) -> str:
    """A value as Java puts it into a message."""
    if isinstance(value, list):
        return f"[{', '.join(value)}]"
    if isinstance(value, float):
        return double(value)
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)
