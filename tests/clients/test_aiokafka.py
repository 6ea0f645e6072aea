"""aiokafka: producers, consumers, groups, transactions and the admin client."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, OffsetAndMetadata, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.errors import MessageSizeTooLargeError, ProducerFenced, TopicAlreadyExistsError

from tests.clients.clusters import EVERYWHERE, PATIENCE, Cluster, unique

pytestmark = pytest.mark.parametrize("cluster", EVERYWHERE, indirect=True, ids=str, scope="module")


class Clients:
    """Makes clients of a cluster, started, and stops them."""

    def __init__(self, cluster: Cluster, closing: AsyncExitStack) -> None:
        self._cluster = cluster
        self._closing = closing

    async def producer(self, **config: Any) -> AIOKafkaProducer:
        # Its own default, acks=1, tells of records that consumers cannot read yet.
        settings = self._cluster.config("aiokafka", **{"acks": "all", **config})
        return await self._started(AIOKafkaProducer(**settings))

    async def consumer(self, *topics: str, **config: Any) -> AIOKafkaConsumer:
        defaults = {"auto_offset_reset": "earliest", "enable_auto_commit": False, **config}
        return await self._started(AIOKafkaConsumer(*topics, **self._cluster.config("aiokafka", **defaults)))

    async def admin(self) -> AIOKafkaAdminClient:
        admin = AIOKafkaAdminClient(**self._cluster.config("aiokafka"))
        self._closing.push_async_callback(admin.close)
        await admin.start()
        return admin

    async def _started(self, client: Any) -> Any:
        self._closing.push_async_callback(client.stop)
        await client.start()
        return client


@asynccontextmanager
async def clients_of(cluster: Cluster) -> AsyncIterator[Clients]:
    async with AsyncExitStack() as closing:
        yield Clients(cluster, closing)


def with_clients(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run a coroutine as a test, its second argument being clients that are stopped at its end."""

    async def run(cluster: Cluster, **arguments: Any) -> None:
        async with asyncio.timeout(4 * PATIENCE), clients_of(cluster) as clients:
            await test(cluster, clients, **arguments)

    @functools.wraps(test)
    def wrapper(cluster: Cluster, **arguments: Any) -> None:
        asyncio.run(run(cluster, **arguments))

    signature = inspect.signature(test)
    parameters = [parameter for name, parameter in signature.parameters.items() if name != "clients"]
    wrapper.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return wrapper


async def send(producer: AIOKafkaProducer, topic: str, values: Iterable[bytes], **record: Any) -> list[Any]:
    futures = [await producer.send(topic, value, **record) for value in values]
    return list(await asyncio.gather(*futures))


async def read(consumer: AIOKafkaConsumer, count: int) -> list[Any]:
    async with asyncio.timeout(PATIENCE):
        return [await consumer.getone() for _ in range(count)]


async def nothing(consumer: AIOKafkaConsumer) -> bool:
    return not await consumer.getmany(timeout_ms=200)


