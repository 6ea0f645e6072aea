"""Who gets in by which listener, and what others are told: real clients, over sockets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aws_msk_iam_sasl_signer import MSKAuthTokenProvider  # type: ignore[import-untyped]
from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient
from kafka import KafkaAdminClient
from moto import mock_aws

from pytest_msk.brokers.admin import Admin
from pytest_msk.brokers.admin.scram import set_scram_passwords
from pytest_msk.brokers.auth.certificates import Authority
from pytest_msk.brokers.embedded.plane import EmbeddedBrokers
from pytest_msk.spec import Listener
from tests.brokers.embedded.changes import bootstrap, change

ALL: frozenset[Listener] = frozenset({"plaintext", "tls", "scram", "iam"})
ClusterOf = Callable[..., EmbeddedBrokers]


@pytest.fixture
def secure(cluster_of: ClusterOf) -> EmbeddedBrokers:
    return cluster_of(brokers=2, listeners=ALL)


def servers(cluster: EmbeddedBrokers, listener: Listener) -> str:
    return ",".join(str(broker.endpoints[listener]) for broker in cluster.brokers)


def librdkafka(cluster: EmbeddedBrokers, listener: Listener, **more: Any) -> dict[str, Any]:
    return {
        "bootstrap.servers": servers(cluster, listener),
        "security.protocol": {"plaintext": "plaintext", "tls": "ssl"}.get(listener, "sasl_ssl"),
        "ssl.ca.pem": cluster.keys.authority.pem.decode(),
        "reconnect.backoff.ms": 20,
        "log_level": 0,
        **{name.replace("_", "."): value for name, value in more.items()},
    }


def there_and_back(settings: dict[str, Any], topic: str = "orders") -> list[bytes | None]:
    """Send a record, and read what there is."""
    producer = Producer(settings)
    producer.produce(topic, b"1")
    assert producer.flush(10) == 0
    consumer = Consumer({**settings, "group.id": "tests", "auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    try:
        message = consumer.poll(10)
        assert message is not None
        assert message.error() is None
        return [message.value()]
    finally:
        consumer.close()


def refusal(settings: dict[str, Any]) -> str:
    """Why librdkafka does not get in."""
    told: list[str] = []
    admin = AdminClient({**settings, "error_cb": lambda error: told.append(error.str())})
    with pytest.raises(KafkaException):
        admin.list_topics(timeout=2)
    admin.poll(0)
    return "\n".join(told)


@pytest.fixture
def scram(secure: EmbeddedBrokers) -> dict[str, Any]:
    with Admin(bootstrap(secure)) as admin:
        set_scram_passwords(admin, {"alice": "secret"})
    login = {"sasl.mechanism": "SCRAM-SHA-512", "sasl.username": "alice", "sasl.password": "secret"}
    return librdkafka(secure, "scram") | login


class TestTls:
    def test_who_trusts_the_authority_gets_in(self, secure: EmbeddedBrokers) -> None:
        assert there_and_back(librdkafka(secure, "tls")) == [b"1"]

    def test_others_do_not(self, secure: EmbeddedBrokers) -> None:
        other = Authority.make("another").pem.decode()
        assert "certificate" in refusal(librdkafka(secure, "tls", ssl_ca_pem=other))

    def test_large_records(self, secure: EmbeddedBrokers) -> None:
        settings = librdkafka(secure, "tls")
        producer = Producer({**settings, "message.max.bytes": 2_000_000})
        sent = [bytes([number]) * 900_000 for number in range(20)]
        for value in sent:
            producer.produce("large", value, partition=0)
        assert producer.flush(20) == 0
        consumer = Consumer({**settings, "group.id": "tests", "auto.offset.reset": "earliest"})
        consumer.subscribe(["large"])
        found = [consumer.poll(10).value() for _ in sent]
        consumer.close()
        assert found == sent

    def test_a_client_that_does_not_speak_tls_is_let_go(self, secure: EmbeddedBrokers) -> None:
        settings = librdkafka(secure, "tls") | {"security.protocol": "plaintext"}
        refusal(settings)
        assert "is not let in by listener tls" in secure.logs()[1] + secure.logs()[2]

    def test_certificates_of_clients(self, cluster_of: ClusterOf) -> None:
        theirs = Authority.make("theirs")
        cluster = cluster_of(
            listeners=ALL, client_certificates="required", client_authorities=(theirs.pem.decode(),)
        )
        limits = {"ssl.ca.pem": cluster.keys.authority.pem.decode()}
        for pair in (theirs.client("orders"), cluster.keys.authority.client("orders")):
            own = {"ssl.certificate.pem": pair.certificate.decode(), "ssl.key.pem": pair.key.decode()}
            assert there_and_back(librdkafka(cluster, "tls") | own | limits) == [b"1"]
        assert "certificate required" in refusal(librdkafka(cluster, "tls"))
        stranger = Authority.make("theirs").client("orders")
        own = {"ssl.certificate.pem": stranger.certificate.decode(), "ssl.key.pem": stranger.key.decode()}
        refusal(librdkafka(cluster, "tls") | own)
        assert "certificate verify failed" in cluster.logs()[1].lower().replace("_", " ")

    def test_an_authority_that_is_none_lets_nobody_in_and_is_named(self, cluster_of: ClusterOf) -> None:
        cluster = cluster_of(listeners=ALL, client_certificates="requested", client_authorities=("nonsense",))
        refusal(librdkafka(cluster, "tls"))
        assert "is not let in by listener tls: " in cluster.logs()[1]
        assert there_and_back(librdkafka(cluster, "plaintext")) == [b"1"]


class TestScram:
    def test_a_user_gets_in(self, scram: dict[str, Any]) -> None:
        assert there_and_back(scram) == [b"1"]

    @pytest.mark.parametrize(
        ("wrong", "told"),
        [
            ({"sasl.password": "wrong"}, "invalid credentials with SASL mechanism SCRAM-SHA-512"),
            ({"sasl.username": "bob"}, "invalid credentials with SASL mechanism SCRAM-SHA-512"),
            ({"sasl.mechanism": "SCRAM-SHA-256"}, "Unsupported SASL mechanism"),
            ({"sasl.mechanism": "PLAIN"}, "Unsupported SASL mechanism"),
        ],
    )
    def test_others_do_not(self, scram: dict[str, Any], wrong: dict[str, Any], told: str) -> None:
        assert told in refusal(scram | wrong)

    def test_nobody_gets_in_without_sasl(self, secure: EmbeddedBrokers, scram: dict[str, Any]) -> None:
        refusal(scram | {"security.protocol": "ssl"})
        logs = "".join(secure.logs().values())
        assert "is not let in by listener scram: Metadata" in logs
        assert "of 'rdkafka'" not in logs.replace("ApiVersions v3 of 'rdkafka'", "")

    def test_kafka_python(self, secure: EmbeddedBrokers, scram: dict[str, Any], tmp_path: Path) -> None:
        ca = tmp_path / "ca.pem"
        ca.write_bytes(secure.keys.authority.pem)
        client = KafkaAdminClient(
            bootstrap_servers=servers(secure, "scram"),
            security_protocol="SASL_SSL",
            ssl_cafile=str(ca),
            sasl_mechanism="SCRAM-SHA-512",
            sasl_plain_username="alice",
            sasl_plain_password="secret",
        )
        assert client.list_topics() == []
        client.close()


@pytest.fixture
def mocked(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in (("ACCESS_KEY_ID", "testing"), ("SECRET_ACCESS_KEY", "testing")):
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    with mock_aws():
        yield


def token(region: str) -> Callable[[str], tuple[str, float]]:
    def made(_: str) -> tuple[str, float]:
        text, ends_ms = MSKAuthTokenProvider.generate_auth_token(region)
        return text, ends_ms / 1000

    return made


@pytest.mark.usefixtures("mocked")
class TestIam:
    def test_who_signs_gets_in(self, secure: EmbeddedBrokers) -> None:
        login = {"sasl.mechanism": "OAUTHBEARER", "oauth_cb": token("us-east-1")}
        assert there_and_back(librdkafka(secure, "iam") | login) == [b"1"]

    def test_who_signs_for_another_region_does_not(self, secure: EmbeddedBrokers) -> None:
        login = {"sasl.mechanism": "OAUTHBEARER", "oauth_cb": token("eu-west-1")}
        told = refusal(librdkafka(secure, "iam") | login)
        assert "invalid_token" in told or "Access denied" in told
        assert "eu-west-1" in "".join(secure.logs().values())


class TestChanges:
    def test_listeners_open_and_close_on_living_brokers(self, cluster_of: ClusterOf) -> None:
        cluster = cluster_of(brokers=3)
        change(cluster, listeners=frozenset({"tls"}))
        assert {name for broker in cluster.brokers for name in broker.endpoints} == {"internal", "tls"}
        settings = librdkafka(cluster, "tls")
        assert there_and_back(settings) == [b"1"]
        change(cluster, listeners=frozenset({"plaintext", "tls"}), client_certificates="required")
        assert "certificate required" in refusal(settings)
        assert there_and_back(librdkafka(cluster, "plaintext")) == [b"1"]

    def test_in_a_process_of_its_own(self) -> None:
        from pytest_msk.brokers.embedded.plane import EmbeddedPlane
        from pytest_msk.spec import ClusterSpec

        plane = EmbeddedPlane(process=True)
        cluster = plane.brokers(ClusterSpec("hosted", listeners=ALL), "arn")
        try:
            cluster.start()
            assert there_and_back(librdkafka(cluster, "tls")) == [b"1"]
        finally:
            plane.close()
