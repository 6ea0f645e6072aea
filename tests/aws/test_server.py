"""moto's server: clients in other processes and languages come this way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
import requests
from moto import mock_aws

from pytest_msk.aws.kafka.state import MskService
from pytest_msk.aws.patch import Patch
from tests.aws.kafka_api import PROVISIONED, check_answers, create, moto_server, refused
from tests.aws.planes import PATIENCE


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A server for the tests that do not care when it was started: stopping one takes half a second."""
    with moto_server() as url:
        yield url


@pytest.fixture
def kafka(aws: boto3.Session) -> Callable[[str], Any]:
    """A client of a server."""

    def connect(url: str, region: str = "us-east-1") -> Any:
        return aws.client("kafka", endpoint_url=url, region_name=region)

    return connect


def test_the_main_flow(service: MskService, kafka: Callable[..., Any]) -> None:
    with Patch(service), moto_server() as url:
        client = kafka(url)
        check_answers(client)
        arn = create(client, Tags={"a": "b"})
        service.wait_active(arn, PATIENCE)
        assert client.describe_cluster(ClusterArn=arn)["ClusterInfo"]["State"] == "ACTIVE"
        assert client.describe_cluster_v2(ClusterArn=arn)["ClusterInfo"]["ClusterType"] == "PROVISIONED"
        assert len(client.list_clusters()["ClusterInfoList"]) == 1
        assert client.get_bootstrap_brokers(ClusterArn=arn)["BootstrapBrokerString"] == ""
        assert len(client.list_nodes(ClusterArn=arn)["NodeInfoList"]) == 6
        client.tag_resource(ResourceArn=arn, Tags={"c": "d e"})
        client.untag_resource(ResourceArn=arn, TagKeys=["a"])
        assert client.list_tags_for_resource(ResourceArn=arn)["Tags"] == {"c": "d e"}
        assert client.list_kafka_versions(MaxResults=3)["NextToken"]
        assert client.list_configurations()["Configurations"] == []
        client.delete_cluster(ClusterArn=arn)
        assert service.wait_deleted(arn, PATIENCE)
        with refused("NotFoundException") as refusal:
            client.describe_cluster(ClusterArn=arn)
        assert refusal.status == 404
        assert refusal.parameter == "clusterArn"


@pytest.mark.usefixtures("client")
def test_regions(url: str, kafka: Callable[..., Any]) -> None:
    assert create(kafka(url, "eu-west-1")).startswith("arn:aws:kafka:eu-west-1:")
    assert kafka(url).list_clusters()["ClusterInfoList"] == []


def test_what_comes_in_process_and_what_comes_to_the_server_is_one(
    client: Any, url: str, kafka: Callable[..., Any]
) -> None:
    arn = create(client)
    assert kafka(url).describe_cluster(ClusterArn=arn)["ClusterInfo"]["ClusterName"] == "orders"


def signed(url: str, **options: Any) -> requests.Response:
    scope = "AWS4-HMAC-SHA256 Credential=testing/20260101/us-east-1/kafka/aws4_request, Signature=0"
    return requests.request(url=url, headers={"Authorization": scope}, timeout=PATIENCE, **options)


@pytest.mark.parametrize("path", ["/", "/nothing", "/v1//clusters"])
@pytest.mark.usefixtures("client")
def test_paths_without_an_operation(url: str, path: str) -> None:
    answer = signed(url + path, method="GET")
    assert answer.status_code == 404
    assert answer.json() == {"message": f"No operation of kafka is at GET {path}"}


@pytest.mark.usefixtures("client")
def test_max_results_of_0(url: str) -> None:
    answer = signed(f"{url}/v1/clusters?maxResults=0", method="GET")
    assert answer.status_code == 400
    assert answer.headers["X-Amzn-ErrorType"] == "BadRequestException"
    assert answer.json()["invalidParameter"] == "maxResults"


def test_an_arn_whose_slashes_are_not_encoded(client: Any, url: str) -> None:
    arn = create(client)
    answer = signed(f"{url}/v1/clusters/{arn}", method="GET")
    assert answer.json()["clusterInfo"]["clusterArn"] == arn


def test_other_services_and_moto_itself(client: Any, url: str, aws: boto3.Session) -> None:
    s3 = aws.client("s3", endpoint_url=url)
    s3.create_bucket(Bucket="beside")
    assert [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]] == ["beside"]
    assert requests.get(f"{url}/moto-api/data.json", timeout=PATIENCE).ok
    create(client)
    requests.post(f"{url}/moto-api/reset", timeout=PATIENCE)
    assert len(client.list_clusters()["ClusterInfoList"]) == 1
    assert s3.list_buckets()["Buckets"] == []


class TestServersThatOutliveAPatch:
    """Without a patch, and after it, moto's own kafka answers."""

    def test_built_before(self, service: MskService, kafka: Callable[..., Any]) -> None:
        with mock_aws(), moto_server() as url:
            client = kafka(url)
            moto_arn = create(client)
            assert moto_arn.count("/") == 1
            with Patch(service):
                assert create(client).count("/") == 2
                assert client.list_kafka_versions()["KafkaVersions"]
            (cluster,) = client.list_clusters_v2()["ClusterInfoList"]
            assert cluster["ClusterArn"] == moto_arn

    def test_built_meanwhile(self, service: MskService, kafka: Callable[..., Any]) -> None:
        with mock_aws():
            with Patch(service):
                server = moto_server()
                client = kafka(server.__enter__())
                assert create(client).count("/") == 2
            assert (
                client.create_cluster_v2(ClusterName="a", Provisioned=dict(PROVISIONED))["ClusterArn"].count(
                    "/"
                )
                == 1
            )
            server.__exit__(None, None, None)
