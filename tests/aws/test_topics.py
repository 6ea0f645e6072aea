"""The topic operations: what they refuse before brokers are reached, and what they do on live brokers."""

from __future__ import annotations

import base64
import json
import socket
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from confluent_kafka.admin import AdminClient, NewTopic
from kafka import KafkaConsumer, KafkaProducer

from pytest_msk.aws.errors import AwsError
from pytest_msk.aws.kafka import topics
from pytest_msk.aws.kafka.state import Cluster, MskService
from pytest_msk.aws.kafka.topics import decode_configs, encode_configs
from pytest_msk.aws.patch import Patch
from pytest_msk.brokers.admin import ConfigValue, KafkaRequestError
from pytest_msk.brokers.docker.plane import DockerPlane
from pytest_msk.brokers.metadata import MetadataPlane, NoBrokers
from pytest_msk.brokers.plane import Broker, Endpoint, Plane
from pytest_msk.spec import ClusterSpec
from tests import docker_engine

START_TIMEOUT = 120.0
WRITES = ("CreateTopic", "UpdateTopic", "DeleteTopic")


@dataclass(frozen=True)
class Running:
    """A cluster, and what a test needs to reach it."""

    service: MskService
    client: Any
    cluster: Cluster

    @property
    def arn(self) -> str:
        return str(self.cluster.arn)

    @property
    def bootstrap(self) -> str:
        return ",".join(str(broker.endpoints["internal"]) for broker in self.cluster.brokers.brokers)

    def call(self, operation: str, **members: Any) -> dict[str, Any]:
        return call(self.client, operation, ClusterArn=self.arn, **members)

    def topic(self, **members: Any) -> str:
        """A topic of its own for a test."""
        name = f"t-{uuid.uuid4().hex[:12]}"
        self.call("CreateTopic", **shape(name), **members)
        return name

    def configs(self, name: str) -> dict[str, str]:
        found: dict[str, str] = json.loads(
            base64.b64decode(self.call("DescribeTopic", TopicName=name)["Configs"])
        )
        return found

    def names(self, prefix: str) -> list[str]:
        listed = self.call("ListTopics", TopicNameFilter=prefix)["Topics"]
        return [topic["TopicName"] for topic in listed]

    def kafka_admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.bootstrap})


def call(client: Any, operation: str, **members: Any) -> dict[str, Any]:
    answer: dict[str, Any] = client._make_api_call(operation, members)
    return answer


def shape(name: str, partitions: int = 1, replication_factor: int = 1) -> dict[str, Any]:
    return {"TopicName": name, "PartitionCount": partitions, "ReplicationFactor": replication_factor}


def members_for(operation: str, name: str) -> dict[str, Any]:
    """Enough members for a valid call."""
    if operation == "CreateTopic":
        return shape(name)
    if operation == "UpdateTopic":
        return {"TopicName": name, "PartitionCount": 2}
    return {} if operation == "ListTopics" else {"TopicName": name}


def encoded(text: str | Mapping[str, Any]) -> str:
    plain = text if isinstance(text, str) else json.dumps(text)
    return base64.b64encode(plain.encode()).decode()


@contextmanager
def refused(
    code: str, status: int, parameter: str | None = None
) -> Iterator[pytest.ExceptionInfo[ClientError]]:
    """The block ends in this refusal, which has to be one that the model lists for the operation."""
    with pytest.raises(ClientError) as caught:
        yield caught
    response = caught.value.response
    assert response["Error"]["Code"] == code
    assert response["ResponseMetadata"]["HTTPStatusCode"] == status
    assert response.get("InvalidParameter") == parameter
    model = boto3.client("kafka", region_name="us-east-1").meta.service_model
    listed = [error.name for error in model.operation_model(caught.value.operation_name).error_shapes]
    assert code in listed


@contextmanager
def msk(plane: Plane) -> Iterator[MskService]:
    service = MskService(plane)
    with Patch(service):
        try:
            yield service
        finally:
            service.close()
            plane.close()


def start_cluster(service: MskService, brokers: int = 1, **members: Any) -> Running:
    client = boto3.client("kafka", region_name="us-east-1")
    settings = {
        "ClusterName": f"topics-{uuid.uuid4().hex[:8]}",
        "KafkaVersion": "3.7.1",
        "NumberOfBrokerNodes": brokers,
        "BrokerNodeGroupInfo": {"InstanceType": "kafka.m5.large", "ClientSubnets": ["subnet-1"]},
    }
    arn = client.create_cluster(**(settings | members))["ClusterArn"]
    return Running(service, client, service.wait_active(arn, START_TIMEOUT))


