"""Requests to the brokers of a cluster, and their answers as they were on the wire."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self

from pytest_msk import MskCluster
from pytest_msk.brokers.admin import Partition
from pytest_msk.brokers.clock import real_monotonic
from pytest_msk.brokers.wire import errors
from pytest_msk.brokers.wire.client import Client
from pytest_msk.brokers.wire.message import Message
from pytest_msk.brokers.wire.records import Record, batches, build

SECONDS = 15.0
# Not of the past: containers begin another segment when records are a week apart.
TIME = int(time.time()) * 1000
EARLIEST, LATEST, MAX_TIMESTAMP = -2, -1, -3

# The versions below name topics by their names.
_NEWEST = {"Produce": 12, "Fetch": 12, "OffsetCommit": 9, "OffsetFetch": 9}

_NOT_YET = frozenset(
    {
        "NOT_COORDINATOR",
        "COORDINATOR_NOT_AVAILABLE",
        "COORDINATOR_LOAD_IN_PROGRESS",
        "CONCURRENT_TRANSACTIONS",
    }
)


class Wire:
    """Asks the leader, the coordinator or a named broker of a cluster, in the newest version it has.

    Attributes:
        cluster: the cluster.
        home: the broker to ask what any of them can answer.
    """

    def __init__(self, cluster: MskCluster) -> None:
        self.cluster = cluster
        self.home = cluster.brokers[0].id
        self._client = Client(cluster.bootstrap_servers, until=self.until())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    @staticmethod
    def until() -> float:
        return real_monotonic() + SECONDS

    def ask(
        self, api: str, *, broker: int | None = None, highest: int | None = None, **fields: Any
    ) -> Message:
        number = self.home if broker is None else broker
        limit = _NEWEST.get(api) if highest is None else highest
        return self._client.ask(number, api, Message(**fields), self.until(), limit)

    def topic(self, prefix: str = "topic", **shape: Any) -> str:
        """Make a topic that nobody else uses, and return its name."""
        return self.cluster.unique_topic(prefix, **shape)

    def served(self, topic: str) -> str:
        """The topic's name, once its leaders serve it: containers name them a moment before."""
        indexes = [partition.id for partition in self.partitions(topic)]

        def is_served() -> bool:
            return all(self.list_offset(topic, LATEST, index=index).error == "NONE" for index in indexes)

        self.cluster.wait_for(is_served)
        return topic

    def partitions(self, topic: str) -> Sequence[Partition]:
        [found] = [found for found in self.cluster.topics() if found.name == topic]
        return found.partitions

    def partition(self, topic: str, index: int = 0) -> Partition:
        return self.partitions(topic)[index]

    def leader(self, topic: str, index: int = 0) -> int:
        if len(self.cluster.brokers) == 1:
            return self.cluster.brokers[0].id
        return self.partition(topic, index).leader

    def produce(
        self,
        topic: str,
        records: bytes | None,
        *,
        index: int = 0,
        broker: int | None = None,
        acks: int = -1,
        transactional_id: str | None = None,
        timeout_ms: int = 5000,
        highest: int | None = None,
    ) -> Message:
        """The partition's part of the answer; `error` is its error's name."""
        part = Message(index=index, records=records)
        answer = self.ask(
            "Produce",
            broker=broker or self.leader(topic, index),
            highest=highest,
            transactional_id=transactional_id,
            acks=acks,
            timeout_ms=timeout_ms,
            topic_data=[Message(name=topic, partition_data=[part])],
        )
        return named(answer.responses[0].partition_responses[0])

    def fetch(
        self,
        topic: str,
        offset: int,
        *,
        index: int = 0,
        broker: int | None = None,
        committed: bool = False,
        epoch: int = -1,
        max_bytes: int = 1 << 20,
        rack: str = "",
    ) -> Message:
        """The partition's part of the answer; `error` is its error's name."""
        part = Message(
            partition=index, fetch_offset=offset, current_leader_epoch=epoch, partition_max_bytes=max_bytes
        )
        answer = self.ask(
            "Fetch",
            broker=broker or self.leader(topic, index),
            max_wait_ms=0,
            min_bytes=1,
            max_bytes=1 << 24,
            isolation_level=int(committed),
            session_epoch=-1,
            rack_id=rack,
            topics=[Message(topic=topic, partitions=[part])],
        )
        return named(answer.responses[0].partitions[0])

    def list_offset(
        self,
        topic: str,
        timestamp: int,
        *,
        index: int = 0,
        broker: int | None = None,
        committed: bool = False,
        epoch: int = -1,
    ) -> Message:
        """The partition's part of the answer; `error` is its error's name."""
        part = Message(partition_index=index, timestamp=timestamp, current_leader_epoch=epoch)
        answer = self.ask(
            "ListOffsets",
            broker=broker or self.leader(topic, index),
            replica_id=-1,
            isolation_level=int(committed),
            topics=[Message(name=topic, partitions=[part])],
        )
        return named(answer.topics[0].partitions[0])

    def delete_records(self, topic: str, before: int, *, index: int = 0) -> Message:
        part = Message(partition_index=index, offset=before)
        answer = self.ask(
            "DeleteRecords",
            broker=self.leader(topic, index),
            timeout_ms=5000,
            topics=[Message(name=topic, partitions=[part])],
        )
        return named(answer.topics[0].partitions[0])

    def end_for_epoch(self, topic: str, epoch: int, *, current: int = -1) -> Message:
        part = Message(partition=0, leader_epoch=epoch, current_leader_epoch=current)
        answer = self.ask(
            "OffsetForLeaderEpoch",
            broker=self.leader(topic),
            replica_id=-1,
            topics=[Message(topic=topic, partitions=[part])],
        )
        return named(answer.topics[0].partitions[0])

    def coordinator(self, key: str, kind: int = 0) -> int:
        """The broker that coordinates a group (0) or a transactional id (1), once there is one."""
        found: list[Message] = []

        def is_there() -> bool:
            answer = self.ask("FindCoordinator", key_type=kind, coordinator_keys=[key])
            found[:] = answer.coordinators
            return bool(found[0].error_code == 0)

        self.cluster.wait_for(is_there)
        return int(found[0].node_id)

    def to_coordinator(
        self, key: str, api: str, *, kind: int = 0, highest: int | None = None, **fields: Any
    ) -> Message:
        """An answer of the coordinator, once it has loaded, and has ended the transaction before."""
        return self._once_loaded(
            lambda: self.ask(api, broker=self.coordinator(key, kind), highest=highest, **fields)
        )

    def init_producer(self, transactional_id: str | None = None, **fields: Any) -> Message:
        asked = {"transactional_id": transactional_id, "transaction_timeout_ms": 60_000, **fields}
        if transactional_id is None:
            # A broker has no producer ids until the controller has given it some.
            return self._once_loaded(lambda: self.ask("InitProducerId", **asked))
        return self.to_coordinator(transactional_id, "InitProducerId", kind=1, **asked)

    def _once_loaded(self, ask: Callable[[], Message]) -> Message:
        answers: list[Message] = []

        def is_loaded() -> bool:
            answers[:] = [named(ask())]
            return _NOT_YET.isdisjoint(_errors(answers[0]))

        self.cluster.wait_for(is_loaded)
        return answers[0]


