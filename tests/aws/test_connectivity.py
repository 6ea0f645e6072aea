"""Updates of connectivity and security."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from pytest_msk.aws.kafka.configurations import add_revision
from pytest_msk.aws.kafka.connectivity import AT_REST, IN_CLUSTER, NO_SECURITY_UPDATES, SEVERAL_SETTINGS
from pytest_msk.aws.kafka.operations import IDENTICAL
from pytest_msk.aws.kafka.state import MskService
from pytest_msk.errors import BrokerStartError
from tests.aws.kafka_api import create_serverless, finished, group, refused
from tests.aws.planes import FakePlane

Active = Callable[..., str]

PRIVATE_CA = "arn:aws:acm-pca:us-east-1:123456789012:certificate-authority/0a-1"
OTHER_CA = "arn:aws:acm-pca:us-east-1:123456789012:certificate-authority/0a-2"


def sasl(**on: bool) -> dict[str, Any]:
    return {"Sasl": {name: {"Enabled": is_on} for name, is_on in on.items()}}


def tls(*authorities: str, **changes: bool) -> dict[str, Any]:
    return {"Tls": {"CertificateAuthorityArnList": list(authorities), **changes}}


def unauthenticated(on: bool) -> dict[str, Any]:
    return {"Unauthenticated": {"Enabled": on}}


def transit(client_broker: str, **changes: bool) -> dict[str, Any]:
    return {"EncryptionInTransit": {"ClientBroker": client_broker, **changes}}


def public(type_: str = "SERVICE_PROVIDED_EIPS") -> dict[str, Any]:
    return {"PublicAccess": {"Type": type_}}


def private(tls: bool | None = None, **on: bool) -> dict[str, Any]:
    """``VpcConnectivity`` with some schemes on or off."""
    of_tls = {} if tls is None else {"Tls": {"Enabled": tls}}
    return {"VpcConnectivity": {"ClientAuthentication": {**(sasl(**on) if on else {}), **of_tls}}}


WITH_IAM = {"ClientAuthentication": sasl(Iam=True)}
WITH_SCRAM = {"ClientAuthentication": sasl(Scram=True)}
WITH_TLS = {"ClientAuthentication": tls(PRIVATE_CA)}
WITH_ALL = {"ClientAuthentication": {**sasl(Iam=True, Scram=True), **tls(PRIVATE_CA)}}
WITH_ZOOKEEPER = {"KafkaVersion": "3.6.0"}
DUAL = {"NetworkType": "DUAL"}


def described(client: Any, arn: str) -> Any:
    return client.describe_cluster(ClusterArn=arn)["ClusterInfo"]


def connectivity(client: Any, arn: str) -> Any:
    return described(client, arn)["BrokerNodeGroupInfo"]["ConnectivityInfo"]


def connect(client: Any, arn: str, info: Mapping[str, Any] | None = None, **changes: Any) -> Any:
    """Update connectivity, and wait for the operation's end."""
    if info is not None:
        changes["ConnectivityInfo"] = info
    current = described(client, arn)["CurrentVersion"]
    answer = client.update_connectivity(ClusterArn=arn, CurrentVersion=current, **changes)
    return finished(client, answer["ClusterOperationArn"])


def secure(
    client: Any, arn: str, authentication: Any = None, encryption: Mapping[str, Any] | None = None
) -> Any:
    """Update security, and wait for the operation's end."""
    changes = {"ClientAuthentication": authentication, "EncryptionInfo": encryption}
    given = {name: value for name, value in changes.items() if value is not None}
    current = described(client, arn)["CurrentVersion"]
    answer = client.update_security(ClusterArn=arn, CurrentVersion=current, **given)
    return finished(client, answer["ClusterOperationArn"])


def keys(client: Any, arn: str) -> set[str]:
    """The keys of the bootstrap strings, without what all begin with."""
    reply = client.get_bootstrap_brokers(ClusterArn=arn)
    return {key.removeprefix("BootstrapBrokerString") for key in reply if key != "ResponseMetadata"}


