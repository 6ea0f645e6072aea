"""What the tests of the container plane share."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition

from pytest_msk.brokers.docker import DockerPlane
from pytest_msk.brokers.docker.cluster import DockerBrokers
from pytest_msk.spec import ClusterSpec
from tests.docker_engine import engine


def new_arn(name: str = "orders") -> str:
    return f"arn:aws:kafka:us-east-1:123456789012:cluster/{name}/{uuid.uuid4()}-1"


@contextmanager
def running(plane: DockerPlane | None = None, **spec: Any) -> Iterator[DockerBrokers]:
    """A cluster that has started, removed afterwards."""
    cluster = (plane or DockerPlane()).brokers(ClusterSpec("orders", **spec), new_arn())
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def bootstrap(cluster: DockerBrokers) -> str:
    return ",".join(str(broker.endpoints["plaintext"]) for broker in cluster.brokers)


@contextmanager
def admin(cluster: DockerBrokers) -> Iterator[KafkaAdminClient]:
    client = KafkaAdminClient(bootstrap_servers=bootstrap(cluster))
    try:
        yield client
    finally:
        client.close()


def create_topic(cluster: DockerBrokers, topic: str, partitions: int = 1, replicas: int = 1) -> None:
    with admin(cluster) as client:
        client.create_topics({topic: {"num_partitions": partitions, "replication_factor": replicas}})
        client.wait_for_topics([topic])


def produce(cluster: DockerBrokers, topic: str, values: Iterable[bytes], **config: Any) -> None:
    producer = KafkaProducer(bootstrap_servers=bootstrap(cluster), retry_backoff_ms=20, **config)
    try:
        for sent in [producer.send(topic, value) for value in values]:
            sent.get(timeout=20)
    finally:
        producer.close()


def consume(cluster: DockerBrokers, topic: str, count: int, **config: Any) -> list[bytes]:
    consumer = KafkaConsumer(bootstrap_servers=bootstrap(cluster), auto_offset_reset="earliest", **config)
    values: list[bytes] = []
    try:
        if "group_id" in config:
            consumer.subscribe([topic])
        else:
            consumer.assign([TopicPartition(topic, 0)])
        deadline = time.monotonic() + 20
        while len(values) < count and time.monotonic() < deadline:
            for records in consumer.poll(timeout_ms=200).values():
                values += [record.value for record in records]
    finally:
        consumer.close()
    return values


def container_names(cluster: DockerBrokers) -> Sequence[str]:
    return [endpoint.rpartition(":")[0] for endpoint in cluster.endpoints_in_network]


def remains(label: str) -> list[str]:
    """Containers, networks and volumes that have a label."""
    with engine() as client:
        return [
            *(
                one.name
                for one in client.containers.list(all=True, ignore_removed=True, filters={"label": label})
            ),
            *(one.name for one in client.networks.list(filters={"label": label})),
            *(one.name for one in client.volumes.list(filters={"label": label})),
        ]


def of_cluster(arn: str) -> str:
    return f"pytest-msk.cluster-arn={arn}"


def await_true(condition: Callable[[], bool], timeout: float = 20) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)
