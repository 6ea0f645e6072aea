"""Reading what is in a topic, for assertions."""

from __future__ import annotations

import time
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain

from pytest_msk.brokers.clock import real_monotonic
from pytest_msk.brokers.wire import errors, records
from pytest_msk.brokers.wire.client import Client
from pytest_msk.brokers.wire.errors import KafkaError
from pytest_msk.brokers.wire.message import Message
from pytest_msk.errors import MskError

_WAIT_MS = 100
_PAUSE = 0.01
_FETCH_BYTES = 10 << 20
_EARLIEST, _LATEST = -2, -1
_READ_COMMITTED = 1
_ONCE_AGAIN = frozenset({"NOT_LEADER_OR_FOLLOWER", "LEADER_NOT_AVAILABLE", "NETWORK_EXCEPTION"})

Partition = int


class RecordsTimeoutError(MskError, TimeoutError):
    """A topic did not hold what was waited for in time. The message says what it holds."""


@dataclass(frozen=True)
class Record:
    """One record of a topic.

    Attributes:
        timestamp: milliseconds since 1970, by the topic's ``message.timestamp.type``.
        compression: how its batch is compressed: ``none``, ``gzip``, ``snappy``, ``lz4``, ``zstd``.
    """

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    timestamp: int
    compression: str = "none"


def read_records(bootstrap_servers: str, topic: str, timeout: float) -> list[Record]:
    """All committed records that are in ``topic`` when this is called, by partition and offset.

    Raises:
        RecordsTimeoutError: they could not be read in ``timeout`` seconds, or there is no such topic.
    """
    with _reader(bootstrap_servers, topic, timeout) as reader:
        ends = reader.offsets(_LATEST)
        while not reader.has_passed(ends):
            if reader.late:
                raise RecordsTimeoutError(
                    f"Topic {topic!r} could not be read to its end in {timeout} s. {_held(reader.found)}"
                )
            reader.poll()
        return _sorted(record for record in reader.found if record.offset < ends[record.partition])


def await_records(bootstrap_servers: str, topic: str, count: int, timeout: float) -> list[Record]:
    """The committed records of ``topic`` as soon as there are ``count`` of them or more.

    Raises:
        RecordsTimeoutError: there were fewer after ``timeout`` seconds; the message shows them.
    """
    with _reader(bootstrap_servers, topic, timeout) as reader:
        while len(reader.found) < count:
            if reader.late:
                raise RecordsTimeoutError(
                    f"Topic {topic!r} was to hold {count} records within {timeout} s. {_held(reader.found)}"
                )
            reader.poll()
        return _sorted(reader.found)