def closed_to_strangers(service: MskService, value: str = "false") -> dict[str, Any]:
    """A configuration that public access with SCRAM or mutual TLS needs."""
    region = service.region("123456789012", "us-east-1")
    arn, revision = add_revision(region, "closed", {"allow.everyone.if.no.acl.found": value})
    return {"ConfigurationInfo": {"Arn": arn, "Revision": revision}}


class TestPublicAccess:
    def test_on_and_off(self, client: Any, plane: FakePlane, active: Active) -> None:
        arn = active(**WITH_IAM)
        done = connect(client, arn, public())
        assert (done["OperationType"], done["OperationState"]) == ("UPDATE_CONNECTIVITY", "UPDATE_COMPLETE")
        assert done["SourceClusterInfo"] == {"ConnectivityInfo": public("DISABLED")}
        assert done["TargetClusterInfo"] == {"ConnectivityInfo": public()}
        assert connectivity(client, arn)["PublicAccess"] == {"Type": "SERVICE_PROVIDED_EIPS"}
        assert keys(client, arn) == {"SaslIam", "PublicSaslIam"}
        connect(client, arn, public("DISABLED"))
        assert keys(client, arn) == {"SaslIam"}
        assert plane.made["orders"].applied == []

    @pytest.mark.parametrize("cluster", [WITH_SCRAM, WITH_TLS, WITH_ALL])
    def test_with_acls(self, client: Any, service: MskService, active: Active, cluster: Any) -> None:
        arn = active(**cluster, **closed_to_strangers(service))
        assert connect(client, arn, public())["OperationState"] == "UPDATE_COMPLETE"

    @pytest.mark.parametrize("cluster", [WITH_SCRAM, WITH_TLS, WITH_ALL])
    @pytest.mark.parametrize("value", [None, "true"])
    def test_without_acls(
        self, client: Any, service: MskService, active: Active, cluster: Any, value: str | None
    ) -> None:
        configuration = closed_to_strangers(service, value) if value else {}
        arn = active(**cluster, **configuration)
        with refused("BadRequestException") as refusal:
            connect(client, arn, public())
        assert "needs a configuration with allow.everyone.if.no.acl.found=false" in refusal.message
        assert refusal.parameter == "publicAccess"

    @pytest.mark.parametrize(
        ("cluster", "message"),
        [
            ({}, "clientBroker must be TLS and inCluster true"),
            ({"EncryptionInfo": transit("TLS")}, "needs SASL/SCRAM, SASL/IAM or TLS authentication"),
            ({"EncryptionInfo": transit("TLS", InCluster=False)}, "inCluster true"),
            (
                {"ClientAuthentication": {**sasl(Iam=True), **unauthenticated(True)}},
                "unauthenticated access to be disabled",
            ),
            ({**WITH_IAM, "KafkaVersion": "2.5.1"}, "since Kafka 2.6.0, and the cluster's version is 2.5.1"),
        ],
    )
    def test_refused(self, client: Any, active: Active, cluster: Any, message: str) -> None:
        arn = active(**cluster)
        with refused("BadRequestException") as refusal:
            connect(client, arn, public())
        assert message in refusal.message
        assert refusal.parameter == "publicAccess"
        assert connectivity(client, arn)["PublicAccess"] == {"Type": "DISABLED"}

    def test_unknown_types(self, client: Any, active: Active) -> None:
        with refused("BadRequestException") as refusal:
            connect(client, active(), public("ENABLED"))
        assert refusal.message == (
            "Invalid value for type: 'ENABLED'. Valid values: [DISABLED, SERVICE_PROVIDED_EIPS]"
        )
        assert refusal.parameter == "type"


