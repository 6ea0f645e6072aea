"""The quick start: a cluster by boto3's API, records by a Kafka client."""

import boto3


def test_the_api_knows_the_cluster(msk_cluster):
    kafka = boto3.client("kafka")
    info = kafka.describe_cluster(ClusterArn=msk_cluster.arn)["ClusterInfo"]
    assert info["State"] == "ACTIVE"
    assert info["NumberOfBrokerNodes"] == msk_cluster.spec.brokers


def test_orders_go_in_and_come_out(msk_cluster):
    topic = msk_cluster.unique_topic("orders")

    producer = msk_cluster.producer()
    producer.send(topic, key=b"42", value=b'{"order_id": 42}').get(timeout=10)

    (record,) = msk_cluster.wait_for_records(topic, count=1)
    assert record.key == b"42"
    assert record.value == b'{"order_id": 42}'


def test_topics_of_the_api_are_topics_of_kafka(msk_cluster):
    topic = msk_cluster.unique_topic("payments", partitions=3)
    found = msk_cluster.client.describe_topic(ClusterArn=msk_cluster.arn, TopicName=topic)
    assert found["PartitionCount"] == 3
    assert topic in msk_cluster.admin().list_topics()
