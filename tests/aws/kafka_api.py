"""What the tests of the API share: requests, refusals, and a check of every answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

import pytest
from botocore.exceptions import ClientError
from botocore.validate import ParamValidator
from moto.server import ThreadedMotoServer

from pytest_msk.aws.kafka.state import MskService
from pytest_msk.brokers.clock import real_monotonic
from tests.aws.planes import PATIENCE

PROVISIONED: Mapping[str, Any] = {
    "KafkaVersion": "3.7.x.kraft",
    "NumberOfBrokerNodes": 3,
    "BrokerNodeGroupInfo": {
        "ClientSubnets": ["subnet-a", "subnet-b", "subnet-c"],
        "InstanceType": "kafka.m5.large",
    },
}
SERVERLESS: Mapping[str, Any] = {"VpcConfigs": [{"SubnetIds": ["subnet-a", "subnet-b"]}]}


def group(**changes: Any) -> dict[str, Any]:
    """The broker node group of `PROVISIONED` with changes."""
    return {"BrokerNodeGroupInfo": {**PROVISIONED["BrokerNodeGroupInfo"], **changes}}


def create(client: Any, name: str = "orders", **changes: Any) -> str:
    """Create a cluster like `PROVISIONED`; its ARN."""
    arn: str = client.create_cluster(ClusterName=name, **{**PROVISIONED, **changes})["ClusterArn"]
    return arn


def create_serverless(client: Any, name: str = "events", **changes: Any) -> str:
    """Create a serverless cluster like `SERVERLESS`; its ARN."""
    request = {**SERVERLESS, **changes}
    arn: str = client.create_cluster_v2(ClusterName=name, Serverless=request)["ClusterArn"]
    return arn


def finished(client: Any, operation_arn: str, patience: float = PATIENCE) -> Any:
    """The ``ClusterOperationInfo`` of an operation, once it has ended; it may take so many seconds."""
    until = real_monotonic() + patience
    while True:
        found = client.describe_cluster_operation(ClusterOperationArn=operation_arn)["ClusterOperationInfo"]
        if found["OperationState"].endswith(("_COMPLETE", "_FAILED")):
            return found
        assert real_monotonic() < until, found


@contextmanager
def held_back(service: MskService) -> Iterator[None]:
    """What the service would do in the background it begins when the block ends."""
    waiting: list[tuple[str, Callable[[], None]]] = []
    with mock.patch.object(service, "run", lambda task, function: waiting.append((task, function))):
        yield
    for task, function in waiting:
        service.run(task, function)


@dataclass
class Refusal:
    """What a refused call answered; filled in when the block ends."""

    code: str = ""
    message: str = ""
    status: int = 0
    parameter: str | None = None


@contextmanager
def refused(code: str) -> Iterator[Refusal]:
    """Expect a refusal with a code."""
    refusal = Refusal()
    with pytest.raises(ClientError) as caught:
        yield refusal
    response: Any = caught.value.response
    refusal.code = response["Error"]["Code"]
    refusal.message = response["Error"]["Message"]
    refusal.status = response["ResponseMetadata"]["HTTPStatusCode"]
    refusal.parameter = response.get("InvalidParameter")
    assert refusal.code == code, response
    assert response["ResponseMetadata"]["RetryAttempts"] == 0


def check_answers(client: Any) -> None:
    """From now on check each answer that a client gets against the operation's output shape."""

    def check(model: Any, parsed: dict[str, Any], **_: Any) -> None:
        if "Error" in parsed or model.output_shape is None:
            return
        members = {name: value for name, value in parsed.items() if name != "ResponseMetadata"}
        report = ParamValidator().validate(members, model.output_shape)
        assert not report.has_errors(), report.generate_report()
        _check_enums(members, model.output_shape)

    client.meta.events.register("after-call.kafka", check)


def _check_enums(value: Any, shape: Any) -> None:
    if shape.type_name == "structure":
        for name, member in value.items():
            _check_enums(member, shape.members[name])
    elif shape.type_name == "list":
        for item in value:
            _check_enums(item, shape.member)
    elif shape.type_name == "string" and shape.enum:
        assert value in shape.enum


@contextmanager
def moto_server() -> Iterator[str]:
    """moto's server; its URL."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()
        server._server.server_close()
