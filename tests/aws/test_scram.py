"""SCRAM secrets, and the users that they make on brokers."""

from __future__ import annotations

import contextlib
import json
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from pytest_msk.aws.kafka import scram
from pytest_msk.aws.kafka.state import MskService
from pytest_msk.aws.patch import Patch
from pytest_msk.brokers.admin import Admin
from pytest_msk.brokers.admin.scram import scram_users
from pytest_msk.brokers.docker.plane import DockerPlane
from pytest_msk.brokers.embedded.plane import EmbeddedPlane
from pytest_msk.brokers.plane import Plane
from tests.aws.kafka_api import create, create_serverless, refused
from tests.aws.planes import FakePlane
from tests.docker_engine import require_docker

SCRAM = {"Sasl": {"Scram": {"Enabled": True}}}
WRONG_NAME = (
    "The provided secret arn cannot be used with Amazon MSK. Secret names must have the prefix 'AmazonMSK_'"
)
INACCESSIBLE = "Amazon MSK wasn't able to access the provided secret."
START_SECONDS = 120

Make = Callable[..., str]


@pytest.fixture
def moto() -> Iterator[None]:
    """Moto's own services, as a user's test has them."""
    with mock_aws():
        yield


@pytest.fixture
def client(moto: None, client: Any) -> Any:
    return client


@pytest.fixture
def secrets(moto: None, aws: boto3.Session) -> Any:
    return aws.client("secretsmanager")


@pytest.fixture
def kms(moto: None, aws: boto3.Session) -> Any:
    return aws.client("kms")


@pytest.fixture
def key(kms: Any) -> str:
    """The id of a customer's key."""
    key_id: str = kms.create_key()["KeyMetadata"]["KeyId"]
    return key_id


@pytest.fixture
def secret(secrets: Any, key: str) -> Make:
    """Make a secret that MSK can use, but for the changes; its ARN."""

    def make(username: str = "ann", password: str = "pencil", **changes: Any) -> str:  # noqa: S107
        text = json.dumps({"username": username, "password": password})
        request = {
            "Name": f"AmazonMSK_{username}",
            "SecretString": text,
            "KmsKeyId": key,
            **changes,
        }
        given = {name: value for name, value in request.items() if value is not None}
        arn: str = secrets.create_secret(**given)["ARN"]
        return arn

    return make


@pytest.fixture
def cluster(client: Any, active: Make) -> str:
    return active(ClientAuthentication=SCRAM)


def associate(client: Any, cluster: str, *arns: str) -> dict[str, tuple[str, str]]:
    return unprocessed(client.batch_associate_scram_secret(ClusterArn=cluster, SecretArnList=arns), cluster)


def disassociate(client: Any, cluster: str, *arns: str) -> dict[str, tuple[str, str]]:
    answer = client.batch_disassociate_scram_secret(ClusterArn=cluster, SecretArnList=arns)
    return unprocessed(answer, cluster)


def unprocessed(answer: Any, cluster: str) -> dict[str, tuple[str, str]]:
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert answer["ClusterArn"] == cluster
    return {
        each["SecretArn"]: (each["ErrorCode"], each["ErrorMessage"])
        for each in answer["UnprocessedScramSecrets"]
    }


def listed(client: Any, cluster: str, **page: Any) -> list[str]:
    arns: list[str] = client.list_scram_secrets(ClusterArn=cluster, **page)["SecretArnList"]
    return arns


