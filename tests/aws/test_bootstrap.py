"""GetBootstrapBrokers: which keys there are, and what is in them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pytest_msk.aws.kafka.state import MskService
from pytest_msk.errors import BrokerStartError
from tests.aws.kafka_api import create, create_serverless, group, refused
from tests.aws.planes import PATIENCE, FakePlane, port

Active = Callable[..., str]

TLS = {"EncryptionInTransit": {"ClientBroker": "TLS"}}
PLAINTEXT = {"EncryptionInTransit": {"ClientBroker": "PLAINTEXT"}}
SCRAM_AND_IAM = {"Sasl": {"Scram": {"Enabled": True}, "Iam": {"Enabled": True}}}


def bootstrap(client: Any, arn: str) -> dict[str, str]:
    reply: dict[str, str] = client.get_bootstrap_brokers(ClusterArn=arn)
    return {key: value for key, value in reply.items() if key != "ResponseMetadata"}


def addresses(listener: str, *brokers: int) -> str:
    return ",".join(f"127.0.0.1:{port(broker, listener)}" for broker in brokers)


@pytest.mark.parametrize(
    ("request_", "keys"),
    [
        ({}, {"BootstrapBrokerString", "BootstrapBrokerStringTls"}),
        ({"EncryptionInfo": TLS}, {"BootstrapBrokerStringTls"}),
        ({"EncryptionInfo": PLAINTEXT}, {"BootstrapBrokerString"}),
        (
            {"ClientAuthentication": SCRAM_AND_IAM},
            {"BootstrapBrokerStringSaslScram", "BootstrapBrokerStringSaslIam"},
        ),
        (
            {"ClientAuthentication": {**SCRAM_AND_IAM, "Unauthenticated": {"Enabled": True}}},
            {"BootstrapBrokerStringSaslScram", "BootstrapBrokerStringSaslIam", "BootstrapBrokerStringTls"},
        ),
    ],
)
def test_without_brokers_the_strings_are_empty(
    client: Any, active: Active, request_: dict[str, Any], keys: set[str]
) -> None:
    assert bootstrap(client, active(**request_)) == dict.fromkeys(keys, "")


@pytest.mark.usefixtures("plane")
def test_live_addresses(client: Any, active: Active) -> None:
    assert bootstrap(client, active()) == {
        "BootstrapBrokerString": addresses("plaintext", 1, 2, 3),
        "BootstrapBrokerStringTls": addresses("tls", 1, 2, 3),
    }


def test_a_listener_that_the_plane_does_not_open(client: Any, active: Active, plane: FakePlane) -> None:
    plane.opens = frozenset({"plaintext"})
    assert bootstrap(client, active()) == {
        "BootstrapBrokerString": addresses("plaintext", 1, 2, 3),
        "BootstrapBrokerStringTls": "",
    }


@pytest.mark.usefixtures("plane")
@pytest.mark.parametrize(
    ("subnets", "brokers", "shown"),
    [(1, 1, [1]), (1, 5, [1, 2, 3]), (2, 6, [1, 2, 3]), (3, 6, [1, 2, 3]), (2, 2, [1, 2])],
)
def test_three_brokers_at_most(
    client: Any, active: Active, subnets: int, brokers: int, shown: list[int]
) -> None:
    names = [f"subnet-{number}" for number in range(subnets)]
    arn = active(NumberOfBrokerNodes=brokers, **group(ClientSubnets=names))
    assert bootstrap(client, arn)["BootstrapBrokerString"] == addresses("plaintext", *shown)


def test_of_different_zones(client: Any, service: MskService, active: Active, plane: FakePlane) -> None:
    arn = active(NumberOfBrokerNodes=6)
    brokers = plane.made["orders"]
    # Brokers 1 and 4 are in one zone, 2 and 5 in the next.
    brokers.brokers = [broker for broker in brokers.brokers if broker.id in (1, 4, 5)]
    assert bootstrap(client, arn)["BootstrapBrokerString"] == addresses("plaintext", 1, 5, 4)


def test_serverless(client: Any, service: MskService) -> None:
    arn = create_serverless(client)
    service.wait_active(arn, PATIENCE)
    assert bootstrap(client, arn) == {"BootstrapBrokerStringSaslIam": ""}


class TestStates:
    def refusal(self, client: Any, arn: str) -> str:
        with refused("BadRequestException") as refusal:
            client.get_bootstrap_brokers(ClusterArn=arn)
        return refusal.message

    def test_creating(self, client: Any, plane: FakePlane) -> None:
        plane.gate.clear()
        message = self.refusal(client, create(client))
        assert message == "You can't get bootstrap broker nodes for a cluster in CREATING state."

    def test_failed(self, client: Any, service: MskService, plane: FakePlane) -> None:
        plane.start_error = BrokerStartError("no")
        arn = create(client)
        with pytest.raises(BrokerStartError):
            service.wait_active(arn, PATIENCE)
        message = self.refusal(client, arn)
        assert message == "You can't get bootstrap broker nodes for a cluster in FAILED state."

    def test_deleting(self, client: Any, service: MskService, plane: FakePlane) -> None:
        plane.gate.clear()
        plane.deaf = True
        arn = create(client)
        assert plane.made["orders"].starting.wait(PATIENCE)
        service.begin_delete(service.cluster(arn))
        message = self.refusal(client, arn)
        plane.gate.set()
        assert message == "You can't get bootstrap broker nodes for a cluster in DELETING state."
