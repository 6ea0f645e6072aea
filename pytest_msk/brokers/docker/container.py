"""The container of one broker."""

from __future__ import annotations

import io
import tarfile
import threading
import uuid
from collections.abc import Collection, Mapping
from contextlib import suppress
from enum import Enum
from functools import cached_property
from importlib.resources import files
from typing import Any

from docker.errors import APIError, NotFound
from testcontainers.core.container import DockerContainer

from pytest_msk.brokers.clock import real_monotonic
from pytest_msk.brokers.docker import engine, readiness, reaper
from pytest_msk.brokers.docker.listeners import PUBLISHED, SETTINGS
from pytest_msk.brokers.docker.patience import Patience
from pytest_msk.brokers.plane import Endpoint
from pytest_msk.errors import BrokerStartError
from pytest_msk.spec import Listener

# What `start.sh` says last, each in a line of its own.
_MARK = b"[pytest-msk] "
_STOPPED = _MARK + b"Kafka stopped"
_DIED = _MARK + b"Kafka ended"
_GRACE = 10
_LOOK_FOR_DEATH = 0.5


class Stop(Enum):
    """How Kafka ends: the signals that `start.sh` knows."""

    IN_ORDER = "SIGUSR1"
    """With the time to move its leaders elsewhere."""
    QUICKLY = "SIGHUP"
    """Asked, and after a second made to."""
    KILLED = "SIGQUIT"
    """As if its power was cut."""