def start_on_docker(brokers: int) -> Iterator[Running]:
    docker_engine.require_docker()
    with msk(DockerPlane()) as service:
        yield start_cluster(service, brokers)


# By class: only the innermost of several patches answers, so they must not overlap.
@pytest.fixture(scope="class")
def one_broker() -> Iterator[Running]:
    yield from start_on_docker(1)


@pytest.fixture(scope="class")
def three_brokers() -> Iterator[Running]:
    yield from start_on_docker(3)


@pytest.fixture(scope="class")
def no_brokers() -> Iterator[Running]:
    with msk(MetadataPlane()) as service:
        yield start_cluster(service)


ALL = (*WRITES, "DescribeTopic", "DescribeTopicPartitions", "ListTopics")


class TestConfigs:
    """``configs`` is base64 text that the caller makes."""

    @pytest.mark.parametrize(
        ("text", "configs"),
        [
            ("", {}),
            ("{}", {}),
            ('{"retention.ms": "60000"}', {"retention.ms": "60000"}),
            (
                '{"retention.ms": 60000, "preallocate": true}',
                {"retention.ms": "60000", "preallocate": "true"},
            ),
            ('\n{"cleanup.policy": "compact"}\n', {"cleanup.policy": "compact"}),
            ("retention.ms=60000", {"retention.ms": "60000"}),
            (
                "# of the guide\n\nretention.ms = 60000\r\ncleanup.policy=\n",
                {"retention.ms": "60000", "cleanup.policy": ""},
            ),
            (
                "follower.replication.throttled.replicas=0:1,1:2",
                {"follower.replication.throttled.replicas": "0:1,1:2"},
            ),
        ],
    )
    def test_json_and_lines_are_read(self, text: str, configs: dict[str, str]) -> None:
        assert decode_configs(encoded(text)) == configs

    def test_broken_lines_of_base64_are_read(self) -> None:
        text = base64.encodebytes(json.dumps({"x" * 100: "1"}).encode()).decode()
        assert "\n" in text.strip()
        assert decode_configs(text) == {"x" * 100: "1"}

    @pytest.mark.parametrize(
        ("value", "reason"),
        [
            ('{"retention.ms": "60000"}', "base64"),
            ("retention.ms=60000", "base64"),
            ("abc", "padding"),
            (base64.b64encode(b"\xff\xfe").decode(), "utf-8"),
            (encoded('{"retention.ms": '), "Expecting value"),
            (encoded({"retention.ms": None}), "retention.ms is neither"),
            (encoded({"retention.ms": {"value": 1}}), "retention.ms is neither"),
            (encoded("retention.ms"), "'retention.ms' is not of the form key=value"),
            (encoded("=1"), "'=1' is not of the form key=value"),
            (encoded('["retention.ms"]'), "not of the form key=value"),
        ],
    )
    def test_anything_else_is_refused_and_the_form_is_told(self, value: str, reason: str) -> None:
        with pytest.raises(AwsError, match=r"base64\.b64encode") as caught:
            decode_configs(value)
        assert reason in str(caught.value)
        assert (caught.value.code, caught.value.invalid_parameter) == ("BadRequestException", "configs")

    def test_all_settings_are_shown_as_json(self) -> None:
        configs = {
            "retention.ms": ConfigValue("60000", "DYNAMIC_TOPIC_CONFIG"),
            "cleanup.policy": ConfigValue("delete", "DEFAULT_CONFIG"),
        }
        shown = json.loads(base64.b64decode(encode_configs(configs)))
        assert shown == {"retention.ms": "60000", "cleanup.policy": "delete"}


