"""Embedded brokers: what a cluster costs; how fast clients are on one, beside the same on a container.

PYTEST_MSK_BENCH_RECORDS sets how many records of 1 KB kafka-python sends; the quicker clients send more.
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


@pytest.mark.parametrize("size", [100, 1024])
def test_clients(size: int, report: Callable[[str], None]) -> None:
    require_docker()
    planes: dict[str, dict[str, Figures]] = {}
    for plane in ("embedded", "docker"):
        with mock_msk(plane) as msk:
            cluster = msk.cluster()
            planes[plane] = {name: measure(cluster, size) for name, measure in CLIENTS.items()}
    for client, figures in planes["embedded"].items():
        beside = planes["docker"][client]
        report(
            f"{client}, {size} B: round trip {figures['trip'] * 1000:.2f} ms "
            f"({figures['trip'] / beside['trip']:.2f} of the container's), "
            + ", ".join(
                f"{what} {figures[what]:,.0f}/s ({figures[what] / beside[what]:.2f} times the container's)"
                for what in ("produce", "consume")
            )
        )


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
        consumer.assign([kafka.TopicPartition(topic, 0)])
        found, began = 0, 0.0
        while found < count:
            got = sum(map(len, consumer.poll(1000).values()))
            if not began and got:
                began = time.perf_counter()
            else:
                found += got
                if not got:
                    break
        consumed = found / (time.perf_counter() - began)
    return {"trip": trip, "produce": produced, "consume": consumed}


def _confluent_kafka(cluster: MskCluster, size: int) -> Figures:
    value, count, topic = b"x" * size, RECORDS * 10, cluster.unique_topic()
    config = {
        **cluster.client_config("confluent-kafka"),
        "queue.buffering.max.messages": 2 * count,
        "log_level": 0,
    }
    producer = confluent_kafka.Producer({**config, "linger.ms": 0})

    def send(times: int) -> None:
        for _ in range(times):
            producer.produce(topic, value)
        producer.flush()

    send(1)
    trip = statistics.median(_seconds(lambda: send(1)) for _ in range(ROUND_TRIPS))
    producer = confluent_kafka.Producer({**config, "linger.ms": 5})
    produced = count / _seconds(lambda: send(count))
    del config["queue.buffering.max.messages"]
    consumer = confluent_kafka.Consumer({**config, "group.id": topic, "auto.offset.reset": "earliest"})
    consumer.assign([confluent_kafka.TopicPartition(topic, 0, 0)])
    consumer.consume(1, 20)

    def consume() -> None:
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
        await consumer.start()
        try:
            await consumer.getone()
            found, began = 0, time.perf_counter()
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