class TestVpcConnectivity:
    def test_one_scheme_after_the_other(self, client: Any, plane: FakePlane, active: Active) -> None:
        arn = active(**WITH_ALL)
        connect(client, arn, private(Iam=True))
        assert connectivity(client, arn)["VpcConnectivity"] == {
            "ClientAuthentication": {
                "Sasl": {"Scram": {"Enabled": False}, "Iam": {"Enabled": True}},
                "Tls": {"Enabled": False},
            }
        }
        connect(client, arn, private(tls=True, Scram=True))
        vpc = {key for key in keys(client, arn) if key.startswith("Vpc")}
        assert vpc == {"VpcConnectivitySaslIam", "VpcConnectivitySaslScram", "VpcConnectivityTls"}
        connect(client, arn, private(tls=False, Scram=False, Iam=False))
        assert not any(key.startswith("Vpc") for key in keys(client, arn))
        assert plane.made["orders"].applied == []

    @pytest.mark.parametrize(
        ("cluster", "info", "message"),
        [
            ({}, private(Iam=True), "for SASL/IAM needs the cluster itself"),
            (WITH_IAM, private(tls=True, Scram=True), "for SASL/SCRAM and TLS needs the cluster itself"),
            (WITH_TLS, private(Iam=True), "for SASL/IAM needs the cluster itself"),
            ({**WITH_IAM, "KafkaVersion": "2.7.0"}, private(Iam=True), "since Kafka 2.7.1"),
            (
                {**WITH_IAM, **group(InstanceType="kafka.t3.small")},
                private(Iam=True),
                "not available for kafka.t3.small brokers",
            ),
        ],
    )
    def test_refused(self, client: Any, active: Active, cluster: Any, info: Any, message: str) -> None:
        arn = active(**cluster)
        with refused("BadRequestException") as refusal:
            connect(client, arn, info)
        assert message in refusal.message
        assert refusal.parameter == "vpcConnectivity"

    def test_connections_of_a_scheme_that_is_turned_off(self, client: Any, active: Active) -> None:
        arn = active(**WITH_ALL)
        connect(client, arn, private(Iam=True, Scram=True))
        made = {
            scheme: client.create_vpc_connection(
                TargetClusterArn=arn,
                Authentication=scheme,
                VpcId="vpc-1",
                ClientSubnets=["subnet-1", "subnet-2", "subnet-3"],
                SecurityGroups=["sg-1"],
            )["VpcConnectionArn"]
            for scheme in ("SASL_IAM", "SASL_SCRAM")
        }
        connect(client, arn, private(Iam=False))
        connect(client, arn, private(Iam=True))
        states = {scheme: client.describe_vpc_connection(Arn=one)["State"] for scheme, one in made.items()}
        assert states["SASL_IAM"] == "INACTIVE"
        assert states["SASL_SCRAM"] in ("CREATING", "AVAILABLE")


class TestNetworkType:
    def test_dual(self, client: Any, plane: FakePlane, active: Active) -> None:
        arn = active(**WITH_IAM)
        done = connect(client, arn, DUAL)
        assert done["SourceClusterInfo"] == {"ConnectivityInfo": {"NetworkType": "IPV4"}}
        assert done["TargetClusterInfo"] == {"ConnectivityInfo": DUAL}
        assert connectivity(client, arn)["NetworkType"] == "DUAL"
        assert keys(client, arn) == {"SaslIam", "SaslIamIpv6"}

    def test_never_back(self, client: Any, active: Active) -> None:
        arn = active()
        connect(client, arn, DUAL)
        with refused("BadRequestException") as refusal:
            connect(client, arn, {"NetworkType": "IPV4"})
        assert refusal.message == "A cluster of network type DUAL cannot be changed back to IPV4."
        assert refusal.parameter == "networkType"

    def test_an_old_version(self, client: Any, active: Active) -> None:
        with refused("BadRequestException") as refusal:
            connect(client, active(KafkaVersion="3.5.1"), DUAL)
        assert "since Kafka 3.6.0" in refusal.message
        assert refusal.parameter == "networkType"


