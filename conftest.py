"""For every test of the project, the examples included."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

pytest_plugins = ["pytester"]

# testcontainers' reaper is one more image, which a machine without a registry does not have.
os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")

DOCKER_REQUIRED = "PYTEST_MSK_REQUIRE_DOCKER"
"""Where Docker is required (in CI), nothing may hide behind a skip."""


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get(DOCKER_REQUIRED) == "1":
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"skipped, and {DOCKER_REQUIRED} allows no skip: {reason}"
    return report
