"""Every operation of the model: with the least that it asks for, and with each thing wrong that can be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore import xform_name
from botocore.config import Config
from botocore.exceptions import ClientError

from pytest_msk.aws.kafka.state import MskService
from pytest_msk.aws.patch import Patch
from pytest_msk.aws.service import service_model
from tests.aws.kafka_api import check_answers, create

MODEL = service_model("kafka")
OPERATIONS = list(MODEL.operation_names)
CODES = {None, *(shape.name for shape in MODEL.error_shapes)}

ELSEWHERE = "arn:aws:kafka:us-east-1:123456789012:{}/elsewhere/0f9f5a2b-0000-4000-8000-000000000000-1"
KINDS = {
    "clusterOperationArn": "cluster-operation",
    "replicatorArn": "replicator",
    "channelArn": "channel",
    "vpcConnectionArn": "vpc-connection",
}
"""What an ARN is of, by the member it comes in; others are of clusters, or the path says."""

REFUSALS = {"BadRequestException", "NotFoundException"}


def wire_name(shape: Any, member: str) -> str:
    name: str = shape.members[member].serialization.get("name", member)
    return name


def arn_members(operation: str) -> list[str]:
    """The members of an operation's request that are ARNs of MSK's own resources, and in its path."""
    shape = MODEL.operation_model(operation).input_shape
    return [
        name
        for name, member in shape.members.items()
        if member.serialization.get("location") == "uri" and name.endswith("Arn")
    ]


def kind(operation: str, member: str) -> str:
    uri: str = MODEL.operation_model(operation).http["requestUri"]
    shape = MODEL.operation_model(operation).input_shape
    if "configurations" in uri:
        return "configuration"
    if "vpc-connection/" in uri:
        return "vpc-connection"
    return KINDS.get(wire_name(shape, member), "cluster")


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


def request(operation: str, arn: str, **changes: Any) -> dict[str, Any]:
    """The least request of an operation, with changes."""
    return {**least(MODEL.operation_model(operation).input_shape, "", arn), **changes}


def answer(client: Any, operation: str, request: dict[str, Any]) -> Any:
    """What an operation answers, be it a refusal."""
    try:
        return getattr(client, xform_name(operation))(**request)
    except ClientError as error:
        return error.response


def with_members(wanted: Callable[[Any], bool]) -> list[Any]:
    """The operations and their members of the kind that is wanted, as parameters of a test."""
    return [
        pytest.param(operation, name, id=f"{operation}-{name}")
        for operation in OPERATIONS
        for name, member in MODEL.operation_model(operation).input_shape.members.items()
        if wanted(member)
    ]


@pytest.fixture(scope="module")
def unchecked_client(aws: boto3.Session) -> Any:
    """A client that sends what botocore would not let pass."""
    client = aws.client("kafka", config=Config(parameter_validation=False))
    check_answers(client)
    return client


@pytest.fixture
def unchecked(service: MskService, unchecked_client: Any) -> Iterator[Any]:
    with Patch(service):
        yield unchecked_client


def test_there_are_64() -> None:
    assert len(OPERATIONS) == 64


@pytest.mark.parametrize("operation", OPERATIONS)
def test_each_succeeds_or_is_refused(client: Any, service: MskService, operation: str) -> None:
    arn = create(client)
    service.wait_active(arn, 10)
    response = answer(client, operation, request(operation, arn))
    assert response["ResponseMetadata"]["RetryAttempts"] == 0
    assert response["ResponseMetadata"]["HTTPStatusCode"] < 500
    error = response.get("Error", {"Code": None, "Message": ""})
    assert error["Code"] in CODES
    assert "is not implemented yet" not in error["Message"]


@pytest.mark.parametrize(
    ("operation", "member"),
    [
        pytest.param(operation, member, id=f"{operation}-{member}")
        for operation in OPERATIONS
        for member in arn_members(operation)
    ],
)
class TestArns:
    def test_of_what_there_is_not(
        self, client: Any, active: Callable[..., str], operation: str, member: str
    ) -> None:
        wrong = {member: ELSEWHERE.format(kind(operation, member))}
        error = answer(client, operation, request(operation, active(), **wrong))["Error"]
        # A configuration that there is not is a BadRequestException, as on AWS.
        expected = (
            "BadRequestException" if kind(operation, member) == "configuration" else "NotFoundException"
        )
        assert error["Code"] == expected, error
        assert "not exist" in error["Message"]

    def test_that_are_none(
        self, client: Any, active: Callable[..., str], operation: str, member: str
    ) -> None:
        response = answer(client, operation, request(operation, active(), **{member: "mine"}))
        assert response["Error"]["Code"] == "BadRequestException", response
        assert "InvalidParameter" in response

    def test_of_another_region(
        self, aws: boto3.Session, service: MskService, client: Any, operation: str, member: str
    ) -> None:
        arn = create(client)
        service.wait_active(arn, 10)
        elsewhere = aws.client("kafka", region_name="eu-west-1")
        error = answer(elsewhere, operation, request(operation, arn))["Error"]
        assert error["Code"] in REFUSALS


@pytest.mark.parametrize(("operation", "member"), with_members(lambda shape: "max" in shape.metadata))
class TestLimits:
    def test_too_much(self, unchecked: Any, active: Callable[..., str], operation: str, member: str) -> None:
        shape = MODEL.operation_model(operation).input_shape.members[member]
        over = shape.metadata["max"] + 1
        value = over if shape.type_name == "integer" else "a" * over
        response = answer(unchecked, operation, request(operation, active(), **{member: value}))
        assert response["Error"]["Code"] == "BadRequestException", response

    def test_too_little(
        self, unchecked: Any, active: Callable[..., str], operation: str, member: str
    ) -> None:
        shape = MODEL.operation_model(operation).input_shape.members[member]
        value = 0 if shape.type_name == "integer" else ""
        response = answer(unchecked, operation, request(operation, active(), **{member: value}))
        if "min" in shape.metadata:
            assert response["Error"]["Code"] == "BadRequestException", response
        else:
            assert response.get("Error", {}).get("Code") in CODES


@pytest.mark.parametrize(
    "operation",
    [one for one in OPERATIONS if "NextToken" in MODEL.operation_model(one).input_shape.members],
)
def test_a_token_that_was_never_given(client: Any, active: Callable[..., str], operation: str) -> None:
    arn = active()
    if operation == "ListConfigurationRevisions":
        arn = client.create_configuration(Name="mine", ServerProperties=b"num.partitions=1")["Arn"]
    response = answer(client, operation, request(operation, arn, NextToken="mine"))
    assert response["Error"]["Code"] == "BadRequestException", response
    # Some refuse a cluster of this kind, or without brokers, before they look at a token.
    assert response["InvalidParameter"] in {"nextToken", "clusterArn"}


@pytest.mark.parametrize("region", ["us-east-1", "cn-north-1", "us-gov-west-1"])
def test_none_reaches_moto_or_the_network(client: Any, aws: boto3.Session, region: str) -> None:
    kafka = aws.client("kafka", region_name=region)
    for operation in OPERATIONS:
        arn = "arn:aws:kafka:us-east-1:123456789012:cluster/a/0-1"
        assert answer(kafka, operation, request(operation, arn)).get("Error", {}).get("Code") in CODES
