"""Producers with transactions, as clients write them, at clusters without a network."""

from __future__ import annotations

from typing import Any

from pytest_msk.brokers.embedded import produce
from pytest_msk.brokers.embedded.cluster import Cluster
from pytest_msk.brokers.embedded.replicas import Partition
from pytest_msk.brokers.embedded.transactions import inspection, markers, offsets, requests
from pytest_msk.brokers.wire import errors
from pytest_msk.brokers.wire.message import Message
from pytest_msk.brokers.wire.records import Record, build
from pytest_msk.brokers.wire.releases import advertised
from tests.brokers.embedded.clusters import ask, cluster_of

__all__ = ["inspection", "markers", "offsets", "produce", "requests"]  # their handlers

MINUTE = 60_000
OLD, VERIFYING, NEW = "3.5.2", "3.9.1", "4.1.2"
"""Releases: whose leaders verify nothing, verify, and whose transactions each have an epoch."""


def cluster_with(
    *topics: str, kafka_version: str = VERIFYING, brokers: int = 1, **configuration: Any
) -> Cluster:
    """A cluster with topics of two partitions, each on all brokers."""
    cluster = cluster_of(brokers, kafka_version=kafka_version, **configuration)
    for topic in topics:
        cluster.topics.create(topic, partitions=2, replication_factor=brokers)
    return cluster


def newest(cluster: Cluster, api: str) -> int:
    return advertised(cluster.release)[api][-1]


def coordinator(cluster: Cluster, transactional_id: str) -> int:
    return cluster.coordinator("transaction", transactional_id)


def ask_coordinator(
    cluster: Cluster, api: str, version: int, transactional_id: str, **fields: Any
) -> Message:
    broker = coordinator(cluster, transactional_id)
    return ask(cluster, api, version, broker, transactional_id=transactional_id, **fields)


def partition_of(cluster: Cluster, topic: str, index: int = 0) -> Partition:
    partition = cluster.topics.partition(topic, index)
    assert partition is not None
    return partition


def seen(cluster: Cluster, topic: str, index: int = 0, *, committed: bool = True) -> list[bytes | None]:
    """The values that a consumer gets."""
    partition = partition_of(cluster, topic, index)
    records = partition.log.records(committed=committed, up_to=partition.high_watermark)
    return [record.value for record in records]


def stable(cluster: Cluster, topic: str, index: int = 0) -> int:
    partition = partition_of(cluster, topic, index)
    return partition.log.stable_offset(partition.high_watermark)


def state(cluster: Cluster, transactional_id: str) -> str:
    transaction = cluster.transactions.get(transactional_id)
    assert transaction is not None
    return str(transaction.state)


