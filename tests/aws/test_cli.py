"""The AWS CLI, in a process of its own, by way of moto's server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_msk import mock_msk
from tests.aws.kafka_api import PROVISIONED, moto_server

Aws = Callable[..., Any]


@pytest.fixture
def aws(tmp_path: Path) -> Iterator[Aws]:
    """Calls `aws kafka`; returns what it prints, or the last line of its complaint where it fails."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    env |= {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_PAGER": "",
    }
    with mock_msk("embedded"), moto_server() as url:

        def call(operation: str, *arguments: str) -> Any:
            command = [str(Path(sys.executable).with_name("aws")), "--endpoint-url", url, "--output", "json"]
            result = subprocess.run(
                [*command, "kafka", operation, *arguments],
                capture_output=True,
                text=True,
                env=env,
                timeout=60,
                check=False,
            )
            if result.returncode:
                return result.stderr.strip().splitlines()[-1]
            return json.loads(result.stdout) if result.stdout.strip() else None

        yield call


def test_the_main_flow(aws: Aws, tmp_path: Path) -> None:
    request = {**PROVISIONED, "ClusterName": "orders"}
    arn = aws("create-cluster", "--cli-input-json", json.dumps(request))["ClusterArn"]
    cluster = aws("describe-cluster", "--cluster-arn", arn)["ClusterInfo"]
    assert cluster["State"] == "ACTIVE"
    servers = aws("get-bootstrap-brokers", "--cluster-arn", arn)["BootstrapBrokerString"].split(",")
    assert len(servers) == 3

    aws("create-topic", "--cluster-arn", arn, "--topic-name", "orders", "--partition-count", "2",
        "--replication-factor", "3")  # fmt: skip
    topics = aws("list-topics", "--cluster-arn", arn)["Topics"]
    assert [(topic["TopicName"], topic["PartitionCount"]) for topic in topics] == [("orders", 2)]

    properties = tmp_path / "server.properties"
    properties.write_text("message.max.bytes = 2000000\n")
    made = aws("create-configuration", "--name", "large", "--server-properties", f"fileb://{properties}")
    chosen = f"Arn={made['Arn']},Revision={made['LatestRevision']['Revision']}"
    updated = aws(
        "update-cluster-configuration", "--cluster-arn", arn, "--configuration-info", chosen,
        "--current-version", cluster["CurrentVersion"],
    )  # fmt: skip
    operation = updated["ClusterOperationArn"]
    states = {"PENDING", "UPDATE_IN_PROGRESS"}
    while (found := described(aws, operation))["OperationState"] in states:
        pass
    assert found["OperationState"] == "UPDATE_COMPLETE"
    revision = ["describe-configuration-revision", "--arn", made["Arn"], "--revision", "1"]
    assert "ServerProperties" in aws(*revision)

    aws("tag-resource", "--resource-arn", arn, "--tags", "team=orders")
    assert aws("list-tags-for-resource", "--resource-arn", arn)["Tags"] == {"team": "orders"}
    stale = aws(
        "update-broker-count", "--cluster-arn", arn, "--current-version", cluster["CurrentVersion"],
        "--target-number-of-broker-nodes", "6",
    )  # fmt: skip
    assert "(BadRequestException) when calling the UpdateBrokerCount operation: The version of" in stale
    assert aws("delete-cluster", "--cluster-arn", arn)["State"] == "DELETING"


def described(aws: Aws, operation: str) -> Any:
    return aws("describe-cluster-operation", "--cluster-operation-arn", operation)["ClusterOperationInfo"]


def test_the_pages_of_a_list(aws: Aws) -> None:
    versions = aws("list-kafka-versions", "--page-size", "3")["KafkaVersions"]
    assert {"Version": "3.7.x.kraft", "Status": "ACTIVE"} in versions