class TestZookeeperAccess:
    def test_off_and_on(self, client: Any, plane: FakePlane, active: Active) -> None:
        arn = active(**WITH_ZOOKEEPER)
        done = connect(client, arn, ZookeeperAccess={"Enabled": False})
        assert done["OperationType"] == "UPDATE_CONNECTIVITY"
        assert done["SourceClusterInfo"] == {"ZookeeperAccess": {"Enabled": True}}
        assert done["TargetClusterInfo"] == {"ZookeeperAccess": {"Enabled": False}}
        done = connect(client, arn, ZookeeperAccess={"Enabled": True})
        assert done["SourceClusterInfo"] == {"ZookeeperAccess": {"Enabled": False}}
        assert plane.made["orders"].applied == []

    @pytest.mark.parametrize(
        ("cluster", "access", "parameter", "message"),
        [
            (WITH_ZOOKEEPER, {"Enabled": True}, "zookeeperAccess", IDENTICAL),
            (WITH_ZOOKEEPER, {}, "enabled", "enabled must be given for zookeeperAccess."),
            ({}, {"Enabled": False}, "zookeeperAccess", "The cluster has no ZooKeeper."),
        ],
    )
    def test_refused(
        self, *, client: Any, active: Active, cluster: Any, access: Any, parameter: str, message: str
    ) -> None:
        arn = active(**cluster)
        with refused("BadRequestException") as refusal:
            connect(client, arn, ZookeeperAccess=access)
        assert (refusal.message, refusal.parameter) == (message, parameter)

    def test_together_with_another_setting(self, client: Any, active: Active) -> None:
        arn = active(**WITH_ZOOKEEPER)
        done = connect(client, arn, DUAL, ZookeeperAccess={"Enabled": False})
        assert done["TargetClusterInfo"] == {"ConnectivityInfo": DUAL, "ZookeeperAccess": {"Enabled": False}}


class TestConnectivity:
    def test_all_as_it_is(self, client: Any, active: Active) -> None:
        arn = active()
        with refused("BadRequestException") as refusal:
            connect(client, arn, connectivity(client, arn))
        assert (refusal.message, refusal.parameter) == (IDENTICAL, "connectivityInfo")

    def test_one_change_among_what_is_as_it_is(self, client: Any, active: Active) -> None:
        arn = active(**WITH_IAM)
        done = connect(client, arn, {**connectivity(client, arn), **public()})
        assert done["TargetClusterInfo"] == {"ConnectivityInfo": public()}

    def test_several_at_once(self, client: Any, active: Active) -> None:
        arn = active(**WITH_IAM)
        with refused("BadRequestException") as refusal:
            connect(client, arn, {**public(), **private(Iam=True)})
        assert (refusal.message, refusal.parameter) == (SEVERAL_SETTINGS, "connectivityInfo")

    def test_nothing_given(self, client: Any, active: Active) -> None:
        with refused("BadRequestException") as refusal:
            connect(client, active())
        assert refusal.message == "At least one of connectivityInfo and zookeeperAccess must be given."


STEPS = [
    (sasl(Scram=True), transit("TLS"), {"scram"}, "none"),
    (unauthenticated(True), None, {"scram", "tls"}, "none"),
    (None, transit("TLS_PLAINTEXT"), {"scram", "tls", "plaintext"}, "none"),
    (sasl(Scram=False, Iam=True), None, {"iam", "tls", "plaintext"}, "none"),
    (tls(PRIVATE_CA), None, {"iam", "tls", "plaintext"}, "requested"),
    (None, transit("TLS"), {"iam", "tls"}, "requested"),
    (unauthenticated(False), None, {"iam", "tls"}, "required"),
    (sasl(Iam=False), None, {"tls"}, "required"),
    (tls(Enabled=False), transit("PLAINTEXT"), {"plaintext"}, "none"),
]


