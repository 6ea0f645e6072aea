"""An operations team tries its changes of a cluster before it makes them: each acts on the brokers.

The code under test is what such a team has anyway: calls of boto3, and a wait for the operation they began.
"""

import threading
import time

import pytest
from kafka.errors import KafkaTimeoutError

# kafka-python loses a socket when a broker that restarts refuses it.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")

STRICT = b"auto.create.topics.enable = false\nmessage.max.bytes = 2000000\n"


def wait(client, answer):
    """Wait for the operation that a call began, as Terraform does."""
    while True:
        info = client.describe_cluster_operation(ClusterOperationArn=answer["ClusterOperationArn"])
        operation = info["ClusterOperationInfo"]
        if operation["OperationState"] not in ("PENDING", "UPDATE_IN_PROGRESS", "REBOOT_IN_PROGRESS"):
            assert operation["OperationState"].endswith("_COMPLETE"), operation.get("ErrorInfo")
            return operation
        time.sleep(0.05)


def current(cluster):
    """The members that every update begins with."""
    info = cluster.client.describe_cluster(ClusterArn=cluster.arn)["ClusterInfo"]
    return {"ClusterArn": cluster.arn, "CurrentVersion": info["CurrentVersion"]}


@pytest.fixture
def load(msk_cluster):
    """Records that are sent all the time, and acknowledged by all replicas, while a test runs."""
    topic = msk_cluster.create_topic("orders", 6, replication_factor=3, config={"min.insync.replicas": 2})
    with Load(msk_cluster, topic) as load:
        yield load


class Load:
    def __init__(self, cluster, topic):
        self.topic = topic
        self.acknowledged = []
        self.failed = []
        self._producer = cluster.producer(retries=100, delivery_timeout_ms=60_000)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        number = 0
        while not self._end.wait(0.005):
            value = str(number).encode()
            sent = self._producer.send(self.topic, value)
            sent.add_callback(lambda _, value=value: self.acknowledged.append(value))
            sent.add_errback(self.failed.append)
            number += 1
        self._producer.flush()

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        """Send no more; all that was sent is acknowledged, or has failed, when this returns."""
        self._end.set()
        self._thread.join()


def nothing_is_lost(cluster, load):
    load.stop()
    assert load.acknowledged
    assert load.failed == []
    assert {record.value for record in cluster.records(load.topic)} == set(load.acknowledged)


@pytest.mark.msk(brokers=3)
def test_a_configuration_takes_effect(msk_cluster):
    client = msk_cluster.client
    msk_cluster.producer().send("made-on-first-use", b"1").get(timeout=30)

    made = client.create_configuration(Name="strict", ServerProperties=STRICT)
    chosen = {"Arn": made["Arn"], "Revision": made["LatestRevision"]["Revision"]}
    wait(client, client.update_cluster_configuration(ConfigurationInfo=chosen, **current(msk_cluster)))

    with pytest.raises(KafkaTimeoutError):
        msk_cluster.producer(max_block_ms=1_000, retries=0).send("refused", b"1").get(timeout=30)
    assert "refused" not in {topic.name for topic in msk_cluster.topics()}


@pytest.mark.msk(brokers=3)
def test_growing_from_three_to_six_brokers_under_load(msk_cluster, load):
    client = msk_cluster.client
    answer = client.update_broker_count(TargetNumberOfBrokerNodes=6, **current(msk_cluster))
    operation = wait(client, answer)
    assert operation["OperationType"] == "INCREASE_BROKER_COUNT"
    assert [broker.id for broker in msk_cluster.brokers] == [1, 2, 3, 4, 5, 6]

    # The new brokers take what is made from now on.
    msk_cluster.create_topic("wide", 6, replication_factor=3)
    (wide,) = (topic for topic in msk_cluster.topics() if topic.name == "wide")
    assert {4, 5, 6} & {replica for partition in wide.partitions for replica in partition.replicas}
    nothing_is_lost(msk_cluster, load)


@pytest.mark.msk(brokers=3)
def test_a_reboot_loses_nothing(msk_cluster, load):
    client = msk_cluster.client
    for broker in msk_cluster.brokers:
        wait(client, client.reboot_broker(ClusterArn=msk_cluster.arn, BrokerIds=[str(broker.id)]))
    nothing_is_lost(msk_cluster, load)


@pytest.mark.msk(brokers=3, kafka_version="3.7.1")
def test_a_rolling_upgrade(msk_cluster, load):
    client = msk_cluster.client
    compatible = client.get_compatible_kafka_versions(ClusterArn=msk_cluster.arn)
    (versions,) = compatible["CompatibleKafkaVersions"]
    assert "3.9.x.kraft" in versions["TargetVersions"]

    answer = client.update_cluster_kafka_version(TargetKafkaVersion="3.9.1", **current(msk_cluster))
    wait(client, answer)
    info = client.describe_cluster(ClusterArn=msk_cluster.arn)["ClusterInfo"]
    assert info["CurrentBrokerSoftwareInfo"]["KafkaVersion"] == "3.9.1"
    nothing_is_lost(msk_cluster, load)
