"""Random sequences of what clients do, on embedded brokers and on Kafka, with the same outcome."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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

EXAMPLES = 15
TOPICS = ("a", "b")
SMALL = "80"
"""Bytes that a batch may have: too few for three records, and enough for a transaction's marker."""

Step = tuple[Any, ...]

topics = st.sampled_from(TOPICS)
offsets = st.integers(-1, 4)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("produce"), topics, st.integers(1, 3)),
        st.tuples(st.just("fetch"), topics, st.integers(0, 4), st.booleans()),
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
    min_size=4,
    max_size=12,
)


class Plane:
    """One of both clusters, and what clients have done to it in this example."""

    def __init__(self, wire: Wire, prefix: str) -> None:
        self.wire = wire
        self.names = {topic: wire.served(wire.cluster.create_topic(f"{prefix}-{topic}")) for topic in TOPICS}
        self.group = f"{prefix}-group"
        self._transactional_id = f"{prefix}-id"
        self._producer: Producer | None = None

    def do(self, step: Step) -> object:
        what, *rest = step
        action: Callable[..., object] = getattr(self, "_" + what.replace(" ", "_"))
        return action(*rest)

    def _produce(self, topic: str, count: int) -> object:
        answer = self.wire.produce(self.names[topic], batch(*[b"v"] * count))
        return answer.error, answer.base_offset

    def _fetch(self, topic: str, offset: int, committed: bool) -> object:
        answer = self.wire.fetch(self.names[topic], offset, committed=committed)
        stable = answer.last_stable_offset if committed else None
        return answer.error, answer.high_watermark, answer.log_start_offset, stable, values(answer)

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
        return added, self._producer.send(self.names[topic], b"t") if added == "NONE" else None

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

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(steps)
    def run(sequence: list[Step]) -> None:
        nonlocal number
        number += 1
        with Wire(twin) as embedded, Wire(one) as kafka:
            planes = [Plane(wire, f"differential-{number}") for wire in (embedded, kafka)]
            seen = []
            for step in sequence:
                ours, kafkas = (plane.do(step) for plane in planes)
                seen.append((step, kafkas))
                assert ours == kafkas, seen

    run()
