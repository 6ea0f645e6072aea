"""Embedded brokers: what a cluster costs; how fast clients are on one, beside the same on a container.

A client's row: a round trip with acks=all, records produced, records consumed, each with its ratio to the
container's.
PYTEST_MSK_BENCH_ROUNDS sets how often both are measured in turn, PYTEST_MSK_BENCH_RECORDS how many records
kafka-python sends; the quicker clients send more.
"""

from __future__ import annotations

import asyncio
import gc
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import aiokafka
import confluent_kafka
import pytest

from pytest_msk import MskCluster, mock_msk
from pytest_msk.brokers.embedded.plane import EmbeddedPlane
from pytest_msk.clients import kafka_python
from pytest_msk.spec import ClusterSpec
from tests.docker_engine import require_docker

ROUNDS = int(os.environ.get("PYTEST_MSK_BENCH_ROUNDS", "3"))
RECORDS = int(os.environ.get("PYTEST_MSK_BENCH_RECORDS", "20000"))
ROUND_TRIPS = 300
ARN = "arn:aws:kafka:us-east-1:123456789012:cluster/bench/0-1"

Figures = dict[str, float]


def test_clusters(report: Callable[[str], None]) -> None:
    plane = EmbeddedPlane()
    try:
        _lives(plane, 1)
        one = [_lives(plane, 1) for _ in range(20)]
        hundred = _lives(plane, 100)
        starts, stops = ([times[which] for times in one] for which in (0, 1))
        report(f"3 embedded brokers started: {_ms(starts)}; stopped: {_ms(stops)}")
        report(f"100 such clusters started: {hundred[0] * 1000:.0f} ms; stopped: {hundred[1] * 1000:.0f} ms")
        threads, descriptors, memory = threading.active_count(), _descriptors(), _memory()
        for _ in range(500):
            _lives(plane, 1)
        gc.collect()
        report(
            f"500 clusters made and dropped: {threading.active_count() - threads:+d} threads, "
            f"{_descriptors() - descriptors:+d} descriptors, {(_memory() - memory) / 1e6:+.1f} MB"
        )
    finally:
        plane.close()


def test_create_cluster(report: Callable[[str], None]) -> None:
    with mock_msk("embedded") as msk:
        msk.cluster(brokers=3)
        took = [_seconds(lambda: msk.cluster(brokers=3)) for _ in range(20)]
    report(f"CreateCluster by boto3 until ACTIVE, 3 embedded brokers: {_ms(took)}")


def test_import(report: Callable[[str], None]) -> None:
    program = (
        "import time; began = time.perf_counter(); import pytest_msk.brokers.embedded.running; "
        "print(time.perf_counter() - began)"
    )
    # An installed package has its bytecode, whatever this run does with its own.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}

    def imported() -> float:
        return float(subprocess.check_output([sys.executable, "-c", program], env=env))

    imported()
    took = [imported() for _ in range(5)]
    report(f"import of the embedded plane: {_ms(took)}")


@pytest.fixture(scope="module")
def clusters() -> Iterator[dict[str, MskCluster]]:
    require_docker()
    with mock_msk() as msk:
        yield {"embedded": msk.cluster(docker=False), "docker": msk.cluster(docker=True)}


@pytest.mark.parametrize("size", [100, 1024])
@pytest.mark.parametrize("client", ["kafka-python", "confluent-kafka", "aiokafka"])
def test_clients(
    client: str, size: int, clusters: dict[str, MskCluster], report: Callable[[str], None]
) -> None:
    found: dict[str, list[Figures]] = {plane: [] for plane in clusters}
    for _ in range(ROUNDS):
        for plane, cluster in clusters.items():
            found[plane].append(CLIENTS[client](cluster, size))
    columns = []
    for what in ("trip", "produce", "consume"):
        ours, kafkas = (statistics.median(figures[what] for figures in found[plane]) for plane in found)
        figure = f"{ours * 1000:.2f} ms" if what == "trip" else f"{ours:,.0f}/s"
        columns.append(f"{figure}, {ours / kafkas:.2f}")
    report(f"| {client}, {size} B | " + " | ".join(columns) + " |")


