"""The topic operations: they act on the live brokers, over the Kafka protocol.

So a topic that a Kafka client makes is listed at once, where AWS lags by up to a minute, and a topic
made here is there for every client when the call returns. The statuses are those that AWS answers
meanwhile: CREATING, UPDATING and DELETING from the call that changes something, ACTIVE from then on.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pytest_msk.aws.errors import AwsError, bad_request
from pytest_msk.aws.kafka.api import Call, operation, provisioned_cluster
from pytest_msk.aws.kafka.channels import channel_of
from pytest_msk.aws.kafka.rules import is_express
from pytest_msk.aws.kafka.state import Cluster
from pytest_msk.aws.kafka.versions import find_version
from pytest_msk.aws.pages import page
from pytest_msk.aws.service import service_model

if TYPE_CHECKING:
    from pytest_msk.brokers.admin import Admin, ConfigValue, KafkaRequestError, Topic

FIRST_RELEASE = (3, 6)
"""The first Kafka release whose clusters have topic operations (developer guide, "Topic Operations")."""

BROKER_TIMEOUT = 15.0
"""Seconds that brokers may take for one request; well below the 60 s after which botocore repeats it."""

_MSK_PREFIX = "__amazon_msk_"
_EXPRESS_REPLICATION_FACTOR = 3

_ONE_UPDATE = "You must specify either configs or partitionCount to update."
_HOW_TO_ENCODE = (
    "configs has to be base64 text of a JSON object, or of key=value lines: "
    "base64.b64encode(json.dumps({'retention.ms': '60000'}).encode()).decode()"
)

# Kafka's names of errors, and the exceptions that the service model has for just these.
_EXCEPTIONS = {
    "TOPIC_ALREADY_EXISTS": "TopicExistsException",
    "UNKNOWN_TOPIC_OR_PARTITION": "UnknownTopicOrPartitionException",
    "NETWORK_EXCEPTION": "ClusterConnectivityException",
    "REQUEST_TIMED_OUT": "KafkaTimeoutException",
    "STALE_CONTROLLER_EPOCH": "ControllerMovedException",
    "NOT_CONTROLLER": "NotControllerException",
    "REASSIGNMENT_IN_PROGRESS": "ReassignmentInProgressException",
    "GROUP_SUBSCRIBED_TO_TOPIC": "GroupSubscribedToTopicException",
}
_OTHER_EXCEPTION = "KafkaRequestException"

_PARAMETERS_AT_FAULT = {
    "TOPIC_ALREADY_EXISTS": "topicName",
    "UNKNOWN_TOPIC_OR_PARTITION": "topicName",
    "INVALID_TOPIC_EXCEPTION": "topicName",
    "INVALID_PARTITIONS": "partitionCount",
    "INVALID_REPLICATION_FACTOR": "replicationFactor",
    "INVALID_CONFIG": "configs",
}


@operation("CreateTopic")
def create_topic(call: Call) -> Mapping[str, Any]:
    """Make a topic; every broker knows it when the call returns."""
    cluster = _cluster(call)
    name, replication_factor = call.params["TopicName"], call.params["ReplicationFactor"]
    _check_express(cluster, replication_factor)
    configs = decode_configs(call.params.get("Configs", ""))
    with _admin(call, cluster) as admin:
        admin.create_topic(name, call.params["PartitionCount"], replication_factor, configs)
    return _identity(cluster, name) | {"Status": "CREATING"}


@operation("DescribeTopic")
def describe_topic(call: Call) -> Mapping[str, Any]:
    """A topic's shape, and all its settings with the values in effect."""
    cluster = _cluster(call)
    name = call.params["TopicName"]
    with _admin(call, cluster) as admin:
        topic, configs = admin.topic(name), admin.describe_configs(name)
    return _identity(cluster, name) | {
        "ReplicationFactor": topic.replication_factor,
        "PartitionCount": len(topic.partitions),
        "Configs": encode_configs(configs),
        "Status": "ACTIVE",
    }


