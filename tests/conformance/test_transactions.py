"""Transactions: commit, abort, fencing, offsets, what readers see."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_msk.brokers.wire import errors
from pytest_msk.brokers.wire.message import Message
from tests.conformance.wire import LATEST, TIME, Wire, batch, named, values


class Producer:
    """A transactional producer, request by request, in the protocol before KIP-890."""

    def __init__(self, wire: Wire, transactional_id: str) -> None:
        self.wire = wire
        self.transactional_id = transactional_id
        initialised = wire.init_producer(transactional_id)
        assert initialised.error == "NONE"
        self.id: int = initialised.producer_id
        self.epoch: int = initialised.producer_epoch
        self._sequences: dict[tuple[str, int], int] = {}

    def _who(self, **changed: Any) -> dict[str, Any]:
        return {
            "transactional_id": self.transactional_id,
            "producer_id": self.id,
            "producer_epoch": self.epoch,
            **changed,
        }

    def add(self, topic: str, index: int = 0, **changed: Any) -> str:
        who = {f"v3_and_below_{key}": value for key, value in self._who(**changed).items()}
        topics = [Message(name=topic, partitions=[index])]
        answer = self.wire.to_coordinator(
            self.transactional_id,
            "AddPartitionsToTxn",
            kind=1,
            highest=3,
            v3_and_below_topics=topics,
            **who,
        )
        [result] = answer.results_by_topic_v3_and_below
        return errors.name(result.results_by_partition[0].partition_error_code)

    def send(self, topic: str, value: bytes, index: int = 0) -> str:
        sequence = self._sequences.get((topic, index), 0)
        records = batch(
            value,
            producer_id=self.id,
            producer_epoch=self.epoch,
            base_sequence=sequence,
            transactional=True,
        )
        answer = self.wire.produce(
            topic, records, index=index, transactional_id=self.transactional_id, highest=10
        )
        if answer.error_code == 0:
            self._sequences[topic, index] = sequence + 1
        return str(answer.error)

    def end(self, *, commit: bool, **changed: Any) -> str:
        answer = self.wire.to_coordinator(
            self.transactional_id, "EndTxn", kind=1, highest=3, committed=commit, **self._who(**changed)
        )
        return str(answer.error)

    def add_offsets(self, group: str) -> str:
        answer = self.wire.to_coordinator(
            self.transactional_id, "AddOffsetsToTxn", kind=1, highest=3, group_id=group, **self._who()
        )
        return str(answer.error)

    def commit_offset(self, group: str, topic: str, offset: int, **fields: Any) -> str:
        part = Message(
            partition_index=0, committed_offset=offset, committed_leader_epoch=-1, committed_metadata=""
        )
        asked = {"generation_id_or_member_epoch": -1, "member_id": "", **fields, **self._who()}
        answer = self.wire.to_coordinator(
            group,
            "TxnOffsetCommit",
            highest=3,
            group_id=group,
            topics=[Message(name=topic, partitions=[part])],
            **asked,
        )
        return errors.name(answer.topics[0].partitions[0].error_code)

    def state(self) -> str:
        answer = self.wire.ask(
            "DescribeTransactions",
            broker=self.wire.coordinator(self.transactional_id, 1),
            transactional_ids=[self.transactional_id],
        )
        return str(answer.transaction_states[0].transaction_state)


@pytest.fixture
def topic(wire: Wire) -> str:
    return wire.topic("in-transaction")


@pytest.fixture
def producer(wire: Wire, topic: str) -> Producer:
    return Producer(wire, topic)


@pytest.mark.parametrize("commit", [True, False], ids=["commit", "abort"])
def test_readers_of_committed_records_wait_for_the_end(
    wire: Wire, topic: str, producer: Producer, commit: bool
) -> None:
    wire.produce(topic, batch(b"before"))
    assert producer.add(topic) == "NONE"
    assert producer.send(topic, b"in") == "NONE"
    assert producer.state() == "Ongoing"
    wire.produce(topic, batch(b"after"))
    fetched = wire.fetch(topic, 0, committed=True)
    assert values(fetched) == [b"before"]
    assert (fetched.high_watermark, fetched.last_stable_offset) == (3, 1)
    assert wire.list_offset(topic, LATEST, committed=True).offset == 1
    assert values(wire.fetch(topic, 0)) == [b"before", b"in", b"after"]

    assert producer.end(commit=commit) == "NONE"
    wire.cluster.wait_for(lambda: wire.fetch(topic, 0, committed=True).last_stable_offset == 4)
    found = wire.fetch(topic, 0, committed=True)
    assert values(found) == [b"before", *([b"in"] if commit else []), b"after"]
    aborted = [(each.producer_id, each.first_offset) for each in found.aborted_transactions or ()]
    assert aborted == ([] if commit else [(producer.id, 1)])
    wire.cluster.wait_for(lambda: producer.state() == ("CompleteCommit" if commit else "CompleteAbort"))


def test_a_partition_that_was_not_added(topic: str, producer: Producer) -> None:
    assert producer.send(topic, b"in") == "INVALID_TXN_STATE"


def test_partitions_that_cannot_be_added(topic: str, producer: Producer) -> None:
    assert producer.add("nowhere") == "UNKNOWN_TOPIC_OR_PARTITION"
    assert producer.add(topic, 7) == "UNKNOWN_TOPIC_OR_PARTITION"
    assert producer.add(topic, producer_id=producer.id + 99) == "INVALID_PRODUCER_ID_MAPPING"
    assert producer.add(topic, producer_epoch=producer.epoch + 1) == "PRODUCER_FENCED"


def test_ends_of_what_was_not_begun(topic: str, producer: Producer) -> None:
    assert producer.end(commit=True) == "INVALID_TXN_STATE"
    assert producer.end(commit=False) == "INVALID_TXN_STATE"
    assert producer.end(commit=True, producer_id=producer.id + 99) == "INVALID_PRODUCER_ID_MAPPING"
    assert producer.add(topic) == "NONE"
    assert producer.end(commit=True) == "NONE"
    # Asked again, it is the same answer; the other one it cannot become.
    assert producer.end(commit=True) == "NONE"
    assert producer.end(commit=False) == "INVALID_TXN_STATE"


def test_a_newer_producer_shuts_the_older_one_out(wire: Wire, topic: str, producer: Producer) -> None:
    assert producer.add(topic) == "NONE"
    assert producer.send(topic, b"lost") == "NONE"
    newer = Producer(wire, producer.transactional_id)
    assert newer.id == producer.id
    assert newer.epoch > producer.epoch
    assert producer.add(topic) == "PRODUCER_FENCED"
    assert producer.end(commit=True) == "PRODUCER_FENCED"
    assert producer.send(topic, b"lost") == "INVALID_PRODUCER_EPOCH"
    assert newer.add(topic) == "NONE"
    assert newer.send(topic, b"kept") == "NONE"
    assert newer.end(commit=True) == "NONE"
    wire.cluster.wait_for(lambda: values(wire.fetch(topic, 0, committed=True)) == [b"kept"])


def test_a_producer_s_timeout_has_limits(wire: Wire, topic: str) -> None:
    for timeout in (2**31 - 1, 0):
        refused = wire.init_producer(topic, transaction_timeout_ms=timeout)
        assert refused.error == "INVALID_TRANSACTION_TIMEOUT"


def test_an_empty_transactional_id(wire: Wire) -> None:
    refused = wire.ask("InitProducerId", transactional_id="", transaction_timeout_ms=1000)
    assert named(refused).error == "INVALID_REQUEST"


@pytest.mark.parametrize("commit", [True, False], ids=["commit", "abort"])
def test_offsets_of_a_transaction(wire: Wire, topic: str, producer: Producer, commit: bool) -> None:
    group = topic
    assert producer.add_offsets(group) == "NONE"
    assert producer.commit_offset(group, topic, 5) == "NONE"
    assert wire.cluster.committed(group) == {}
    asked = Message(group_id=group, topics=[Message(name=topic, partition_indexes=[0])])
    answer = wire.ask("OffsetFetch", broker=wire.coordinator(group), groups=[asked], require_stable=True)
    assert errors.name(answer.groups[0].topics[0].partitions[0].error_code) == "UNSTABLE_OFFSET_COMMIT"
    assert producer.end(commit=commit) == "NONE"
    if commit:
        wire.cluster.wait_for(lambda: wire.cluster.committed(group) == {(topic, 0): 5})
    else:
        wire.cluster.wait_for(lambda: producer.state() == "CompleteAbort")
        assert wire.cluster.committed(group) == {}


def test_offsets_of_a_member_that_is_none(topic: str, producer: Producer) -> None:
    assert producer.add_offsets(topic) == "NONE"
    refused = producer.commit_offset(topic, topic, 5, generation_id_or_member_epoch=3, member_id="nobody")
    assert refused == "UNKNOWN_MEMBER_ID"
    assert producer.end(commit=False) == "NONE"


def test_transactions_are_listed(wire: Wire, topic: str, producer: Producer) -> None:
    assert producer.add(topic) == "NONE"

    def listed(**fields: Any) -> set[str]:
        answer = wire.ask("ListTransactions", **fields)
        return {each.transactional_id for each in answer.transaction_states}

    assert topic in listed()
    assert topic in listed(state_filters=["Ongoing"])
    assert topic not in listed(state_filters=["Empty"])
    assert topic not in listed(producer_id_filters=[producer.id + 99])
    assert wire.ask("ListTransactions", state_filters=["Odd"]).unknown_state_filters == ["Odd"]
    assert producer.end(commit=False) == "NONE"


def test_a_transactional_id_that_nobody_uses(wire: Wire) -> None:
    asked = ["nobody"]
    answer = wire.ask("DescribeTransactions", broker=wire.coordinator("nobody", 1), transactional_ids=asked)
    assert named(answer.transaction_states[0]).error == "TRANSACTIONAL_ID_NOT_FOUND"


def test_a_transaction_is_described(wires: Wire) -> None:
    topic = wires.topic(partitions=3)
    producer = Producer(wires, topic)
    coordinator = wires.coordinator(topic, 1)

    def described(broker: int = coordinator) -> Message:
        answer = wires.ask("DescribeTransactions", broker=broker, transactional_ids=[topic])
        return named(answer.transaction_states[0])

    found = described()
    assert (found.error, found.transactional_id, found.transaction_state) == ("NONE", topic, "Empty")
    assert (found.producer_id, found.producer_epoch) == (producer.id, producer.epoch)
    assert (found.transaction_timeout_ms, found.transaction_start_time_ms, found.topics) == (60_000, -1, [])
    for index in (2, 0):
        assert producer.add(topic, index) == "NONE"
    found = described()
    assert found.transaction_state == "Ongoing"
    assert found.transaction_start_time_ms >= TIME
    assert {each.topic: sorted(each.partitions) for each in found.topics} == {topic: [0, 2]}
    other = next(broker.id for broker in wires.cluster.brokers if broker.id != coordinator)
    assert described(other).error == "NOT_COORDINATOR"
    assert topic not in {
        each.transactional_id for each in wires.ask("ListTransactions", broker=other).transaction_states
    }
    assert producer.end(commit=True) == "NONE"
    wires.cluster.wait_for(lambda: described().transaction_state == "CompleteCommit")
    assert described().topics == []


def test_producers_of_a_partition_are_described(wire: Wire, topic: str, producer: Producer) -> None:
    assert producer.add(topic) == "NONE"
    assert producer.send(topic, b"in") == "NONE"
    asked = [Message(name=topic, partition_indexes=[0, 1])]
    found = wire.ask("DescribeProducers", topics=asked).topics[0].partitions
    by_index = {part.partition_index: named(part) for part in found}
    assert by_index[1].error == "UNKNOWN_TOPIC_OR_PARTITION"
    [active] = by_index[0].active_producers
    assert (active.producer_id, active.producer_epoch, active.last_sequence) == (producer.id, 0, 0)
    assert active.current_txn_start_offset == 0
    assert producer.end(commit=False) == "NONE"


def test_producers_are_told_by_whoever_holds_a_replica(wires: Wire) -> None:
    topic = wires.topic(replication_factor=2)
    found = wires.partition(topic)
    producer = wires.init_producer()
    records = batch(b"a", b"b", producer_id=producer.producer_id, producer_epoch=0, base_sequence=0)
    assert wires.produce(topic, records).error == "NONE"
    asked = [Message(name=topic, partition_indexes=[0])]

    def described(broker: int) -> Message:
        return named(wires.ask("DescribeProducers", broker=broker, topics=asked).topics[0].partitions[0])

    for replica in found.replicas:
        [active] = described(replica).active_producers
        assert (active.producer_id, active.producer_epoch) == (producer.producer_id, 0)
        assert (active.last_sequence, active.last_timestamp) == (1, TIME + 1)
        assert (active.coordinator_epoch, active.current_txn_start_offset) == (-1, -1)
    [stranger] = {broker.id for broker in wires.cluster.brokers} - set(found.replicas)
    assert described(stranger).error == "NOT_LEADER_OR_FOLLOWER"