class TestWithoutBrokers:
    """Everything that is refused before a broker is asked."""

    @pytest.mark.parametrize("operation", ALL)
    def test_metadata_backend_has_no_topics_and_says_what_to_do(
        self, no_brokers: Running, operation: str
    ) -> None:
        code, status = (
            ("ClusterConnectivityException", 409) if operation in WRITES else ("BadRequestException", 400)
        )
        with refused(code, status, "clusterArn") as caught:
            no_brokers.call(operation, **members_for(operation, "orders"))
        message = str(caught.value)
        assert f"{operation} acts on live brokers" in message
        assert f"cluster {no_brokers.cluster.name} runs on the metadata backend" in message
        assert "run with --msk-docker" in message

    @pytest.mark.parametrize("operation", ALL)
    def test_serverless_clusters_have_no_topic_operations(self, no_brokers: Running, operation: str) -> None:
        arn = no_brokers.client.create_cluster_v2(
            ClusterName=f"serverless-{operation}", Serverless={"VpcConfigs": [{"SubnetIds": ["subnet-1"]}]}
        )["ClusterArn"]
        no_brokers.service.wait_active(arn, START_TIMEOUT)
        with refused("BadRequestException", 400, "clusterArn") as caught:
            call(no_brokers.client, operation, ClusterArn=arn, **members_for(operation, "orders"))
        assert str(caught.value).endswith(": This operation cannot be performed on serverless clusters.")

    @pytest.mark.parametrize("operation", ALL)
    @pytest.mark.parametrize("version", ["3.5.1", "2.8.2.tiered", "3.5.2"])
    def test_kafka_before_3_6_has_no_topic_operations(
        self, no_brokers: Running, operation: str, version: str
    ) -> None:
        old = start_cluster(no_brokers.service, KafkaVersion=version)
        with refused("BadRequestException", 400, "clusterArn") as caught:
            old.call(operation, **members_for(operation, "orders"))
        assert f"need Apache Kafka 3.6.0 or later; cluster {old.cluster.name} runs {version}" in str(
            caught.value
        )

    @pytest.mark.parametrize("version", ["3.6.0", "3.7.x", "3.9.x.kraft", "4.1.x.kraft", "3.10.0"])
    def test_msk_names_of_versions_are_understood(self, no_brokers: Running, version: str) -> None:
        new = start_cluster(no_brokers.service, KafkaVersion=version)
        with pytest.raises(ClientError, match="metadata backend"):
            new.call("ListTopics")

    @pytest.mark.parametrize("operation", ALL)
    @pytest.mark.parametrize("state", ["CREATING", "UPDATING", "REBOOTING_BROKER", "DELETING", "FAILED"])
    def test_cluster_has_to_be_active(
        self, monkeypatch: pytest.MonkeyPatch, no_brokers: Running, operation: str, state: str
    ) -> None:
        monkeypatch.setattr(no_brokers.cluster, "state", state)
        with refused("BadRequestException", 400, "clusterArn") as caught:
            no_brokers.call(operation, **members_for(operation, "orders"))
        assert f"a cluster in {state} state" in str(caught.value)

    @pytest.mark.parametrize("operation", ALL)
    def test_unknown_and_malformed_clusters(self, no_brokers: Running, operation: str) -> None:
        gone = no_brokers.arn.replace("topics-", "other-")
        members = members_for(operation, "orders")
        # The model does not list it for CreateTopic and ListTopics, whose reference pages do.
        with pytest.raises(ClientError) as caught:
            call(no_brokers.client, operation, ClusterArn=gone, **members)
        assert caught.value.response["Error"]["Code"] == "NotFoundException"
        with refused("BadRequestException", 400, "clusterArn"):
            call(no_brokers.client, operation, ClusterArn="topics-1", **members)

    @pytest.mark.parametrize("operation", ["CreateTopic", "UpdateTopic"])
    def test_configs_that_are_not_encoded(self, no_brokers: Running, operation: str) -> None:
        members = shape("orders") if operation == "CreateTopic" else {"TopicName": "orders"}
        with refused("BadRequestException", 400, "configs") as caught:
            no_brokers.call(operation, **members, Configs='{"retention.ms": "60000"}')
        assert "base64.b64encode(json.dumps(" in str(caught.value)

    @pytest.mark.parametrize("members", [{}, {"Configs": ""}, {"Configs": encoded({}), "PartitionCount": 2}])
    def test_update_takes_one_of_configs_and_partition_count(
        self, no_brokers: Running, members: dict[str, Any]
    ) -> None:
        with refused("BadRequestException", 400) as caught:
            no_brokers.call("UpdateTopic", TopicName="orders", **members)
        assert str(caught.value).endswith(": You must specify either configs or partitionCount to update.")

    def test_express_brokers_keep_three_replicas(self, no_brokers: Running) -> None:
        group = {"InstanceType": "express.m7g.large", "ClientSubnets": ["subnet-1", "subnet-2", "subnet-3"]}
        express = start_cluster(no_brokers.service, 3, KafkaVersion="3.8.x", BrokerNodeGroupInfo=group)
        with refused("BadRequestException", 400, "replicationFactor"):
            express.call("CreateTopic", **shape("orders", 1, 2))
        with pytest.raises(ClientError, match="metadata backend"):
            express.call("CreateTopic", **shape("orders", 1, 3))

    @pytest.mark.parametrize("operation", ["ListTopics", "DescribeTopicPartitions"])
    @pytest.mark.parametrize("max_results", [0, 101])
    def test_page_lengths_that_are_not_allowed(
        self, no_brokers: Running, operation: str, max_results: int
    ) -> None:
        unchecked = boto3.client("kafka", region_name="us-east-1", config=Config(parameter_validation=False))
        members = members_for(operation, "orders") | {"MaxResults": max_results}
        with refused("BadRequestException", 400, "maxResults"):
            call(unchecked, operation, ClusterArn=no_brokers.arn, **members)