class TestSecurity:
    def test_each_change_is_new_listeners(self, client: Any, plane: FakePlane, active: Active) -> None:
        arn = active()
        wanted: list[object] = []
        for authentication, encryption, listeners, certificates in STEPS:
            done = secure(client, arn, authentication, encryption)
            assert (done["OperationType"], done["OperationState"]) == ("UPDATE_SECURITY", "UPDATE_COMPLETE")
            wanted.append((listeners, certificates))
            applied = plane.made["orders"].applied
            assert [(spec.listeners, spec.client_certificates) for spec in applied] == wanted
            assert len(keys(client, arn)) == len(listeners)
        # It was created without a word about security, and stays a cluster for trying things out.
        assert all(spec.auto_create_topics for spec in plane.made["orders"].applied)

    def test_a_cluster_whose_security_was_named_makes_no_topics(
        self, client: Any, plane: FakePlane, active: Active
    ) -> None:
        secure(client, active(**WITH_IAM), sasl(Scram=True))
        (spec,) = plane.made["orders"].applied
        assert spec.listeners == {"iam", "scram"}
        assert not spec.auto_create_topics

    def test_read_back(self, client: Any, active: Active) -> None:
        arn = active(**WITH_IAM)
        before = described(client, arn)
        done = secure(client, arn, {**sasl(Scram=True), **tls(PRIVATE_CA)})
        after = described(client, arn)
        assert after["ClientAuthentication"] == {
            "Sasl": {"Scram": {"Enabled": True}, "Iam": {"Enabled": True}},
            "Tls": {"CertificateAuthorityArnList": [PRIVATE_CA], "Enabled": True},
            "Unauthenticated": {"Enabled": False},
        }
        assert after["EncryptionInfo"] == before["EncryptionInfo"]
        assert done["SourceClusterInfo"] == {"ClientAuthentication": before["ClientAuthentication"]}
        assert done["TargetClusterInfo"] == {"ClientAuthentication": after["ClientAuthentication"]}

    def test_encryption_alone(self, client: Any, active: Active) -> None:
        arn = active()
        done = secure(client, arn, None, transit("PLAINTEXT"))
        assert done["SourceClusterInfo"] == {"EncryptionInfo": transit("TLS_PLAINTEXT", InCluster=True)}
        assert done["TargetClusterInfo"] == {"EncryptionInfo": transit("PLAINTEXT", InCluster=True)}
        assert "ClientAuthentication" not in described(client, arn)

    def test_source_of_what_was_never_set(self, client: Any, active: Active) -> None:
        done = secure(client, active(EncryptionInfo=transit("TLS")), sasl(Iam=True))
        assert done["SourceClusterInfo"] == {}

    def test_other_authorities(self, client: Any, plane: FakePlane, active: Active) -> None:
        arn = active(**WITH_TLS)
        secure(client, arn, tls(OTHER_CA))
        assert described(client, arn)["ClientAuthentication"]["Tls"] == {
            "CertificateAuthorityArnList": [OTHER_CA],
            "Enabled": True,
        }
        assert plane.made["orders"].applied == []

    def test_authorities_are_forgotten_with_mutual_tls(self, client: Any, active: Active) -> None:
        arn = active(**WITH_ALL)
        secure(client, arn, {"Tls": {"Enabled": False}})
        found = described(client, arn)["ClientAuthentication"]["Tls"]
        assert found == {"CertificateAuthorityArnList": [], "Enabled": False}

    @pytest.mark.parametrize(
        ("cluster", "authentication", "encryption"),
        [
            (WITH_IAM, sasl(Iam=True), None),
            (WITH_IAM, {**sasl(Iam=True, Scram=False), **tls(Enabled=False)}, transit("TLS")),
            (WITH_TLS, tls(PRIVATE_CA), None),
            ({}, {**sasl(Scram=False, Iam=False), "Tls": {}}, None),
            ({}, None, transit("TLS_PLAINTEXT", InCluster=True)),
            ({}, None, {}),
        ],
    )
    def test_nothing_that_differs(
        self, client: Any, active: Active, cluster: Any, authentication: Any, encryption: Any
    ) -> None:
        arn = active(**cluster)
        with refused("BadRequestException") as refusal:
            secure(client, arn, authentication, encryption)
        assert (refusal.message, refusal.parameter) == (NO_SECURITY_UPDATES, None)

    @pytest.mark.parametrize(
        ("cluster", "authentication", "encryption", "parameter", "message"),
        [
            ({}, None, None, "clientAuthentication", "At least one of clientAuthentication and"),
            (WITH_IAM, None, transit("PLAINTEXT"), "clientBroker", "needs encryption in transit"),
            (WITH_IAM, None, transit("TLS_PLAINTEXT"), "unauthenticated", "unauthenticated access"),
            ({}, sasl(Iam=True), None, "unauthenticated", "unauthenticated access"),
            ({}, tls("mine"), transit("TLS"), "certificateAuthorityArnList", "private certificate authority"),
            (WITH_IAM, {"Tls": {"Enabled": True}}, None, "certificateAuthorityArnList", "at least one"),
            ({}, None, transit("TLS", InCluster=False), "inCluster", IN_CLUSTER),
            (
                {"EncryptionInfo": transit("TLS", InCluster=False)},
                sasl(Iam=True),
                None,
                "inCluster",
                "inCluster must be true",
            ),
            ({}, None, {"EncryptionAtRest": {"DataVolumeKMSKeyId": "k"}}, "encryptionAtRest", AT_REST),
        ],
    )
    def test_refused(
        self,
        *,
        client: Any,
        plane: FakePlane,
        active: Active,
        cluster: Any,
        authentication: Any,
        encryption: Any,
        parameter: str,
        message: str,
    ) -> None:
        arn = active(**cluster)
        before = described(client, arn)
        with refused("BadRequestException") as refusal:
            secure(client, arn, authentication, encryption)
        assert message in refusal.message
        assert refusal.parameter == parameter
        assert described(client, arn) == before
        assert plane.made["orders"].applied == []

    def test_all_of_encryption_as_it_is_described(self, client: Any, active: Active) -> None:
        arn = active()
        shown = described(client, arn)["EncryptionInfo"]
        changed = {**shown, **transit("TLS", InCluster=True)}
        assert secure(client, arn, None, changed)["OperationState"] == "UPDATE_COMPLETE"
        assert described(client, arn)["EncryptionInfo"] == changed

    @pytest.mark.parametrize(
        ("authentication", "encryption"),
        [
            (sasl(Iam=False), None),
            (unauthenticated(True), None),
            (sasl(Scram=True), None),
            (unauthenticated(True), transit("TLS_PLAINTEXT")),
        ],
    )
    def test_what_public_access_stands_on(
        self, client: Any, active: Active, authentication: Any, encryption: Any
    ) -> None:
        arn = active(**WITH_IAM)
        connect(client, arn, public())
        with refused("BadRequestException") as refusal:
            secure(client, arn, authentication, encryption)
        assert refusal.message.startswith("Public access")
        assert refusal.parameter == "clientAuthentication"
        connect(client, arn, public("DISABLED"))
        assert secure(client, arn, authentication, encryption)["OperationState"] == "UPDATE_COMPLETE"

    def test_one_way_less_into_a_public_cluster(
        self, client: Any, service: MskService, active: Active
    ) -> None:
        arn = active(**WITH_ALL, **closed_to_strangers(service))
        connect(client, arn, public())
        secure(client, arn, sasl(Scram=False))
        assert keys(client, arn) == {"SaslIam", "Tls", "PublicSaslIam", "PublicTls"}

    def test_what_connectivity_to_other_vpcs_stands_on(self, client: Any, active: Active) -> None:
        arn = active(**WITH_ALL)
        connect(client, arn, private(Iam=True))
        with refused("BadRequestException") as refusal:
            secure(client, arn, sasl(Iam=False))
        assert "VPC connectivity for SASL/IAM needs the cluster itself" in refusal.message
        assert refusal.parameter == "clientAuthentication"
        secure(client, arn, sasl(Scram=False))
        connect(client, arn, private(Iam=False))
        secure(client, arn, sasl(Iam=False))

    def test_brokers_that_cannot(self, client: Any, plane: FakePlane, active: Active) -> None:
        arn = active()
        before = described(client, arn)
        plane.apply_error = BrokerStartError("no")
        done = secure(client, arn, sasl(Iam=True), transit("TLS"))
        assert done["OperationState"] == "UPDATE_FAILED"
        assert done["ErrorInfo"]["ErrorString"] == "no"
        assert described(client, arn) == before


@pytest.mark.parametrize(("version", "info"), [("2.6.0", public()), ("2.7.1", private(Iam=True))])
def test_the_first_version_that_has_it(client: Any, active: Active, version: str, info: Any) -> None:
    arn = active(**WITH_IAM, KafkaVersion=version)
    assert connect(client, arn, info)["OperationState"] == "UPDATE_COMPLETE"


@pytest.mark.parametrize("name", ["update_connectivity", "update_security"])
def test_serverless_clusters(client: Any, name: str) -> None:
    with refused("BadRequestException") as refusal:
        getattr(client, name)(ClusterArn=create_serverless(client), CurrentVersion="K1")
    assert refusal.message == "This operation cannot be performed on serverless clusters."
