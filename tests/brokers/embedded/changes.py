"""Changes of embedded clusters, and what clients see of them."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from confluent_kafka import Consumer, Producer

from pytest_msk.brokers.admin import Admin
from pytest_msk.brokers.embedded.plane import EmbeddedBrokers
from pytest_msk.brokers.embedded.running import RunningCluster
from pytest_msk.brokers.wire.client import Connection
from pytest_msk.brokers.wire.message import Message
from tests.brokers.embedded.test_server import until

ClusterOf = Callable[..., EmbeddedBrokers]
READ_ONLY = {"auto.create.topics.enable": "false"}
OLDEST, NEWEST = "3.7.1", "4.3.1"


def change(cluster: EmbeddedBrokers, **changes: Any) -> None:
    cluster.apply(cluster._spec.changed(**changes))


def bootstrap(cluster: EmbeddedBrokers) -> str:
    return ",".join(str(broker.endpoints["internal"]) for broker in cluster.brokers)


@contextmanager
def admin(cluster: EmbeddedBrokers) -> Iterator[Admin]:
    with Admin(bootstrap(cluster)) as found:
        yield found


def settings(cluster: EmbeddedBrokers, name: str) -> set[tuple[str, str]]:
    """Value and source of a setting, of all brokers."""
    with admin(cluster) as asked:
        found = [asked.describe_broker_configs(broker.id)[name] for broker in cluster.brokers]
    return {(config.value, config.source) for config in found}


def replicas(cluster: EmbeddedBrokers, topic: str) -> list[Sequence[int]]:
    with admin(cluster) as asked:
        return [partition.replicas for partition in asked.topic(topic).partitions]


@contextmanager
def connections(cluster: EmbeddedBrokers) -> Iterator[Mapping[int, socket.socket]]:
    """A connection to each broker."""
    opened = {
        broker.id: socket.create_connection((broker.host, broker.port), timeout=10)
        for broker in cluster.brokers
    }
    yield opened
    for connection in opened.values():
        connection.close()


def is_open(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return connection.recv(1) != b""
    except BlockingIOError:
        return True
    except ConnectionResetError:
        return False


def produce(cluster: EmbeddedBrokers, topic: str, *values: bytes) -> None:
    producer = Producer({"bootstrap.servers": bootstrap(cluster), "acks": "all"})
    failed: list[object] = []
    for value in values:
        producer.produce(topic, value, on_delivery=lambda error, _: failed.append(error))
    assert producer.flush(10) == 0
    assert failed == [None] * len(values)


def consume(cluster: EmbeddedBrokers, topic: str, count: int, group: str = "mine") -> list[bytes | None]:
    """Read records from where the group is, and commit."""
    config = {"bootstrap.servers": bootstrap(cluster), "group.id": group, "auto.offset.reset": "earliest"}
    consumer = Consumer({**config, "enable.auto.commit": False, "isolation.level": "read_committed"})
    consumer.subscribe([topic])
    found = [message.value() for message in consumer.consume(count, 10)]
    consumer.commit(asynchronous=False)
    consumer.close()
    return found


def committed(cluster: EmbeddedBrokers, group: str = "mine") -> dict[tuple[str, int], int]:
    with admin(cluster) as asked:
        return {partition: offset.offset for partition, offset in asked.committed(group).items()}


def api_versions(cluster: EmbeddedBrokers, broker: int = 1) -> Message:
    place = cluster.brokers[broker - 1]
    asked = Message(client_software_name="tests", client_software_version="1")
    with Connection((place.host, place.port)) as connection:
        return connection.ask("ApiVersions", asked, until())


def running(cluster: EmbeddedBrokers) -> RunningCluster:
    """What runs in the brokers' thread."""
    found: RunningCluster = cluster._host._clusters._clusters[cluster._number]  # type: ignore[union-attr]
    return found


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen()
        except OSError:
            return False
        return True
