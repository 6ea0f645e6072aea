"""Peace with moto: what a patch changes while it is active, and that nothing of it is left."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import UnixStreamServer
from typing import Any

import boto3
import docker
import moto.kafka
import pytest
import requests
from moto import mock_aws
from moto.core.base_backend import BackendDict
from moto.core.models import botocore_stubber, responses_mock
from moto.moto_server.werkzeug_app import DomainDispatcherApplication

from pytest_msk.aws.kafka.state import MskService
from pytest_msk.aws.patch import Patch
from pytest_msk.brokers.metadata import MetadataPlane
from tests.aws.kafka_api import PROVISIONED, create, refused
from tests.aws.planes import PATIENCE


@pytest.fixture
def kafka(aws: boto3.Session) -> Any:
    """A kafka client that is not made to go anywhere in particular."""
    return aws.client("kafka")


def is_ours(kafka: Any, name: str = "whose") -> bool:
    """Whether a cluster made now is one of ours: moto's own ARNs end differently."""
    arn: str = kafka.create_cluster_v2(ClusterName=name, Provisioned=dict(PROVISIONED))["ClusterArn"]
    return arn.count("/") == 2


def traces() -> dict[str, Any]:
    """All that a patch changes, besides what an active ``mock_aws`` does."""
    return {
        "environment": dict(os.environ),
        "backends": moto.kafka.kafka_backends,
        "instances": [id(backends) for backends in BackendDict._instances],
        "server": DomainDispatcherApplication.get_application,
        "stubber": botocore_stubber.enabled,
        "responses": len(responses_mock.registered()),
        "session": boto3.DEFAULT_SESSION,
        "threads": threading.enumerate(),
    }


def test_nothing_is_left(service: MskService, kafka: Any) -> None:
    with mock_aws():
        pass  # moto's own first time leaves some things behind
    before = traces()
    with Patch(service):
        service.wait_active(create(kafka), PATIENCE)
    after = traces()
    assert after == before


