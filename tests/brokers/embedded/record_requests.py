"""Requests about records to clusters without a network; what is asked and answered has gone over the wire."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Iterable, Mapping
from typing import Any

from pytest_msk.brokers.embedded import (
    delete_records,
    fetch,
    list_offsets,
    offset_for_leader_epoch,
    produce,
)
from pytest_msk.brokers.embedded.api import SERVED, Answer, Peer, Request
from pytest_msk.brokers.embedded.cluster import Broker, Cluster
from pytest_msk.brokers.embedded.replicas import Partition
from pytest_msk.brokers.wire import codec, errors
from pytest_msk.brokers.wire.message import Message
from pytest_msk.brokers.wire.records import Record, batches, build

__all__ = ["delete_records", "fetch", "list_offsets", "offset_for_leader_epoch", "produce"]

NEWEST = {"Produce": 13, "Fetch": 18, "ListOffsets": 11, "DeleteRecords": 2, "OffsetForLeaderEpoch": 4}


class Asked:
    """A request that a broker was asked, answered or not yet."""

    def __init__(self, broker: Broker, api: str, version: int, client_id: str, body: Message) -> None:
        frame = memoryview(codec.encode_request(api, version, body))
        received = codec.decode_request(api, version, frame)
        cluster = broker.cluster
        self._api, self._version = api, version
        self.request = Request(broker, api, version, client_id, received, Peer("127.0.0.1", "plaintext"))
        for topic in _topics(self.request.body):
            # As the server does before it calls a handler.
            known = cluster.topics.by_id(topic.topic_id) if "topic_id" in vars(topic) else None
            if known is not None:
                field = "name" if "name" in vars(topic) else "topic"
                setattr(topic, field, known.name)
        assert version in SERVED[api].versions
        self.result = SERVED[api].handler(self.request)

    @property
    def waits(self) -> bool:
        return inspect.isawaitable(self.result) and not (
            isinstance(self.result, asyncio.Future) and self.result.done()
        )

    def cancel(self) -> None:
        assert isinstance(self.result, asyncio.Future)
        self.result.cancel()

    @property
    def answer(self) -> Message:
        """What is answered at once, or has been answered by now."""
        assert not self.waits
        result = self.result.result() if isinstance(self.result, asyncio.Future) else self.result
        assert isinstance(result, Message)
        return self._sent(result)

    async def later(self) -> Message:
        """What is answered in the end."""
        assert inspect.isawaitable(self.result)
        result: Answer = await _bounded(self.result)
        assert result is not None
        return self._sent(result)

    def _sent(self, answer: Message) -> Message:
        frame = memoryview(codec.encode_response(self._api, self._version, answer))
        return codec.decode_response(self._api, self._version, frame)


def _topics(body: Message) -> Iterable[Message]:
    fields = vars(body)
    for name in ("topics", "topic_data", "forgotten_topics_data"):
        yield from fields.get(name) or ()


async def _bounded(result: Awaitable[Answer]) -> Answer:
    return await asyncio.wait_for(asyncio.ensure_future(result), 10)


async def turns(count: int = 3) -> None:
    """Let the loop do what is due."""
    for _ in range(count):
        await asyncio.sleep(0)


def asked(
    cluster: Cluster,
    api: str,
    version: int | None = None,
    broker: int = 1,
    client_id: str = "tests",
    **fields: Any,
) -> Asked:
    version = NEWEST[api] if version is None else version
    return Asked(cluster.brokers[broker], api, version, client_id, Message(**fields))


def batch(*values: bytes, **fields: Any) -> bytes:
    """A batch as producers send it; `fields` are those of `build`, and `timestamp` of the records."""
    timestamp = fields.pop("timestamp", 1_000_000)
    return build(
        [Record(offset, timestamp, None, value, ()) for offset, value in enumerate(values)], **fields
    )


def values(records: bytes | memoryview | None) -> list[bytes | None]:
    return [record.value for each in batches(records or b"") for record in each.records()]


def name_topic(
    cluster: Cluster, version: int, first_by_id: int, name: str, field: str = "name"
) -> dict[str, Any]:
    """How a request names a topic: by id as soon as its version can."""
    if version < first_by_id:
        return {field: name}
    topic = cluster.topics.get(name)
    assert topic is not None
    return {"topic_id": topic.id}


def ask_produce(
    cluster: Cluster,
    parts: Mapping[tuple[str, int], bytes | None],
    *,
    version: int = 13,
    broker: int = 1,
    client_id: str = "tests",
    acks: int = -1,
    transactional_id: str | None = None,
    timeout_ms: int = 1000,
) -> Asked:
    topics = [
        Message(
            **name_topic(cluster, version, 13, name), partition_data=[Message(index=index, records=records)]
        )
        for (name, index), records in parts.items()
    ]
    return asked(
        cluster,
        "Produce",
        version,
        broker,
        client_id,
        transactional_id=transactional_id,
        acks=acks,
        timeout_ms=timeout_ms,
        topic_data=topics,
    )


def produced(answer: Message) -> Message:
    """The one partition of a Produce response, with its error by name."""
    [topic] = answer.responses
    partition: Message
    [partition] = topic.partition_responses
    partition.error = error_name(partition)
    return partition


def ask_fetch(
    cluster: Cluster,
    parts: Mapping[tuple[str, int], int | Mapping[str, Any]],
    *,
    version: int = 18,
    broker: int = 1,
    forgotten: Iterable[tuple[str, int]] = (),
    **fields: Any,
) -> Asked:
    """`parts` gives for each partition the offset, or the fields of its part of the request."""
    topics = []
    for (name, index), wanted in parts.items():
        part = dict(wanted) if isinstance(wanted, Mapping) else {"fetch_offset": wanted}
        part.setdefault("partition_max_bytes", 1 << 20)
        topics.append(
            Message(
                **name_topic(cluster, version, 13, name, "topic"),
                partitions=[Message(partition=index, **part)],
            )
        )
    gone = [
        Message(**name_topic(cluster, version, 13, name, "topic"), partitions=[index])
        for name, index in forgotten
    ]
    if gone:
        fields["forgotten_topics_data"] = gone
    asks = {"max_wait_ms": 0, "min_bytes": 1, "max_bytes": 1 << 24, **fields}
    return asked(cluster, "Fetch", version, broker, topics=topics, **asks)


def fetched(cluster: Cluster, answer: Message) -> dict[tuple[str, int], Message]:
    """The partitions of a Fetch response, with their errors by name."""
    found = {}
    for topic in answer.responses:
        known = cluster.topics.by_id(topic.topic_id)
        for partition in topic.partitions:
            partition.error = error_name(partition)
            found[known.name if known else topic.topic, partition.partition_index] = partition
    return found


def error_name(message: Message) -> str:
    return errors.name(message.error_code)


def write(partition: Partition, *written: bytes, **fields: Any) -> None:
    """Each value in a batch of its own."""
    for value in written:
        partition.log.append(memoryview(batch(value, **fields)), partition.leader_epoch)


def read(
    cluster: Cluster, parts: dict[tuple[str, int], Any], **fields: Any
) -> dict[tuple[str, int], Message]:
    return fetched(cluster, ask_fetch(cluster, parts, **fields).answer)


def transactional(partition: Partition, producer_id: int, *written: bytes, sequence: int = 0) -> None:
    for number, value in enumerate(written, start=sequence):
        write(
            partition,
            value,
            producer_id=producer_id,
            producer_epoch=0,
            base_sequence=number,
            transactional=True,
        )


def end(partition: Partition, producer_id: int, *, commit: bool) -> None:
    partition.log.append_marker(producer_id, 0, commit=commit, coordinator_epoch=0, leader_epoch=0)
