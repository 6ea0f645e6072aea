"""Who gets in by which listener of a broker in a container, and listeners that open and shut."""

from __future__ import annotations

import json
import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient
from kafka import KafkaAdminClient
from kafka.errors import KafkaTimeoutError

from pytest_msk.brokers.admin import Admin
from pytest_msk.brokers.admin.scram import set_scram_passwords
from pytest_msk.brokers.auth.certificates import Authority, KeyPair
from pytest_msk.brokers.auth.logins import Logins
from pytest_msk.brokers.docker import DockerPlane, listeners, readiness
from pytest_msk.brokers.docker.cluster import DockerBrokers
from pytest_msk.brokers.plane import Endpoint
from pytest_msk.errors import BrokerStartError
from pytest_msk.spec import ClusterSpec, Listener
from tests.brokers.docker import support
from tests.docker_engine import NEWER_VERSION, engine

PASSWORD = "alice-has-a-secret"
THEIRS = Authority.make("theirs")
NO_CERTIFICATE = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
OPEN = ClusterSpec("orders", listeners=frozenset({"plaintext", "tls", "scram"}))
MUTUAL = OPEN.changed(
    listeners=frozenset({"tls", "iam"}),
    client_certificates="required",
    client_authorities=(THEIRS.pem.decode(),),
)


class Pipe(socketserver.BaseRequestHandler):
    server: Door

    def handle(self) -> None:
        with socket.create_connection((self.server.target.host, self.server.target.port)) as broker:
            answers = threading.Thread(target=self.copy, args=(broker, self.request))
            answers.start()
            self.copy(self.request, broker)
            answers.join()

    def copy(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:  # one of the two has gone
            return


class Door(socketserver.ThreadingTCPServer):
    target: Endpoint

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Pipe)


class OpenDoors:
    """Doors that let everybody in."""

    def __init__(self, logins: Logins) -> None:
        self._doors: dict[int, Door] = {}
        self._led: list[Door] = []

    def address(self, broker_id: int) -> Endpoint:
        if broker_id not in self._doors:
            self._doors[broker_id] = Door()
        host, port, *_ = self._doors[broker_id].server_address
        return Endpoint(str(host), port)

    def lead(self, broker_id: int, target: Endpoint) -> None:
        door = self._doors[broker_id]
        door.target = target
        if door not in self._led:
            self._led.append(door)
            threading.Thread(target=door.serve_forever, args=(0.02,)).start()

    def close(self) -> None:
        for door in self._led:
            door.shutdown()
        for door in self._doors.values():
            door.server_close()


@pytest.fixture(scope="module")
def shared(docker_engine: None) -> Iterator[DockerBrokers]:
    with support.running(DockerPlane(make_doors=OpenDoors), listeners=OPEN.listeners) as cluster:
        with Admin(str(cluster.brokers[0].endpoints["internal"])) as admin:
            set_scram_passwords(admin, {"alice": PASSWORD})
        yield cluster


@pytest.fixture
def cluster(shared: DockerBrokers) -> DockerBrokers:
    shared.apply(OPEN)
    return shared


@pytest.fixture
def mutual(shared: DockerBrokers) -> DockerBrokers:
    shared.apply(MUTUAL)
    return shared


def endpoints(cluster: DockerBrokers) -> dict[Listener, Endpoint]:
    (broker,) = cluster.brokers
    return dict(broker.endpoints)


def librdkafka(cluster: DockerBrokers, listener: Listener, pair: KeyPair | None = None) -> dict[str, Any]:
    own = {"ssl.certificate.pem": pair.certificate.decode(), "ssl.key.pem": pair.key.decode()} if pair else {}
    scram = {"sasl.mechanism": "SCRAM-SHA-512", "sasl.username": "alice", "sasl.password": PASSWORD}
    return {
        "bootstrap.servers": str(endpoints(cluster)[listener]),
        "security.protocol": {"tls": "ssl", "scram": "sasl_ssl"}.get(listener, "plaintext"),
        "ssl.ca.pem": cluster.keys.authority.pem.decode(),
        "reconnect.backoff.max.ms": 200,
        "log_level": 0,
        **own,
        **(scram if listener == "scram" else {}),
    }


