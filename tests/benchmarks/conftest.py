"""Benchmarks run only when asked for (PYTEST_MSK_BENCH=1), never fail on time, and end with their figures."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

collect_ignore_glob = [] if os.environ.get("PYTEST_MSK_BENCH") == "1" else ["test_*.py"]

_figures = pytest.StashKey[list[str]]()


@pytest.fixture
def report(pytestconfig: pytest.Config) -> Callable[[str], None]:
    """Adds a line to the figures at the end of the run."""
    return pytestconfig.stash.setdefault(_figures, []).append


@pytest.hookimpl
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if figures := config.stash.get(_figures, []):
        terminalreporter.section("benchmarks")
        for line in figures:
            terminalreporter.write_line(line)
