"""`mock_msk` without the fixtures."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import unittest

import boto3
import pytest
from moto.core.models import botocore_stubber

from pytest_msk import BackendUnavailableError, MskUsageError, mock_msk


def names() -> list[str]:
    client = boto3.client("kafka", region_name="us-east-1")
    return [cluster["ClusterName"] for cluster in client.list_clusters()["ClusterInfoList"]]


def test_context_manager() -> None:
    with mock_msk(backend="metadata") as msk:
        cluster = msk.cluster(name="orders", brokers=3)
        assert msk.client.describe_cluster(ClusterArn=cluster.arn)["ClusterInfo"]["State"] == "ACTIVE"
        assert names() == ["orders"]
    assert not botocore_stubber.enabled


def test_everything_is_gone_after_an_error() -> None:
    def fails() -> None:
        with mock_msk(backend="metadata") as msk:
            msk.cluster()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert not botocore_stubber.enabled
    with mock_msk(backend="metadata"):
        assert names() == []


@mock_msk(backend="metadata")
def decorated() -> list[str]:
    return names()


@mock_msk(backend="metadata")
async def decorated_coroutine() -> list[str]:
    await asyncio.sleep(0)
    return names()


@mock_msk
def bare() -> list[str]:
    return names()


def test_decorators() -> None:
    assert decorated() == []
    assert bare() == []
    assert asyncio.run(decorated_coroutine()) == []
    assert not botocore_stubber.enabled


def test_nested_contexts_have_their_own_clusters() -> None:
    with mock_msk(backend="metadata") as outer:
        outer.cluster(name="outer")
        with mock_msk(backend="metadata") as inner:
            inner.cluster(name="inner")
            assert names() == ["inner"]
        assert names() == ["outer"]


def test_decorated_test_case_has_one_msk_for_set_up_and_test() -> None:
    @mock_msk(backend="metadata")
    class Case(unittest.TestCase):
        def setUp(self) -> None:
            assert names() == []
            with_client = boto3.client("kafka", region_name="us-east-1")
            with_client.create_cluster(
                ClusterName="mine",
                KafkaVersion="3.7.1",
                NumberOfBrokerNodes=1,
                BrokerNodeGroupInfo={"InstanceType": "kafka.m5.large", "ClientSubnets": ["subnet-1"]},
            )

        def test_one(self) -> None:
            self.assertEqual(names(), ["mine"])

        def test_two(self) -> None:
            self.assertEqual(names(), ["mine"])

    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(Case).run(result)
    assert result.testsRun == 2
    assert result.wasSuccessful(), result.errors + result.failures


def test_wrong_arguments_are_refused() -> None:
    with mock_msk(backend="metadata") as msk, pytest.raises(MskUsageError, match="brokers='3'"):
        msk.cluster(brokers="3")


def test_use_outside_the_context_is_refused() -> None:
    with pytest.raises(RuntimeError, match="with mock_msk"):
        _ = mock_msk(backend="metadata").client


def test_docker_without_an_engine_is_told_on_entering(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    with pytest.raises(BackendUnavailableError, match=r"tcp://127\.0\.0\.1:1"), mock_msk(backend="docker"):
        pass
    assert not botocore_stubber.enabled


def test_a_script_without_pytest() -> None:
    script = (
        "from pytest_msk import mock_msk\n"
        "with mock_msk(backend='metadata') as msk:\n"
        "    print(msk.cluster(name='scripted').name)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], check=False, capture_output=True, text=True
    )
    assert done.stdout == "scripted\n", done.stderr
