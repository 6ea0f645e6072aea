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


def connect(service: MskService, arn: str, **changes: Any) -> None:
    """Change a cluster's ``ConnectivityInfo``."""
    service.cluster(arn).settings["BrokerNodeGroupInfo"]["ConnectivityInfo"] |= changes


PUBLIC = {"PublicAccess": {"Type": "SERVICE_PROVIDED_EIPS"}}
DUAL = {"NetworkType": "DUAL"}
VPC_IAM = {"VpcConnectivity": {"ClientAuthentication": {"Sasl": {"Iam": {"Enabled": True}}}}}
VPC_ALL = {
    "VpcConnectivity": {
        "ClientAuthentication": {
            "Sasl": {"Iam": {"Enabled": True}, "Scram": {"Enabled": True}},
            "Tls": {"Enabled": True},
        }
    }
}
EVERY_SCHEME = {
    **SCRAM_AND_IAM,
    "Tls": {
        "CertificateAuthorityArnList": [
            "arn:aws:acm-pca:us-east-1:123456789012:certificate-authority/0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f"
        ]
    },
}


class TestConnectivity:
    @pytest.fixture
    def arn(self, active: Active, plane: FakePlane) -> str:
        """A cluster with every listener but plaintext."""
        return active(ClientAuthentication=EVERY_SCHEME)

    @pytest.mark.parametrize(
        ("changes", "listeners"),
        [
            ({}, {}),
            (PUBLIC, {"PublicTls": "tls", "PublicSaslScram": "scram", "PublicSaslIam": "iam"}),
            (DUAL, {"TlsIpv6": "tls", "SaslScramIpv6": "scram", "SaslIamIpv6": "iam"}),
            (VPC_IAM, {"VpcConnectivitySaslIam": "iam"}),
            (
                VPC_ALL,
                {
                    "VpcConnectivityTls": "tls",
                    "VpcConnectivitySaslScram": "scram",
                    "VpcConnectivitySaslIam": "iam",
                },
            ),
            (
                {**PUBLIC, **VPC_IAM},
                {
                    "PublicTls": "tls",
                    "PublicSaslScram": "scram",
                    "PublicSaslIam": "iam",
                    "VpcConnectivitySaslIam": "iam",
                },
            ),
        ],
    )
    def test_more_keys_lead_to_the_same_listeners(
        self, client: Any, service: MskService, arn: str, changes: dict[str, Any], listeners: dict[str, str]
    ) -> None:
        connect(service, arn, **changes)
        always = {"Tls": "tls", "SaslScram": "scram", "SaslIam": "iam"}
        assert bootstrap(client, arn) == {
            f"BootstrapBrokerString{key}": addresses(listener, 1, 2, 3)
            for key, listener in {**always, **listeners}.items()
        }

    def test_only_for_what_the_cluster_opens(
        self, client: Any, service: MskService, active: Active, plane: FakePlane
    ) -> None:
        arn = active(ClientAuthentication={"Sasl": {"Iam": {"Enabled": True}}})
        connect(service, arn, **PUBLIC, **VPC_IAM)
        assert bootstrap(client, arn) == {
            "BootstrapBrokerStringSaslIam": addresses("iam", 1, 2, 3),
            "BootstrapBrokerStringPublicSaslIam": addresses("iam", 1, 2, 3),
            "BootstrapBrokerStringVpcConnectivitySaslIam": addresses("iam", 1, 2, 3),
        }

    def test_dual_stack_without_authentication(
        self, client: Any, service: MskService, active: Active, plane: FakePlane
    ) -> None:
        arn = active()
        connect(service, arn, **DUAL)
        assert bootstrap(client, arn) == {
            "BootstrapBrokerString": addresses("plaintext", 1, 2, 3),
            "BootstrapBrokerStringTls": addresses("tls", 1, 2, 3),
            "BootstrapBrokerStringIpv6": addresses("plaintext", 1, 2, 3),
            "BootstrapBrokerStringTlsIpv6": addresses("tls", 1, 2, 3),
        }

    def test_there_before_the_plane_opens_the_listener(
        self, client: Any, service: MskService, plane: FakePlane, active: Active
    ) -> None:
        plane.opens = frozenset({"plaintext"})
        arn = active(ClientAuthentication=EVERY_SCHEME)
        connect(service, arn, **VPC_IAM)
        assert bootstrap(client, arn)["BootstrapBrokerStringVpcConnectivitySaslIam"] == ""


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
