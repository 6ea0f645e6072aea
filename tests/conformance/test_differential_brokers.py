"""Random sequences of what clients do while brokers stop and come back, on both planes, as equal."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_msk import MskCluster
from pytest_msk.brokers.admin import Topic
from pytest_msk.mock import MockMsk
from tests.conformance.test_differential import SEQUENCES, Step
from tests.conformance.test_groups import commit, heartbeat, stable
from tests.conformance.test_replicas import elect, log_dirs, placed
from tests.conformance.test_transactions import Producer
from tests.conformance.wire import LATEST, Wire, batch, values

pytestmark = pytest.mark.parametrize("msk", ["docker"], indirect=True)

EXAMPLES = 4
BROKERS = (1, 2, 3)
TOPICS = {"a": ((1, 2, 3), "2"), "b": ((2, 3, 1), "3"), "c": ((3, 1), "1")}
"""Where their partitions are, the preferred leader first, and how many replicas must be in sync."""
SETTLED_SECONDS = 20

topics = st.sampled_from(sorted(TOPICS))
operations = st.lists(
    st.one_of(
        st.tuples(st.just("produce"), topics, st.sampled_from([1, -1])),
        st.tuples(st.just("send"), topics, st.booleans()),
        st.tuples(st.just("fetch"), topics, st.booleans()),
        st.tuples(st.just("fetch from"), topics, st.sampled_from(BROKERS)),
        st.tuples(st.just("commit"), topics, st.integers(0, 9)),
        st.tuples(st.just("committed")),
        st.tuples(st.just("heartbeat")),
        st.tuples(st.just("transaction"), st.booleans()),
        st.tuples(st.just("send in transaction")),
        st.tuples(st.just("elect"), topics),
    ),
    min_size=6,
    max_size=12,
)
stops = st.tuples(st.just("stop"), st.sampled_from(BROKERS), st.sampled_from([True, True, False]))
# Never two at a time: too few controllers would be left.
steps = st.lists(
    st.tuples(operations, stops, operations).map(
        lambda parts: [*parts[0], parts[1], *parts[2], ("start",)],
    ),
    min_size=1,
    max_size=2,
)


class Plane:
    """One of both clusters, and what clients have done to it in this example."""

    def __init__(self, wire: Wire, name: str) -> None:
        self.wire = wire
        self.names = {
            topic: placed(wire, *replicas, min_insync_replicas=in_sync)
            for topic, (replicas, in_sync) in TOPICS.items()
        }
        self._group = f"{name}-offsets"
        self._member_group = f"{name}-member"
        self._member = stable(wire, self._member_group)
        self._transactional = Producer(wire, name)
        self._sent: dict[str, bytes] = {}
        self._sequences = dict.fromkeys(TOPICS, 0)
        self._idempotent = wire.init_producer()
        self._values = map(b"%d".__mod__, itertools.count())
        self._stopped: int | None = None
        # The groups' topic is there, too, before a broker is not.
        commit(wire, self._group, self.names["a"], 0)

    def do(self, step: Step) -> object:
        what, *rest = step
        action: Callable[..., object] = getattr(self, "_" + what.replace(" ", "_"))
        return action(*rest)

    def _stop(self, broker: int, graceful: bool) -> object:
        # What its leader alone has, as acks=1 lets it, is lost with a leader on containers.
        self.wire.cluster.wait_for(self._is_replicated)
        self.wire.cluster.stop_broker(broker, graceful=graceful)
        self._stopped = broker
        self.wire.home = next(each for each in BROKERS if each != broker)
        return self._settled()

    def _is_replicated(self) -> bool:
        """Whether the topics' replicas are of the same size, and know all that is committed.

        A follower hears of that with its next fetch; one that leads before has to find it out anew, which it
        cannot while too few replicas are in sync.
        """
        names = self.names.values()
        held = [log_dirs(self.wire, broker, *names) for broker in BROKERS]
        if any(len({str(each[name]) for each in held if name in each}) > 1 for name in names):
            return False
        return all(
            len({self.wire.fetch(self.names[topic], 0, broker=each).high_watermark for each in replicas}) == 1
            for topic, (replicas, _) in TOPICS.items()
        )

    def _start(self) -> object:
        assert self._stopped is not None
        self.wire.cluster.start_broker(self._stopped)
        self._stopped = None
        return self._settled()

    def _settled(self) -> object:
        """Leaders and in-sync replicas, once all running replicas are in sync, and leaders serve."""
        running = set(BROKERS) - {self._stopped}

        def is_settled() -> bool:
            return all(
                set(partition.isr) == running.intersection(partition.replicas)
                and partition.leader in partition.isr
                for topic in self._topics()
                for partition in topic.partitions
            )

        self.wire.cluster.wait_for(is_settled, timeout=SETTLED_SECONDS)
        by_name = {topic.name: topic.partitions[0] for topic in self._topics()}
        found = {}
        for topic, name in self.names.items():
            partition = by_name[name]
            found[topic] = partition.leader, sorted(partition.isr), self._served(topic, len(partition.isr))
        return found

    def _served(self, topic: str, in_sync: int) -> str:
        """What a leader says of the end of its log.

        A new one does not know it before enough replicas are in sync (KAFKA-15583).
        """
        name = self.names[topic]
        not_yet = {"NOT_LEADER_OR_FOLLOWER"}
        if in_sync >= int(TOPICS[topic][1]):
            not_yet.add("OFFSET_NOT_AVAILABLE")
        self.wire.cluster.wait_for(lambda: self.wire.list_offset(name, LATEST).error not in not_yet)
        return str(self.wire.list_offset(name, LATEST).error)

    def _topics(self) -> list[Topic]:
        """This example's, and Kafka's own."""
        names = set(self.names.values())
        return [topic for topic in self.wire.cluster.topics() if topic.internal or topic.name in names]

    def _produce(self, topic: str, acks: int) -> object:
        answer = self.wire.produce(self.names[topic], batch(next(self._values)), acks=acks)
        return answer.error, answer.base_offset

    def _send(self, topic: str, again: bool) -> object:
        """The next record of an idempotent producer, or the one before once more."""
        if not again or topic not in self._sent:
            self._sent[topic] = batch(
                next(self._values),
                producer_id=self._idempotent.producer_id,
                producer_epoch=0,
                base_sequence=self._sequences[topic],
            )
        answer = self.wire.produce(self.names[topic], self._sent[topic])
        if answer.error == "NONE" and not again:
            self._sequences[topic] += 1
        return answer.error, answer.base_offset

    def _fetch(self, topic: str, committed: bool) -> object:
        answer = self.wire.fetch(self.names[topic], 0, committed=committed)
        stable_offset = answer.last_stable_offset if committed else None
        return answer.error, answer.high_watermark, stable_offset, values(answer)

    def _fetch_from(self, topic: str, broker: int) -> object:
        """What a replica gives, once its leader has told it what is committed."""
        if broker == self._stopped:
            return None
        name = self.names[topic]
        if broker in TOPICS[topic][0]:
            end = self.wire.fetch(name, 0).high_watermark
            self.wire.cluster.wait_for(lambda: self.wire.fetch(name, 0, broker=broker).high_watermark == end)
        answer = self.wire.fetch(name, 0, broker=broker)
        return answer.error, answer.high_watermark, values(answer)

    def _commit(self, topic: str, offset: int) -> object:
        return commit(self.wire, self._group, self.names[topic], offset)

    def _committed(self) -> object:
        found = self.wire.cluster.committed(self._group)
        by_name = {name: topic for topic, name in self.names.items()}
        return {by_name[name]: offset for (name, _), offset in found.items()}

    def _heartbeat(self) -> object:
        return heartbeat(self.wire, self._member_group, self._member)

    def _send_in_transaction(self) -> object:
        name = self.names["a"]
        added = self._transactional.add(name)
        return added, self._transactional.send(name, next(self._values))

    def _transaction(self, commit_it: bool) -> object:
        sent = self._send_in_transaction()
        ended = self._transactional.end(commit=commit_it)
        done = "CompleteCommit" if commit_it else "CompleteAbort"
        self.wire.cluster.wait_for(lambda: self._transactional.state() == done)
        return sent, ended

    def _elect(self, topic: str) -> object:
        name = self.names[topic]
        error = elect(self.wire, name)
        self.wire.cluster.wait_for(lambda: self.wire.leader(name) != -1)
        found = self.wire.partition(name)
        return error, found.leader, self._served(topic, len(found.isr))

    def end(self) -> object:
        """All that clients see in the end."""
        ends = {topic: self.wire.list_offset(name, LATEST).offset for topic, name in self.names.items()}
        return ends, [self._fetch(topic, committed) for topic in TOPICS for committed in (False, True)]


def test_clients_see_the_same_while_brokers_come_and_go(msk: MockMsk, three: MskCluster) -> None:
    # What a broker's death takes is waited for on one plane only.
    settings_of_twin = {"broker.session.timeout.ms": 200, "broker.heartbeat.interval.ms": 50}
    twin = msk.cluster(
        name="twins",
        kafka_version=three.spec.kafka_version,
        brokers=3,
        configuration=settings_of_twin,
        docker=False,
    )
    number = 0

    @settings(SEQUENCES, max_examples=EXAMPLES)
    @given(steps)
    def run(rounds: list[list[Step]]) -> None:
        nonlocal number
        number += 1
        with Wire(twin) as embedded, Wire(three) as kafka:
            planes = [Plane(wire, f"brokers-{number}-{three.name}") for wire in (embedded, kafka)]
            seen = []
            try:
                for step in itertools.chain.from_iterable(rounds):
                    ours, kafkas = (plane.do(step) for plane in planes)
                    seen.append((step, kafkas))
                    assert ours == kafkas, seen
                ours, kafkas = (plane.end() for plane in planes)
                assert ours == kafkas, seen
            finally:
                for cluster in (twin, three):
                    cluster._start_stopped_brokers()

    run()