def test_nothing_is_left_of_a_start_that_failed(service: MskService, monkeypatch: pytest.MonkeyPatch) -> None:
    with mock_aws():
        pass
    before = traces()
    with monkeypatch.context() as patched:
        patched.setattr("pytest_msk.aws.patch._server_patched", lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            Patch(service).start()
    assert traces() == before
    with Patch(service):
        pass


def test_a_test_without_a_mock_is_not_mocked(service: MskService) -> None:
    with Patch(service):
        assert botocore_stubber.enabled
    assert not botocore_stubber.enabled


class TestUsersOwnMock:
    def test_before_between_and_after(self, service: MskService, kafka: Any) -> None:
        with mock_aws():
            assert not is_ours(kafka)
        with Patch(service):
            arn = create(kafka)
        with mock_aws():
            assert kafka.list_clusters_v2()["ClusterInfoList"] == []
            assert not is_ours(kafka)
        with Patch(service):
            (cluster,) = kafka.list_clusters()["ClusterInfoList"]
            assert cluster["ClusterArn"] == arn
        with mock_aws():
            assert kafka.list_clusters_v2()["ClusterInfoList"] == []

    def test_around(self, service: MskService, kafka: Any) -> None:
        with mock_aws():
            assert not is_ours(kafka, "motos")
            with Patch(service):
                assert kafka.list_clusters_v2()["ClusterInfoList"] == []
                assert is_ours(kafka, "ours")
            (cluster,) = kafka.list_clusters_v2()["ClusterInfoList"]
            assert cluster["ClusterName"] == "motos"

    def test_inside(self, service: MskService, kafka: Any) -> None:
        with Patch(service):
            arn = create(kafka)
            with mock_aws():
                assert kafka.list_clusters()["ClusterInfoList"][0]["ClusterArn"] == arn
            assert kafka.list_clusters()["ClusterInfoList"][0]["ClusterArn"] == arn
            assert botocore_stubber.enabled

    def test_a_reset_leaves_our_clusters_alone(self, service: MskService, kafka: Any) -> None:
        with Patch(service):
            create(kafka, Tags={"a": "b"})
            BackendDict.reset()
            assert len(kafka.list_clusters()["ClusterInfoList"]) == 1

    def test_our_patch_resets_moto_as_a_mock_does(self, service: MskService, aws: boto3.Session) -> None:
        s3 = aws.client("s3")
        with Patch(service):
            s3.create_bucket(Bucket="mine")
            assert len(s3.list_buckets()["Buckets"]) == 1
        with Patch(service):
            assert s3.list_buckets()["Buckets"] == []

    def test_credentials_that_a_test_removes(
        self, service: MskService, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        patch = Patch(service)
        patch.start()
        with monkeypatch.context() as environment:
            environment.delenv("AWS_ACCESS_KEY_ID", raising=False)
            patch.stop()
        os.environ.pop("AWS_ACCESS_KEY_ID", None)
        assert not botocore_stubber.enabled


class TestNesting:
    def test_the_inner_service_is_in_sight(self, service: MskService, kafka: Any) -> None:
        inner = MskService(MetadataPlane())
        with Patch(service):
            create(kafka, "outer")
            with Patch(inner):
                assert kafka.list_clusters()["ClusterInfoList"] == []
                create(kafka, "inner")
            (cluster,) = kafka.list_clusters()["ClusterInfoList"]
            assert cluster["ClusterName"] == "outer"
        inner.close()

    def test_the_outer_may_end_first(self, service: MskService, kafka: Any) -> None:
        with mock_aws():
            pass
        before = traces()
        outer, inner = Patch(MskService(MetadataPlane())), Patch(service)
        outer.start()
        inner.start()
        outer.stop()
        assert is_ours(kafka)
        inner.stop()
        service.close()
        assert traces() == before

    def test_start_twice(self, service: MskService) -> None:
        with Patch(service) as patch, pytest.raises(RuntimeError, match="active already"):
            patch.start()

    def test_stop_without_start(self, service: MskService) -> None:
        Patch(service).stop()

    def test_again_and_again(self, service: MskService, kafka: Any) -> None:
        patch = Patch(service)
        for _ in range(3):
            with patch:
                kafka.list_clusters()


class TestClients:
    def test_made_before_during_and_after(self, service: MskService) -> None:
        before = boto3.client("kafka", "us-east-1", aws_access_key_id="a", aws_secret_access_key="b")
        with Patch(service):
            create(before)
            during = boto3.client("kafka")
            assert len(during.list_clusters()["ClusterInfoList"]) == 1
        with Patch(service):
            assert len(before.list_clusters()["ClusterInfoList"]) == 1
            assert len(during.list_clusters()["ClusterInfoList"]) == 1

    def test_other_services_work_beside(self, client: Any, aws: boto3.Session) -> None:
        s3 = aws.client("s3")
        s3.create_bucket(Bucket="beside")
        create(client)
        assert [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]] == ["beside"]

    @pytest.mark.usefixtures("client")
    def test_requests(self) -> None:
        answer = requests.get("https://kafka.eu-west-1.amazonaws.com/v1/kafka-versions", timeout=PATIENCE)
        assert answer.json()["kafkaVersions"]
        answer = requests.get("https://kafka.cn-north-1.amazonaws.com.cn/nothing", timeout=PATIENCE)
        assert answer.status_code == 404
        assert answer.json() == {"message": "No operation of kafka is at GET /nothing"}

    def test_from_before_moto(self) -> None:
        script = """
import boto3, sys
old = dict(region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b")
client, session = boto3.client("kafka", **old), boto3.Session(**old)
assert "moto" not in sys.modules
from pytest_msk.aws.kafka.state import MskService
from pytest_msk.aws.patch import Patch
from pytest_msk.brokers.metadata import MetadataPlane
with Patch(MskService(MetadataPlane())):
    assert client.list_clusters()["ClusterInfoList"] == []
with Patch(MskService(MetadataPlane())):
    assert session.client("kafka").list_clusters()["ClusterInfoList"] == []
"""
        subprocess.run([sys.executable, "-W", "error", "-c", script], check=True, timeout=60)


class TestEnvironment:
    def test_configured_endpoints_are_ignored(
        self, service: MskService, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
        monkeypatch.setenv("AWS_ENDPOINT_URL_KAFKA", "http://127.0.0.1:1")
        with Patch(service):
            assert boto3.client("kafka").list_clusters()["ClusterInfoList"] == []
        assert "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS" not in os.environ

    def test_the_users_own_choice_comes_back(
        self, service: MskService, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "false")
        with Patch(service):
            assert os.environ["AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"] == "true"
        assert os.environ["AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"] == "false"

    def test_a_region_where_there_is_none(self, service: MskService) -> None:
        with Patch(service):
            assert boto3.client("kafka").meta.region_name == "us-east-1"
        assert "AWS_DEFAULT_REGION" not in os.environ

    def test_the_users_region(self, service: MskService, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-north-1")
        with Patch(service):
            assert boto3.client("kafka").meta.region_name == "eu-north-1"
        assert os.environ["AWS_DEFAULT_REGION"] == "eu-north-1"

    def test_the_region_of_the_users_profile(
        self, service: MskService, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        config = tmp_path / "config"
        config.write_text("[profile work]\nregion = eu-north-1\n")
        monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
        monkeypatch.setenv("AWS_PROFILE", "work")
        with Patch(service):
            assert boto3.client("kafka").meta.region_name == "eu-north-1"

    def test_a_profile_that_does_not_exist(
        self, service: MskService, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_PROFILE", "missing")
        with Patch(service):
            assert "AWS_DEFAULT_REGION" not in os.environ


def test_without_what_motos_server_needs(
    service: MskService, kafka: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pytest_msk.aws.patch.find_spec", lambda _: None)
    original = DomainDispatcherApplication.get_application
    with Patch(service):
        assert DomainDispatcherApplication.get_application is original
        assert is_ours(kafka)


class TestBugs:
    def test_an_exception_is_not_retried(self, client: Any, service: MskService) -> None:
        asked = []

        class Broken(MetadataPlane):
            def brokers(self, spec: Any, arn: str) -> Any:
                asked.append(arn)
                raise LookupError("no such thing")

        service.plane = Broken()
        with refused("InternalServerErrorException") as refusal:
            create(client)
        assert refusal.message == "pytest-msk failed: LookupError: no such thing"
        assert len(asked) == 1
        assert client.list_clusters()["ClusterInfoList"] == []


class Engine(BaseHTTPRequestHandler):
    """As much of Docker's engine as a ping takes."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"OK")

    def address_string(self) -> str:
        return "client"

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[str]:
    path = tmp_path / "docker.sock"
    with UnixStreamServer(str(path), Engine) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"unix://{path}"
        server.shutdown()
        thread.join()


@pytest.mark.usefixtures("client")
def test_docker_is_left_alone(engine: str) -> None:
    with closing(docker.DockerClient(base_url=engine, version="1.43")) as docker_client:
        assert docker_client.ping()


@pytest.mark.parametrize(
    "module", ["pytest_msk", "pytest_msk.spec", "pytest_msk.errors", "pytest_msk.brokers.plane"]
)
def test_what_is_light_stays_light(module: str) -> None:
    heavy = "{'boto3', 'botocore', 'moto', 'docker', 'kafka'}"
    script = f"import sys, {module}; assert not {heavy} & set(sys.modules), sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
