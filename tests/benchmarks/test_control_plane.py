"""The MSK API beside moto's own `kafka`: the same calls, in turns."""

from __future__ import annotations

import gc
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import boto3
from moto import mock_aws

from pytest_msk.aws.kafka.state import MskService
from pytest_msk.aws.patch import Patch
from pytest_msk.brokers.metadata import MetadataPlane

ROUNDS = 40
CLUSTERS = 1_000
REQUEST: dict[str, Any] = {
    "KafkaVersion": "3.7.x.kraft",
    "NumberOfBrokerNodes": 3,
    "BrokerNodeGroupInfo": {
        "ClientSubnets": ["subnet-a", "subnet-b", "subnet-c"],
        "InstanceType": "kafka.m5.large",
    },
}
CALLS = {
    "DescribeCluster": ("describe_cluster", "ClusterArn", {}),
    "DescribeClusterV2": ("describe_cluster_v2", "ClusterArn", {}),
    "ListTagsForResource": ("list_tags_for_resource", "ResourceArn", {}),
    "TagResource": ("tag_resource", "ResourceArn", {"Tags": {"a": "b"}}),
}
Times = defaultdict[str, list[float]]


def test_calls(report: Callable[[str], None]) -> None:
    own: Times = defaultdict(list)
    motos: Times = defaultdict(list)
    service = MskService(MetadataPlane())
    client = boto3.Session("testing", "testing", region_name="us-east-1").client("kafka")
    for _ in range(ROUNDS):
        with mock_aws():
            _call_all(client, motos, lambda _: None)
        with Patch(service):
            _call_all(client, own, lambda arn: service.wait_active(arn, 10))
            service.delete(*(str(cluster.arn) for cluster in service.clusters()))
    service.close()
    for name, took in own.items():
        ratio = statistics.median(took) / statistics.median(motos[name])
        report(f"{name}: {statistics.median(took) * 1000:.2f} ms, {ratio:.2f} of moto's")


def _call_all(client: Any, took: Times, wait: Callable[[str], object]) -> None:
    client.list_clusters()
    began = time.perf_counter()
    arn = client.create_cluster(ClusterName="orders", **REQUEST)["ClusterArn"]
    took["CreateCluster"].append(time.perf_counter() - began)
    wait(arn)
    began = time.perf_counter()
    client.list_clusters()
    took["ListClusters"].append(time.perf_counter() - began)
    for name, (method, member, rest) in CALLS.items():
        began = time.perf_counter()
        getattr(client, method)(**{member: arn}, **rest)
        took[name].append(time.perf_counter() - began)


def test_a_page_of_many_clusters(report: Callable[[str], None]) -> None:
    service = MskService(MetadataPlane())
    client = boto3.Session("testing", "testing", region_name="us-east-1").client("kafka")
    with Patch(service):
        for number in range(CLUSTERS):
            client.create_cluster(ClusterName=f"c-{number}", **REQUEST)
        gc.collect()
        token: dict[str, str] = {}
        took = []
        while True:
            began = time.perf_counter()
            page = client.list_clusters(**token)
            took.append(time.perf_counter() - began)
            if "NextToken" not in page:
                break
            token = {"NextToken": page["NextToken"]}
    service.close()
    report(
        f"{CLUSTERS:,} clusters in pages of 100: {statistics.median(took) * 1000:.0f} ms a page, "
        f"{max(took) * 1000:.0f} ms the slowest"
    )