class DeadBrokers(NoBrokers):
    """A broker of which nothing is left but its address."""

    def __init__(self, spec: ClusterSpec, address: Endpoint) -> None:
        super().__init__(spec)
        self.brokers = [Broker(1, {"internal": address}, "use1-az1")]


class DeadPlane(MetadataPlane):
    """Has lost every broker."""

    name = "docker"

    def __init__(self, address: Endpoint) -> None:
        self._address = address

    def brokers(self, spec: ClusterSpec, arn: str) -> DeadBrokers:
        return DeadBrokers(spec, self._address)


@pytest.fixture(scope="class")
def dead_broker() -> Iterator[Running]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = Endpoint(*server.getsockname())
    with msk(DeadPlane(address)) as service:
        yield start_cluster(service)


class TestFailingBrokers:
    """Kafka's errors as the model's exceptions; where an operation has none for it, BadRequest."""

    @pytest.mark.parametrize("operation", ALL)
    def test_brokers_that_do_not_answer(
        self, monkeypatch: pytest.MonkeyPatch, dead_broker: Running, operation: str
    ) -> None:
        monkeypatch.setattr(topics, "BROKER_TIMEOUT", 0.2)
        code, status = (
            ("ClusterConnectivityException", 409) if operation in WRITES else ("BadRequestException", 400)
        )
        with refused(code, status) as caught:
            dead_broker.call(operation, **members_for(operation, "orders"))
        assert f"no broker answers at {dead_broker.bootstrap}" in str(caught.value)

    @pytest.mark.parametrize(
        ("kafka_error", "answer"),
        [
            ("REQUEST_TIMED_OUT", ("KafkaTimeoutException", 409)),
            ("STALE_CONTROLLER_EPOCH", ("ControllerMovedException", 409)),
            ("NOT_CONTROLLER", ("NotControllerException", 409)),
            ("REASSIGNMENT_IN_PROGRESS", ("ReassignmentInProgressException", 409)),
            ("GROUP_SUBSCRIBED_TO_TOPIC", ("GroupSubscribedToTopicException", 409)),
            ("POLICY_VIOLATION", ("KafkaRequestException", 400)),
        ],
    )
    @pytest.mark.parametrize("operation", ALL)
    def test_errors_that_cannot_be_provoked(
        self,
        monkeypatch: pytest.MonkeyPatch,
        dead_broker: Running,
        operation: str,
        kafka_error: str,
        answer: tuple[str, int],
    ) -> None:
        def fail(*_: Any, **__: Any) -> None:
            raise KafkaRequestError(kafka_error, "Kafka's own words.")

        monkeypatch.setattr("pytest_msk.brokers.admin.Admin", fail)
        code, status = answer if operation in WRITES else ("BadRequestException", 400)
        with refused(code, status) as caught:
            dead_broker.call(operation, **members_for(operation, "orders"))
        assert "Kafka's own words." in str(caught.value)
        assert ("POLICY_VIOLATION: " in str(caught.value)) == (kafka_error == "POLICY_VIOLATION")


