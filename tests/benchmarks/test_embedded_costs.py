"""Embedded brokers: what records and topics cost them, what clusters cost tests, what a whole run is made of.

What would be spoilt by what this process did before is measured in one of its own.
"""

from __future__ import annotations

import gc
import os
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import confluent_kafka
import pytest

from pytest_msk import MskCluster, mock_msk
from pytest_msk.brokers.clock import real_monotonic
from pytest_msk.brokers.wire import records
from pytest_msk.brokers.wire.client import Client
from pytest_msk.brokers.wire.message import Message
from pytest_msk.brokers.wire.records import Record
from tests.benchmarks.test_plugin import ENVIRONMENT, run

ROUNDS = int(os.environ.get("PYTEST_MSK_BENCH_ROUNDS", "3"))
RECORDS = 1_000_000
SIZE = 100
TOPICS, PARTITIONS = 1_000, 6
TESTS = 200
PLUGIN = ("-p", "pytest_msk.plugin")
QUICKSTART = Path(__file__).parents[2] / "examples" / "test_quickstart.py"

T = TypeVar("T")


@pytest.mark.parametrize("batch", [1_000, 100, 10])
def test_memory_of_records(batch: int, report: Callable[[str], None]) -> None:
    grown = _alone(_grown_by_records, batch)
    report(
        f"{RECORDS:,} records of {SIZE} B in batches of {batch:,}: memory grows by {grown / 1e6:.0f} MB, "
        f"{grown / (RECORDS * SIZE):.2f} times their bytes"
    )


def test_metadata_of_many_topics(report: Callable[[str], None]) -> None:
    with _embedded(brokers=3) as cluster, _client(cluster) as client:
        made = _seconds(lambda: _make_topics(client))
        first, *later = [_seconds(lambda: _all_topics(client)) for _ in range(10)]
        one = [_seconds(cluster.unique_topic) for _ in range(10)]
    report(
        f"{TOPICS:,} topics of {PARTITIONS} partitions on 3 brokers made in one request: "
        f"{made * 1000:.0f} ms; one more by create_topic: {_ms(one)}"
    )
    report(f"Metadata of them all: {first * 1000:.1f} ms the first time, {_ms(later)} later")


def test_a_cluster_for_each_test(tmp_path: Path, report: Callable[[str], None]) -> None:
    modules = {"bare": _test(""), "shared": _test("scope='session'"), "own": _test("scope='function'")}
    bare, shared, own = _in_turn(tmp_path, modules)
    report(
        f"a function-scoped cluster adds {own - bare:.2f} ms to a test of {bare:.2f} ms, "
        f"{own - shared:.2f} ms more than a session cluster does"
    )


def test_isolation(tmp_path: Path, report: Callable[[str], None]) -> None:
    made = "msk_cluster.create_topic(f'orders-{turn}')"
    bare, clean, none, topic, topic_left = _in_turn(
        tmp_path,
        {
            "bare": _test(""),
            "clean": _test("isolation='test'"),
            "none": _test("isolation='none'"),
            "topic": _test("isolation='test'", made),
            "topic_left": _test("isolation='none'", made),
        },
    )
    report(
        f"a session cluster adds {clean - bare:.2f} ms to a test, {none - bare:.2f} ms without isolation; "
        f"with a topic made in it {topic - bare:.2f} ms, {topic_left - bare:.2f} ms without isolation"
    )


def test_first_use(report: Callable[[str], None]) -> None:
    first, second = zip(*(_alone(_first_and_second_use) for _ in range(ROUNDS)), strict=True)
    report(
        f"a record there and back by confluent-kafka in a new process: {_ms(list(first))} of CPU time; "
        f"by a second producer and consumer: {_ms(list(second))}"
    )


def test_a_whole_run(tmp_path: Path, report: Callable[[str], None]) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "test_it.py").write_text("def test_it(): ...")
    (tmp_path / "quickstart").mkdir()
    # One of the example's tests: the one that sends a record and waits for it.
    (tmp_path / "quickstart" / "test_it.py").write_text(QUICKSTART.read_text())
    chosen = (*PLUGIN, "-k", "test_orders_go_in_and_come_out")
    whole, empty = [], []
    for _ in range(ROUNDS):
        whole.append(run(tmp_path / "quickstart", *chosen))
        empty.append(run(tmp_path / "empty"))
    imports = _imports(tmp_path / "quickstart", *chosen)
    report(
        f"a run of one test of the quick start: {statistics.median(whole):.2f} s; "
        f"of one empty test without the plugin: {statistics.median(empty):.2f} s"
    )
    shares = ", ".join(f"{milliseconds:.0f} ms {whose}" for whose, milliseconds in imports.most_common())
    report(f"of that run, by -X importtime, {imports.total():.0f} ms are Python's imports: {shares}")


def _alone(action: Callable[..., T], *arguments: Any) -> T:
    """What a function returns in a new process."""
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        return process.submit(action, *arguments).result()


