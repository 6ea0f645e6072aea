"""Brokers of an engine on another machine are published and advertised where testcontainers finds it."""

from __future__ import annotations

import socket

import pytest
from confluent_kafka.admin import AdminClient
from testcontainers.core.config import testcontainers_config

from pytest_msk.brokers.docker import DockerPlane
from tests.brokers.docker import support
from tests.docker_engine import engine

pytestmark = pytest.mark.usefixtures("docker_engine")


@pytest.fixture
def own_address() -> str:
    """An address of this machine that is not the loopback one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no address but the loopback one")
        address: str = probe.getsockname()[0]
    return address


@pytest.fixture
def engine_elsewhere(own_address: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """This machine's engine, as it looks when it is reached over the network."""
    monkeypatch.setattr(testcontainers_config, "tc_host_override", own_address)
    return own_address


def test_brokers_of_a_remote_engine(engine_elsewhere: str) -> None:
    plane = DockerPlane()
    assert plane.host == engine_elsewhere
    with support.running(plane, brokers=2, listeners=frozenset({"plaintext", "tls"})) as cluster:
        assert {broker.host for broker in cluster.brokers} == {engine_elsewhere}
        support.produce(cluster, "far", [b"a"], acks="all")
        assert support.consume(cluster, "far", 1, group_id="readers") == [b"a"]
        secure = {
            "bootstrap.servers": str(cluster.brokers[0].endpoints["tls"]),
            "security.protocol": "ssl",
            "ssl.ca.pem": cluster.keys.authority.pem.decode(),
        }
        found = AdminClient(secure).list_topics(timeout=10)
        assert {broker.host for broker in found.brokers.values()} == {engine_elsewhere}
        with engine() as client:
            ports = client.containers.get(support.container_names(cluster)[0]).attrs["NetworkSettings"][
                "Ports"
            ]
    assert {binding["HostIp"] for binding in ports["9092/tcp"]} <= {"0.0.0.0", "::"}  # noqa: S104


def test_brokers_of_a_local_engine() -> None:
    assert DockerPlane().host == "127.0.0.1"