async def until(what: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not what():
            await asyncio.sleep(0.01)


def values(records: Iterable[Any]) -> list[bytes]:
    return [record.value for record in records]


@pytest.mark.parametrize("acks", [0, 1, "all"])
@with_clients
async def test_what_is_sent_is_read_at_any_acks(cluster: Cluster, clients: Clients, acks: int | str) -> None:
    topic = cluster.topic()
    sent = [b"%d" % number for number in range(50)]
    await send(await clients.producer(acks=acks), topic, sent)
    assert values(await read(await clients.consumer(topic), 50)) == sent


@pytest.mark.parametrize("codec", [None, "gzip", "snappy", "lz4"])
@with_clients
async def test_batches_of_any_codec_are_read(cluster: Cluster, clients: Clients, codec: str | None) -> None:
    topic = cluster.topic()
    sent = [b"%d" % number * 100 for number in range(100)]
    await send(await clients.producer(compression_type=codec, linger_ms=20), topic, sent)
    assert values(await read(await clients.consumer(topic), 100)) == sent


@with_clients
async def test_every_part_of_a_record_comes_back(cluster: Cluster, clients: Clients) -> None:
    topic = cluster.topic(partitions=2)
    headers = [("trace", b"\x00\xff"), ("trace", b""), ("empty", b"")]
    time = 1_700_000_000_123
    producer = await clients.producer()
    await producer.send_and_wait(topic, b"v", key=b"k", headers=headers, partition=1, timestamp_ms=time)
    await producer.send_and_wait(topic, None, key=b"k", partition=1)
    full, tombstone = await read(await clients.consumer(topic), 2)
    assert (full.key, full.value, list(full.headers)) == (b"k", b"v", headers)
    assert (full.partition, full.offset, full.timestamp, full.timestamp_type) == (1, 0, time, 0)
    assert (tombstone.key, tombstone.value, list(tombstone.headers)) == (b"k", None, [])


@with_clients
async def test_log_append_time_is_the_brokers(cluster: Cluster, clients: Clients) -> None:
    topic = cluster.topic(message_timestamp_type="LogAppendTime")
    await (await clients.producer()).send_and_wait(topic, b"v", timestamp_ms=1)
    (record,) = await read(await clients.consumer(topic), 1)
    assert record.timestamp_type == 1
    assert record.timestamp > 1_700_000_000_000


@with_clients
async def test_a_record_beyond_the_topics_limit_is_refused(cluster: Cluster, clients: Clients) -> None:
    topic = cluster.topic(max_message_bytes="1000")
    producer = await clients.producer()
    with pytest.raises(MessageSizeTooLargeError):
        await producer.send_and_wait(topic, b"x" * 2000)


@with_clients
async def test_positions_are_moved_to_any_offset(cluster: Cluster, clients: Clients) -> None:
    topic = cluster.topic()
    partition = TopicPartition(topic, 0)
    await send(await clients.producer(), topic, [b"%d" % number for number in range(10)])
    consumer = await clients.consumer()
    consumer.assign([partition])
    assert await consumer.beginning_offsets([partition]) == {partition: 0}
    assert await consumer.end_offsets([partition]) == {partition: 10}
    consumer.seek(partition, 7)
    assert [record.offset for record in await read(consumer, 3)] == [7, 8, 9]
    assert await consumer.position(partition) == 10
    await consumer.seek_to_beginning(partition)
    assert (await read(consumer, 1))[0].offset == 0
    await consumer.seek_to_end(partition)
    assert await consumer.position(partition) == 10
    consumer.seek(partition, 99)
    assert (await read(consumer, 1))[0].offset == 0


@with_clients
async def test_offsets_are_found_by_time(cluster: Cluster, clients: Clients) -> None:
    topic = cluster.topic(partitions=2)
    first, second = TopicPartition(topic, 0), TopicPartition(topic, 1)
    producer = await clients.producer()
    for time in (1000, 2000, 3000):
        await producer.send_and_wait(topic, b"", partition=0, timestamp_ms=time)
    consumer = await clients.consumer()
    found = await consumer.offsets_for_times({first: 1500, second: 1500})
    assert (found[first].offset, found[first].timestamp) == (1, 2000)
    assert found[second] is None


@with_clients
async def test_paused_partitions_give_nothing(cluster: Cluster, clients: Clients) -> None:
    topic = cluster.topic(partitions=2)
    first, second = TopicPartition(topic, 0), TopicPartition(topic, 1)
    producer = await clients.producer()
    await send(producer, topic, [b"0"], partition=0)
    await send(producer, topic, [b"1"], partition=1)
    consumer = await clients.consumer()
    consumer.assign([first, second])
    consumer.pause(first)
    assert values(await read(consumer, 1)) == [b"1"]
    assert await nothing(consumer)
    consumer.resume(first)
    assert values(await read(consumer, 1)) == [b"0"]


@with_clients
async def test_a_group_goes_on_where_it_committed(cluster: Cluster, clients: Clients) -> None:
    topic, group = cluster.topic(), unique("group")
    partition = TopicPartition(topic, 0)
    await send(await clients.producer(), topic, [b"0", b"1", b"2"])
    first = await clients.consumer(topic, group_id=group)
    await read(first, 3)
    assert await first.committed(partition) is None
    await first.commit({partition: OffsetAndMetadata(1, "seen one")})
    await first.stop()
    second = await clients.consumer(topic, group_id=group)
    assert values(await read(second, 2)) == [b"1", b"2"]
    await second.commit()
    assert await second.committed(partition) == 3


@pytest.mark.parametrize("assignor", [RangePartitionAssignor, StickyPartitionAssignor])
@with_clients
async def test_members_share_the_partitions_and_take_over(
    cluster: Cluster, clients: Clients, assignor: type[Any]
) -> None:
    topic = cluster.topic(partitions=4)
    config = {
        "group_id": unique("group"),
        "partition_assignment_strategy": [assignor],
        "heartbeat_interval_ms": 100,
    }
    everything = {TopicPartition(topic, partition) for partition in range(4)}
    first = await clients.consumer(topic, **config)
    await until(lambda: first.assignment() == everything)
    second = await clients.consumer(topic, **config)
    await until(lambda: len(first.assignment()) == len(second.assignment()) == 2)
    assert first.assignment() | second.assignment() == everything
    partition = min(second.assignment()).partition
    await send(await clients.producer(), topic, [b"0"], partition=partition)
    assert values(await read(second, 1)) == [b"0"]
    await second.commit()
    await second.stop()
    await until(lambda: first.assignment() == everything)


@with_clients
async def test_a_pattern_finds_topics_made_later(cluster: Cluster, clients: Clients) -> None:
    prefix = unique("pattern")
    consumer = await clients.consumer(group_id=unique("group"), metadata_max_age_ms=100)
    consumer.subscribe(pattern=f"^{prefix}-.*")
    topic = cluster.topic(name=prefix)
    await send(await clients.producer(), topic, [b"0"])
    assert values(await read(consumer, 1)) == [b"0"]


@with_clients
async def test_only_what_was_committed_is_seen(cluster: Cluster, clients: Clients) -> None:
    topic = cluster.topic()
    producer = await clients.producer(transactional_id=unique("tx"))
    for value, ending in ((b"0", "commit"), (b"1", "abort"), (b"2", "commit")):
        await producer.begin_transaction()
        await send(producer, topic, [value])
        await getattr(producer, f"{ending}_transaction")()
    committed = await clients.consumer(topic, isolation_level="read_committed")
    assert values(await read(committed, 2)) == [b"0", b"2"]
    assert values(await read(await clients.consumer(topic), 3)) == [b"0", b"1", b"2"]


@with_clients
async def test_read_process_write_happens_exactly_once(cluster: Cluster, clients: Clients) -> None:
    source, sink, group = cluster.topic(), cluster.topic(), unique("group")
    partition = TopicPartition(source, 0)
    await send(await clients.producer(), source, [b"0", b"1", b"2", b"3"])
    producer = await clients.producer(transactional_id=unique("tx"))

    async def process(first: int, *, commit: bool) -> None:
        consumer = await clients.consumer(source, group_id=group, isolation_level="read_committed")
        for record in await read(consumer, 4 - first):
            await producer.begin_transaction()
            await producer.send(sink, record.value * 2)
            await producer.send_offsets_to_transaction({partition: record.offset + 1}, group)
            if record.offset == 2 and not commit:
                await producer.abort_transaction()
                break
            await producer.commit_transaction()
        await consumer.stop()

    await process(0, commit=False)
    assert await (await clients.consumer(group_id=group)).committed(partition) == 2
    await process(2, commit=True)
    assert await (await clients.consumer(group_id=group)).committed(partition) == 4
    result = await read(await clients.consumer(sink, isolation_level="read_committed"), 4)
    assert values(result) == [b"00", b"11", b"22", b"33"]


@with_clients
async def test_a_successor_fences_its_predecessor(cluster: Cluster, clients: Clients) -> None:
    topic, transactional_id = cluster.topic(), unique("tx")
    old = await clients.producer(transactional_id=transactional_id)
    await old.begin_transaction()
    await send(old, topic, [b"old"])
    new = await clients.producer(transactional_id=transactional_id)
    with pytest.raises(ProducerFenced):
        await old.commit_transaction()
    await new.begin_transaction()
    await send(new, topic, [b"new"])
    await new.commit_transaction()
    reader = await clients.consumer(topic, isolation_level="read_committed")
    assert values(await read(reader, 1)) == [b"new"]


@with_clients
async def test_an_idempotent_producer_outlives_its_leader(cluster: Cluster, clients: Clients) -> None:
    topic = cluster.topic()
    producer = await clients.producer(enable_idempotence=True)
    sent = [b"%d" % number for number in range(300)]
    futures = [await producer.send(topic, value) for value in sent[:100]]
    with cluster.without(cluster.leader(topic)):
        futures += [await producer.send(topic, value) for value in sent[100:200]]
        if len(cluster.broker_ids) > 1:
            await futures[-1]
    futures += [await producer.send(topic, value) for value in sent[200:]]
    assert [(await future).offset for future in futures] == list(range(300))
    assert values(await read(await clients.consumer(topic), 300)) == sent


@with_clients
async def test_the_admin_client_administers(cluster: Cluster, clients: Clients) -> None:
    topic = unique("topic")
    partition = TopicPartition(topic, 0)
    admin = await clients.admin()
    brokers = len(cluster.broker_ids)
    await admin.create_topics([NewTopic(topic, 1, brokers, topic_configs={"retention.ms": "60000"})])
    with pytest.raises(TopicAlreadyExistsError):
        raise_errors(await admin.create_topics([NewTopic(topic, 1, brokers)]))
    assert topic in await admin.list_topics()
    await admin.create_partitions({topic: NewPartitions(2)})
    await until_answered(admin.describe_topics, [topic], lambda found: replicas(found[0]) == [brokers] * 2)
    resource = ConfigResource(ConfigResourceType.TOPIC, topic, configs={"retention.ms": "70000"})
    await admin.alter_configs([resource])
    asked = [ConfigResource(ConfigResourceType.TOPIC, topic)]
    await until_answered(admin.describe_configs, asked, lambda found: retention(found[0]) == "70000")
    await send(await clients.producer(), topic, [b"0", b"1"], partition=0)
    assert await admin.delete_records({partition: RecordsToDelete(1)}) == {partition: 1}
    consumer = await clients.consumer(topic, group_id=unique("group"))
    await read(consumer, 1)
    await consumer.commit()
    group = consumer._group_id
    assert group in [found[0] for found in await admin.list_consumer_groups()]
    offsets = await admin.list_consumer_group_offsets(group)
    assert offsets[partition].offset == 2
    await admin.delete_topics([topic])
    await until_answered(admin.list_topics, None, lambda found: topic not in found)


def replicas(topic: dict[str, Any]) -> list[int]:
    """How many replicas each partition has."""
    return [len(partition["replicas"]) for partition in topic["partitions"]]


async def until_answered(
    ask: Callable[..., Awaitable[Any]], about: Any, enough: Callable[[Any], bool]
) -> None:
    async with asyncio.timeout(PATIENCE):
        while not enough(await (ask() if about is None else ask(about))):
            await asyncio.sleep(0.01)


def retention(answer: Any) -> Any:
    return {entry[0]: entry[1] for entry in answer.resources[0][4]}["retention.ms"]


def raise_errors(answer: Any) -> None:
    for _, code, _ in answer.topic_errors:
        if code == TopicAlreadyExistsError.errno:
            raise TopicAlreadyExistsError
