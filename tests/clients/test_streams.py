"""A word count with Kafka Streams: internal topics, a changelog, repartitioning, exactly once."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests import java
from tests.clients.clusters import OLD, SINGLE, Cluster, unique, until
from tests.clients.kafka_python import Clients, poll, send
from tests.clients.programs import HERE

pytestmark = pytest.mark.parametrize("cluster", [OLD, SINGLE], indirect=True, ids=str, scope="module")

STREAMS = ("org.apache.kafka:kafka-streams:4.1.1", "org.slf4j:slf4j-nop:2.0.17")


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once_v2"])
def test_words_are_counted(cluster: Cluster, clients: Clients, guarantee: str, tmp_path: Path) -> None:
    classes = java.compiled(HERE / "java_streams", java.class_path(*STREAMS))
    source, sink, application = cluster.topic(partitions=2), cluster.topic(), unique("words")
    arguments = [cluster.bootstrap, application, guarantee, str(tmp_path), source, sink]
    command = java.command(classes, "WordCount", *arguments)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as streams:
        try:
            send(clients.producer(), source, [b"a b a", b"b a c"])
            reader = clients.consumer(sink, isolation_level="read_committed")
            counts: dict[bytes, int] = {}

            def counted() -> bool:
                assert streams.poll() is None, streams.communicate()[1]
                counts.update({record.key: int(record.value) for record in poll(reader)})
                return counts == {b"a": 3, b"b": 2, b"c": 1}

            until(counted, patience=60)
            _, errors = streams.communicate("", timeout=30)
            assert streams.returncode == 0, errors
        finally:
            streams.kill()
    made = {topic for topic in clients.admin().list_topics() if topic.startswith(application)}
    assert made == {f"{application}-counts-changelog", f"{application}-counts-repartition"}
