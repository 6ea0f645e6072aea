"""Random sequences of what clients do, on embedded brokers and on Kafka, with the same outcome."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import kafka
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pytest_msk import MskCluster
from pytest_msk.brokers.wire import errors
from pytest_msk.brokers.wire.message import Message
from pytest_msk.mock import MockMsk
from tests.conformance.test_groups import commit, delete
from tests.conformance.test_topics import DELETE, SET, add_partitions, alter
from tests.conformance.test_transactions import Producer
from tests.conformance.wire import EARLIEST, LATEST, Wire, batch, values

pytestmark = pytest.mark.parametrize("msk", ["docker"], indirect=True)

EXAMPLES = 20
TOPICS = ("a", "b")
SMALL = "80"
"""Bytes that a batch may have: too few for three records, and enough for a transaction's marker."""

PATIENCE_MS = 10_000

Step = tuple[Any, ...]

SEQUENCES = settings(
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
"""The same ones in every run, and none that is made smaller: each takes its time on containers."""

topics = st.sampled_from(TOPICS)
offsets = st.integers(-1, 4)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("produce"), topics, st.integers(1, 3)),
        st.tuples(st.just("fetch"), topics, st.integers(0, 4), st.booleans()),
        st.tuples(st.just("seek"), topics, st.sampled_from(["beginning", "end", 0, 1, 3, 9])),
        st.tuples(st.just("consume"), topics),
        st.tuples(st.just("commit position"), topics),
        st.tuples(st.just("list"), topics, st.sampled_from([EARLIEST, LATEST]), st.booleans()),
        st.tuples(st.just("delete records"), topics, offsets),
        st.tuples(st.just("commit"), topics, st.integers(0, 1), st.integers(0, 9)),
        st.tuples(st.just("committed")),
        st.tuples(st.just("delete group")),
        st.tuples(st.just("delete topic"), topics),
        st.tuples(st.just("create topic"), topics),
        st.tuples(st.just("add partitions"), topics, st.integers(1, 2)),
        st.tuples(st.just("alter"), topics, st.sampled_from([SMALL, "1000000", "x", None])),
        st.tuples(st.just("transaction"), topics, st.integers(0, 2), st.booleans()),
        st.tuples(st.just("send in transaction"), topics),
        st.tuples(st.just("end"), st.booleans()),
    ),
    min_size=10,
    max_size=20,
)


class Reader:
    """A consumer that is given a topic's first partition, and has a group for its offsets alone."""

    def __init__(self, wire: Wire, topic: str, group: str) -> None:
        self._wire = wire
        self._topic = topic
        self._at = kafka.TopicPartition(topic, 0)
        self._consumer = wire.cluster.consumer(
            group_id=group, enable_auto_commit=False, isolation_level="read_committed"
        )
        self._consumer.assign([self._at])

    @property
    def position(self) -> int | None:
        found: int | None = self._consumer.position(self._at, timeout_ms=PATIENCE_MS)
        return found

    def seek(self, where: int | str) -> None:
        if isinstance(where, int):
            self._consumer.seek(self._at, where)
        else:
            getattr(self._consumer, f"seek_to_{where}")(self._at)

    def read(self) -> list[bytes | None]:
        """The values up to where committed records end."""
        stable = self._wire.list_offset(self._topic, LATEST, committed=True).offset
        end = self._wire.list_offset(self._topic, LATEST).offset
        found: list[bytes | None] = []

        def is_at_the_end() -> bool:
            polled = self._consumer.poll(timeout_ms=50).get(self._at, [])
            found.extend(record.value for record in polled)
            position = self.position
            # Who has been put further than that waits; but beyond the log it is put back.
            return position is not None and stable <= position <= end

        self._wire.cluster.wait_for(is_at_the_end)
        return found

    def commit(self) -> None:
        position = self.position
        assert position is not None
        self._consumer.commit({self._at: kafka.OffsetAndMetadata(position, "", -1)})

    def close(self) -> None:
        self._consumer.close(autocommit=False)


