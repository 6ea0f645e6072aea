"""What a run left that was killed goes when the next one starts; what a living run has stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from pytest_msk.brokers.docker import reaper
from tests.brokers.docker import support
from tests.docker_engine import engine

pytestmark = pytest.mark.usefixtures("docker_engine")

RUN = """
import sys
from pytest_msk.brokers.docker import DockerPlane
from pytest_msk.spec import ClusterSpec

cluster = DockerPlane().brokers(ClusterSpec("orders"), sys.argv[1])
cluster.start()
print("started", flush=True)
sys.stdin.readline()
"""


@contextmanager
def another_run(arn: str) -> Iterator[subprocess.Popen[str]]:
    """A process that starts a cluster and then waits for a line."""
    command = [sys.executable, "-c", RUN, arn]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def next_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if this process had not used the engine yet."""
    monkeypatch.setattr(reaper, "_swept_by", set())


def test_a_killed_run_is_cleaned_up_after_and_a_living_one_is_not(next_run: None) -> None:
    killed, living = support.new_arn(), support.new_arn()
    with another_run(living) as alive, another_run(killed) as dead:
        dead.send_signal(signal.SIGKILL)
        dead.wait()
        assert len(support.remains(support.of_cluster(killed))) == 2
        with support.running():
            assert support.remains(support.of_cluster(killed)) == []
            assert len(support.remains(support.of_cluster(living))) == 2
        alive.communicate("end\n", timeout=60)
        assert alive.returncode == 0
    assert support.remains(support.of_cluster(living)) == []


def test_a_killed_process_that_nobody_waited_for_is_gone_too(next_run: None) -> None:
    arn = support.new_arn()
    with another_run(arn) as process:
        os.kill(process.pid, signal.SIGKILL)
        support.await_true(lambda: _state(process.pid) == "Z")
        reaper.remove_leftovers()
        assert support.remains(support.of_cluster(arn)) == []


def test_what_only_another_machine_can_know_is_left_alone(next_run: None) -> None:
    machine, boot, namespace, *_ = reaper.run_id().split(".")
    strangers = [
        f"other.{boot}.{namespace}.1.none",
        f"{machine}.{boot}.other.1.none",
        f"{machine}.{boot}.{namespace}.{os.getpid()}.{reaper.run_id().rpartition('.')[2]}",
        "made by hand",
    ]
    gone = [f"{machine}.{boot}.{namespace}.{os.getpid()}.1", f"{machine}.earlier.{namespace}.1.1"]
    with engine() as client:
        made = {
            run: client.networks.create(f"pytest-msk-test-{number}", labels={reaper.RUN_ID: run})
            for number, run in enumerate([*strangers, *gone])
        }
        try:
            reaper.remove_leftovers()
            left = {network.name for network in client.networks.list(filters={"label": reaper.RUN_ID})}
            assert [made[run].name in left for run in strangers] == [True] * 4
            assert [made[run].name in left for run in gone] == [False] * 2
        finally:
            for run in strangers:
                made[run].remove()


def _state(pid: int) -> str:
    with open(f"/proc/{pid}/stat") as stat:
        return stat.read().rpartition(")")[2].split()[0]