def kafka_python(cluster: DockerBrokers, folder: Path, **more: Any) -> dict[str, Any]:
    ca = folder / "ca.pem"
    ca.write_bytes(cluster.keys.authority.pem)
    return {
        "bootstrap_servers": str(endpoints(cluster)["scram"]),
        "security_protocol": "SASL_SSL",
        "ssl_cafile": str(ca),
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "alice",
        "sasl_plain_password": PASSWORD,
        **more,
    }


def there_and_back(settings: dict[str, Any], topic: str) -> bytes | None:
    """Send a record, and read the first that there is."""
    producer = Producer(settings)
    producer.produce(topic, settings["security.protocol"].encode())
    assert producer.flush(20) == 0
    consumer = Consumer({**settings, "group.id": topic, "auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    try:
        message = consumer.poll(20)
        assert message is not None
        assert message.error() is None
        value: bytes | None = message.value()
        return value
    finally:
        consumer.close()


def told(settings: dict[str, Any]) -> set[str]:
    """Where librdkafka is told that brokers are."""
    found = AdminClient(settings).list_topics(timeout=10)
    return {f"{broker.host}:{broker.port}" for broker in found.brokers.values()}


def refusal(settings: dict[str, Any]) -> str:
    """Why librdkafka does not get in."""
    errors: list[str] = []
    admin = AdminClient({**settings, "error_cb": lambda error: errors.append(error.str())})
    until = time.monotonic() + 20
    while not errors and time.monotonic() < until:
        with pytest.raises(KafkaException):
            admin.list_topics(timeout=0.5)
        admin.poll(0)
    return "\n".join(errors)


def settings_of(cluster: DockerBrokers) -> dict[str, str]:
    with Admin(str(endpoints(cluster)["internal"])) as admin:
        return {name: config.value for name, config in admin.describe_broker_configs(1).items()}


class TestListeners:
    def test_those_of_the_spec_are_open_and_ours(self, cluster: DockerBrokers) -> None:
        assert set(endpoints(cluster)) == {"internal", "plaintext", "tls", "scram"}
        assert len(set(endpoints(cluster).values())) == 4

    def test_kafka_calls_them_as_msk_does(self, cluster: DockerBrokers) -> None:
        found = settings_of(cluster)
        names = [listener.partition(":")[0] for listener in found["listeners"].split(",")]
        assert names == [
            *("INTERNAL", "CLIENT", "CLIENT_SECURE", "CLIENT_SASL_SCRAM", "REPLICATION", "CONTROLLER")
        ]
        assert found["inter.broker.listener.name"] == "REPLICATION"

    @pytest.mark.parametrize("listener", ["plaintext", "tls", "scram"])
    def test_each_tells_its_own_address(self, cluster: DockerBrokers, listener: Listener) -> None:
        assert told(librdkafka(cluster, listener)) == {str(endpoints(cluster)[listener])}

    def test_records_go_in_and_come_out(self, cluster: DockerBrokers) -> None:
        assert there_and_back(librdkafka(cluster, "tls"), "over-tls") == b"ssl"
        assert there_and_back(librdkafka(cluster, "scram"), "over-scram") == b"sasl_ssl"

    def test_of_several_brokers_and_kafka_4(self, kafka_4: str) -> None:
        opened: frozenset[Listener] = frozenset({"tls", "scram"})
        with support.running(brokers=2, kafka_version=NEWER_VERSION, listeners=opened) as cluster:
            with Admin(str(cluster.brokers[0].endpoints["internal"])) as admin:
                set_scram_passwords(admin, {"alice": PASSWORD})
            for listener, protocol in (("tls", "ssl"), ("scram", "sasl_ssl")):
                every = [str(broker.endpoints[listener]) for broker in cluster.brokers]  # type: ignore[index]
                login = {
                    "sasl.mechanism": "SCRAM-SHA-512",
                    "sasl.username": "alice",
                    "sasl.password": PASSWORD,
                }
                settings = {
                    "bootstrap.servers": ",".join(every),
                    "security.protocol": protocol,
                    "ssl.ca.pem": cluster.keys.authority.pem.decode(),
                    **(login if listener == "scram" else {}),
                }
                assert told(settings) == set(every)
                assert there_and_back(settings, f"over-{listener}") == protocol.encode()


class TestTls:
    @pytest.mark.parametrize("listener", ["tls", "scram"])
    def test_who_does_not_trust_the_authority_does_not_get_in(
        self, cluster: DockerBrokers, listener: Listener
    ) -> None:
        settings = librdkafka(cluster, listener) | {"ssl.ca.pem": THEIRS.pem.decode()}
        assert "certificate verify failed" in refusal(settings)

    def test_nobody_gets_in_without_tls(self, cluster: DockerBrokers) -> None:
        assert refusal(librdkafka(cluster, "tls") | {"security.protocol": "plaintext"})
        assert readiness.ask(endpoints(cluster)["tls"]) is None

    def test_certificates_of_clients_are_not_asked_for(self, cluster: DockerBrokers) -> None:
        stranger = Authority.make("theirs").client("orders")
        assert told(librdkafka(cluster, "tls", stranger))

    def test_who_has_a_certificate_gets_in(self, mutual: DockerBrokers) -> None:
        for pair in (mutual.keys.authority.client("orders"), THEIRS.client("orders")):
            assert told(librdkafka(mutual, "tls", pair)) == {str(endpoints(mutual)["tls"])}

    def test_who_has_none_does_not(self, mutual: DockerBrokers) -> None:
        assert "alert bad certificate" in refusal(librdkafka(mutual, "tls"))  # in the words of Java

    def test_nor_who_has_one_of_another_authority(self, mutual: DockerBrokers) -> None:
        stranger = Authority.make("theirs").client("orders")
        assert refusal(librdkafka(mutual, "tls", stranger))

    def test_where_they_are_only_asked_for_who_has_none_gets_in(self, shared: DockerBrokers) -> None:
        shared.apply(MUTUAL.changed(client_certificates="requested"))
        assert told(librdkafka(shared, "tls"))
        assert told(librdkafka(shared, "tls", THEIRS.client("orders")))
        assert refusal(librdkafka(shared, "tls", Authority.make("theirs").client("orders")))


WRONG_LOGINS = [
    ({"sasl_plain_password": "wrong"}, "invalid credentials with SASL mechanism SCRAM-SHA-512"),
    ({"sasl_plain_username": "bob"}, "invalid credentials with SASL mechanism SCRAM-SHA-512"),
    ({"sasl_mechanism": "SCRAM-SHA-256"}, "Unsupported SASL mechanism"),
    ({"sasl_mechanism": "PLAIN"}, "Unsupported SASL mechanism"),
]


class TestScram:
    def test_a_user_gets_in(self, cluster: DockerBrokers, tmp_path: Path) -> None:
        client = KafkaAdminClient(**kafka_python(cluster, tmp_path))
        try:
            assert [broker["port"] for broker in client.describe_cluster()["brokers"]] == [
                endpoints(cluster)["scram"].port
            ]
        finally:
            client.close()

    @pytest.mark.parametrize(("wrong", "why"), WRONG_LOGINS)
    def test_librdkafka_is_told_why_others_do_not(
        self, cluster: DockerBrokers, wrong: dict[str, str], why: str
    ) -> None:
        theirs = {name.replace("_plain", "").replace("_", "."): value for name, value in wrong.items()}
        assert why in refusal(librdkafka(cluster, "scram") | theirs)

    @pytest.mark.parametrize(("wrong", "_why"), WRONG_LOGINS)
    def test_kafka_python_does_not_get_in_either(
        self, cluster: DockerBrokers, tmp_path: Path, wrong: dict[str, str], _why: str
    ) -> None:
        with pytest.raises(KafkaTimeoutError):
            KafkaAdminClient(**kafka_python(cluster, tmp_path, bootstrap_timeout_ms=1500, **wrong))

    def test_nobody_gets_in_without_sasl(self, cluster: DockerBrokers) -> None:
        assert refusal(librdkafka(cluster, "scram") | {"security.protocol": "ssl"})


class TestChanges:
    def test_listeners_open_and_shut_while_ports_and_records_stay(self, shared: DockerBrokers) -> None:
        shared.apply(OPEN)
        before = endpoints(shared)
        support.produce(shared, "kept", [b"a"], acks="all")

        shared.apply(MUTUAL)
        during = endpoints(shared)
        assert set(during) == {"internal", "tls", "iam"}
        assert (during["internal"], during["tls"]) == (before["internal"], before["tls"])
        assert readiness.ask(before["plaintext"]) is None
        assert readiness.ask(during["internal"]) is not None

        shared.apply(OPEN)
        assert endpoints(shared) == before
        assert support.consume(shared, "kept", 1) == [b"a"]
        assert told(librdkafka(shared, "scram"))

    def test_an_authority_that_is_none_leaves_everything_as_it_was(self, mutual: DockerBrokers) -> None:
        before = endpoints(mutual)
        with pytest.raises(BrokerStartError, match="was not updated: broker 1: Kafka ended"):
            mutual.apply(MUTUAL.changed(client_authorities=(NO_CERTIFICATE,)))
        assert endpoints(mutual) == before
        assert told(librdkafka(mutual, "tls", THEIRS.client("orders")))


class TestDoors:
    def test_clients_find_the_door_and_not_the_broker(self, mutual: DockerBrokers) -> None:
        door = endpoints(mutual)["iam"]
        with engine() as client:
            (name,) = support.container_names(mutual)
            published = client.containers.get(name).attrs["NetworkSettings"]["Ports"]
        assert str(door.port) not in {bindings[0]["HostPort"] for bindings in published.values() if bindings}
        assert told(librdkafka(mutual, "iam")) == {str(door)}
        assert there_and_back(librdkafka(mutual, "iam"), "by-the-door") == b"plaintext"

    def test_the_door_leads_to_a_broker_that_comes_back(self, mutual: DockerBrokers) -> None:
        door = endpoints(mutual)["iam"]
        mutual.reboot(1)
        assert told(librdkafka(mutual, "iam")) == {str(door)}

    def test_it_shuts_with_its_listener(self, shared: DockerBrokers) -> None:
        shared.apply(MUTUAL)
        door = endpoints(shared)["iam"]
        shared.apply(OPEN)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((door.host, door.port), timeout=5)


class TestSecrets:
    def test_the_engine_tells_none(self, cluster: DockerBrokers) -> None:
        key_lines = cluster.keys.server.key.decode().splitlines()[1:-1]
        with engine() as client:
            found = [client.api.inspect_container(name) for name in support.container_names(cluster)]
            found.append(client.api.inspect_network(cluster.network))
        for text in (json.dumps(found), cluster.logs(100_000)[1], json.dumps(settings_of(cluster))):
            assert text
            for secret in ("PRIVATE KEY", PASSWORD, *key_lines):
                assert secret not in text

    def test_only_kafkas_own_user_reads_the_key(self, cluster: DockerBrokers) -> None:
        def run(user: str, *command: str) -> tuple[int, str]:
            result = container.exec_run(list(command), user=user)
            return result.exit_code, result.output.decode()

        with engine() as client:
            container = client.containers.get(support.container_names(cluster)[0])
            key = f"{listeners.SETTINGS}/keystore.pem"
            assert run("", "grep", "-c", "PRIVATE KEY", key) == (0, "2\n")
            status, output = run("nobody", "cat", key)
            assert run("", "stat", "-c", "%a", listeners.SETTINGS) == (0, "700\n")
        assert status != 0
        assert "Permission denied" in output
