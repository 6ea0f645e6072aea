"""What the plugin costs those who do not use it."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("boto3", "botocore", "moto", "docker", "testcontainers", "kafka", "requests")


@pytest.mark.parametrize("module", ["pytest_msk", "pytest_msk.plugin", "pytest_msk.fixtures"])
def test_importing_pulls_in_nothing_heavy(module: str) -> None:
    script = f"import sys, {module}; print(*(name for name in {HEAVY!r} if name in sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert loaded.stdout.split() == []


def test_a_run_without_clusters_pulls_in_nothing_heavy(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        f"""
        import sys

        def test_it():
            assert not [name for name in {HEAVY!r} if name in sys.modules]
        """
    )
    result = pytester.runpytest_subprocess("-p", "no:xdist", "-p", "no:hypothesispytest")
    result.assert_outcomes(passed=1)


def test_the_entry_point_is_named_msk(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(msk_cluster): ...")
    result = pytester.runpytest_subprocess("-p", "no:msk")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*fixture 'msk_cluster' not found*"])
