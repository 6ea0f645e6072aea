"""What a cluster in containers is once it has started."""

from __future__ import annotations

from typing import Any

import pytest
from kafka import KafkaProducer
from kafka.admin import ConfigResource

from pytest_msk.brokers.docker import DockerPlane, readiness, reaper
from pytest_msk.brokers.docker.cluster import DockerBrokers
from pytest_msk.spec import ClusterSpec
from tests.brokers.docker import support
from tests.docker_engine import VERSION, engine

pytestmark = pytest.mark.usefixtures("docker_engine")


def broker_config(cluster: DockerBrokers, broker_id: int = 1) -> dict[str, Any]:
    with support.admin(cluster) as client:
        found = client.describe_configs([ConfigResource("broker", str(broker_id))], config_filter="all")
    return {name: entry["value"] for name, entry in found["broker"][str(broker_id)].items()}


def finalized(features: dict[str, Any]) -> dict[str, Any]:
    return {name: feature.get("finalized") for name, feature in features.items()}


def test_one_broker_takes_and_gives_records(one_broker: DockerBrokers) -> None:
    support.produce(one_broker, "first-use", [b"a", b"b"], acks="all")
    assert support.consume(one_broker, "first-use", 2) == [b"a", b"b"]


def test_three_brokers_replicate(three_brokers: DockerBrokers) -> None:
    support.create_topic(three_brokers, "replicated", partitions=3, replicas=3)
    support.produce(three_brokers, "replicated", [b"%d" % number for number in range(30)], acks="all")
    assert len(support.consume(three_brokers, "replicated", 30, group_id="readers")) == 30
    with support.admin(three_brokers) as client:
        (topic,) = client.describe_topics(["replicated"])
    assert {len(partition["isr_nodes"]) for partition in topic["partitions"]} == {3}


def test_every_broker_knows_all_when_start_returns(docker_engine: None) -> None:
    with support.running(brokers=3) as cluster:
        views = [readiness.ask(broker.endpoints["internal"]) for broker in cluster.brokers]
    assert [view and sorted(view.brokers) for view in views] == [[1, 2, 3]] * 3


def test_four_brokers_of_kafka_4_are_three_controllers_and_a_broker(kafka_4: str) -> None:
    with support.running(brokers=4, kafka_version=kafka_4) as cluster:
        with support.admin(cluster) as client:
            quorum = client.describe_metadata_quorum()
        support.produce(cluster, "first-use", [b"a"], acks="all")
        assert support.consume(cluster, "first-use", 1, group_id="readers") == [b"a"]
    (partition,) = quorum["topics"][0]["partitions"]
    assert {voter["replica_id"] for voter in partition["current_voters"]} == {1, 2, 3}
    assert [broker.id for broker in cluster.brokers] == []


@pytest.mark.parametrize("brokers", [1, 3])
def test_transactions(brokers: int, request: pytest.FixtureRequest) -> None:
    cluster = request.getfixturevalue("one_broker" if brokers == 1 else "three_brokers")
    topic = f"transactions-{brokers}"
    producer = KafkaProducer(bootstrap_servers=support.bootstrap(cluster), transactional_id=topic)
    try:
        producer.init_transactions()
        for value, end in ((b"kept", producer.commit_transaction), (b"dropped", producer.abort_transaction)):
            producer.begin_transaction()
            producer.send(topic, value).get(timeout=20)
            end()
    finally:
        producer.close()
    support.produce(cluster, topic, [b"last"])
    assert support.consume(cluster, topic, 2, isolation_level="read_committed") == [b"kept", b"last"]


def test_an_application_in_a_container_reaches_the_brokers_by_name(one_broker: DockerBrokers) -> None:
    command = ["/opt/kafka/bin/kafka-topics.sh", "--create", "--topic", "from-inside", "--bootstrap-server"]
    with engine() as client:
        client.containers.run(
            f"apache/kafka:{VERSION}",
            [*command, ",".join(one_broker.endpoints_in_network)],
            network=one_broker.network,
            remove=True,
        )
    with support.admin(one_broker) as client:
        assert "from-inside" in client.list_topics()


