"""The control plane of Amazon MSK: one module for each group of the ``kafka`` API's operations."""

from pytest_msk.aws.kafka import bootstrap, clusters, nodes, policies, tags, topics, versions

__all__ = ["bootstrap", "clusters", "nodes", "policies", "tags", "topics", "versions"]
