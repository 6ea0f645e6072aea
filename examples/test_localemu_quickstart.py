"""LocalEmu's quick start for MSK, step by step, in boto3's terms."""

import time

from kafka import KafkaConsumer, KafkaProducer


def test_quick_start(msk_client):
    # awsemu kafka create-cluster --cluster-name events ...
    arn = msk_client.create_cluster(
        ClusterName="events",
        KafkaVersion="3.7.1",
        NumberOfBrokerNodes=1,
        BrokerNodeGroupInfo={
            "InstanceType": "kafka.m5.large",
            "ClientSubnets": ["subnet-1"],
            "SecurityGroups": ["sg-1"],
        },
    )["ClusterArn"]

    # awsemu kafka list-clusters --cluster-name-filter events
    (listed,) = msk_client.list_clusters(ClusterNameFilter="events")["ClusterInfoList"]
    assert listed["ClusterArn"] == arn

    # Poll until the brokers answer.
    while (state := describe(msk_client, arn)["State"]) == "CREATING":
        time.sleep(0.05)
    assert state == "ACTIVE"
    assert describe(msk_client, arn)["NumberOfBrokerNodes"] == 1

    # awsemu kafka get-bootstrap-brokers
    bootstrap = msk_client.get_bootstrap_brokers(ClusterArn=arn)["BootstrapBrokerString"]
    if bootstrap:
        produce_and_consume(bootstrap)

    # awsemu kafka list-nodes
    nodes = msk_client.list_nodes(ClusterArn=arn)["NodeInfoList"]
    (broker,) = [node["BrokerNodeInfo"] for node in nodes if "BrokerNodeInfo" in node]
    assert broker["BrokerId"] == 1.0
    if bootstrap:
        assert broker["Endpoints"] == [bootstrap]

    # awsemu kafka delete-cluster
    assert msk_client.delete_cluster(ClusterArn=arn)["State"] == "DELETING"
    while msk_client.list_clusters(ClusterNameFilter="events")["ClusterInfoList"]:
        time.sleep(0.05)


def describe(msk_client, arn):
    return msk_client.describe_cluster(ClusterArn=arn)["ClusterInfo"]


def produce_and_consume(bootstrap):
    producer = KafkaProducer(bootstrap_servers=bootstrap)
    producer.send("orders", b'{"order_id":42}')
    producer.flush()
    producer.close()

    consumer = KafkaConsumer(
        "orders",
        bootstrap_servers=bootstrap,
        auto_offset_reset="earliest",
        consumer_timeout_ms=2000,
        group_id="g1",
    )
    values = [record.value for record in consumer]
    consumer.close()
    assert values == [b'{"order_id":42}']