def test_published_on_the_loopback_interface_only(three_brokers: DockerBrokers) -> None:
    with engine() as client:
        for broker, name in zip(three_brokers.brokers, support.container_names(three_brokers), strict=True):
            ports = client.containers.get(name).attrs["NetworkSettings"]["Ports"]
            published = {port: bindings for port, bindings in ports.items() if bindings}
            assert published.keys() == {f"{port}/tcp" for port in (9092, 9094, 9095, 9096, 9098)}
            assert {len(bindings) for bindings in published.values()} == {1}
            assert {bindings[0]["HostIp"] for bindings in published.values()} == {"127.0.0.1"}
            assert published["9095/tcp"][0]["HostPort"] == str(broker.endpoints["internal"].port)
            assert published["9092/tcp"][0]["HostPort"] == str(broker.endpoints["plaintext"].port)


def test_containers_are_named_and_labelled(docker_engine: None) -> None:
    arn = support.new_arn()
    cluster_id = arn.rpartition("/")[2]
    spec = ClusterSpec("orders", kafka_version=VERSION)
    cluster = DockerPlane().brokers(spec, arn)
    try:
        cluster.start()
        with engine() as client:
            container = client.containers.get(f"pytest-msk-{cluster_id}-broker-1")
            network = client.networks.get(f"pytest-msk-{cluster_id}")
    finally:
        cluster.stop()
    labels = {name: value for name, value in container.labels.items() if name.startswith("pytest-msk.")}
    common = {
        "pytest-msk.cluster-id": cluster_id,
        "pytest-msk.cluster-arn": arn,
        "pytest-msk.kafka-version": VERSION,
        "pytest-msk.kraft-uuid": labels["pytest-msk.kraft-uuid"],
        "pytest-msk.run-id": reaper.run_id(),
    }
    own = {"pytest-msk.broker-id": "1", "pytest-msk.plain-port": "9092"}
    # The stand-in for the official image has a label or two of its own.
    assert labels.items() >= (common | own).items()
    assert network.attrs["Labels"].items() >= common.items()
    assert "pytest-msk.broker-id" not in network.attrs["Labels"]


def test_each_broker_stands_in_its_zone(three_brokers: DockerBrokers) -> None:
    assert [broker.rack for broker in three_brokers.brokers] == ["use1-az1", "use1-az2", "use1-az3"]
    assert broker_config(three_brokers, 2)["broker.rack"] == "use1-az2"


def test_defaults_follow_the_number_of_brokers(
    one_broker: DockerBrokers, three_brokers: DockerBrokers
) -> None:
    names = ["default.replication.factor", "min.insync.replicas", "offsets.topic.replication.factor"]
    names += ["transaction.state.log.replication.factor", "transaction.state.log.min.isr"]
    one, three = broker_config(one_broker), broker_config(three_brokers)
    assert [one[name] for name in names] == ["1", "1", "1", "1", "1"]
    assert [three[name] for name in names] == ["3", "2", "3", "3", "2"]
    assert one["auto.create.topics.enable"] == "true"


def test_the_configuration_comes_first(docker_engine: None) -> None:
    configuration = {
        "num.partitions": "4",
        "auto.create.topics.enable": "true",
        "group.initial.rebalance.delay.ms": "7",
        "log.message.timestamp.type": "LogAppendTime",
    }
    with support.running(configuration=configuration, auto_create_topics=False) as cluster:
        found = broker_config(cluster)
    assert {name: found[name] for name in configuration} == configuration


def test_topics_are_not_made_on_first_use_where_the_spec_says_so(docker_engine: None) -> None:
    with support.running(auto_create_topics=False) as cluster:
        assert broker_config(cluster)["auto.create.topics.enable"] == "false"


@pytest.mark.parametrize("version", ["3", "4"])
def test_a_new_cluster_has_the_features_that_its_release_gives_one(
    version: str, request: pytest.FixtureRequest
) -> None:
    release = VERSION if version == "3" else request.getfixturevalue("kafka_4")
    image = f"apache/kafka:{release}"
    with support.running(kafka_version=release) as known, support.admin(known) as client:
        ours = finalized(client.describe_features())
    # An image without a version in its name: nothing is known of it, so its own tool formats the storage.
    with (
        support.running(DockerPlane(image=image), kafka_version="of our own") as formatted,
        support.admin(formatted) as client,
    ):
        theirs = finalized(client.describe_features())
    assert ours == theirs