def _errors(message: Message) -> Iterator[str]:
    """The names of all errors that an answer has, of the whole and of its parts."""
    for field, value in vars(message).items():
        if field.endswith("error_code"):
            yield errors.name(value)
        elif isinstance(value, list):
            for part in value:
                if isinstance(part, Message):
                    yield from _errors(part)


def named(message: Message) -> Message:
    """The message, with its error's name as `error`."""
    message.error = errors.name(vars(message).get("error_code", 0))
    return message


def batch(*values: bytes, **fields: Any) -> bytes:
    """A batch as producers send it; `fields` are those of `build`, and the first record's `timestamp`."""
    timestamp = fields.pop("timestamp", TIME)
    key = fields.pop("key", None)
    records = [Record(number, timestamp + number, key, value, ()) for number, value in enumerate(values)]
    return build(records, **fields)


def values(fetched: Message) -> list[bytes | None]:
    """The values of a fetched partition's records, without markers and what was aborted."""
    aborted = {each.producer_id: each.first_offset for each in fetched.aborted_transactions or ()}
    found: list[bytes | None] = []
    for each in batches(fetched.records or b""):
        if each.control:
            aborted.pop(each.producer_id, None)
        elif not (
            each.transactional and aborted.get(each.producer_id, each.last_offset + 1) <= each.base_offset
        ):
            found += [record.value for record in each.records()]
    return found


def offsets(parts: Sequence[Message]) -> dict[int, int]:
    return {part.partition_index: part.committed_offset for part in parts}
