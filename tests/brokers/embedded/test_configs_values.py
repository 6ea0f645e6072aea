"""Values of settings, from text and to text. `test_configs_java` has Kafka's own word on each."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_msk.brokers.embedded.config_definitions import Kind, Setting, definitions
from pytest_msk.brokers.embedded.config_values import double, parsed, shown
from pytest_msk.brokers.wire.errors import KafkaError


def of(kind: Kind, rule: Any = None) -> Setting:
    return Setting("some.setting", kind, None, rule)


@pytest.mark.parametrize(
    ("kind", "text", "value", "told"),
    [
        ("boolean", " TRUE ", True, "true"),
        ("int", "+5", 5, "5"),
        ("int", " -2147483648\t", -2147483648, "-2147483648"),
        ("long", "9223372036854775807", 9223372036854775807, "9223372036854775807"),
        ("double", "1e-4", 0.0001, "1.0E-4"),
        ("double", "12345678", 12345678.0, "1.2345678E7"),
        ("double", "1.7976931348623157E308", 1.7976931348623157e308, "1.7976931348623157E308"),
        ("list", " a , b,c ", ["a", "b", "c"], "a,b,c"),
        ("list", "", [], ""),
        ("string", "  lz4 ", "lz4", "lz4"),
        ("password", " secret", "secret", "secret"),
    ],
)
def test_what_a_text_means(kind: Kind, text: str, value: object, told: str) -> None:
    found = parsed(of(kind), text)
    assert found == value
    assert type(found) is type(value)
    assert shown(found, kind) == told


def test_null_stays_null() -> None:
    assert parsed(of("int"), None) is None
    assert shown(None, "int") is None


@pytest.mark.parametrize(
    ("setting", "text", "why"),
    [
        (of("boolean"), "yes", "true or false"),
        (of("int"), "2147483648", "Not a number of type INT"),
        (of("int"), "1_000", "Not a number of type INT"),
        (of("int"), "1" * 30_000, "Not a number of type INT"),
        (of("double"), "1" * 30_000 + "e", "Not a number of type DOUBLE"),
        (of("double"), "0x" + "1" * 30_000, "Not a number of type DOUBLE"),
        (of("short"), "32768", "Not a number of type SHORT"),
        (of("double"), "much", "Not a number of type DOUBLE"),
        (of("int", [1, 9, -1]), "0", "at least 1"),
        (of("int", [1, 9, -1]), "10", "no more than 9"),
        (of("string", {"one of": ["a", "b"]}), "c", "one of: a, b"),
        (of("string", {"any case of": ["UP"]}), "down", "UP"),
        (of("list", {"list of": ["a", "b"]}), "a,c", "one of: a, b"),
        (of("list", {"list of": [], "empty": False}), "", "empty"),
        (of("list", {"list of": [], "empty": True}), "a,,b", "empty"),
        (of("list", "throttled-replicas"), "0:1,x", "partitionId"),
        (of("string", {"release up to": "3.7-IV4"}), "3.8", "3.8"),
        (of("string", {"release up to": "3.7-IV4"}), "3." + "1" * 30_000, "not a valid version"),
        (of("string", "non-empty"), "", "non-empty"),
        (of("string", "offset-reset"), "by_duration:P", "by_duration"),
    ],
)
def test_what_a_setting_refuses(setting: Setting, text: str, why: str) -> None:
    with pytest.raises(KafkaError, match=why) as caught:
        parsed(setting, text)
    assert caught.value.name == "INVALID_CONFIG"
    assert "some.setting" in str(caught.value.message)


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        (of("int", [1, 9, -1]), "-1"),
        (of("list", "throttled-replicas"), "0:1, 1:1"),
        (of("list", "throttled-replicas"), "*"),
        (of("string", {"release up to": "3.7-IV4"}), "0.10.2"),
        (of("string", {"any case of": ["UP"]}), "uP"),
        (of("string", "offset-reset"), "by_duration:P1DT2H"),
    ],
)
def test_what_a_setting_takes(setting: Setting, text: str) -> None:
    parsed(setting, text)


def test_later_releases_take_duplicates_in_a_list_for_one() -> None:
    text = "compact,compact"
    assert parsed(definitions((3, 9, 1)).topic["cleanup.policy"], text) == ["compact", "compact"]
    assert parsed(definitions((4, 3, 1)).topic["cleanup.policy"], text) == ["compact"]


@given(st.floats())
def test_a_number_keeps_its_value_as_java_writes_it(value: float) -> None:
    text = double(value)
    back = parsed(of("double"), text)
    assert back == value or (math.isnan(back) and math.isnan(value))
    if math.isfinite(value) and value and not 1e-3 <= abs(value) < 1e7:
        digits, _, exponent = text.partition("E")
        assert int(exponent) or digits
        assert 1 <= abs(float(digits)) < 10


@given(st.integers(-(1 << 63), (1 << 63) - 1), st.sampled_from(["", " ", "\t", "\n "]))
def test_whole_numbers_keep_their_value(value: int, blank: str) -> None:
    assert shown(parsed(of("long"), f"{blank}{value}{blank}"), "long") == str(value)


@given(st.lists(st.text("abc:*", min_size=1)))
def test_lists_keep_their_words(words: list[str]) -> None:
    assert parsed(of("list"), shown(words, "list")) == words
