"""What is said when a cluster cannot be had."""

from __future__ import annotations

import io
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import responses

from pytest_msk.brokers.docker import DockerPlane
from pytest_msk.errors import BackendUnavailableError, BrokerStartError, MskError, MskUsageError
from pytest_msk.spec import ClusterSpec
from tests.brokers.docker import support
from tests.docker_engine import VERSION, engine

SPEC = ClusterSpec("orders")


@pytest.fixture
def image_that_exits(docker_engine: None) -> Iterator[str]:
    tag = f"pytest-msk-test-exits:{uuid.uuid4().hex[:8]}"
    recipe = f'FROM apache/kafka:{VERSION}\nENTRYPOINT ["sh", "-c", "echo no licence found; exit 3"]\n'
    with engine() as client:
        client.images.build(fileobj=io.BytesIO(recipe.encode()), tag=tag, rm=True)
        yield tag
        client.images.remove(tag)


@pytest.fixture
def socket_folder() -> Iterator[Path]:
    """Where the path of a socket is short enough for the system."""
    folder = Path(f"/tmp/pytest-msk-{uuid.uuid4().hex[:8]}")  # noqa: S108
    folder.mkdir()
    yield folder
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


@pytest.fixture
def engine_that_never_answers(socket_folder: Path) -> Iterator[str]:
    path = socket_folder / "docker.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        yield f"unix://{path}"


@contextmanager
def door_to_engine(path: Path) -> Iterator[threading.Event]:
    """A socket that leads to the engine until the event is set."""
    closed = threading.Event()
    pairs: list[socket.socket] = []

    def copy(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def serve() -> None:
        while True:
            try:
                inside, _ = listener.accept()
            except OSError:
                return
            outside = socket.socket(socket.AF_UNIX)
            outside.connect("/var/run/docker.sock")
            pairs.extend((inside, outside))
            for ends in ((inside, outside), (outside, inside)):
                threading.Thread(target=copy, args=ends, daemon=True).start()

    def close() -> None:
        closed.wait()
        path.unlink()
        listener.shutdown(socket.SHUT_RDWR)
        for end in list(pairs):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(50)
    threads = [threading.Thread(target=act) for act in (serve, close)]
    for thread in threads:
        thread.start()
    try:
        yield closed
    finally:
        closed.set()
        for thread in threads:
            thread.join()
        listener.close()
        for end in pairs:
            end.close()


@pytest.mark.usefixtures("docker_engine")
def test_an_image_that_does_not_exist() -> None:
    arn = support.new_arn()
    spec = SPEC.changed(kafka_version="3.7.77")
    cluster = DockerPlane(image="localhost:1/nobody/kafka:{version}").brokers(spec, arn)
    with pytest.raises(BrokerStartError) as raised:
        cluster.start()
    message = str(raised.value)
    assert "Image localhost:1/nobody/kafka:3.7.77 is not on this engine and cannot be pulled" in message
    assert "connection refused" in message
    assert "--msk-image" in message
    assert "nearest to 3.7.77 with an official image: 3.7.1, 3.7.2, 3.8.0" in message
    assert support.remains(support.of_cluster(arn)) == []


def test_an_image_whose_container_exits_at_once(image_that_exits: str) -> None:
    arn = support.new_arn()
    cluster = DockerPlane(image=image_that_exits).brokers(SPEC, arn)
    began = time.monotonic()
    with pytest.raises(BrokerStartError) as raised:
        cluster.start()
    assert time.monotonic() - began < 15
    message = str(raised.value)
    assert "broker 1: its container has exited with status 3" in message
    assert message.endswith("Last lines of broker 1's log:\nno licence found")
    assert support.remains(support.of_cluster(arn)) == []


@pytest.mark.usefixtures("docker_engine")
def test_a_broker_that_dies_while_it_starts() -> None:
    arn = support.new_arn()
    spec = SPEC.changed(brokers=2, configuration={"num.network.threads": "none"})
    cluster = DockerPlane().brokers(spec, arn)
    began = time.monotonic()
    with pytest.raises(BrokerStartError) as raised:
        cluster.start()
    assert time.monotonic() - began < 30
    message = str(raised.value)
    assert "Kafka ended with status 1" in message
    assert "Invalid value none for configuration num.network.threads" in message
    assert support.remains(support.of_cluster(arn)) == []


@pytest.mark.usefixtures("docker_engine")
def test_a_cluster_id_that_is_taken_leaves_its_owner_alone() -> None:
    with support.running() as owner:
        arn = (
            f"arn:aws:kafka:us-east-1:123456789012:cluster/orders/{str(owner.network)[len('pytest-msk-') :]}"
        )
        with pytest.raises(BrokerStartError, match="already in use"):
            DockerPlane().brokers(SPEC, arn).start()
        support.produce(owner, "still-there", [b"a"])


@pytest.mark.usefixtures("docker_engine")
def test_an_engine_that_goes_away(socket_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = socket_folder / "docker.sock"
    arn = support.new_arn()
    with door_to_engine(path) as closed:
        monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
        cluster = DockerPlane().brokers(SPEC, arn)
        cluster.start()
        closed.set()
        support.await_true(lambda: not path.exists())
        with pytest.raises(MskError, match="Broker 1 was not stopped: the container engine says"):
            cluster.stop_broker(1)
        assert cluster.logs() == {}
        began = time.monotonic()
        with pytest.raises(
            MskError, match=r"(?s)was not removed completely.*Container pytest-msk-.*Network pytest-msk-"
        ):
            cluster.stop()
        assert time.monotonic() - began < 10
    with door_to_engine(path):
        cluster.stop()
    monkeypatch.delenv("DOCKER_HOST")
    assert support.remains(support.of_cluster(arn)) == []


def test_an_engine_that_never_answers(
    engine_that_never_answers: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", engine_that_never_answers)
    began = time.monotonic()
    with pytest.raises(BackendUnavailableError) as raised:
        DockerPlane().check()
    assert time.monotonic() - began < 8
    message = str(raised.value)
    assert f"Asked: {engine_that_never_answers} (DOCKER_HOST)" in message
    assert "timed out" in message
    assert "msk_docker_missing = skip" in message


def test_no_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/docker.sock")
    with pytest.raises(BackendUnavailableError) as raised:
        DockerPlane().check()
    message = str(raised.value)
    assert f"Asked: unix://{tmp_path}/docker.sock (DOCKER_HOST): FileNotFoundError" in message
    for remedy in ("Start the engine", "set DOCKER_HOST", "without --msk-docker"):
        assert remedy in message
    if Path("/var/run/docker.sock").is_socket():
        assert "Not asked, but there: unix:///var/run/docker.sock" in message


@pytest.mark.usefixtures("docker_engine")
def test_an_engine_that_answers() -> None:
    assert "DOCKER_HOST" not in os.environ or os.environ["DOCKER_HOST"]
    DockerPlane().check()


@pytest.mark.usefixtures("docker_engine")
def test_a_test_that_mocks_requests() -> None:
    with responses.RequestsMock(), support.running() as cluster:
        cluster.reboot(1)


@pytest.mark.parametrize(
    "name", ["listeners", "node.id", "process.roles", "log.dirs", "controller.quorum.voters"]
)
def test_a_configuration_that_takes_a_broker_from_its_cluster(name: str) -> None:
    spec = SPEC.changed(configuration={name: "x", "num.partitions": "3"})
    with pytest.raises(MskUsageError, match=f"must leave out {name}: pytest-msk sets that"):
        DockerPlane().check_spec(spec)