class TestOneBroker:
    """On a live broker."""

    def test_create_answers_at_once_and_the_topic_is_there(self, one_broker: Running) -> None:
        created = one_broker.call(
            "CreateTopic", **shape("created", 3), Configs=encoded({"retention.ms": "60000"})
        )
        arn = one_broker.arn.replace(":cluster/", ":topic/") + "/created"
        assert without_metadata(created) == {"TopicArn": arn, "TopicName": "created", "Status": "CREATING"}

        described = without_metadata(one_broker.call("DescribeTopic", TopicName="created"))
        configs = json.loads(base64.b64decode(described.pop("Configs")))
        assert described == {
            "TopicArn": arn,
            "TopicName": "created",
            "ReplicationFactor": 1,
            "PartitionCount": 3,
            "Status": "ACTIVE",
        }
        assert configs["retention.ms"] == "60000"
        assert configs["cleanup.policy"] == "delete"
        assert all(isinstance(value, str) for value in configs.values())

    def test_made_here_is_seen_by_a_kafka_client(self, one_broker: Running) -> None:
        name = one_broker.topic(Configs=encoded("retention.ms=60000"))
        with closing(KafkaProducer(bootstrap_servers=one_broker.bootstrap)) as producer:
            assert producer.send(name, b"record").get(timeout=20).offset == 0

    def test_made_by_a_kafka_client_is_soon_listed(self, one_broker: Running) -> None:
        names = [f"by-kafka-{number}" for number in range(10)]
        admin = one_broker.kafka_admin()
        for name in names:
            admin.create_topics([NewTopic(name, 2, 1)])[name].result(20)
            until_listed(one_broker, name)
            assert one_broker.call("DescribeTopic", TopicName=name)["PartitionCount"] == 2

    def test_deleted_by_a_kafka_client_is_soon_gone(self, one_broker: Running) -> None:
        name = one_broker.topic()
        admin = one_broker.kafka_admin()
        admin.delete_topics([name])[name].result(20)
        poll_until(lambda: one_broker.names(name) == [])

    def test_deleted_here_is_gone_for_a_kafka_client(self, one_broker: Running) -> None:
        name = one_broker.topic()
        deleted = one_broker.call("DeleteTopic", TopicName=name)
        arn = f"{one_broker.arn.replace(':cluster/', ':topic/')}/{name}"
        assert without_metadata(deleted) == {"TopicArn": arn, "TopicName": name, "Status": "DELETING"}
        assert name not in one_broker.kafka_admin().list_topics(timeout=20).topics
        with refused("NotFoundException", 404, "topicName"):
            one_broker.call("DescribeTopic", TopicName=name)

    def test_a_name_can_be_used_again(self, one_broker: Running) -> None:
        name = one_broker.topic()
        for partitions in (2, 3, 4):
            one_broker.call("DeleteTopic", TopicName=name)
            one_broker.call("CreateTopic", **shape(name, partitions))
            assert one_broker.call("DescribeTopic", TopicName=name)["PartitionCount"] == partitions

    def test_update_replaces_the_settings(self, one_broker: Running) -> None:
        name = one_broker.topic(Configs=encoded({"cleanup.policy": "compact", "retention.ms": "60000"}))
        changed = {"compression.type": "zstd", "retention.ms": "70000", "min.cleanable.dirty.ratio": " 0.10"}
        updated = one_broker.call("UpdateTopic", TopicName=name, Configs=encoded(changed))
        assert (updated["TopicName"], updated["Status"]) == (name, "UPDATING")
        configs = one_broker.configs(name)
        assert configs["cleanup.policy"] == "delete"
        assert configs["compression.type"] == "zstd"
        assert configs["retention.ms"] == "70000"
        assert one_broker.call("DescribeTopic", TopicName=name)["Status"] == "ACTIVE"

    def test_update_with_an_empty_object_clears_the_settings(self, one_broker: Running) -> None:
        untouched = one_broker.configs(one_broker.topic())
        name = one_broker.topic(Configs=encoded({"cleanup.policy": "compact", "retention.ms": "60000"}))
        assert one_broker.configs(name) != untouched
        one_broker.call("UpdateTopic", TopicName=name, Configs=encoded({}))
        assert one_broker.configs(name) == untouched

    def test_what_describe_shows_can_be_sent_back(self, one_broker: Running) -> None:
        name = one_broker.topic()
        configs = one_broker.configs(name)
        one_broker.call("UpdateTopic", TopicName=name, Configs=encoded(configs))
        assert one_broker.configs(name) == configs

    def test_partitions_can_be_added(self, one_broker: Running) -> None:
        name = one_broker.topic()
        updated = one_broker.call("UpdateTopic", TopicName=name, PartitionCount=4)
        assert (updated["TopicName"], updated["Status"]) == (name, "UPDATING")
        partitions = one_broker.call("DescribeTopicPartitions", TopicName=name)["Partitions"]
        assert partitions == [
            {"Partition": number, "Leader": 1, "Replicas": [1], "Isr": [1]} for number in range(4)
        ]

    @pytest.mark.parametrize("partitions", [3, 2, 0, -1])
    def test_partitions_cannot_be_taken_away(self, one_broker: Running, partitions: int) -> None:
        name = one_broker.topic()
        one_broker.call("UpdateTopic", TopicName=name, PartitionCount=3)
        with refused("KafkaRequestException", 400, "partitionCount") as caught:
            one_broker.call("UpdateTopic", TopicName=name, PartitionCount=partitions)
        assert "INVALID_PARTITIONS" in str(caught.value)
        assert one_broker.call("DescribeTopic", TopicName=name)["PartitionCount"] == 3

    def test_a_topic_that_exists(self, one_broker: Running) -> None:
        name = one_broker.topic()
        with refused("TopicExistsException", 409, "topicName") as caught:
            one_broker.call("CreateTopic", **shape(name, 5))
        assert f"Topic '{name}' already exists" in str(caught.value)
        assert one_broker.call("DescribeTopic", TopicName=name)["PartitionCount"] == 1

    def test_more_replicas_than_brokers(self, one_broker: Running) -> None:
        with refused("KafkaRequestException", 400, "replicationFactor") as caught:
            one_broker.call("CreateTopic", **shape("replicated", 1, 3))
        assert "INVALID_REPLICATION_FACTOR" in str(caught.value)
        assert "only 1 broker(s) are registered" in str(caught.value)
        assert one_broker.names("replicated") == []

    @pytest.mark.parametrize("name", ["two words", "slash/ed", "ümlaut", "a:b", "x" * 250, ".", ".."])
    def test_names_that_kafka_does_not_allow(self, one_broker: Running, name: str) -> None:
        with refused("KafkaRequestException", 400, "topicName") as caught:
            one_broker.call("CreateTopic", **shape(name))
        assert "INVALID_TOPIC_EXCEPTION" in str(caught.value)

    def test_asking_for_a_name_that_kafka_does_not_allow(self, one_broker: Running) -> None:
        with refused("BadRequestException", 400, "topicName"):
            one_broker.call("DescribeTopic", TopicName="two words")

    def test_a_name_that_collides_with_another(self, one_broker: Running) -> None:
        one_broker.call("CreateTopic", **shape("collide.a"))
        with refused("KafkaRequestException", 400, "topicName") as caught:
            one_broker.call("CreateTopic", **shape("collide_a"))
        assert "collides with existing topic: collide.a" in str(caught.value)

    @pytest.mark.parametrize(
        ("configs", "reason"),
        [
            ({"no.such.setting": "1"}, "no.such.setting"),
            ({"retention.ms": "soon"}, "Not a number of type LONG"),
            ({"cleanup.policy": "burn"}, "compact, delete"),
        ],
    )
    def test_settings_that_kafka_does_not_have(
        self, one_broker: Running, configs: dict[str, str], reason: str
    ) -> None:
        name = one_broker.topic(Configs=encoded({"max.message.bytes": "2000"}))
        before = one_broker.configs(name)
        with refused("KafkaRequestException", 400, "configs") as caught:
            one_broker.call("UpdateTopic", TopicName=name, Configs=encoded(configs))
        assert "INVALID_CONFIG" in str(caught.value)
        assert reason in str(caught.value)
        assert one_broker.configs(name) == before
        with refused("KafkaRequestException", 400, "configs"):
            one_broker.call("CreateTopic", **shape(f"{name}-2"), Configs=encoded(configs))
        assert one_broker.names(f"{name}-2") == []

    @pytest.mark.parametrize(
        ("operation", "members", "code"),
        [
            ("DescribeTopic", {}, "NotFoundException"),
            ("DescribeTopicPartitions", {}, "NotFoundException"),
            ("UpdateTopic", {"PartitionCount": 2}, "UnknownTopicOrPartitionException"),
            ("UpdateTopic", {"Configs": encoded({})}, "UnknownTopicOrPartitionException"),
            ("DeleteTopic", {}, "UnknownTopicOrPartitionException"),
        ],
    )
    def test_a_topic_that_does_not_exist(
        self, one_broker: Running, operation: str, members: dict[str, Any], code: str
    ) -> None:
        with refused(code, 404, "topicName") as caught:
            one_broker.call(operation, TopicName="nowhere", **members)
        assert "The topic nowhere does not exist." in str(caught.value)
        # Brokers that make topics on first use must not do so because somebody asked.
        assert one_broker.names("nowhere") == []

    def test_a_topic_called_partitions(self, one_broker: Running) -> None:
        one_broker.call("CreateTopic", **shape("partitions", 2))
        assert one_broker.call("DescribeTopic", TopicName="partitions")["PartitionCount"] == 2
        assert len(one_broker.call("DescribeTopicPartitions", TopicName="partitions")["Partitions"]) == 2
        one_broker.call("UpdateTopic", TopicName="partitions", PartitionCount=3)
        assert len(one_broker.call("DescribeTopicPartitions", TopicName="partitions")["Partitions"]) == 3
        one_broker.call("DeleteTopic", TopicName="partitions")
        assert one_broker.names("partitions") == []

    def test_topics_are_listed_page_by_page(self, one_broker: Running) -> None:
        names = [f"page-{number}" for number in range(5)]
        for number, name in enumerate(names):
            one_broker.call("CreateTopic", **shape(name, number + 1))
        first = one_broker.call("ListTopics", TopicNameFilter="page-", MaxResults=2)
        assert first["Topics"] == [
            {
                "TopicArn": f"{one_broker.arn.replace(':cluster/', ':topic/')}/page-{number}",
                "TopicName": f"page-{number}",
                "ReplicationFactor": 1,
                "PartitionCount": number + 1,
                "OutOfSyncReplicaCount": 0,
            }
            for number in range(2)
        ]
        # What is deleted between two pages neither repeats nor hides another.
        one_broker.call("DeleteTopic", TopicName="page-1")
        token = first["NextToken"]
        rest = one_broker.call("ListTopics", TopicNameFilter="page-", MaxResults=3, NextToken=token)
        assert [topic["TopicName"] for topic in rest["Topics"]] == names[2:]
        assert "NextToken" not in rest

    def test_paginators_go_through_everything(self, one_broker: Running) -> None:
        name = one_broker.topic()
        one_broker.call("UpdateTopic", TopicName=name, PartitionCount=25)
        paginator = one_broker.client.get_paginator("describe_topic_partitions")
        pages = paginator.paginate(
            ClusterArn=one_broker.arn, TopicName=name, PaginationConfig={"PageSize": 10}
        )
        found = [[partition["Partition"] for partition in page["Partitions"]] for page in pages]
        assert found == [list(range(10)), list(range(10, 20)), list(range(20, 25))]
        pages = one_broker.client.get_paginator("list_topics").paginate(
            ClusterArn=one_broker.arn, PaginationConfig={"PageSize": 1}
        )
        assert name in [page["Topics"][0]["TopicName"] for page in pages]

    def test_a_filter_that_nothing_matches(self, one_broker: Running) -> None:
        answer = one_broker.call("ListTopics", TopicNameFilter="no-such-")
        assert without_metadata(answer) == {"Topics": []}

    def test_tokens_of_nobody_and_of_another_operation(self, one_broker: Running) -> None:
        name = one_broker.topic()
        one_broker.call("UpdateTopic", TopicName=name, PartitionCount=2)
        with refused("BadRequestException", 400, "nextToken"):
            one_broker.call("ListTopics", NextToken="garbage")
        token = one_broker.call("DescribeTopicPartitions", TopicName=name, MaxResults=1)["NextToken"]
        with refused("BadRequestException", 400, "nextToken"):
            one_broker.call("ListTopics", NextToken=token)

    def test_internal_topics_are_listed_and_kept(self, one_broker: Running) -> None:
        name = one_broker.topic()
        with closing(
            KafkaConsumer(name, bootstrap_servers=one_broker.bootstrap, group_id="readers")
        ) as consumer:
            poll_until(lambda: consumer.poll(timeout_ms=100) or consumer.assignment())
        canary = "__amazon_msk_canary"
        admin = one_broker.kafka_admin()
        admin.create_topics([NewTopic(canary, 1, 1)])[canary].result(20)
        for internal in ("__consumer_offsets", canary):
            assert one_broker.names(internal) == [internal]
            with refused("BadRequestException", 400, "topicName") as caught:
                one_broker.call("DeleteTopic", TopicName=internal)
            assert f"The topic {internal} is internal" in str(caught.value)
            assert one_broker.names(internal) == [internal]

    def test_many_callers_at_once(self, one_broker: Running) -> None:
        names = [f"parallel-{number}" for number in range(16)]

        def life(name: str) -> dict[str, str]:
            one_broker.call("CreateTopic", **shape(name), Configs=encoded({"retention.ms": "60000"}))
            one_broker.call("UpdateTopic", TopicName=name, Configs=encoded({"retention.ms": "1000"}))
            return one_broker.configs(name)

        with ThreadPoolExecutor(8) as threads:
            configs = list(threads.map(life, names))
        assert {found["retention.ms"] for found in configs} == {"1000"}
        assert one_broker.names("parallel-") == sorted(names)


