"""The generic part: routes, parsing, checks, answers. With handlers of its own."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pytest

from pytest_msk.aws.errors import AwsError
from pytest_msk.aws.service import Call, Request, RestJsonApi

ARN = "arn:aws:kafka:us-east-1:123456789012:cluster/orders/0f0f-1"
ENCODED = quote(ARN, safe="")


class Echo:
    """An API each of whose operations remembers its call."""

    def __init__(self, service: str = "kafka", **options: Any) -> None:
        self.api: RestJsonApi[str] = RestJsonApi(service, **options)
        self.calls: list[Call[str]] = []

    def answers(self, operation: str, result: Mapping[str, Any] | None = None) -> None:
        @self.api.operation(operation)
        def handler(call: Call[str]) -> Mapping[str, Any] | None:
            self.calls.append(call)
            return result

    def ask(
        self, method: str, path: str, body: Any = None, query: str = ""
    ) -> tuple[int, dict[str, str], Any]:
        raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        status, headers, text = self.api.answer(Request(method, path, query, raw), "here")
        return status, headers, json.loads(text) if text else None


@pytest.fixture
def echo() -> Echo:
    return Echo()


class TestRoutes:
    @pytest.mark.parametrize("arn", [ENCODED, ARN], ids=["encoded", "decoded"])
    @pytest.mark.parametrize(
        ("method", "tail", "operation", "params"),
        [
            ("GET", "", "DescribeCluster", {}),
            ("DELETE", "", "DeleteCluster", {}),
            ("GET", "/policy", "GetClusterPolicy", {}),
            ("GET", "/topics/orders", "DescribeTopic", {"TopicName": "orders"}),
            ("GET", "/topics/partitions", "DescribeTopic", {"TopicName": "partitions"}),
            ("GET", "/topics/a/partitions", "DescribeTopicPartitions", {"TopicName": "a"}),
            ("GET", "/topics/partitions/partitions", "DescribeTopicPartitions", {"TopicName": "partitions"}),
        ],
    )
    def test_arns_in_paths(
        self, *, echo: Echo, arn: str, method: str, tail: str, operation: str, params: dict[str, str]
    ) -> None:
        echo.answers(operation)
        status, _, _ = echo.ask(method, f"/v1/clusters/{arn}{tail}")
        assert status == 200
        (call,) = echo.calls
        assert call.operation == operation
        assert call.region == "here"
        assert call.params == {"ClusterArn": ARN, **params}

    def test_two_arns(self, echo: Echo) -> None:
        channel = "arn:aws:kafka:us-east-1:123456789012:channel/c/1-1"
        echo.answers("DescribeChannel")
        echo.ask("GET", f"/v1/clusters/{ENCODED}/channels/{quote(channel, safe='')}")
        assert echo.calls[0].params == {"ClusterArn": ARN, "ChannelArn": channel}

    @pytest.mark.parametrize(
        ("method", "path"), [("GET", "/"), ("GET", "/v3/clusters"), ("PATCH", "/v1/clusters"), ("GET", "")]
    )
    def test_a_path_without_an_operation(self, echo: Echo, method: str, path: str) -> None:
        status, headers, body = echo.ask(method, path)
        assert status == 404
        assert headers["X-Amzn-ErrorType"] == "NotFoundException"
        assert body == {"message": f"No operation of kafka is at {method} {path}"}

    def test_an_operation_without_a_handler(self, echo: Echo) -> None:
        status, headers, body = echo.ask("GET", "/v1/configurations")
        assert status == 400
        assert headers["X-Amzn-ErrorType"] == "BadRequestException"
        assert body == {"message": "ListConfigurations is not implemented yet by pytest-msk"}

    def test_a_handler_for_no_operation(self, echo: Echo) -> None:
        with pytest.raises(ValueError, match="kafka has no operation MakeCluster"):
            echo.answers("MakeCluster")

    def test_another_service(self) -> None:
        echo = Echo("kafkaconnect")
        echo.answers("ListConnectors", {"connectors": []})
        status, _, body = echo.ask("GET", "/v1/connectors", query="connectorNamePrefix=a&maxResults=5")
        assert (status, body) == (200, {"connectors": []})
        assert echo.calls[0].params == {"connectorNamePrefix": "a", "maxResults": 5}


CLUSTER = {
    "clusterName": "orders",
    "kafkaVersion": "3.7.1",
    "numberOfBrokerNodes": 1,
    "brokerNodeGroupInfo": {"clientSubnets": ["subnet-a"], "instanceType": "kafka.m5.large"},
}


class TestParsing:
    def test_names_are_those_of_boto3(self, echo: Echo) -> None:
        echo.answers("CreateCluster")
        echo.ask("POST", "/v1/clusters", {**CLUSTER, "tags": {"clusterName": "kept"}, "unknown": 1})
        assert echo.calls[0].params == {
            "ClusterName": "orders",
            "KafkaVersion": "3.7.1",
            "NumberOfBrokerNodes": 1,
            "BrokerNodeGroupInfo": {"ClientSubnets": ["subnet-a"], "InstanceType": "kafka.m5.large"},
            "Tags": {"clusterName": "kept"},
        }

    def test_a_whole_number_may_be_written_with_a_fraction(self, echo: Echo) -> None:
        echo.answers("CreateCluster")
        echo.ask("POST", "/v1/clusters", {**CLUSTER, "numberOfBrokerNodes": 3.0})
        assert repr(echo.calls[0].params["NumberOfBrokerNodes"]) == "3"

    def test_a_boolean_in_the_query(self) -> None:
        echo = Echo("kafkaconnect")
        echo.answers("RestartConnector")
        echo.ask("POST", f"/v1/connectors/{ENCODED}/restart", query="onlyFailedTasks=true")
        assert echo.calls[0].params["onlyFailedTasks"] is True
        status, _, _ = echo.ask("POST", f"/v1/connectors/{ENCODED}/restart", query="onlyFailedTasks=maybe")
        assert status == 400

    def test_null_is_absent(self, echo: Echo) -> None:
        echo.answers("CreateCluster")
        echo.ask("POST", "/v1/clusters", {**CLUSTER, "tags": None})
        assert "Tags" not in echo.calls[0].params

    def test_a_list_in_the_query(self, echo: Echo) -> None:
        echo.answers("UntagResource")
        status, _, body = echo.ask("DELETE", f"/v1/tags/{ENCODED}", query="tagKeys=a%20b&tagKeys=c%26d")
        assert (status, body) == (204, None)
        assert echo.calls[0].params == {"ResourceArn": ARN, "TagKeys": ["a b", "c&d"]}

    def test_blobs_and_paths_with_numbers(self, echo: Echo) -> None:
        echo.answers("CreateConfiguration")
        text = base64.b64encode(b"a=b\n").decode()
        echo.ask("POST", "/v1/configurations", {"name": "c", "serverProperties": text})
        assert echo.calls[0].params["ServerProperties"] == b"a=b\n"
        echo.answers("DescribeConfigurationRevision")
        echo.ask("GET", f"/v1/configurations/{ENCODED}/revisions/12")
        assert echo.calls[1].params["Revision"] == 12

    @pytest.mark.parametrize("body", [b"{", b"\xff", b"[]", b'"x"', b"1"])
    def test_bodies_that_are_no_object(self, echo: Echo, body: bytes) -> None:
        status, _, answer = echo.ask("POST", "/v1/clusters", body)
        assert status == 400
        assert answer["message"].startswith("The request body is not")

    @pytest.mark.parametrize(
        ("changes", "parameter", "text"),
        [
            ({"clusterName": None}, "clusterName", "Missing required parameter: clusterName."),
            ({"clusterName": ""}, "clusterName", "less than the minimum of 1"),
            ({"clusterName": "a" * 65}, "clusterName", "65 is more than the maximum of 64"),
            ({"clusterName": 5}, "clusterName", "a string is needed"),
            ({"numberOfBrokerNodes": "3"}, "numberOfBrokerNodes", "a whole number is needed"),
            ({"numberOfBrokerNodes": True}, "numberOfBrokerNodes", "a whole number is needed"),
            ({"numberOfBrokerNodes": float("inf")}, "numberOfBrokerNodes", "a whole number is needed"),
            ({"numberOfBrokerNodes": 1.5}, "numberOfBrokerNodes", "a whole number is needed"),
            ({"numberOfBrokerNodes": 0}, "numberOfBrokerNodes", "minimum of 1"),
            ({"numberOfBrokerNodes": 16}, "numberOfBrokerNodes", "maximum of 15"),
            ({"storageMode": "local"}, "storageMode", "Valid values: [LOCAL, TIERED]"),
            ({"tags": []}, "tags", "a map is needed"),
            ({"tags": {"a": 1}}, "tags", "a string is needed"),
            ({"brokerNodeGroupInfo": "x"}, "brokerNodeGroupInfo", "an object is needed"),
            ({"brokerNodeGroupInfo": {}}, "clientSubnets", "Missing required parameter: clientSubnets."),
            (
                {"brokerNodeGroupInfo": {"clientSubnets": "a", "instanceType": "kafka.m5.large"}},
                "clientSubnets",
                "a list is needed",
            ),
            (
                {"encryptionInfo": {"encryptionInTransit": {"clientBroker": "SSL"}}},
                "clientBroker",
                "Invalid value for clientBroker: 'SSL'. Valid values: [TLS, TLS_PLAINTEXT, PLAINTEXT]",
            ),
            (
                {"encryptionInfo": {"encryptionInTransit": {"inCluster": "yes"}}},
                "inCluster",
                "true or false is needed",
            ),
        ],
    )
    def test_checks(self, echo: Echo, changes: dict[str, Any], parameter: str, text: str) -> None:
        status, headers, body = echo.ask("POST", "/v1/clusters", {**CLUSTER, **changes})
        assert status == 400
        assert headers["X-Amzn-ErrorType"] == "BadRequestException"
        assert body["invalidParameter"] == parameter
        assert text in body["message"]

    def test_patterns(self, echo: Echo) -> None:
        replicator = {
            "replicatorName": "my_replicator",
            "kafkaClusters": [],
            "replicationInfoList": [],
            "serviceExecutionRoleArn": "r",
        }
        _, _, body = echo.ask("POST", "/replication/v1/replicators", replicator)
        assert body["invalidParameter"] == "replicatorName"
        assert "does not match ^[0-9A-Za-z]" in body["message"]

    def test_bad_base64(self, echo: Echo) -> None:
        _, _, body = echo.ask("POST", "/v1/configurations", {"name": "c", "serverProperties": "*"})
        assert body["invalidParameter"] == "serverProperties"

    @pytest.mark.parametrize(
        ("query", "text"),
        [("maxResults=0", "minimum of 1"), ("maxResults=101", "maximum of 100"), ("maxResults=x", "number")],
    )
    def test_max_results(self, echo: Echo, query: str, text: str) -> None:
        status, _, body = echo.ask("GET", "/v1/clusters", query=query)
        assert status == 400
        assert body["invalidParameter"] == "maxResults"
        assert text in body["message"]

    def test_a_maximum_that_the_service_does_not_keep(self) -> None:
        echo = Echo(unlimited=frozenset({"numberOfBrokerNodes"}))
        echo.answers("CreateCluster")
        status, _, _ = echo.ask("POST", "/v1/clusters", {**CLUSTER, "numberOfBrokerNodes": 60})
        assert status == 200


class TestAnswers:
    def test_types(self, echo: Echo) -> None:
        moment = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
        info = {"ClusterName": "a", "CreationTime": moment, "Tags": {}, "StateInfo": None}
        echo.answers("DescribeCluster", {"ClusterInfo": info})
        _, headers, body = echo.ask("GET", f"/v1/clusters/{ENCODED}")
        assert body == {
            "clusterInfo": {"clusterName": "a", "creationTime": "2026-01-02T03:04:05.678Z", "tags": {}}
        }
        assert headers["Content-Type"] == "application/json"
        assert headers["x-amzn-RequestId"]

    def test_blobs_and_doubles(self, echo: Echo) -> None:
        echo.answers("DescribeConfigurationRevision", {"ServerProperties": b"a=b", "Revision": 1})
        _, _, body = echo.ask("GET", f"/v1/configurations/{ENCODED}/revisions/1")
        assert body == {"serverProperties": "YT1i", "revision": 1}
        node = {"BrokerNodeInfo": {"BrokerId": 1}}
        echo.answers("ListNodes", {"NodeInfoList": [node], "NextToken": None})
        _, _, text = echo.api.answer(Request("GET", f"/v1/clusters/{ENCODED}/nodes"), "here")
        assert text == '{"nodeInfoList": [{"brokerNodeInfo": {"brokerId": 1.0}}]}'

    @pytest.mark.parametrize(
        ("code", "status"),
        [
            ("ForbiddenException", 403),
            ("TopicExistsException", 409),
            ("TooManyRequestsException", 429),
            ("KafkaRequestException", 400),
        ],
    )
    def test_refusals(self, echo: Echo, code: str, status: int) -> None:
        def refuse(call: Call[str]) -> None:
            raise AwsError(code, "no", "clusterName")

        echo.api.operation("ListClusters")(refuse)
        answered, headers, body = echo.ask("GET", "/v1/clusters")
        assert answered == status
        assert headers["X-Amzn-ErrorType"] == code
        assert body == {"message": "no", "invalidParameter": "clusterName"}

    def test_a_code_that_the_model_does_not_know(self, echo: Echo) -> None:
        def refuse(call: Call[str]) -> None:
            raise AwsError("InvalidClusterException", "no")

        echo.api.operation("ListClusters")(refuse)
        status, headers, body = echo.ask("GET", "/v1/clusters")
        assert status == 501
        assert headers["X-Amzn-ErrorType"] == "InternalServerErrorException"
        assert body["message"] == "pytest-msk failed: KeyError: 'kafka has no InvalidClusterException'"

    @pytest.mark.parametrize(
        ("handler", "text"),
        [
            (lambda _: int("x"), "pytest-msk failed: ValueError: invalid literal for int()"),
            (lambda _: {"Clusters": []}, "has no member Clusters"),
        ],
    )
    def test_a_bug_in_a_handler(
        self, echo: Echo, caplog: pytest.LogCaptureFixture, handler: Callable[[Any], Any], text: str
    ) -> None:
        echo.api.operation("ListClusters")(handler)
        with caplog.at_level(logging.ERROR):
            status, headers, body = echo.ask("GET", "/v1/clusters")
        # Not 500, which every SDK repeats several times.
        assert status == 501
        assert headers["X-Amzn-ErrorType"] == "InternalServerErrorException"
        assert text in body["message"]
        assert caplog.records[0].exc_info