@operation("DescribeTopicPartitions")
def describe_topic_partitions(call: Call) -> Mapping[str, Any]:
    """A topic's partitions, by id."""
    cluster = _cluster(call)
    with _admin(call, cluster) as admin:
        topic = admin.topic(call.params["TopicName"])
    shown, token = page(call, topic.partitions, lambda partition: f"{partition.id:010}")
    partitions = [
        {
            "Partition": partition.id,
            "Leader": partition.leader,
            "Replicas": partition.replicas,
            "Isr": partition.isr,
        }
        for partition in shown
    ]
    return {"Partitions": partitions, "NextToken": token}


@operation("ListTopics")
def list_topics(call: Call) -> Mapping[str, Any]:
    """The cluster's topics by name, Kafka's own too, as any Kafka client sees them."""
    cluster = _cluster(call)
    prefix = call.params.get("TopicNameFilter", "")
    with _admin(call, cluster) as admin:
        topics = [topic for topic in admin.topics() if topic.name.startswith(prefix)]
    shown, token = page(call, topics, lambda topic: topic.name)
    return {"Topics": [_topic_info(cluster, topic) for topic in shown], "NextToken": token}


@operation("UpdateTopic")
def update_topic(call: Call) -> Mapping[str, Any]:
    """Give a topic more partitions, or replace the settings that it overrides."""
    cluster = _cluster(call)
    name = call.params["TopicName"]
    encoded, partition_count = call.params.get("Configs"), call.params.get("PartitionCount")
    if bool(encoded) == (partition_count is not None):
        raise bad_request(_ONE_UPDATE)
    configs = decode_configs(encoded or "")
    with _admin(call, cluster) as admin:
        if partition_count is None:
            admin.set_configs(name, configs)
        else:
            admin.add_partitions(name, partition_count)
    return _identity(cluster, name) | {"Status": "UPDATING"}


@operation("DeleteTopic")
def delete_topic(call: Call) -> Mapping[str, Any]:
    """Delete a topic; no broker knows it any more when the call returns."""
    cluster = _cluster(call)
    name = call.params["TopicName"]
    with _admin(call, cluster) as admin:
        if admin.topic(name).internal or name.startswith(_MSK_PREFIX):
            raise bad_request(f"The topic {name} is internal and cannot be deleted.", "topicName")
        channel = channel_of(call.region, cluster, name)
        if channel is not None:
            raise bad_request(f"The topic {name} has an associated Channel, {channel.name}.", "topicName")
        admin.delete_topic(name)
    return _identity(cluster, name) | {"Status": "DELETING"}


def encode_configs(configs: Mapping[str, ConfigValue]) -> str:
    """Settings as ``configs`` has them: base64 of a JSON object of strings.

    So Terraform's provider and Confluent's kcp read them; the documentation's sample has lines.
    """
    values = {name: config.value for name, config in configs.items()}
    return base64.b64encode(json.dumps(values).encode()).decode()


def decode_configs(encoded: str) -> dict[str, str]:
    """Settings from ``configs``: base64 of a JSON object, or of ``key=value`` lines.

    Terraform's provider sends the former, the developer guide shows the latter.

    Raises:
        AwsError: BadRequestException when it is neither.
    """
    try:
        # The command-line tool breaks its lines.
        text = base64.b64decode("".join(encoded.split()), validate=True).decode().strip()
    except (binascii.Error, ValueError) as error:
        raise _bad_configs(str(error)) from error
    if text.startswith("{"):
        return _from_json(text)
    lines = (line.strip() for line in text.splitlines())
    return dict(_from_line(line) for line in lines if line and not line.startswith("#"))


def _from_json(text: str) -> dict[str, str]:
    try:
        values = json.loads(text)
    except ValueError as error:
        raise _bad_configs(str(error)) from error
    return {name: _as_text(name, value) for name, value in values.items()}