def _kafka_python(cluster: MskCluster, size: int) -> Figures:
    kafka, value, count = kafka_python(), b"x" * size, RECORDS
    topic = cluster.unique_topic()
    with _closed(cluster.producer(linger_ms=0)) as producer:
        producer.send(topic, value).get(20)
        trip = statistics.median(
            _seconds(lambda: producer.send(topic, value).get(20)) for _ in range(ROUND_TRIPS)
        )
    with _closed(cluster.producer(linger_ms=5)) as producer:

        def send() -> None:
            for _ in range(count):
                producer.send(topic, value)
            producer.flush()

        produced = count / _seconds(send)
    with _closed(cluster.consumer()) as consumer:

        def consume() -> None:
            consumer.assign([kafka.TopicPartition(topic, 0)])
            found = 0
            while found < count:
                found += sum(map(len, consumer.poll(1000).values()))

        consumed = count / _seconds(consume)
    return {"trip": trip, "produce": produced, "consume": consumed}


def _confluent_kafka(cluster: MskCluster, size: int) -> Figures:
    value, count, topic = b"x" * size, RECORDS * 10, cluster.unique_topic()
    config = {**cluster.client_config("confluent-kafka"), "log_level": 0}
    # As many as there are: it holds its breath for a second when its queue is full, however fast the broker.
    sending = {**config, "queue.buffering.max.messages": 2 * count}
    reading = {**config, "queued.min.messages": 2 * count, "queued.max.messages.kbytes": 2_000_000}
    producer = confluent_kafka.Producer({**sending, "linger.ms": 0})

    def send(times: int) -> None:
        for _ in range(times):
            producer.produce(topic, value)
        producer.flush()

    send(1)
    trip = statistics.median(_seconds(lambda: send(1)) for _ in range(ROUND_TRIPS))
    producer = confluent_kafka.Producer({**sending, "linger.ms": 5})
    produced = count / _seconds(lambda: send(count))
    consumer = confluent_kafka.Consumer({**reading, "group.id": topic, "auto.offset.reset": "earliest"})

    def consume() -> None:
        consumer.assign([confluent_kafka.TopicPartition(topic, 0, 0)])
        found = 0
        while found < count:
            found += len(consumer.consume(10_000, 1))

    consumed = count / _seconds(consume)
    consumer.close()
    return {"trip": trip, "produce": produced, "consume": consumed}


def _aiokafka(cluster: MskCluster, size: int) -> Figures:
    value, count, topic = b"x" * size, RECORDS, cluster.unique_topic()
    config: dict[str, Any] = cluster.client_config("aiokafka")

    async def main() -> Figures:
        async with aiokafka.AIOKafkaProducer(**config) as producer:
            await producer.send_and_wait(topic, value)
            trips = []
            for _ in range(ROUND_TRIPS):
                began = time.perf_counter()
                await producer.send_and_wait(topic, value)
                trips.append(time.perf_counter() - began)
            began = time.perf_counter()
            for _ in range(count):
                await producer.send(topic, value)
            await producer.flush()
            produced = count / (time.perf_counter() - began)
        consumer = aiokafka.AIOKafkaConsumer(**config, auto_offset_reset="earliest")
        consumer.assign([aiokafka.TopicPartition(topic, 0)])
        found, began = 0, time.perf_counter()
        await consumer.start()
        try:
            while found < count:
                found += sum(map(len, (await consumer.getmany(timeout_ms=1000)).values()))
            consumed = found / (time.perf_counter() - began)
        finally:
            await consumer.stop()
        return {"trip": statistics.median(trips), "produce": produced, "consume": consumed}

    return asyncio.run(main())


CLIENTS: dict[str, Callable[[MskCluster, int], Figures]] = {
    "kafka-python": _kafka_python,
    "confluent-kafka": _confluent_kafka,
    "aiokafka": _aiokafka,
}


@contextmanager
def _closed(client: Any) -> Iterator[Any]:
    try:
        yield client
    finally:
        client.close()


def _lives(plane: EmbeddedPlane, clusters: int) -> tuple[float, float]:
    """Seconds to start so many clusters of three brokers, and to stop them."""
    made = [plane.brokers(ClusterSpec("bench", brokers=3), ARN) for _ in range(clusters)]

    def start() -> None:
        for cluster in made:
            cluster.start()

    def stop() -> None:
        for cluster in made:
            cluster.stop()

    return _seconds(start), _seconds(stop)


def _seconds(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def _ms(times: list[float]) -> str:
    return f"{statistics.median(times) * 1000:.1f} ms ({min(times) * 1000:.1f}-{max(times) * 1000:.1f})"


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def _memory() -> int:
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
