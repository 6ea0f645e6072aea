"""The ``kafka`` API: where its operations register, and what many of them begin with."""

from __future__ import annotations

from pytest_msk.aws import service
from pytest_msk.aws.errors import bad_request
from pytest_msk.aws.kafka.state import Cluster, Region

Call = service.Call[Region]
"""A call of a kafka operation."""

# The model says 15 brokers at most. The service's quota is 30, and 60 with KRaft.
api: service.RestJsonApi[Region] = service.RestJsonApi(
    "kafka", unlimited=frozenset({"numberOfBrokerNodes", "targetNumberOfBrokerNodes"})
)

operation = api.operation
"""Decorates the function that answers an operation: ``@operation("CreateTopic")``."""


def provisioned_cluster(call: Call) -> Cluster:
    """The cluster that ``ClusterArn`` names, for an operation that serverless clusters do not have.

    Raises:
        AwsError: no such cluster, or a serverless one; clients match on the text of the latter.
    """
    cluster = call.region.cluster(call.params["ClusterArn"])
    if cluster.kind == "SERVERLESS":
        raise bad_request("This operation cannot be performed on serverless clusters.", "clusterArn")
    return cluster
