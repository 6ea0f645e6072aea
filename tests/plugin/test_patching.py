"""Peace with moto: what is patched, for which test, and what others see of it."""

from __future__ import annotations

import pytest

PRELUDE = """
import os
import boto3
import pytest
from moto import mock_aws
from moto.core.models import botocore_stubber

def kafka():
    return boto3.client("kafka", region_name="us-east-1")

def s3():
    return boto3.client("s3", region_name="us-east-1")

def make(client, name="mine"):
    return client.create_cluster(
        ClusterName=name, KafkaVersion="3.7.1", NumberOfBrokerNodes=1,
        BrokerNodeGroupInfo={"InstanceType": "kafka.m5.large", "ClientSubnets": ["subnet-1"]},
    )["ClusterArn"]
"""


def passes(pytester: pytest.Pytester, source: str, *arguments: str) -> None:
    pytester.makepyfile(PRELUDE + source)
    result = pytester.runpytest_subprocess("-p", "no:randomly", *arguments)
    assert result.ret == 0, result.stdout.str()


def test_only_tests_that_ask_are_patched(pytester: pytest.Pytester) -> None:
    passes(
        pytester,
        """
def test_before():
    assert not botocore_stubber.enabled

def test_asks(msk_cluster):
    assert botocore_stubber.enabled

def test_between():
    assert not botocore_stubber.enabled
    assert "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS" not in os.environ

@pytest.mark.msk
def test_marked():
    assert botocore_stubber.enabled

@pytest.mark.skip
def test_skipped(msk_cluster): ...

def test_after():
    assert not botocore_stubber.enabled
""",
    )


def test_nothing_is_patched_after_the_last_test(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        import os

        def pytest_unconfigure():
            from moto.core.models import botocore_stubber
            patched = botocore_stubber.enabled, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS" in os.environ
            print("patched:", *patched)
        """
    )
    pytester.makepyfile("def test_it(msk_cluster): ...")
    pytester.runpytest_subprocess("-s").stdout.fnmatch_lines(["patched: False False"])


def test_mock_aws_tests_see_moto_s_own_kafka(pytester: pytest.Pytester) -> None:
    passes(
        pytester,
        """
@mock_aws
def test_before():
    arn = make(kafka())
    assert kafka().describe_cluster(ClusterArn=arn)["ClusterInfo"]["CurrentVersion"] == "1.0"

def test_ours(msk_cluster):
    assert kafka().describe_cluster(ClusterArn=msk_cluster.arn)["ClusterInfo"]["State"] == "ACTIVE"

@mock_aws
def test_between():
    assert kafka().list_clusters()["ClusterInfoList"] == []
    arn = make(kafka())
    assert kafka().describe_cluster(ClusterArn=arn)["ClusterInfo"]["CurrentVersion"] == "1.0"

def test_ours_again(msk_cluster):
    (found,) = kafka().list_clusters()["ClusterInfoList"]
    assert found["ClusterArn"] == msk_cluster.arn
""",
    )


def test_mock_aws_inside_a_test_of_ours_and_around_it(pytester: pytest.Pytester) -> None:
    passes(
        pytester,
        """
@pytest.fixture
def aws():
    with mock_aws():
        yield

def test_fixture(aws, msk_cluster):
    s3().create_bucket(Bucket="bucket")
    assert kafka().describe_cluster(ClusterArn=msk_cluster.arn)

@mock_aws
def test_decorator(msk_cluster):
    assert s3().list_buckets()["Buckets"] == []
    assert kafka().describe_cluster(ClusterArn=msk_cluster.arn)

def test_inside(msk_cluster):
    with mock_aws():
        assert kafka().describe_cluster(ClusterArn=msk_cluster.arn)
    assert kafka().describe_cluster(ClusterArn=msk_cluster.arn)
""",
    )


def test_the_rest_of_moto_works_beside_ours_and_is_clean_in_every_test(pytester: pytest.Pytester) -> None:
    passes(
        pytester,
        """
@pytest.mark.parametrize("turn", [1, 2])
def test_s3(msk_cluster, turn):
    assert s3().list_buckets()["Buckets"] == []
    s3().create_bucket(Bucket="bucket")
    s3().put_object(Bucket="bucket", Key="k", Body=msk_cluster.arn)
    assert s3().get_object(Bucket="bucket", Key="k")["Body"].read().decode() == msk_cluster.arn
""",
    )


def test_clients_made_before_or_after_the_patch_work(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
import boto3

early = boto3.client("kafka", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b")
session = boto3.Session(region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b")

def test_it(msk_cluster):
    late = boto3.client("kafka", region_name="us-east-1")
    for client in (early, session.client("kafka"), late, msk_cluster.client):
        assert client.describe_cluster(ClusterArn=msk_cluster.arn)["ClusterInfo"]["State"] == "ACTIVE"
"""
    )
    result = pytester.runpytest_subprocess()
    result.assert_outcomes(passed=1)


def test_configured_endpoints_do_not_lead_astray(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_KAFKA", "http://127.0.0.1:1")
    passes(
        pytester,
        """
def test_it(msk_cluster):
    assert kafka().describe_cluster(ClusterArn=msk_cluster.arn)
""",
    )


def test_the_region_is_the_user_s(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    passes(
        pytester,
        """
def test_it(msk_cluster, msk_client):
    assert ":eu-central-1:" in msk_cluster.arn
    assert msk_client.meta.region_name == "eu-central-1"
""",
    )


def test_environment_and_threads_are_as_before(pytester: pytest.Pytester) -> None:
    passes(
        pytester,
        """
import threading
from pytest_msk import mock_msk

def state():
    return dict(os.environ) | {"PYTEST_CURRENT_TEST": ""}, set(threading.enumerate())

def test_it():
    before = state()
    with mock_msk(backend="metadata") as msk:
        msk.cluster(brokers=3)
        assert state() != before
    assert state() == before
""",
    )
