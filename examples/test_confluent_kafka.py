"""An application that uses confluent-kafka."""

from confluent_kafka import Consumer, Producer


def test_produce_and_consume(msk_cluster):
    topic = msk_cluster.unique_topic("clicks")

    producer = Producer(msk_cluster.client_config("confluent-kafka"))
    producer.produce(topic, key="user-1", value="home")
    assert producer.flush(10) == 0

    consumer = Consumer(
        msk_cluster.client_config("confluent-kafka")
        | {"group.id": f"{topic}-readers", "auto.offset.reset": "earliest"}
    )
    consumer.subscribe([topic])
    record = consumer.poll(20)
    consumer.close()

    assert record is not None
    assert record.error() is None
    assert (record.key(), record.value()) == (b"user-1", b"home")