def _as_text(name: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    raise _bad_configs(f"the value of {name} is neither a string, a number nor a boolean")


def _from_line(line: str) -> tuple[str, str]:
    name, separator, value = line.partition("=")
    if not separator or not name.strip():
        raise _bad_configs(f"the line {line!r} is not of the form key=value")
    return name.strip(), value.strip()


def _bad_configs(reason: str) -> AwsError:
    return bad_request(f"{_HOW_TO_ENCODE} ({reason})", "configs")


def _cluster(call: Call) -> Cluster:
    """The cluster, if it is one that has topic operations now."""
    cluster = provisioned_cluster(call)
    if find_version(cluster.spec.kafka_version, strict=False).release < FIRST_RELEASE:
        raise bad_request(
            f"Topic operations need Apache Kafka 3.6.0 or later; cluster {cluster.name} runs "
            f"{cluster.spec.kafka_version}.",
            "clusterArn",
        )
    if cluster.state != "ACTIVE":
        raise bad_request(
            f"You can't use topic operations on a cluster in {cluster.state} state.", "clusterArn"
        )
    return cluster


def _check_express(cluster: Cluster, replication_factor: int) -> None:
    instance_type = cluster.settings["BrokerNodeGroupInfo"]["InstanceType"]
    if is_express(instance_type) and replication_factor != _EXPRESS_REPLICATION_FACTOR:
        raise bad_request(
            f"The replication factor must be {_EXPRESS_REPLICATION_FACTOR} on Express brokers.",
            "replicationFactor",
        )


@contextmanager
def _admin(call: Call, cluster: Cluster) -> Iterator[Admin]:
    """A connection to the cluster's brokers, for one call, whose errors are AWS's."""
    brokers = cluster.brokers.brokers
    if not brokers:
        raise _no_brokers(call, cluster)
    # Not every use of the MSK API needs the codec, which takes its time to import.
    from pytest_msk.brokers.admin import Admin, KafkaRequestError

    bootstrap = ",".join(str(broker.endpoints["internal"]) for broker in brokers)
    try:
        with Admin(bootstrap, timeout=BROKER_TIMEOUT) as admin:
            yield admin
    except KafkaRequestError as error:
        raise _refusal(call, error) from error


def _no_brokers(call: Call, cluster: Cluster) -> AwsError:
    return AwsError(
        _modelled(call, "ClusterConnectivityException"),
        f"{call.operation} acts on live brokers, and cluster {cluster.name} runs on the "
        f"{cluster.plane.name} backend, which has no brokers; run with --msk-docker.",
        "clusterArn",
    )


def _refusal(call: Call, error: KafkaRequestError) -> AwsError:
    """What AWS answers when Kafka refused.

    The operations that only read have few exceptions in the model: NotFound for a topic that does not
    exist, BadRequest for the rest. Errors without an exception of their own are told by their name.
    """
    code = _EXCEPTIONS.get(error.code_name)
    message = error.message if code else str(error)
    if error.code_name == "UNKNOWN_TOPIC_OR_PARTITION":
        message = f"The topic {call.params['TopicName']} does not exist."
        if _modelled(call, str(code)) != code:
            code = "NotFoundException"
    return AwsError(_modelled(call, code or _OTHER_EXCEPTION), message, _parameter_at_fault(call, error))


def _modelled(call: Call, code: str) -> str:
    """``code`` if the model lists it for the operation, else BadRequestException, which all have."""
    errors = service_model("kafka").operation_model(call.operation).error_shapes
    return code if any(shape.name == code for shape in errors) else "BadRequestException"


def _parameter_at_fault(call: Call, error: KafkaRequestError) -> str | None:
    parameter = _PARAMETERS_AT_FAULT.get(error.code_name)
    return parameter if parameter and parameter[0].upper() + parameter[1:] in call.params else None


def _identity(cluster: Cluster, name: str) -> dict[str, Any]:
    return {"TopicArn": str(cluster.arn.topic(name)), "TopicName": name}


def _topic_info(cluster: Cluster, topic: Topic) -> dict[str, Any]:
    return _identity(cluster, topic.name) | {
        "ReplicationFactor": topic.replication_factor,
        "PartitionCount": len(topic.partitions),
        "OutOfSyncReplicaCount": topic.out_of_sync_replicas,
    }