def _grown_by_records(batch: int) -> int:
    """Bytes of resident memory that records take in a broker, with what it remembers of the requests."""
    value = os.urandom(SIZE)
    sent = records.build([Record(offset, 0, None, value) for offset in range(batch)])
    with _embedded() as cluster, _client(cluster) as client:
        topic = cluster.unique_topic()
        data = [Message(name=topic, partition_data=[Message(index=0, records=sent)])]
        request = Message(acks=-1, timeout_ms=10_000, topic_data=data)

        def produce() -> None:
            answer = _asked(client, "Produce", request)
            assert answer.responses[0].partition_responses[0].error_code == 0

        produce()
        gc.collect()
        before = _memory()
        for _ in range(RECORDS // batch):
            produce()
        gc.collect()
        return _memory() - before


def _make_topics(client: Client) -> None:
    topics = [
        Message(name=f"topic-{number}", num_partitions=PARTITIONS, replication_factor=3)
        for number in range(TOPICS)
    ]
    answer = _asked(client, "CreateTopics", Message(topics=topics, timeout_ms=10_000))
    assert not any(topic.error_code for topic in answer.topics)


def _all_topics(client: Client) -> None:
    answer = _asked(client, "Metadata", Message(topics=None))
    assert sum(len(topic.partitions) for topic in answer.topics) >= TOPICS * PARTITIONS


def _first_and_second_use() -> tuple[float, float]:
    """Seconds of CPU time of this process, brokers and client together."""
    with _embedded() as cluster:
        return _cpu_seconds(lambda: _there_and_back(cluster)), _cpu_seconds(lambda: _there_and_back(cluster))


def _there_and_back(cluster: MskCluster) -> None:
    topic = cluster.unique_topic()
    config = {**cluster.client_config("confluent-kafka"), "log_level": 0}
    producer = confluent_kafka.Producer(config)
    producer.produce(topic, b"x")
    producer.flush()
    consumer = confluent_kafka.Consumer({**config, "group.id": topic, "auto.offset.reset": "earliest"})
    try:
        consumer.assign([confluent_kafka.TopicPartition(topic, 0, 0)])
        while not consumer.consume(1, 1):
            pass
    finally:
        consumer.close()


def _test(arguments: str, body: str = "...") -> str:
    """A module of one test, of a cluster with these arguments of the marker; without any, of none."""
    fixture = ", msk_cluster" if arguments else ""
    return f"import pytest\n\n@pytest.mark.msk({arguments})\ndef test_it(turn{fixture}):\n    {body}\n"


def _in_turn(folder: Path, modules: dict[str, str]) -> list[float]:
    """Milliseconds of a test of each module, in runs of its own that take turns with the others'."""
    for name, module in modules.items():
        for tests in (1, TESTS + 1):
            inner = folder / f"{name}-{tests}"
            inner.mkdir()
            turns = f"\npytestmark = pytest.mark.parametrize('turn', range({tests}))\n"
            (inner / "test_it.py").write_text(module + turns)
    took: dict[str, list[float]] = {name: [] for name in modules}
    for _ in range(ROUNDS):
        for name, each in took.items():
            many, one = (run(folder / f"{name}-{tests}", *PLUGIN) for tests in (TESTS + 1, 1))
            each.append((many - one) / TESTS * 1000)
    return [statistics.median(each) for each in took.values()]


_WHOSE = {
    "pytest": "pytest's",
    "_pytest": "pytest's",
    "boto3": "boto3's and moto's",
    "botocore": "boto3's and moto's",
    "moto": "boto3's and moto's",
    "kafka": "kafka-python's",
    "pytest_msk": "pytest-msk's",
}
"""Top-level packages that are told apart. What they import counts as theirs."""


def _imports(folder: Path, *arguments: str) -> Counter[str]:
    """Milliseconds of imports in a pytest run, by who asked for them."""
    # Without capturing, which would keep what Python itself writes during tests.
    command = [sys.executable, "-X", "importtime", "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider"]
    told = subprocess.run(
        [*command, *arguments, str(folder)],
        cwd=folder,
        env=ENVIRONMENT,
        check=True,
        capture_output=True,
        text=True,
    )
    found: Counter[str] = Counter()
    importing: list[tuple[int, str]] = []
    # A module is told after those that it imports: backwards, each comes after who imports it.
    for microseconds, depth, module in reversed(list(_told_imports(told.stderr))):
        while importing and importing[-1][0] >= depth:
            importing.pop()
        inherited = importing[-1][1] if importing else "others'"
        whose = _WHOSE.get(module.partition(".")[0], inherited)
        importing.append((depth, whose))
        found[whose] += microseconds
    return Counter({whose: microseconds // 1000 for whose, microseconds in found.items()})


def _told_imports(text: str) -> Iterator[tuple[int, int, str]]:
    """Of each module the microseconds of its own, how deep it is nested, and its name."""
    for line in text.splitlines():
        _, marked, columns = line.partition("import time:")
        own, _, rest = columns.partition("|")
        if marked and own.strip().isdigit():
            name = rest.partition("|")[2]
            yield int(own), len(name) - len(name.lstrip()), name.strip()


@contextmanager
def _embedded(**arguments: Any) -> Iterator[MskCluster]:
    with mock_msk("embedded") as msk:
        yield msk.cluster(**arguments)


def _client(cluster: MskCluster) -> Client:
    return Client(cluster.bootstrap_servers, until=_soon())


def _asked(client: Client, api: str, request: Message) -> Message:
    return client.ask(1, api, request, _soon())


def _soon() -> float:
    return real_monotonic() + 60


def _seconds(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def _cpu_seconds(action: Callable[[], object]) -> float:
    began = time.process_time()
    action()
    return time.process_time() - began


def _ms(times: list[float]) -> str:
    return f"{statistics.median(times) * 1000:.1f} ms ({min(times) * 1000:.1f}-{max(times) * 1000:.1f})"


def _memory() -> int:
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
