"""What replicators and channels say when that which moves their records fails, or takes its time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, NoReturn

import pytest

from pytest_msk.aws.kafka import channels, replicators
from pytest_msk.aws.kafka.resources import Resource
from pytest_msk.aws.kafka.state import StateInfo
from pytest_msk.errors import MskError
from tests.aws import test_channels, test_replicators
from tests.aws.kafka_api import finished, refused
from tests.aws.planes import PATIENCE
from tests.aws.test_channels import express, s3
from tests.aws.test_replicators import pair, request_

__all__ = ["express", "request_"]

ALL = {"TopicsToReplicate": [".*"]}
UPDATED_ALL = {
    **ALL,
    "TopicsToExclude": [],
    "CopyTopicConfigurations": False,
    "CopyAccessControlListsForTopics": False,
    "DetectAndCopyNewTopics": False,
}


class Failing:
    """A mover that cannot do one thing."""

    def __init__(self, what: str, error: Exception) -> None:
        self._what, self._error = what, error
        self.said = str(error) if isinstance(error, MskError) else f"RuntimeError: {error}"

    def start(self, resource: Resource) -> StateInfo | None:
        """Begin."""
        self._do("start")
        return None

    def update(self, resource: Resource) -> None:
        """Go on otherwise."""
        self._do("update")

    def stop(self, resource: Resource) -> None:
        """End."""
        self._do("stop")

    def _do(self, what: str) -> None:
        if what == self._what:
            raise self._error


ERRORS = pytest.mark.parametrize("error", [MskError("no way"), RuntimeError("no way")], ids=["ours", "any"])


@ERRORS
@pytest.mark.parametrize("what", ["start", "update", "stop"])
def test_a_channel(
    client: Any, express: str, monkeypatch: pytest.MonkeyPatch, what: str, error: Exception
) -> None:
    mover = Failing(what, error)
    monkeypatch.setattr(channels, "MOVER", mover)
    made = client.create_channel(**s3(express))
    arn = made["ChannelArn"]
    change: Callable[[], Any] = {
        "start": lambda: made,
        "update": lambda: client.update_channel(
            ClusterArn=express, ChannelArn=arn, S3DestinationUpdate={"DataFreshnessInSeconds": 300}
        ),
        "stop": lambda: client.delete_channel(ClusterArn=express, ChannelArn=arn),
    }[what]
    if what != "start":
        assert test_channels.settled(client, express, arn)["Status"] == "ACTIVE"
    operation = finished(client, change()["ClusterOperationArn"])
    assert operation["OperationState"] == "UPDATE_FAILED"
    assert operation["ErrorInfo"]["ErrorString"] == mover.said
    found = client.describe_channel(ClusterArn=express, ChannelArn=arn)
    assert (found["Status"], found["StateInfo"]["Message"]) == ("FAILED", mover.said)
    assert "ClusterOperationArn" not in found
    monkeypatch.undo()
    gone = client.delete_channel(ClusterArn=express, ChannelArn=arn)
    assert finished(client, gone["ClusterOperationArn"])["OperationState"] == "UPDATE_COMPLETE"


@ERRORS
@pytest.mark.parametrize("what", ["start", "update", "stop"])
def test_a_replicator(
    client: Any, request_: dict[str, Any], monkeypatch: pytest.MonkeyPatch, what: str, error: Exception
) -> None:
    mover = Failing(what, error)
    monkeypatch.setattr(replicators, "MOVER", mover)
    arn = client.create_replicator(**request_)["ReplicatorArn"]
    found = test_replicators.settled(client, arn)
    if what != "start":
        assert found["ReplicatorState"] == "RUNNING"
        if what == "update":
            client.update_replication_info(
                ReplicatorArn=arn,
                CurrentVersion=found["CurrentVersion"],
                TopicReplication=UPDATED_ALL,
                **pair(request_),
            )
        else:
            client.delete_replicator(ReplicatorArn=arn)
        found = _failed(client, arn)
    assert (found["ReplicatorState"], found["StateInfo"]["Message"]) == ("FAILED", mover.said)
    monkeypatch.undo()
    client.delete_replicator(ReplicatorArn=arn)
    test_replicators.gone(client, arn)


def _failed(client: Any, arn: str) -> Any:
    while (found := test_replicators.settled(client, arn))["ReplicatorState"] == "DELETING":
        pass
    return found


class Waiting:
    """A mover that takes its time."""

    def __init__(self) -> None:
        self.reached, self.go = threading.Event(), threading.Event()

    def start(self, resource: Resource) -> StateInfo | None:
        """Begin, once it may."""
        self.reached.set()
        assert self.go.wait(PATIENCE)
        return None

    def update(self, resource: Resource) -> NoReturn:
        """Never asked for."""
        raise AssertionError

    def stop(self, resource: Resource) -> None:
        """End."""
        assert self.go.is_set()


@pytest.fixture
def waiting(monkeypatch: pytest.MonkeyPatch) -> Waiting:
    mover = Waiting()
    monkeypatch.setattr(replicators, "MOVER", mover)
    monkeypatch.setattr(channels, "MOVER", mover)
    return mover


def test_a_replicator_that_is_being_created_is_not_deleted(
    client: Any, request_: dict[str, Any], waiting: Waiting
) -> None:
    arn = client.create_replicator(**request_)["ReplicatorArn"]
    assert waiting.reached.wait(PATIENCE)
    with refused("BadRequestException") as refusal:
        client.delete_replicator(ReplicatorArn=arn)
    assert refusal.message == "You can't delete a replicator in CREATING state."
    waiting.go.set()
    test_replicators.settled(client, arn)
    client.delete_replicator(ReplicatorArn=arn)
    test_replicators.gone(client, arn)


def test_a_channel_that_is_being_created_is_not_deleted(client: Any, express: str, waiting: Waiting) -> None:
    arn = client.create_channel(**s3(express))["ChannelArn"]
    assert waiting.reached.wait(PATIENCE)
    with refused("BadRequestException") as refusal:
        client.delete_channel(ClusterArn=express, ChannelArn=arn)
    assert refusal.message == "You can't delete a channel in CREATING state."
    waiting.go.set()
    test_channels.settled(client, express, arn)
    gone = client.delete_channel(ClusterArn=express, ChannelArn=arn)
    assert finished(client, gone["ClusterOperationArn"])["OperationState"] == "UPDATE_COMPLETE"
