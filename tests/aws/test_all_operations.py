"""Every operation of the model, called with the least that the model asks for."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from botocore import xform_name
from botocore.exceptions import ClientError

from pytest_msk.aws.kafka.state import MskService
from pytest_msk.aws.service import service_model
from tests.aws.kafka_api import create

MODEL = service_model("kafka")
OPERATIONS = list(MODEL.operation_names)
CODES = {None, *(shape.name for shape in MODEL.error_shapes)}

DONE = {
    "CreateCluster", "CreateClusterV2", "DeleteCluster", "DeleteClusterPolicy", "DescribeCluster",
    "DescribeClusterV2", "GetBootstrapBrokers", "GetClusterPolicy", "GetCompatibleKafkaVersions",
    "ListClusters", "ListClustersV2", "ListKafkaVersions", "ListNodes", "ListTagsForResource",
    "PutClusterPolicy", "TagResource", "UntagResource", "CreateTopic", "DeleteTopic", "DescribeTopic",
    "DescribeTopicPartitions", "ListTopics", "UpdateTopic",
}  # fmt: skip


def least(shape: Any, name: str, arn: str) -> Any:
    """The least value that a shape allows."""
    if shape.type_name == "structure":
        return {member: least(shape.members[member], member, arn) for member in shape.required_members}
    if shape.type_name == "list":
        return [least(shape.member, name, arn)]
    if shape.type_name == "map":
        return {"key": least(shape.value, name, arn)}
    if shape.type_name == "string":
        if shape.enum:
            return shape.enum[0]
        return arn if name.lower().endswith("arn") else "a" * shape.metadata.get("min", 1)
    values = {"blob": b"a=b", "boolean": True, "double": 1.0}
    return values.get(shape.type_name, shape.metadata.get("min", 1))


def answer(client: Any, operation: str, request: dict[str, Any]) -> Any:
    """What an operation answers, be it a refusal."""
    try:
        return getattr(client, xform_name(operation))(**request)
    except ClientError as error:
        return error.response


def test_there_are_64() -> None:
    assert len(OPERATIONS) == 64


@pytest.mark.parametrize("operation", OPERATIONS)
def test_each_succeeds_or_is_refused(client: Any, service: MskService, operation: str) -> None:
    arn = create(client)
    service.wait_active(arn, 10)
    request = least(MODEL.operation_model(operation).input_shape, "", arn)
    response = answer(client, operation, request)
    assert response["ResponseMetadata"]["RetryAttempts"] == 0
    error = response.get("Error", {"Code": None, "Message": ""})
    assert error["Code"] in CODES
    assert error["Code"] != "InternalServerErrorException", error
    assert ("is not implemented yet by pytest-msk" in error["Message"]) == (operation not in DONE)


@pytest.mark.parametrize("region", ["us-east-1", "cn-north-1", "us-gov-west-1"])
def test_none_reaches_moto_or_the_network(client: Any, aws: boto3.Session, region: str) -> None:
    kafka = aws.client("kafka", region_name=region)
    for operation in OPERATIONS:
        model = MODEL.operation_model(operation)
        request = least(model.input_shape, "", "arn:aws:kafka:us-east-1:123456789012:cluster/a/0-1")
        assert answer(kafka, operation, request).get("Error", {}).get("Code") in CODES
