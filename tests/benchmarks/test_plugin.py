"""What the plugin costs: a run that does not use it, and each test of a session cluster."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

ROUNDS = int(os.environ.get("PYTEST_MSK_BENCH_ROUNDS", "15"))
TESTS = 200

SUITES = {
    "no fixture": "def test_it(turn): ...",
    "a session msk_cluster": "def test_it(turn, msk_cluster): ...",
    "a session msk_cluster and a call": """
def test_it(turn, msk_cluster):
    msk_cluster.client.describe_cluster(ClusterArn=msk_cluster.arn)
""",
    "moto's mock_aws": """
@mock_aws
def test_it(turn): ...
""",
    "moto's mock_aws, a client and a call": """
@mock_aws
def test_it(turn):
    boto3.client("kafka", region_name="us-east-1").list_clusters()
""",
}


# Other plugins than ours are kept out, and modules are compiled once, as they are for users.
ENVIRONMENT = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONDONTWRITEBYTECODE": ""}


def run(folder: Path, *arguments: str) -> float:
    """Seconds of a whole pytest run."""
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments, str(folder)],
        cwd=folder,
        env=ENVIRONMENT,
        check=True,
        capture_output=True,
    )
    return time.perf_counter() - began


def test_a_run_that_does_not_use_it(tmp_path: Path, report: Callable[[str], None]) -> None:
    (tmp_path / "test_it.py").write_text("def test_it(): ...")
    run(tmp_path)
    pairs = [(run(tmp_path, "-p", "pytest_msk.plugin"), run(tmp_path)) for _ in range(ROUNDS)]
    added = statistics.median(with_it - without for with_it, without in pairs) * 1000
    whole = statistics.median(without for _, without in pairs) * 1000
    report(f"a run of one test without the plugin: {whole:.0f} ms; the plugin adds {added:.0f} ms to it")


@pytest.mark.parametrize("suite", SUITES)
def test_each_test(tmp_path: Path, suite: str, report: Callable[[str], None]) -> None:
    head = "import boto3, pytest\nfrom moto import mock_aws\n"
    for tests in (1, TESTS + 1):
        (tmp_path / str(tests)).mkdir()
        parametrize = f"pytestmark = pytest.mark.parametrize('turn', range({tests}))\n"
        (tmp_path / str(tests) / "test_it.py").write_text(head + parametrize + SUITES[suite])
    plugin = ("-p", "pytest_msk.plugin")
    rounds = range(max(3, ROUNDS // 5))
    each = [(run(tmp_path / str(TESTS + 1), *plugin) - run(tmp_path / "1", *plugin)) / TESTS for _ in rounds]
    report(f"a test with {suite}: {statistics.median(each) * 1000:.2f} ms")
