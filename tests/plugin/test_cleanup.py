"""Nothing of a cluster is left, however a run ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.docker_engine import require_docker, traces

PATIENCE = 60


@pytest.fixture(autouse=True)
def docker() -> None:
    require_docker()


@pytest.fixture
def name() -> str:
    return f"clean-{uuid.uuid4().hex[:10]}"


def until(condition: Callable[[], object], what: str, *runs: Run) -> None:
    """Wait for a condition for as long as the runs that are to bring it about are alive."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        for run in runs:
            assert run.poll() is None, f"{what}, and a run ended:\n{run.log.read_text()}"
        assert time.monotonic() < deadline, f"{what}, waited {PATIENCE} s"
        time.sleep(0.05)


ENDINGS = {
    "pass": ("def test_it(msk_cluster): assert msk_cluster.brokers", {"passed": 1}),
    "failure": ("def test_it(msk_cluster): assert not msk_cluster.brokers", {"failed": 1}),
    "error-in-set-up": (
        """
@pytest.fixture
def broken(msk_cluster): raise RuntimeError("mine")

def test_it(broken): ...
""",
        {"errors": 1},
    ),
    "error-in-teardown": (
        """
@pytest.fixture
def broken(msk_cluster):
    yield
    raise RuntimeError("mine")

def test_it(broken): ...
""",
        {"passed": 1, "errors": 1},
    ),
    "made-by-the-api": (
        """
def test_it(msk_client):
    msk_client.create_cluster(
        ClusterName=NAME, KafkaVersion="3.7.1", NumberOfBrokerNodes=1,
        BrokerNodeGroupInfo={"InstanceType": "kafka.m5.large", "ClientSubnets": ["subnet-1"]},
    )
""",
        {"passed": 1},
    ),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_after_every_ending(pytester: pytest.Pytester, name: str, ending: str) -> None:
    source, outcome = ENDINGS[ending]
    mark = f"import pytest\nNAME = {name!r}\npytestmark = pytest.mark.msk(name=NAME)\n"
    pytester.makepyfile(mark + source)
    pytester.runpytest_subprocess("--msk-docker", "-x").assert_outcomes(**outcome)
    assert traces(name) == []


def test_function_scope_ends_with_the_test(pytester: pytest.Pytester, name: str) -> None:
    pytester.makepyfile(
        f"""
        import pytest
        from tests.docker_engine import traces

        @pytest.mark.msk(name={name!r}, scope="function")
        def test_it(msk_cluster):
            assert traces({name!r})

        def test_gone():
            assert traces({name!r}) == []
        """
    )
    pytester.runpytest_subprocess("--msk-docker").assert_outcomes(passed=2)


def test_clusters_of_the_factory_and_of_own_fixtures_end_with_the_test(pytester: pytest.Pytester) -> None:
    pytester.makeconftest("from pytest_msk import msk_cluster_fixture\nown = msk_cluster_fixture(brokers=2)")
    pytester.makepyfile(
        """
        from tests.docker_engine import traces

        names = []

        def test_it(own, msk_cluster_factory):
            names.extend([own.name, msk_cluster_factory().name])
            assert all(map(traces, names))

        def test_gone():
            assert not any(map(traces, names))
        """
    )
    pytester.runpytest_subprocess("--msk-docker").assert_outcomes(passed=2)


class Run(subprocess.Popen[bytes]):
    """A run whose test waits for ever once its cluster is up."""

    def __init__(self, tmp_path: Path, *arguments: str) -> None:
        self.up = tmp_path / "up"
        self.log = tmp_path / "log"
        with self.log.open("wb") as log:
            super().__init__(
                [sys.executable, "-m", "pytest", "--msk-docker", "-p", "no:cacheprovider", *arguments, "."],
                cwd=tmp_path,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def end(self, how: signal.Signals) -> None:
        self.send_signal(how)
        self.wait(PATIENCE)


def start(tmp_path: Path, name: str, *arguments: str) -> Run:
    (tmp_path / "test_waits.py").write_text(
        f"""
import pathlib, pytest, threading

@pytest.mark.msk(name={name!r})
def test_waits(msk_cluster):
    pathlib.Path({str(tmp_path / "up")!r}).touch()
    threading.Event().wait()
"""
    )
    return Run(tmp_path, *arguments)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", ["starting", "up"])
def test_after_a_signal(tmp_path: Path, name: str, how: signal.Signals, moment: str) -> None:
    run = start(tmp_path, name)
    begun = run.up.exists if moment == "up" else lambda: traces(name)
    until(begun, f"the cluster is to be {moment}", run)
    run.end(how)
    assert traces(name) == []


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_after_a_signal_under_xdist(tmp_path: Path, name: str, how: signal.Signals) -> None:
    run = start(tmp_path, name, "-n", "1")
    until(run.up.exists, "the cluster is to be up", run)
    run.end(how)
    until(lambda: not traces(name), "nothing is to be left")


def test_after_a_kill_the_next_run_removes_what_is_left_and_nothing_that_lives(
    tmp_path: Path, pytester: pytest.Pytester, name: str
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    killed = start(tmp_path / "a", f"{name}-killed")
    lives = start(tmp_path / "b", f"{name}-lives")
    try:
        until(lambda: killed.up.exists() and lives.up.exists(), "both are to be up", killed, lives)
        os.killpg(killed.pid, signal.SIGKILL)
        killed.wait(PATIENCE)
        assert traces(f"{name}-killed")
        pytester.makepyfile("def test_it(msk_cluster): assert msk_cluster.brokers")
        pytester.runpytest_subprocess("--msk-docker").assert_outcomes(passed=1)
        assert traces(f"{name}-killed") == []
        assert traces(f"{name}-lives")
    finally:
        lives.end(signal.SIGINT)
    assert traces(f"{name}-lives") == []
