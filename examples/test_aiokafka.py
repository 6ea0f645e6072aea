"""An asyncio application that uses aiokafka."""

import asyncio

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer


def test_produce_and_consume(msk_cluster):
    topic = msk_cluster.unique_topic("readings")
    assert asyncio.run(send_and_receive(topic, msk_cluster.client_config("aiokafka"))) == b"21.5"


async def send_and_receive(topic, config):
    async with AIOKafkaProducer(**config) as producer:
        await producer.send_and_wait(topic, b"21.5")
    async with AIOKafkaConsumer(topic, auto_offset_reset="earliest", **config) as consumer:
        record = await asyncio.wait_for(consumer.getone(), timeout=20)
    return record.value