class Plane:
    """One of both clusters, and what clients have done to it in this example."""

    def __init__(self, wire: Wire, prefix: str) -> None:
        self.wire = wire
        self.names = {topic: wire.served(wire.cluster.create_topic(f"{prefix}-{topic}")) for topic in TOPICS}
        self.group = f"{prefix}-group"
        self._transactional_id = f"{prefix}-id"
        self._producer: Producer | None = None
        self._readers: dict[str, Reader] = {}
        self._values = map(b"%d".__mod__, itertools.count())
        for topic in TOPICS:
            self._produce(topic, 2)

    def close(self) -> None:
        for reader in self._readers.values():
            reader.close()

    def do(self, step: Step) -> object:
        what, *rest = step
        action: Callable[..., object] = getattr(self, "_" + what.replace(" ", "_"))
        return action(*rest)

    def _produce(self, topic: str, count: int) -> object:
        answer = self.wire.produce(self.names[topic], batch(*itertools.islice(self._values, count)))
        return answer.error, answer.base_offset

    def _fetch(self, topic: str, offset: int, committed: bool) -> object:
        answer = self.wire.fetch(self.names[topic], offset, committed=committed)
        stable = answer.last_stable_offset if committed else None
        return answer.error, answer.high_watermark, answer.log_start_offset, stable, values(answer)

    def _seek(self, topic: str, where: int | str) -> object:
        reader = self._reader(topic)
        if reader is None:
            return None
        reader.seek(where)
        return reader.position

    def _consume(self, topic: str) -> object:
        reader = self._reader(topic)
        return None if reader is None else (reader.read(), reader.position)

    def _commit_position(self, topic: str) -> object:
        reader = self._reader(topic)
        if reader is None:
            return None
        reader.commit()
        return reader.position

    def _reader(self, topic: str) -> Reader | None:
        """The topic's reader, who begins where the group has committed; None while there is no topic."""
        if topic not in self._readers and self.names[topic] in self._known():
            self._readers[topic] = Reader(self.wire, self.names[topic], self.group)
        return self._readers.get(topic)

    def _list(self, topic: str, timestamp: int, committed: bool) -> object:
        answer = self.wire.list_offset(self.names[topic], timestamp, committed=committed)
        return answer.error, answer.offset

    def _delete_records(self, topic: str, before: int) -> object:
        answer = self.wire.delete_records(self.names[topic], before)
        return answer.error, answer.low_watermark

    def _commit(self, topic: str, index: int, offset: int) -> object:
        return commit(self.wire, self.group, self.names[topic], offset, index)

    def _committed(self) -> object:
        found = self.wire.cluster.committed(self.group)
        by_name = {name: topic for topic, name in self.names.items()}
        return {(by_name[name], index): offset for (name, index), offset in found.items()}

    def _delete_group(self) -> object:
        return delete(self.wire, self.group)

    def _delete_topic(self, topic: str) -> object:
        name = self.names[topic]
        if reader := self._readers.pop(topic, None):
            reader.close()
        answer = self.wire.ask("DeleteTopics", topics=[Message(name=name)], timeout_ms=5000)
        self.wire.cluster.wait_for(lambda: name not in self._known())
        # The coordinator of groups hears of it later.
        self.wire.cluster.wait_for(
            lambda: all(found != name for found, _ in self.wire.cluster.committed(self.group))
        )
        return errors.name(answer.responses[0].error_code)

    def _create_topic(self, topic: str) -> object:
        name = self.names[topic]
        asked = Message(name=name, num_partitions=1, replication_factor=1)
        answer = self.wire.ask("CreateTopics", topics=[asked], timeout_ms=5000)
        self.wire.cluster.wait_for(lambda: self.wire.list_offset(name, LATEST).error == "NONE")
        return errors.name(answer.topics[0].error_code)

    def _add_partitions(self, topic: str, count: int) -> object:
        name = self.names[topic]
        error = add_partitions(self.wire, name, count)
        if error == "NONE":
            self.wire.cluster.wait_for(
                lambda: self.wire.list_offset(name, LATEST, index=count - 1).error == "NONE"
            )
        return error

    def _alter(self, topic: str, value: str | None) -> object:
        change = ("max.message.bytes", DELETE if value is None else SET, value)
        return alter(self.wire, self.names[topic], change).error

    def _transaction(self, topic: str, count: int, commit_it: bool) -> object:
        self._begin()
        assert self._producer is not None
        sent = [self._send_in_transaction(topic) for _ in range(count)]
        return sent, self._end(commit_it)

    def _begin(self) -> None:
        if self._producer is None:
            self._producer = Producer(self.wire, self._transactional_id)

    def _send_in_transaction(self, topic: str) -> object:
        self._begin()
        assert self._producer is not None
        added = self._producer.add(self.names[topic])
        return added, self._producer.send(self.names[topic], next(self._values)) if added == "NONE" else None

    def _end(self, commit_it: bool) -> object:
        self._begin()
        assert self._producer is not None
        ended = self._producer.end(commit=commit_it)
        if ended == "NONE":
            done = "CompleteCommit" if commit_it else "CompleteAbort"
            producer = self._producer
            self.wire.cluster.wait_for(lambda: producer.state() == done)
        return ended

    def _known(self) -> set[str]:
        return {topic.name for topic in self.wire.cluster.topics()}


def test_clients_see_the_same(msk: MockMsk, one: MskCluster) -> None:
    twin = msk.cluster(name="twin", kafka_version=one.spec.kafka_version, docker=False)
    number = 0

    @settings(SEQUENCES, max_examples=EXAMPLES)
    @given(steps)
    def run(sequence: list[Step]) -> None:
        nonlocal number
        number += 1
        with Wire(twin) as embedded, Wire(one) as kafka:
            planes = [Plane(wire, f"differential-{number}") for wire in (embedded, kafka)]
            seen = []
            try:
                for step in sequence:
                    ours, kafkas = (plane.do(step) for plane in planes)
                    seen.append((step, kafkas))
                    assert ours == kafkas, seen
            finally:
                for plane in planes:
                    plane.close()

    run()