class TestAssociations:
    def test_associate_list_disassociate(self, client: Any, cluster: str, secret: Make) -> None:
        assert listed(client, cluster) == []
        ann, bob = secret("ann"), secret("bob")
        assert associate(client, cluster, bob, ann) == {}
        assert listed(client, cluster) == [bob, ann]
        assert disassociate(client, cluster, bob) == {}
        assert listed(client, cluster) == [ann]

    def test_what_can_be_used_is_whatever_else_cannot(self, client: Any, cluster: str, secret: Make) -> None:
        ann, other = secret("ann"), secret("bob", Name="bob")
        assert associate(client, cluster, other, ann) == {other: ("InvalidSecretArn", WRONG_NAME)}
        assert listed(client, cluster) == [ann]

    def test_a_secret_that_is_associated_stays_so(self, client: Any, cluster: str, secret: Make) -> None:
        ann = secret()
        assert associate(client, cluster, ann, ann) == {}
        assert associate(client, cluster, ann) == {}
        assert listed(client, cluster) == [ann]

    def test_each_cluster_has_its_own(self, client: Any, cluster: str, active: Make, secret: Make) -> None:
        other = active("other", ClientAuthentication=SCRAM)
        ann = secret()
        assert associate(client, cluster, ann) == {}
        assert listed(client, other) == []
        assert associate(client, other, ann) == {}
        assert disassociate(client, cluster, ann) == {}
        assert listed(client, other) == [ann]

    def test_pages(self, client: Any, cluster: str, secret: Make) -> None:
        arns = [secret(f"user-{number}") for number in range(5)]
        associate(client, cluster, *arns)
        pages = client.get_paginator("list_scram_secrets").paginate(
            ClusterArn=cluster, PaginationConfig={"PageSize": 2}
        )
        assert [page["SecretArnList"] for page in pages] == [arns[:2], arns[2:4], arns[4:]]

    def test_disassociating_what_is_not_associated(self, client: Any, cluster: str, secret: Make) -> None:
        ann, bob = secret("ann"), secret("bob")
        associate(client, cluster, ann)
        why = ("InvalidSecretArn", "The provided secret is not associated with the cluster.")
        assert disassociate(client, cluster, bob, "nonsense", ann) == {bob: why, "nonsense": why}
        assert listed(client, cluster) == []

    def test_a_secret_that_is_gone_can_be_disassociated(
        self, client: Any, cluster: str, secret: Make, secrets: Any
    ) -> None:
        ann = secret()
        associate(client, cluster, ann)
        secrets.delete_secret(SecretId=ann, ForceDeleteWithoutRecovery=True)
        assert listed(client, cluster) == [ann]
        assert disassociate(client, cluster, ann) == {}
        assert listed(client, cluster) == []

    def test_two_secrets_of_one_user(self, client: Any, cluster: str, secret: Make) -> None:
        first, second = secret(), secret(Name="AmazonMSK_another")
        found = associate(client, cluster, first, second)
        why = f"Another secret that is associated with the cluster, {first}, has the same username."
        assert found == {second: ("InvalidSecretArn", why)}
        disassociate(client, cluster, first)
        assert associate(client, cluster, second) == {}

    def test_a_cluster_has_so_many_users(
        self, client: Any, cluster: str, secret: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert scram.MOST_USERS == 1000
        monkeypatch.setattr(scram, "MOST_USERS", 2)
        ann, bob, carol = map(secret, ("ann", "bob", "carol"))
        assert associate(client, cluster, ann, bob, carol).keys() == {carol}
        assert associate(client, cluster, ann) == {}


class TestSecrets:
    @pytest.mark.parametrize(
        "arn",
        [
            "arn:aws:secretsmanager:us-east-1:123456789012:secret:AmazonMSK_ann-AbCdEf",
            "arn:aws:secretsmanager:us-west-2:123456789012:secret:AmazonMSK_ann-AbCdEf",
            "arn:aws:secretsmanager:us-east-1:210987654321:secret:AmazonMSK_ann-AbCdEf",
            "arn:aws:iam::123456789012:role/AmazonMSK_ann",
            "AmazonMSK_ann",
        ],
    )
    def test_a_secret_that_there_is_not(self, client: Any, cluster: str, secret: Make, arn: str) -> None:
        secret()
        assert associate(client, cluster, arn) == {arn: ("InvalidSecretArn", INACCESSIBLE)}
        assert listed(client, cluster) == []

    def test_of_another_region(self, client: Any, cluster: str, aws: boto3.Session, key: str) -> None:
        elsewhere = aws.client("secretsmanager", region_name="us-west-2")
        text = json.dumps({"username": "ann", "password": "pencil"})
        arn = elsewhere.create_secret(Name="AmazonMSK_ann", SecretString=text, KmsKeyId=key)["ARN"]
        assert associate(client, cluster, arn) == {arn: ("InvalidSecretArn", INACCESSIBLE)}

    def test_the_arn_has_to_be_whole(self, client: Any, cluster: str, secret: Make) -> None:
        part = secret().rpartition("-")[0]
        assert associate(client, cluster, part) == {part: ("InvalidSecretArn", INACCESSIBLE)}

    def test_a_deleted_one(self, client: Any, cluster: str, secret: Make, secrets: Any) -> None:
        ann = secret()
        secrets.delete_secret(SecretId=ann)
        assert associate(client, cluster, ann) == {ann: ("InvalidSecretArn", INACCESSIBLE)}
        secrets.restore_secret(SecretId=ann)
        assert associate(client, cluster, ann) == {}

    @pytest.mark.parametrize("key_id", [None, "alias/aws/secretsmanager"])
    def test_the_default_key(
        self,
        client: Any,
        cluster: str,
        secret: Make,
        key_id: str | None,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        ann = secret(KmsKeyId=key_id)
        with caplog.at_level(logging.WARNING):
            assert associate(client, cluster, ann) == {ann: ("InvalidSecretArn", INACCESSIBLE)}
        assert "encrypted with the default key" in caplog.text

    def test_aws_own_key_by_its_id(self, client: Any, cluster: str, secret: Make, kms: Any) -> None:
        default = kms.describe_key(KeyId="alias/aws/secretsmanager")["KeyMetadata"]
        for number, key_id in enumerate((default["KeyId"], default["Arn"])):
            arn = secret(f"user-{number}", KmsKeyId=key_id)
            assert associate(client, cluster, arn) == {arn: ("InvalidSecretArn", INACCESSIBLE)}

    def test_keys_by_id_alias_and_arn(self, client: Any, cluster: str, secret: Make, kms: Any) -> None:
        found = kms.create_key()["KeyMetadata"]
        kms.create_alias(AliasName="alias/kafka", TargetKeyId=found["KeyId"])
        alias = kms.list_aliases(KeyId=found["KeyId"])["Aliases"][0]["AliasArn"]
        keys = [found["KeyId"], found["Arn"], "alias/kafka", alias]
        arns = [secret(f"user-{number}", KmsKeyId=key_id) for number, key_id in enumerate(keys)]
        assert associate(client, cluster, *arns) == {}

    @pytest.mark.parametrize(
        "key_id", ["alias/none", "11111111-2222-3333-4444-555555555555", "arn:aws:kms:us-east-1:1:key/x"]
    )
    def test_keys_that_there_are_not(self, client: Any, cluster: str, secret: Make, key_id: str) -> None:
        ann = secret(KmsKeyId=key_id)
        assert associate(client, cluster, ann) == {ann: ("InvalidSecretArn", INACCESSIBLE)}

    def test_an_asymmetric_key(self, client: Any, cluster: str, secret: Make, kms: Any) -> None:
        pair = kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
        ann = secret(KmsKeyId=pair)
        assert associate(client, cluster, ann) == {ann: ("InvalidSecretArn", INACCESSIBLE)}

    def test_a_disabled_key(self, client: Any, cluster: str, secret: Make, kms: Any, key: str) -> None:
        ann = secret()
        kms.disable_key(KeyId=key)
        assert associate(client, cluster, ann) == {ann: ("InvalidSecretArn", INACCESSIBLE)}
        kms.enable_key(KeyId=key)
        assert associate(client, cluster, ann) == {}

    @pytest.mark.parametrize(
        "value",
        [
            {"SecretString": "pencil"},
            {"SecretString": '["ann", "pencil"]'},
            {"SecretString": '{"username": "ann"}'},
            {"SecretString": '{"username": "ann", "password": ""}'},
            {"SecretString": '{"username": "", "password": "pencil"}'},
            {"SecretString": '{"username": "ann", "password": 1}'},
            {"SecretString": None, "SecretBinary": b'{"username": "ann", "password": "pencil"}'},
            {"SecretString": None},
        ],
    )
    def test_what_a_secret_holds(
        self, client: Any, cluster: str, secret: Make, value: dict[str, Any]
    ) -> None:
        ann = secret(**value)
        why = "The provided secret must be a JSON object with a username and a password."
        assert associate(client, cluster, ann) == {ann: ("InvalidSecretArn", why)}

    def test_msk_lets_itself_in(self, client: Any, cluster: str, secret: Make, secrets: Any) -> None:
        ann = secret()
        own = {"Sid": "own", "Effect": "Deny", "Principal": "*", "Action": "*", "Resource": "*"}
        secrets.put_resource_policy(
            SecretId=ann, ResourcePolicy=json.dumps({"Version": "2012-10-17", "Statement": own})
        )
        associate(client, cluster, ann)
        associate(client, cluster, ann)
        policy = json.loads(secrets.get_resource_policy(SecretId=ann)["ResourcePolicy"])
        admission = {
            "Sid": "AWSKafkaResourcePolicy",
            "Effect": "Allow",
            "Principal": {"Service": "kafka.amazonaws.com"},
            "Action": "secretsmanager:getSecretValue",
            "Resource": ann,
        }
        assert policy == {"Version": "2012-10-17", "Statement": [own, admission]}

    @pytest.mark.parametrize("policy", ["no JSON", "[]"])
    def test_a_policy_that_is_none_is_left_alone(
        self, client: Any, cluster: str, secret: Make, secrets: Any, policy: str
    ) -> None:
        ann = secret()
        secrets.put_resource_policy(SecretId=ann, ResourcePolicy=policy)
        assert associate(client, cluster, ann) == {}
        assert secrets.get_resource_policy(SecretId=ann)["ResourcePolicy"] == policy

    def test_where_secrets_manager_is_not_used_there_is_no_secret(self) -> None:
        """In a process of its own: neither is imported for the question's sake."""
        program = (
            "import sys\n"
            "from pytest_msk.aws.kafka.secrets import UnusableSecretError, read_secret\n"
            "from pytest_msk.aws.kafka.state import MskService\n"
            "from pytest_msk.brokers.metadata import MetadataPlane\n"
            "region = MskService(MetadataPlane()).region('123456789012', 'us-east-1')\n"
            "arn = 'arn:aws:secretsmanager:us-east-1:123456789012:secret:AmazonMSK_ann-AbCdEf'\n"
            "try:\n"
            "    read_secret(region, arn)\n"
            "except UnusableSecretError as error:\n"
            "    print(error)\n"
            "print([name for name in sys.modules if name.startswith('moto.')])\n"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        assert done.stdout.splitlines() == [INACCESSIBLE, "[]"]


class TestRefusals:
    @pytest.mark.parametrize("operation", ["batch_associate_scram_secret", "batch_disassociate_scram_secret"])
    @pytest.mark.parametrize("number", [0, 11])
    def test_one_to_ten_arns(self, client: Any, cluster: str, operation: str, number: int) -> None:
        arns = [f"arn:{index}" for index in range(number)]
        with refused("BadRequestException") as refusal:
            getattr(client, operation)(ClusterArn=cluster, SecretArnList=arns)
        assert refusal.message == "secretArnList must have 1 to 10 ARNs."
        assert refusal.parameter == "secretArnList"

    def test_ten_arns(self, client: Any, cluster: str) -> None:
        arns = [f"arn:{index}" for index in range(10)]
        assert associate(client, cluster, *arns).keys() == set(arns)

    @pytest.mark.parametrize("change", [associate, disassociate])
    def test_scram_has_to_be_enabled(self, client: Any, active: Make, change: Any) -> None:
        arn = active(ClientAuthentication={"Sasl": {"Iam": {"Enabled": True}}})
        other = active("plain")
        for cluster in (arn, other):
            with refused("BadRequestException") as refusal:
                change(client, cluster, "arn")
            assert refusal.message.startswith("SASL/SCRAM authentication is not enabled on cluster ")
            assert listed(client, cluster) == []

    @pytest.mark.parametrize("change", [associate, disassociate])
    def test_the_cluster_has_to_be_active(self, plane: FakePlane, client: Any, change: Any) -> None:
        plane.gate.clear()
        arn = create(client, ClientAuthentication=SCRAM)
        with refused("BadRequestException") as refusal:
            change(client, arn, "arn")
        plane.gate.set()
        assert refusal.message == "You can't change the SCRAM secrets of a cluster in CREATING state."
        assert listed(client, arn) == []

    @pytest.mark.parametrize("call", [associate, disassociate, listed])
    def test_serverless_clusters_have_none(self, client: Any, call: Any) -> None:
        arn = create_serverless(client)
        with refused("BadRequestException") as refusal:
            call(client, arn)
        assert refusal.message == "This operation cannot be performed on serverless clusters."

    def test_brokers_that_cannot_be_reached(
        self, plane: FakePlane, client: Any, active: Make, secret: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(scram, "BROKER_TIMEOUT", 0.1)
        arn, ann = active(ClientAuthentication=SCRAM), secret()
        with pytest.raises(client.exceptions.ServiceUnavailableException) as caught:
            associate(client, arn, ann)
        assert "NETWORK_EXCEPTION" in str(caught.value)
        assert listed(client, arn) == []


@contextlib.contextmanager
def running(plane: Plane) -> Iterator[MskService]:
    service = MskService(plane)
    with mock_aws(), Patch(service):
        try:
            yield service
        finally:
            service.close()
            plane.close()


@pytest.mark.parametrize("make", [EmbeddedPlane, DockerPlane])
class TestUsers:
    """Users on brokers that run."""

    @pytest.fixture
    def service(self, make: Callable[[], Plane]) -> Iterator[MskService]:
        if make is DockerPlane:
            require_docker()
        with running(make()) as service:
            yield service

    @pytest.fixture
    def moto(self, service: MskService) -> None:
        pass

    def start(self, service: MskService, client: Any, **changes: Any) -> str:
        arn = create(client, ClientAuthentication=SCRAM, **changes)
        service.wait_active(arn, START_SECONDS)
        return arn

    def users(self, service: MskService, cluster: str) -> frozenset[str]:
        brokers = service.cluster(cluster).brokers.brokers
        with Admin(",".join(str(broker.endpoints["internal"]) for broker in brokers)) as admin:
            return scram_users(admin)

    def test_users_come_and_go_and_follow_their_secrets(
        self, service: MskService, checked_client: Any, secret: Make, secrets: Any
    ) -> None:
        client = checked_client
        cluster = self.start(service, client)
        ann, bob = secret("ann"), secret("bob")
        assert associate(client, cluster, ann, bob) == {}
        assert self.users(service, cluster) == {"ann", "bob"}

        secrets.put_secret_value(
            SecretId=bob, SecretString=json.dumps({"username": "carol", "password": "chalk"})
        )
        assert self.users(service, cluster) == {"ann", "bob"}
        assert listed(client, cluster) == [ann, bob]
        assert self.users(service, cluster) == {"ann", "carol"}

        # A version that cannot be used changes nothing.
        secrets.put_secret_value(SecretId=bob, SecretString="no JSON")
        assert listed(client, cluster) == [ann, bob]
        secrets.put_secret_value(
            SecretId=bob, SecretString=json.dumps({"username": "ann", "password": "chalk"})
        )
        assert listed(client, cluster) == [ann, bob]
        assert self.users(service, cluster) == {"ann", "carol"}

        assert disassociate(client, cluster, ann) == {}
        assert self.users(service, cluster) == {"carol"}
        assert disassociate(client, cluster, bob) == {}
        assert self.users(service, cluster) == frozenset()
