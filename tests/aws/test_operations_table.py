"""README's table of operations: what is answered, and what brokers feel of it.

``PYTEST_MSK_WRITE_TABLE=1 pytest tests/aws/test_operations_table.py`` writes it anew.
"""

from __future__ import annotations

import os
from pathlib import Path

from pytest_msk.aws.kafka.api import api
from pytest_msk.aws.service import service_model
from tests.conformance.test_operations import ACTS

README = Path(__file__).parents[2] / "README.md"
BEGIN, END = "<!-- operations -->\n", "<!-- end of operations -->\n"


def table() -> str:
    """A row for each operation; "acts" where `ACTS` has what shows it, on both planes."""
    rows = ["| operation | answered | embedded brokers | containers |", "|---|---|---|---|"]
    for name in sorted(service_model("kafka").operation_names):
        answered = "yes" if name in api._handlers else "no"
        felt = "acts" if name in ACTS else ""
        rows.append(f"| {name} | {answered} | {felt} | {felt} |")
    return "\n".join(rows) + "\n"


def test_readme_has_it() -> None:
    text = README.read_text()
    before, rest = text.split(BEGIN)
    found, after = rest.split(END)
    if os.environ.get("PYTEST_MSK_WRITE_TABLE") == "1":
        README.write_text(before + BEGIN + table() + END + after)
        return
    assert found == table()


def test_all_are_answered() -> None:
    assert set(service_model("kafka").operation_names) == set(api._handlers)
