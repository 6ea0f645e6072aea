"""Shared by the examples: those that need brokers say so where there are none."""

import pytest

from pytest_msk import UnsupportedOnPlaneError


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Turn «this backend has no brokers» into a skip with that reason."""
    report = yield
    if report.failed and call.excinfo is not None and call.excinfo.errisinstance(UnsupportedOnPlaneError):
        path, line, _ = item.location
        report.outcome = "skipped"
        report.longrepr = (path, line, str(call.excinfo.value))
    return report