class _Reader:
    """Reads a topic from its beginning, partition by partition, from their leaders."""

    def __init__(self, client: Client, topic: str, until: float) -> None:
        self.found: list[Record] = []
        self._client = client
        self._topic = topic
        self._until = until
        self._leaders: dict[Partition, int] = {}
        self._topic_id = self._find_leaders()
        self._next = self.offsets(_EARLIEST)

    @property
    def late(self) -> bool:
        """Whether the time is up."""
        return real_monotonic() > self._until

    def offsets(self, where: int) -> dict[Partition, int]:
        """The first offset of each partition, or the end of what is committed."""
        found: dict[Partition, int] = {}
        while missing := self._leaders.keys() - found.keys():
            for leader, partitions in self._by_leader(missing):
                wanted = [Message(partition_index=one, timestamp=where) for one in partitions]
                answer = self._ask(
                    leader,
                    "ListOffsets",
                    Message(
                        replica_id=-1,
                        isolation_level=_READ_COMMITTED,
                        topics=[Message(name=self._topic, partitions=wanted)],
                    ),
                )
                for partition in chain.from_iterable(topic.partitions for topic in answer.topics):
                    if self._is_fine(partition.error_code):
                        found[partition.partition_index] = partition.offset
        return found

    def has_passed(self, ends: dict[Partition, int]) -> bool:
        """Whether all is read that is below some offsets."""
        return all(self._next[partition] >= end for partition, end in ends.items())

    def poll(self) -> None:
        """Read on where there is more, and wait a moment where there is not."""
        for leader, partitions in self._by_leader(self._leaders.keys()):
            wanted = [
                Message(partition=one, fetch_offset=self._next[one], partition_max_bytes=_FETCH_BYTES)
                for one in partitions
            ]
            answer = self._ask(
                leader,
                "Fetch",
                Message(
                    max_wait_ms=_WAIT_MS // len(set(self._leaders.values())),
                    min_bytes=1,
                    max_bytes=_FETCH_BYTES,
                    isolation_level=_READ_COMMITTED,
                    topics=[Message(topic=self._topic, topic_id=self._topic_id, partitions=wanted)],
                ),
            )
            for partition in chain.from_iterable(topic.partitions for topic in answer.responses):
                if self._is_fine(partition.error_code):
                    self._take(partition)

    def _take(self, partition: Message) -> None:
        number = partition.partition_index
        aborted = sorted(
            partition.aborted_transactions or (), key=lambda transaction: int(transaction.first_offset)
        )
        shut_out: set[int] = set()
        for batch in records.batches(partition.records or b""):
            while aborted and aborted[0].first_offset <= batch.last_offset:
                shut_out.add(aborted.pop(0).producer_id)
            if batch.control:
                shut_out.discard(batch.producer_id)
            elif not (batch.transactional and batch.producer_id in shut_out):
                self.found += [
                    _record(self._topic, number, record, batch.compression)
                    for record in batch.records()
                    if record.offset >= self._next[number]
                ]
            self._next[number] = max(self._next[number], batch.last_offset + 1)

    def _by_leader(self, partitions: Iterable[Partition]) -> Iterable[tuple[int, list[Partition]]]:
        found = defaultdict(list)
        for partition in partitions:
            found[self._leaders[partition]].append(partition)
        return found.items()

    def _ask(self, broker: int, api: str, request: Message) -> Message:
        try:
            return self._client.ask(broker, api, request, self._until + 1)
        except KafkaError as error:
            if not self._may_ask_again(error.name):
                raise RecordsTimeoutError(f"Topic {self._topic!r} could not be read: {error}") from error
            return Message(topics=[], responses=[])

    def _is_fine(self, code: int) -> bool:
        if code == errors.NONE:
            return True
        name = errors.name(code)
        if not self._may_ask_again(name):
            raise RecordsTimeoutError(f"Topic {self._topic!r} could not be read: {name}.")
        return False

    def _may_ask_again(self, error: str) -> bool:
        """Whether another leader may help; looks for it."""
        if error not in _ONCE_AGAIN or self.late:
            return False
        self._client.find_brokers(self._until)
        self._find_leaders()
        return True

    def _find_leaders(self) -> uuid.UUID:
        """Learn who leads each partition, once every one is led; returns the topic's id."""
        request = Message(topics=[Message(name=self._topic)], allow_auto_topic_creation=False)
        while True:
            (found,) = self._ask_any("Metadata", request).topics
            leaders = {partition.partition_index: partition.leader_id for partition in found.partitions}
            if leaders and min(leaders.values()) >= 0:
                self._leaders = leaders
                topic_id: uuid.UUID = found.topic_id
                return topic_id
            if self.late:
                every = self._ask_any(
                    "Metadata", Message(topics=None, allow_auto_topic_creation=False)
                ).topics
                raise RecordsTimeoutError(
                    f"There is no topic {self._topic!r}, or nobody leads it. "
                    f"Topics: {sorted(topic.name for topic in every)}."
                )
            time.sleep(_PAUSE)

    def _ask_any(self, api: str, request: Message) -> Message:
        """Ask whichever broker answers."""
        while True:
            for broker in self._client.brokers():
                with suppress(KafkaError):
                    return self._client.ask(broker, api, request, self._until + 1)
            if self.late:
                raise RecordsTimeoutError(f"Topic {self._topic!r} could not be read: no broker answers.")
            self._client.find_brokers(self._until)


@contextmanager
def _reader(bootstrap_servers: str, topic: str, timeout: float) -> Iterator[_Reader]:
    until = real_monotonic() + timeout
    try:
        client = Client(bootstrap_servers, until=until)
    except KafkaError as error:
        raise RecordsTimeoutError(f"Topic {topic!r} could not be read in {timeout} s: {error}") from error
    with client:
        yield _Reader(client, topic, until)


def _record(topic: str, partition: Partition, record: records.Record, compression: str) -> Record:
    return Record(
        topic=topic,
        partition=partition,
        offset=record.offset,
        key=record.key,
        value=record.value,
        headers=record.headers,
        timestamp=record.timestamp,
        compression=compression,
    )


def _sorted(found: Iterable[Record]) -> list[Record]:
    return sorted(found, key=lambda record: (record.partition, record.offset))


def _held(found: list[Record]) -> str:
    if not found:
        return "It holds none."
    shown = ", ".join(f"{record.partition}@{record.offset} {record.value!r:.80}" for record in found[-10:])
    return f"It holds {len(found)}; the last of them, by partition@offset: {shown}."
