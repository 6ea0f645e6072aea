"""Every bootstrap string leads to listeners that let in whom they should, and nobody else."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import boto3
import pytest
from aws_msk_iam_sasl_signer import MSKAuthTokenProvider  # type: ignore[import-untyped]
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic

from pytest_msk.brokers.auth.keys import ClusterKeys
from pytest_msk.brokers.clock import real_monotonic
from pytest_msk.mock import MockMsk

CA = "arn:aws:acm-pca:us-east-1:123456789012:certificate-authority/0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f"
GROUP = {"InstanceType": "kafka.m5.large", "ClientSubnets": ["subnet-a", "subnet-b"]}
EVERY_SCHEME = {
    "Sasl": {"Scram": {"Enabled": True}, "Iam": {"Enabled": True}},
    "Tls": {"Enabled": True, "CertificateAuthorityArnList": [CA]},
}
STARTS_IN = 120.0
SECRET = {"username": "alice", "password": "alice-secret"}


@dataclass
class Secured:
    """A cluster that is reached by every scheme, from its own VPC and from others.

    Attributes:
        client: boto3's ``kafka``.
        arn: the cluster's.
        keys: its certificates.
    """

    client: Any
    arn: str
    keys: ClusterKeys

    def settings(self, key: str, **more: Any) -> dict[str, Any]:
        """What librdkafka needs to get in by a bootstrap string, whose key tells the scheme."""
        found = self.client.get_bootstrap_brokers(ClusterArn=self.arn)
        settings = {
            "bootstrap.servers": found[key],
            "ssl.ca.pem": self.keys.authority.pem.decode(),
            "security.protocol": "sasl_ssl" if "Sasl" in key else "ssl",
            "log_level": 0,
        }
        return settings | self.login(key) | more

    def login(self, key: str) -> dict[str, Any]:
        """Who the client says it is."""
        if key.endswith("SaslIam"):
            return {"sasl.mechanism": "OAUTHBEARER", "oauth_cb": _token}
        if key.endswith("SaslScram"):
            login = {"sasl.username": SECRET["username"], "sasl.password": SECRET["password"]}
            return {"sasl.mechanism": "SCRAM-SHA-512", **login}
        pair = self.keys.authority.client("orders")
        return {"ssl.certificate.pem": pair.certificate.decode(), "ssl.key.pem": pair.key.decode()}


def _token(_: str) -> tuple[str, float]:
    text, ends_ms = MSKAuthTokenProvider.generate_auth_token("us-east-1")
    return text, ends_ms / 1000


def until(asked: Callable[[], str], wanted: str) -> None:
    end = real_monotonic() + STARTS_IN
    while (found := asked()) != wanted:
        assert real_monotonic() < end, found


@pytest.fixture(scope="module")
def secured(msk: MockMsk) -> Iterator[Secured]:
    client = msk.client
    arn = client.create_cluster(
        ClusterName="secured",
        KafkaVersion="3.7.x.kraft",
        NumberOfBrokerNodes=2,
        BrokerNodeGroupInfo=GROUP,
        ClientAuthentication=EVERY_SCHEME,
    )["ClusterArn"]

    def described() -> Any:
        return client.describe_cluster(ClusterArn=arn)["ClusterInfo"]

    until(lambda: described()["State"], "ACTIVE")
    _associate_secret(client, arn)
    everything = {"Sasl": {"Scram": {"Enabled": True}, "Iam": {"Enabled": True}}, "Tls": {"Enabled": True}}
    client.update_connectivity(
        ClusterArn=arn,
        CurrentVersion=described()["CurrentVersion"],
        ConnectivityInfo={"VpcConnectivity": {"ClientAuthentication": everything}},
    )
    until(lambda: described()["State"], "ACTIVE")
    for scheme in ("SASL_IAM", "SASL_SCRAM", "TLS"):
        connection = client.create_vpc_connection(
            TargetClusterArn=arn,
            Authentication=scheme,
            VpcId=f"vpc-{scheme[-3:].lower()}",
            ClientSubnets=["subnet-c", "subnet-d"],
            SecurityGroups=["sg-1"],
        )["VpcConnectionArn"]
        until(partial(_state, client, connection), "AVAILABLE")
    yield Secured(client, arn, msk._entered().service.cluster(arn).brokers.keys)
    client.delete_cluster(ClusterArn=arn)


def _state(client: Any, connection: str) -> str:
    state: str = client.describe_vpc_connection(Arn=connection)["State"]
    return state


def _associate_secret(client: Any, arn: str) -> None:
    key = boto3.client("kms", region_name="us-east-1").create_key()["KeyMetadata"]["Arn"]
    secrets = boto3.client("secretsmanager", region_name="us-east-1")
    made = secrets.create_secret(Name="AmazonMSK_alice", KmsKeyId=key, SecretString=json.dumps(SECRET))
    answer = client.batch_associate_scram_secret(ClusterArn=arn, SecretArnList=[made["ARN"]])
    assert answer["UnprocessedScramSecrets"] == []


KEYS = [
    f"BootstrapBrokerString{way}{scheme}"
    for way in ("", "VpcConnectivity")
    for scheme in ("Tls", "SaslScram", "SaslIam")
]


def test_the_strings(secured: Secured) -> None:
    found = secured.client.get_bootstrap_brokers(ClusterArn=secured.arn)
    del found["ResponseMetadata"]
    assert set(found) == set(KEYS)
    assert all(len(servers.split(",")) == 2 for servers in found.values())


@pytest.mark.parametrize("key", KEYS)
def test_who_may_gets_in(secured: Secured, key: str) -> None:
    settings = secured.settings(key)
    admin = AdminClient(settings)
    admin.poll(1)  # fetches the token
    found = admin.list_topics(timeout=20)
    # Brokers send clients back to the listener that they came by.
    reached = {f"{broker.host}:{broker.port}" for broker in found.brokers.values()}
    assert reached == set(settings["bootstrap.servers"].split(","))


@pytest.mark.parametrize(
    ("key", "wrong"),
    [
        ("BootstrapBrokerStringSaslScram", {"sasl.password": "other"}),
        ("BootstrapBrokerStringSaslScram", {"sasl.username": "bob"}),
        ("BootstrapBrokerStringSaslScram", {"sasl.mechanism": "SCRAM-SHA-256"}),
        (
            "BootstrapBrokerStringSaslIam",
            {"sasl.mechanism": "PLAIN", "sasl.username": "a", "sasl.password": "b"},
        ),
        ("BootstrapBrokerStringTls", {"ssl.certificate.pem": "", "ssl.key.pem": ""}),
        ("BootstrapBrokerStringTls", {"security.protocol": "plaintext"}),
    ],
)
def test_who_may_not_does_not(secured: Secured, key: str, wrong: dict[str, Any]) -> None:
    settings = {name: value for name, value in (secured.settings(key) | wrong).items() if value}
    with pytest.raises(KafkaException):
        AdminClient(settings).list_topics(timeout=2)


def test_a_serverless_cluster_is_reached_with_iam(msk: MockMsk) -> None:
    client = msk.client
    arn = client.create_cluster_v2(
        ClusterName="events", Serverless={"VpcConfigs": [{"SubnetIds": ["subnet-a", "subnet-b"]}]}
    )["ClusterArn"]
    until(lambda: client.describe_cluster_v2(ClusterArn=arn)["ClusterInfo"]["State"], "ACTIVE")
    events = Secured(client, arn, msk._entered().service.cluster(arn).brokers.keys)
    admin = AdminClient(events.settings("BootstrapBrokerStringSaslIam"))
    admin.poll(1)
    assert len(admin.list_topics(timeout=20).brokers) == 3
    admin.create_topics([NewTopic("orders", 1)])["orders"].result(20)
    until(lambda: _retention(admin, "orders"), str(250 * 1024**3))
    client.delete_cluster(ClusterArn=arn)


def _retention(admin: AdminClient, topic: str) -> str:
    """A topic's ``retention.bytes``, or the error of a broker that has not heard of the topic yet."""
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    try:
        configs = admin.describe_configs([resource])[resource].result(20)
    except KafkaException as error:
        return str(error)
    value: str = configs["retention.bytes"].value
    return value
