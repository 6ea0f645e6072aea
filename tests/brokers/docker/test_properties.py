"""The text of a properties file."""

from __future__ import annotations

import pytest

from pytest_msk.brokers.docker import properties


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("num.partitions", "3", "num.partitions=3"),
        ("a b", "c=d: e", r"a\ b=c=d: e"),
        ("a", " leading", r"a=\ leading"),
        ("a", "one\ntwo", r"a=one\u000atwo"),
        ("a", "C:\\kafka", r"a=C:\\kafka"),
        ("a", "é€𝄞", r"a=\u00e9\u20ac\ud834\udd1e"),
        ("#a", "#b", r"\#a=\#b"),
        ("a", "", "a="),
    ],
)
def test_names_and_values_are_escaped(name: str, value: str, line: str) -> None:
    assert properties.render({name: value}) == f"{line}\n"
