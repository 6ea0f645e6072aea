"""The container engine: the one that testcontainers finds, and what to say when there is none."""

from __future__ import annotations

import ipaddress
import os
import socket
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from docker.context import ContextAPI
from docker.errors import DockerException, NotFound
from docker.transport.basehttpadapter import BaseHTTPAdapter
from requests.adapters import HTTPAdapter
from testcontainers.core.config import ConnectionMode, testcontainers_config
from testcontainers.core.container import DockerContainer, Reaper
from testcontainers.core.docker_client import DockerClient, get_docker_host
from testcontainers.core.exceptions import ContainerConnectException, ContainerStartException
from urllib3.exceptions import HTTPError

from pytest_msk.brokers.plane import Endpoint
from pytest_msk.errors import BackendUnavailableError, BrokerStartError

ENGINE_ERRORS = (DockerException, HTTPError, OSError)
"""What docker-py raises for a request that failed, here or in the engine."""

TEARDOWN_PATIENCE = 15
"""Seconds that the engine may take for each step of removing something."""

LOOPBACK = "127.0.0.1"

_LOCAL_HOSTS = frozenset({"localhost", LOOPBACK, "::1"})
_DEFAULT_SOCKET = Path("/var/run/docker.sock")
_ryuk_lock = threading.Lock()


def _keep_out_of_mocks() -> None:
    """Let requests to the engine pass where a test has `responses` or the like replace HTTPAdapter.send."""
    if HTTPAdapter.send.__module__ == HTTPAdapter.__module__:  # not replaced already
        BaseHTTPAdapter.send = HTTPAdapter.send


_keep_out_of_mocks()


@contextmanager
def connected(timeout: float = 30) -> Iterator[DockerClient]:
    """A client of the engine, closed afterwards.

    Args:
        timeout: seconds that the engine may take for an answer.
    """
    knock()
    client = DockerClient(timeout=timeout)
    try:
        yield client
    finally:
        client.client.close()


def knock() -> None:
    """Fail at once where the engine's socket is not served: docker-py would leave one of its own open.

    Raises:
        OSError: it is not.
    """
    scheme, _, path = (get_docker_host() or f"unix://{_DEFAULT_SOCKET}").partition("://")
    if scheme == "unix" and hasattr(socket, "AF_UNIX"):
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(path)


def check(patience: float = 4) -> None:
    """Make sure that an engine answers.

    Args:
        patience: seconds to wait for it.

    Raises:
        BackendUnavailableError: none does; says what was probed and what to do.
    """
    failure = _probe(patience)
    if failure is not None:
        raise BackendUnavailableError(_explain(failure))


def published_host() -> str:
    """The host at which published ports are reached: 127.0.0.1 for an engine on this machine."""
    with connected() as client:
        return LOOPBACK if is_local(client) else client.host()


def is_local(client: DockerClient) -> bool:
    """Whether what the engine publishes on its loopback interface is reached on this process's."""
    if client.get_connection_mode() is ConnectionMode.docker_host:
        return client.host() in _LOCAL_HOSTS
    # This process is in a container itself. Either the engine is in the same one, or beside it.
    try:
        bridge = client.client.networks.get("bridge").attrs
    except NotFound:
        return False
    return any(_is_own_address(_gateway(config)) for config in bridge["IPAM"]["Config"])


def endpoints(container: DockerContainer, ports: Iterable[int], *, local: bool) -> Mapping[int, Endpoint]:
    """Where this process reaches ports of a running container.

    Args:
        container: the container.
        ports: the ports inside it.
        local: what `is_local` says of its engine.
    """
    ports = list(ports)
    is_mapped = container.get_docker_client().get_connection_mode().use_mapped_port
    reached = published_ports(container, ports) if is_mapped else {port: port for port in ports}
    # By number: a look-up of localhost may give ::1, where nothing is published.
    host = LOOPBACK if local else container.get_container_host_ip()
    return {port: Endpoint(host, at) for port, at in reached.items()}


def published_ports(container: DockerContainer, ports: Iterable[int]) -> Mapping[int, int]:
    """The ports of the engine's machine at which ports of a running container are published.

    Raises:
        ConnectionError: one of them is not.
    """
    api = container.get_docker_client().client.api
    found = api.inspect_container(container.get_container_id())["NetworkSettings"]["Ports"] or {}
    published = {}
    for port in ports:
        if not (bindings := found.get(f"{port}/tcp")):
            raise ConnectionError(f"port {port} of container {container.get_container_id()} is not published")
        published[port] = int(bindings[0]["HostPort"])
    return published


