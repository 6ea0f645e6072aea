"""All embedded clusters of a process share one thread, which ends with the last of them."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest

from pytest_msk.brokers.embedded.plane import EmbeddedBrokers, EmbeddedPlane
from pytest_msk.brokers.wire.message import Message
from pytest_msk.spec import ClusterSpec
from tests.brokers.embedded.conftest import ARN
from tests.brokers.embedded.test_server import client, until


def brokers_threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "pytest-msk brokers"}


@pytest.fixture
def planes() -> Iterator[list[EmbeddedPlane]]:
    planes = [EmbeddedPlane(), EmbeddedPlane()]
    yield planes
    for plane in planes:
        plane.close()


def started(plane: EmbeddedPlane, name: str) -> EmbeddedBrokers:
    cluster = plane.brokers(ClusterSpec(name, 3), ARN)
    cluster.start()
    return cluster


def test_clusters_of_any_plane_share_it(planes: list[EmbeddedPlane]) -> None:
    already = brokers_threads()
    clusters = [started(planes[number % 2], f"cluster-{number}") for number in range(6)]
    assert len(brokers_threads()) == 1
    assert brokers_threads() >= already
    for cluster in clusters:
        with client(cluster, 3) as asking:
            assert len(asking.ask("Metadata", Message(topics=[]), until()).brokers) == 3


def test_it_ends_with_the_last_plane_and_comes_again(planes: list[EmbeddedPlane]) -> None:
    already = brokers_threads()
    for name in ("first", "second"):
        kept = started(planes[1], name)
        started(planes[0], name)
        planes[0].close()
        with client(kept) as asking:
            assert len(asking.ask("Metadata", Message(topics=[]), until()).brokers) == 3
        planes[1].close()
        assert brokers_threads() == already


@pytest.mark.parametrize("turn", range(50))
def test_who_comes_at_the_last_moment_is_let_go(planes: list[EmbeddedPlane], turn: int) -> None:
    kept, ended = started(planes[0], "kept"), started(planes[0], "ended")
    with ExitStack() as open_ones:
        late = [open_ones.enter_context(socket.socket()) for _ in range(8)]
        ports = [broker.port for broker in ended.brokers]
        for number, one in enumerate(late):
            one.settimeout(5)
            one.connect(("127.0.0.1", ports[number % len(ports)]))
        if turn % 2:
            planes[0].close()
        else:
            ended.stop()
        for one in late:
            with suppress(ConnectionResetError):
                assert one.recv(1) == b""
    kept.stop()


NO_FILES_LEFT = """
import resource, socket
from contextlib import suppress
from pytest_msk import mock_msk

with mock_msk("embedded") as msk:
    cluster = msk.cluster()
    broker = cluster.brokers[0]
    cluster.topics()
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (60, before[1]))
    callers = []
    with suppress(OSError):
        while True:
            callers.append(socket.create_connection((broker.host, broker.port)))
    for caller in callers:
        caller.close()
    assert len(callers) > 10
    cluster.create_topic("answered")
    assert [topic.name for topic in cluster.topics()] == ["answered"]
"""


def test_brokers_answer_again_when_there_are_files_again() -> None:
    command = [sys.executable, "-c", NO_FILES_LEFT]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (run.returncode, run.stderr) == (0, "")
