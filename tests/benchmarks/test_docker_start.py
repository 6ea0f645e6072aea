"""How long clusters in containers take to start, beside the image's own start in the same minute.

Alternated, so that what else the machine does falls on all alike. PYTEST_MSK_BENCH_ROUNDS sets how often.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable

import pytest

from pytest_msk.brokers.docker import DockerPlane
from pytest_msk.spec import ClusterSpec
from tests.brokers.docker import support
from tests.docker_engine import NEWER_VERSION, VERSION, engine, require_docker

ROUNDS = int(os.environ.get("PYTEST_MSK_BENCH_ROUNDS", "5"))
STARTED = b"Kafka Server started"


@pytest.mark.parametrize("version", [VERSION, NEWER_VERSION])
def test_start(version: str, report: Callable[[str], None]) -> None:
    require_docker(version)
    own: list[float] = []
    started: dict[int, list[float]] = {1: [], 3: []}
    stopped: dict[int, list[float]] = {1: [], 3: []}
    _own_start(version)  # whatever the machine keeps in memory from now on
    for _ in range(ROUNDS):
        own.append(_own_start(version))
        for brokers in (1, 3):
            start, stop = _our_start(version, brokers)
            started[brokers].append(start)
            stopped[brokers].append(stop)
    report(f"apache/kafka:{version}, `docker run` until {STARTED.decode()!r}: {_seconds(own)}")
    for brokers in (1, 3):
        ratio = statistics.median(started[brokers]) / statistics.median(own)
        report(f"  {brokers} broker(s) ready: {_seconds(started[brokers])}, {ratio:.2f} of that")
        report(f"  {brokers} broker(s) removed: {_seconds(stopped[brokers])}")


def _own_start(version: str) -> float:
    with engine() as client:
        began = time.monotonic()
        container = client.containers.run(f"apache/kafka:{version}", detach=True)
        try:
            while STARTED not in container.logs():
                time.sleep(0.02)
            return time.monotonic() - began
        finally:
            container.remove(force=True, v=True)


def _our_start(version: str, brokers: int) -> tuple[float, float]:
    spec = ClusterSpec("bench", brokers=brokers, kafka_version=version)
    cluster = DockerPlane().brokers(spec, support.new_arn("bench"))
    began = time.monotonic()
    try:
        cluster.start()
        ready = time.monotonic()
    finally:
        cluster.stop()
    return ready - began, time.monotonic() - ready


def _seconds(times: list[float]) -> str:
    return f"{statistics.median(times):.2f} s ({min(times):.2f}-{max(times):.2f})"