class Producer:
    """A producer that does as Java's does. Its methods return the name of the error that it is told.

    Transactions are of version 2 where the cluster's are: then it adds no partitions, and every
    transaction begins with sequence 0.
    """

    def __init__(self, cluster: Cluster, transactional_id: str, *, timeout_ms: int = MINUTE) -> None:
        self.cluster = cluster
        self.transactional_id = transactional_id
        self.timeout_ms = timeout_ms
        self.id, self.epoch = -1, -1
        feature = cluster.features.get("transaction.version")
        self.bumps = feature is not None and feature.level >= 2
        self._sequences: dict[tuple[str, int], int] = {}

    @property
    def ids(self) -> tuple[int, int]:
        return self.id, self.epoch

    def init(self, *, expected: tuple[int, int] = (-1, -1), version: int = 4) -> str:
        fields = {"producer_id": expected[0], "producer_epoch": expected[1]} if version > 2 else {}
        answer = self._ask("InitProducerId", version, transaction_timeout_ms=self.timeout_ms, **fields)
        if answer.error_code == 0:
            self.use(answer.producer_id, answer.producer_epoch)
        return errors.name(answer.error_code)

    def use(self, producer_id: int, epoch: int) -> None:
        if (producer_id, epoch) != self.ids:
            self.id, self.epoch = producer_id, epoch
            self._sequences.clear()

    def forget(self, topic: str) -> None:
        """The topic is another one now."""
        self._sequences = {where: last for where, last in self._sequences.items() if where[0] != topic}

    def started(self) -> Producer:
        """The same, initialised; an open transaction of another is aborted for it."""
        error = self.init()
        if error == "CONCURRENT_TRANSACTIONS":
            error = self.init()
        assert error == "NONE"
        return self

    def add(self, *partitions: tuple[str, int], version: int = 3) -> str:
        topics = [Message(name=topic, partitions=[index]) for topic, index in partitions]
        answer = ask(
            self.cluster,
            "AddPartitionsToTxn",
            version,
            coordinator(self.cluster, self.transactional_id),
            v3_and_below_transactional_id=self.transactional_id,
            v3_and_below_producer_id=self.id,
            v3_and_below_producer_epoch=self.epoch,
            v3_and_below_topics=topics,
        )
        codes = {
            part.partition_error_code
            for topic in answer.results_by_topic_v3_and_below
            for part in topic.results_by_partition
        }
        return errors.name(codes.pop()) if len(codes) == 1 else str(sorted(map(errors.name, codes)))

    def send(self, topic: str, *values: bytes, index: int = 0, version: int | None = None) -> str:
        """Send a batch to a partition, whatever transaction it is in."""
        leader = partition_of(self.cluster, topic, index).leader
        sequence = self._sequences.get((topic, index), 0)
        records = [Record(offset, 1, None, value, ()) for offset, value in enumerate(values)]
        data = build(
            records,
            producer_id=self.id,
            producer_epoch=self.epoch,
            base_sequence=sequence,
            transactional=True,
        )
        highest = 12 if self.bumps else 11
        answer = ask(
            self.cluster,
            "Produce",
            version or min(highest, newest(self.cluster, "Produce")),
            leader,
            transactional_id=self.transactional_id,
            acks=1,
            timeout_ms=1000,
            topic_data=[Message(name=topic, partition_data=[Message(index=index, records=data)])],
        )
        [[part]] = [response.partition_responses for response in answer.responses]
        if part.error_code == 0:
            self._sequences[topic, index] = sequence + len(values)
        return errors.name(part.error_code)

    def write(self, topic: str, *values: bytes, index: int = 0) -> str:
        """Send a batch as a part of the transaction."""
        error = "NONE" if self.bumps else self.add((topic, index))
        return self.send(topic, *values, index=index) if error == "NONE" else error

    def add_offsets(self, group_id: str, *, version: int = 3) -> str:
        answer = self._ask(
            "AddOffsetsToTxn", version, producer_id=self.id, producer_epoch=self.epoch, group_id=group_id
        )
        return errors.name(answer.error_code)

    def send_offsets(
        self,
        group_id: str,
        offsets: dict[tuple[str, int], int],
        *,
        version: int | None = None,
        **member: Any,
    ) -> dict[tuple[str, int], str]:
        """Stage offsets, whatever transaction they are in; the error of each."""
        highest = 5 if self.bumps else 4
        parts = {
            topic: [
                Message(partition_index=index, committed_offset=offset, committed_metadata=member.get("note"))
                for (name, index), offset in offsets.items()
                if name == topic
            ]
            for topic, _ in offsets
        }
        answer = ask(
            self.cluster,
            "TxnOffsetCommit",
            version if version is not None else min(highest, newest(self.cluster, "TxnOffsetCommit")),
            self.cluster.coordinator("group", group_id),
            transactional_id=self.transactional_id,
            group_id=group_id,
            producer_id=self.id,
            producer_epoch=self.epoch,
            topics=[Message(name=topic, partitions=part) for topic, part in parts.items()],
            **{key: value for key, value in member.items() if key != "note"},
        )
        return {
            (topic.name, part.partition_index): errors.name(part.error_code)
            for topic in answer.topics
            for part in topic.partitions
        }

    def stage(self, group_id: str, topic: str, offset: int) -> str:
        """Commit an offset of partition 0 as a part of the transaction."""
        error = "NONE" if self.bumps else self.add_offsets(group_id)
        return self.send_offsets(group_id, {(topic, 0): offset})[topic, 0] if error == "NONE" else error

    def end(self, *, commit: bool, version: int | None = None) -> str:
        if version is None:
            version = 5 if self.bumps else 3
        answer = self._ask(
            "EndTxn", version, producer_id=self.id, producer_epoch=self.epoch, committed=commit
        )
        if answer.error_code == 0 and version >= 5:
            self.use(answer.producer_id, answer.producer_epoch)
        return errors.name(answer.error_code)

    def commit(self) -> str:
        return self.end(commit=True)

    def abort(self) -> str:
        return self.end(commit=False)

    def _ask(self, api: str, version: int, **fields: Any) -> Message:
        return ask_coordinator(self.cluster, api, version, self.transactional_id, **fields)


def committed(cluster: Cluster, group_id: str, topic: str, index: int = 0) -> int | None:
    """The offset that a group goes on from."""
    group = cluster.groups.get(group_id)
    found = group.offsets.get(topic, index) if group else None
    return found.offset if found else None
