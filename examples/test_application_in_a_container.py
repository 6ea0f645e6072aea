"""An application that runs in a container, on the network that the brokers are on."""

import docker
import pytest


def test_application_writes_from_its_container(msk_cluster, application):
    topic = msk_cluster.unique_topic("from-a-container")

    application(
        f"echo hello | /opt/kafka/bin/kafka-console-producer.sh --topic {topic} "
        f"--bootstrap-server {msk_cluster.bootstrap_servers_in_network}"
    )

    (record,) = msk_cluster.wait_for_records(topic, count=1)
    assert record.value == b"hello"


@pytest.fixture
def application(msk_cluster):
    """Runs a shell command in a container; Kafka's own image stands in for an application's."""
    if msk_cluster.network is None:
        pytest.skip("the brokers are on no container network: run with --msk-docker")

    def run(command):
        client = docker.from_env()
        try:
            client.containers.run(
                "apache/kafka:3.7.1", ["sh", "-c", command], network=msk_cluster.network, remove=True
            )
        finally:
            client.close()

    return run