class TestThreeBrokers:
    """On several brokers, which learn of a change one after another."""

    def test_replicas_are_spread_and_in_sync(self, three_brokers: Running) -> None:
        three_brokers.call("CreateTopic", **shape("spread", 3, 3))
        partitions = three_brokers.call("DescribeTopicPartitions", TopicName="spread")["Partitions"]
        assert [sorted(partition["Replicas"]) for partition in partitions] == [[1, 2, 3]] * 3
        assert [sorted(partition["Isr"]) for partition in partitions] == [[1, 2, 3]] * 3
        assert sorted(partition["Leader"] for partition in partitions) == [1, 2, 3]
        [listed] = three_brokers.call("ListTopics", TopicNameFilter="spread")["Topics"]
        assert (listed["ReplicationFactor"], listed["OutOfSyncReplicaCount"]) == (3, 0)

    def test_made_by_a_kafka_client_is_soon_listed(self, three_brokers: Running) -> None:
        admin = three_brokers.kafka_admin()
        for number in range(5):
            name = f"by-kafka-{number}"
            admin.create_topics([NewTopic(name, 1, 3)])[name].result(20)
            until_listed(three_brokers, name)
            admin.delete_topics([name])[name].result(20)
            poll_until(lambda: three_brokers.names("by-kafka-") == [])

    def test_every_broker_serves_what_was_made(self, three_brokers: Running) -> None:
        for number in range(3):
            three_brokers.call("CreateTopic", **shape(f"served-{number}", 3, 1))
            for broker in three_brokers.cluster.brokers.brokers:
                endpoint = str(broker.endpoints["internal"])
                with closing(KafkaConsumer(bootstrap_servers=endpoint)) as consumer:
                    assert consumer.partitions_for_topic(f"served-{number}") == {0, 1, 2}

    def test_replicas_of_a_stopped_broker_are_out_of_sync(self, three_brokers: Running) -> None:
        three_brokers.call("CreateTopic", **shape("lagging", 2, 3))
        brokers = three_brokers.cluster.brokers
        brokers.stop_broker(3)
        try:
            poll_until(lambda: out_of_sync(three_brokers, "lagging") == 2)
            partitions = three_brokers.call("DescribeTopicPartitions", TopicName="lagging")["Partitions"]
            assert all(sorted(partition["Isr"]) == [1, 2] for partition in partitions)
            three_brokers.call("CreateTopic", **shape("while-one-is-down", 2, 2))
            three_brokers.call("DeleteTopic", TopicName="while-one-is-down")
        finally:
            brokers.start_broker(3)
        poll_until(lambda: out_of_sync(three_brokers, "lagging") == 0)


def out_of_sync(running: Running, name: str) -> int:
    [topic] = running.call("ListTopics", TopicNameFilter=name)["Topics"]
    return int(topic["OutOfSyncReplicaCount"])


def poll_until(true: Callable[[], object], seconds: float = 30.0) -> None:
    """Each look is a request, which takes its time; nothing sleeps between."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"still not so after {seconds} s"


def until_listed(running: Running, topic: str) -> None:
    poll_until(lambda: topic in running.names(topic))


def without_metadata(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name != "ResponseMetadata"}