class BrokerContainer:
    """One broker's container. Its first process waits for settings, then keeps Kafka, stopped or started.

    `replace` puts another container in its place: the broker is the same.

    Attributes:
        id: the broker's id.
        name: the container's name, and the broker's host name on the container network.
        image: the image that it runs.
        operation: held while the broker is being stopped or started.
        progress: how far its start got, for people.
    """

    def __init__(
        self, broker_id: int, name: str, image: str, network: str, labels: Mapping[str, str], *, local: bool
    ) -> None:
        self.id = broker_id
        self.name = name
        self.image = image
        self.operation = threading.Lock()
        self.progress = "no container yet"
        self._network = network
        self._local = local
        # Docker's choice until a container has to have the same as another.
        self._ports: Mapping[int, int] = {}
        self._container = self._made(image, labels)

    def start(self, patience: Patience) -> None:
        """Create and start the container, which then waits for its settings."""
        patience.check()
        self._container.start()
        self.progress = "container runs"

    @cached_property
    def endpoints(self) -> Mapping[Listener, Endpoint]:
        """Where the published ports of listeners are reached, be they open or not."""
        ports = [place.port for place in PUBLISHED.values()]
        try:
            reached = engine.endpoints(self._container, ports, local=self._local)
        except engine.ENGINE_ERRORS:
            self._check_alive()  # a container that has exited publishes nothing
            raise
        return {name: reached[place.port] for name, place in PUBLISHED.items()}

    @property
    def endpoint(self) -> Endpoint:
        """Where the plugin's own clients reach the broker."""
        return self.endpoints["internal"]

    def configure(self, settings: Mapping[str, bytes], patience: Patience) -> None:
        """Copy in what the first process waits for, and so start Kafka."""
        self.write(settings, patience)
        self.progress = "Kafka is starting"

    def write(self, settings: Mapping[str, bytes], patience: Patience) -> None:
        """Copy settings in, for Kafka's next start."""
        patience.check()
        # An archive is unpacked in order: when this last file is there, so are the others.
        archive = _archive({**settings, "complete": b""})
        patience.until(lambda: self._unpacks(archive))

    def await_ready(self, expected: Collection[int], patience: Patience) -> None:
        """Return when the broker says that those expected, which it is one of, and a controller are there.

        Raises:
            BrokerStartError: it died, or patience ended.
        """
        look_for_death = real_monotonic() + _LOOK_FOR_DEATH

        def is_ready() -> bool:
            nonlocal look_for_death
            view = readiness.ask(self.endpoint)
            if view is None and real_monotonic() > look_for_death:
                self._check_alive()
                look_for_death = real_monotonic() + _LOOK_FOR_DEATH
            self._note(view, len(expected))
            return view is not None and view.shows(expected)

        patience.until(is_ready)

    def stop_kafka(self, patience: Patience, how: Stop) -> None:
        """Have the first process stop Kafka, and stay.

        Args:
            patience: how long to wait for it.
            how: what Kafka is given the time for.
        """
        self._wrapped.kill(how.value)
        patience.until(lambda: self._last_line().startswith(_STOPPED))

    def start_kafka(self, patience: Patience) -> None:
        """Have the first process start Kafka again."""
        self._wrapped.kill("SIGUSR2")
        patience.until(lambda: not self._last_line().startswith((_STOPPED, _DIED)))
        self.progress = "Kafka is starting"

    def replace(self, image: str, labels: Mapping[str, str], patience: Patience) -> None:
        """Put a container of another image in this one's place, whose name, port and data it takes over.

        Kafka should have been stopped before; the new container waits for its settings.

        Raises:
            BrokerStartError: patience ended, perhaps because something else has taken the port meanwhile.
        """
        if not self._ports:
            ports = [place.port for place in PUBLISHED.values()]
            self._ports = engine.published_ports(self._container, ports)
        old, old_client = self._wrapped, self._container.get_docker_client().client
        old.stop(timeout=_GRACE)
        old.rename(f"{self.name}-{uuid.uuid4().hex}")
        made = self._made(image, labels, volumes_from=[old.id])
        try:
            self._start_on_port(made, patience)
        finally:
            if made._container is not None:
                self._container, self.image = made, image
                self.__dict__.pop("endpoints", None)
                old.remove(force=True)  # not its volumes: they have gone over
                old_client.close()
        self.progress = "container runs"

    def _start_on_port(self, made: DockerContainer, patience: Patience) -> None:
        taken = ""

        def starts() -> bool:
            nonlocal taken
            try:
                if made._container is None:
                    made.start()
                else:
                    made._container.start()
            except APIError as error:
                if not engine.is_port_taken(error):
                    raise
                taken = engine.reason(error)
                return False
            return True

        try:
            patience.until(starts)
        except BrokerStartError as error:
            if not taken:
                raise
            raise BrokerStartError(
                f"{error}: something else has taken a port of broker {self.id} while it was "
                f"restarted: {taken}"
            ) from error

    def _made(self, image: str, labels: Mapping[str, str], **more: Any) -> DockerContainer:
        container = DockerContainer(image, docker_client_kw={"timeout": 30})
        container.with_name(self.name).with_command(_first_process())
        container.with_kwargs(network=self._network, labels=dict(labels), **more)
        # All interfaces only where this process is not on the engine's machine: nobody else needs to get in.
        for place in PUBLISHED.values():
            port: Any = self._ports.get(place.port)
            container.ports[f"{place.port}/tcp"] = (engine.LOOPBACK, port) if self._local else port
        return container

    def death(self) -> str | None:
        """How Kafka, or the container with it, ended on its own; None while it lives."""
        self._wrapped.reload()
        if self._wrapped.status not in {"created", "running"}:
            state = self._wrapped.attrs["State"]
            return f"its container has {self._wrapped.status} with status {state['ExitCode']}"
        last = self._last_line()
        return last.removeprefix(_MARK).decode().strip() if last.startswith(_DIED) else None

    def logs(self, lines: int) -> str:
        """The last lines of the container's output; empty before there is a container."""
        if self._container._container is None:
            return ""
        output: bytes = self._wrapped.logs(tail=lines)
        return output.decode(errors="replace")

    def remove(self) -> list[str]:
        """Stop the container, by force after a grace, and remove it with its volumes; tells what failed."""
        client = self._container.get_docker_client().client
        client.api.timeout = engine.TEARDOWN_PATIENCE
        try:
            if self._container._container is not None:
                with suppress(NotFound):
                    self._wrapped.stop(timeout=_GRACE)
                    reaper.remove_container(self._wrapped)
        except engine.ENGINE_ERRORS as error:
            return [f"Container {self.name}: {engine.reason(error)}"]
        finally:
            client.close()
        return []

    def _unpacks(self, archive: bytes) -> bool:
        """Copy an archive in, unless the first process has not made the place for it yet."""
        try:
            self._wrapped.put_archive(SETTINGS, archive)
        except NotFound:
            self._check_alive()
            return False
        return True

    def _check_alive(self) -> None:
        if death := self.death():
            raise BrokerStartError(f"broker {self.id}: {death}")

    def _note(self, view: readiness.View | None, expected: int) -> None:
        if view is not None:
            controller = "a" if view.controller >= 0 else "no"
            self.progress = (
                f"answers, listing {len(view.brokers)} of {expected} brokers and {controller} controller"
            )

    @property
    def _wrapped(self) -> Any:
        engine.knock()
        return self._container.get_wrapped_container()

    def _last_line(self) -> bytes:
        line: bytes = self._wrapped.logs(tail=1)
        return line


def _first_process() -> list[str]:
    return ["bash", "-c", files(__package__).joinpath("start.sh").read_text()]


def _archive(contents: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()