def is_port_taken(error: BaseException) -> bool:
    """Whether a container could not start because something else has the port that it is to publish."""
    return any(words in reason(error) for words in ("port is already allocated", "address already in use"))


def _gateway(config: Mapping[str, str]) -> str:
    return config.get("Gateway") or str(ipaddress.ip_network(config["Subnet"])[1])


def _is_own_address(address: str) -> bool:
    try:
        with socket.socket() as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True


def reason(error: BaseException) -> str:
    """What went wrong, in the engine's own words where it said something."""
    if words := getattr(error, "explanation", None):
        return str(words).strip()
    # docker-py wraps the interesting one, up to three times.
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return f"{type(error).__name__}: {error}"


def start_ryuk() -> None:
    """Start testcontainers' own reaper, unless it is off; side by side, containers would each start one.

    Raises:
        BrokerStartError: it cannot be started; says how to do without.
    """
    if testcontainers_config.ryuk_disabled:
        return
    with _ryuk_lock:
        try:
            Reaper.get_instance()
        except (*ENGINE_ERRORS, ContainerStartException, ContainerConnectException) as error:
            raise BrokerStartError(
                f"testcontainers' reaper {testcontainers_config.ryuk_image} cannot start: {reason(error)}\n"
                "pytest-msk removes what it started without it: set TESTCONTAINERS_RYUK_DISABLED=true."
            ) from error


def _probe(patience: float) -> str | None:
    """Why the engine does not answer; None when it does."""
    outcome: list[str | None] = []

    def ask() -> None:
        try:
            with connected(timeout=patience) as client:
                client.client.ping()
        except ENGINE_ERRORS as error:
            outcome.append(reason(error))
        else:
            outcome.append(None)

    # An ssh client or a look-up of a name knows no timeout: it is left behind if it takes too long.
    thread = threading.Thread(target=ask, name="pytest-msk-engine-probe", daemon=True)
    thread.start()
    thread.join(patience + 1)
    return outcome[0] if outcome else f"no answer within {patience + 1:g} s"


def _explain(failure: str) -> str:
    lines = [
        "No container engine answers, so Kafka brokers cannot run in containers.",
        f"Asked: {_address()}: {failure}",
    ]
    others = [f"unix://{path}" for path in _other_sockets() if path.is_socket()]
    if others:
        lines.append(f"Not asked, but there: {', '.join(others)}. Set DOCKER_HOST to use one.")
    else:
        lines.append(f"Looked for and not found: {', '.join(map(str, _other_sockets()))}.")
    lines.append(
        "Start the engine (Docker Desktop, dockerd or Podman's socket), or set DOCKER_HOST to one that runs, "
        "or run without --msk-docker, or set msk_docker_missing = skip to skip tests that need it."
    )
    return "\n".join(lines)


def _address() -> str:
    """The engine that testcontainers chooses, and why it chose it."""
    if host := testcontainers_config.tc_properties_get_tc_host():
        return f"{host} (tc.host in ~/.testcontainers.properties)"
    if host := os.environ.get("DOCKER_HOST"):
        return f"{host} (DOCKER_HOST)"
    if host := get_docker_host():
        return f"{host} (docker context {ContextAPI.get_current_context().Name!r})"
    return f"unix://{_DEFAULT_SOCKET} (the default: no DOCKER_HOST, no docker context)"


def _other_sockets() -> list[Path]:
    home = Path.home()
    run = Path(os.environ.get("XDG_RUNTIME_DIR", "/run/user/1000"))
    candidates = [
        _DEFAULT_SOCKET,
        run / "docker.sock",
        home / ".docker/run/docker.sock",
        home / ".docker/desktop/docker.sock",
        home / ".colima/default/docker.sock",
        home / ".rd/docker.sock",
        run / "podman/podman.sock",
        Path("/run/podman/podman.sock"),
    ]
    asked = get_docker_host() or f"unix://{_DEFAULT_SOCKET}"
    return [path for path in candidates if asked != f"unix://{path}"]
