"""The fixtures in a `unittest.TestCase`, and `mock_msk` without pytest."""

import unittest

import boto3
import pytest

from pytest_msk import mock_msk


@pytest.mark.msk(name="inventory")
class InventoryTest(unittest.TestCase):
    @pytest.fixture(autouse=True)
    def _cluster(self, msk_cluster):
        self.cluster = msk_cluster

    def test_the_cluster_is_the_marked_one(self):
        self.assertEqual(self.cluster.name, "inventory")

    def test_records(self):
        topic = self.cluster.unique_topic("stock")
        self.cluster.producer().send(topic, b"12 apples").get(timeout=10)
        self.assertEqual([record.value for record in self.cluster.records(topic)], [b"12 apples"])


@mock_msk(backend="metadata")
class ApiTest(unittest.TestCase):
    """Runs under plain `python -m unittest` too."""

    def test_versions(self):
        versions = boto3.client("kafka", region_name="eu-west-1").list_kafka_versions()["KafkaVersions"]
        self.assertIn("3.9.x", [version["Version"] for version in versions])
