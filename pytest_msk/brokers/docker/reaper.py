"""Labels on everything made in the engine, and the removal of what a run left behind."""

from __future__ import annotations

import atexit
import hashlib
import os
import platform
import subprocess
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from docker.errors import APIError, NotFound
from docker.models.containers import Container
from docker.models.networks import Network
from testcontainers.core.docker_client import DockerClient

from pytest_msk.brokers.docker.engine import ENGINE_ERRORS, connected

RUN_ID = "pytest-msk.run-id"
KRAFT_UUID = "pytest-msk.kraft-uuid"

_FIELDS = 5
_living: set[str] = set()
_living_lock = threading.Lock()
_swept_by: set[str] = set()
_sweep_lock = threading.Lock()


def run_id() -> str:
    """This process: its machine, that machine's boot, the pid's namespace, the pid, and when it started."""
    return _run_id_of(os.getpid())


def remove_leftovers() -> None:
    """Remove what runs of this machine left whose process is gone; only the first call in a process does.

    Runs of other machines, of processes that live, and those of which neither is sure are left alone.
    """
    with _sweep_lock:
        if run_id() in _swept_by:
            return
        with connected() as client:
            for left in {run for run in _runs(client) if _is_gone(run)}:
                remove_labelled(client, f"{RUN_ID}={left}")
        _swept_by.add(run_id())


def remove_labelled(client: DockerClient, label: str) -> None:
    """Remove the containers, networks and volumes that have a label, by force."""
    for kind in _kinds(client):
        for resource in kind(label):
            # Someone else may be removing the same.
            with suppress(NotFound):
                _remove(resource)


def outlives(kraft_uuid: str) -> None:
    """A cluster now has something in the engine: remove it when the process ends, if nobody did before."""
    with _living_lock:
        atexit.unregister(_remove_at_exit)
        atexit.register(_remove_at_exit, os.getpid())
        _living.add(kraft_uuid)


def is_removed(kraft_uuid: str) -> None:
    """A cluster has nothing in the engine any more."""
    with _living_lock:
        _living.discard(kraft_uuid)


def _remove_at_exit(owner: int) -> None:
    # A forked child inherits this registration, but not the clusters. No threads: none can start any more.
    if not _living or owner != os.getpid():
        return
    with suppress(*ENGINE_ERRORS), connected(timeout=15) as client:
        remove_labelled(client, f"{RUN_ID}={run_id()}")


def _kinds(client: DockerClient) -> list[Callable[[str], list[Any]]]:
    """How to list each kind of resource by label; containers first, since they hold the others."""
    engine = client.client
    return [
        lambda label: engine.containers.list(all=True, sparse=True, filters={"label": label}),
        lambda label: engine.networks.list(filters={"label": label}),
        lambda label: engine.volumes.list(filters={"label": label}),
    ]


def remove_container(container: Container) -> None:
    """Remove a container and its volumes by force, unless someone else is already at it."""
    try:
        container.remove(force=True, v=True)
    except APIError as error:
        if "already in progress" not in str(error):
            raise


def _remove(resource: Any) -> None:
    if isinstance(resource, Container):
        remove_container(resource)
        return
    if isinstance(resource, Network):
        # An application's own container may still be on it, and would keep it.
        resource.reload()
        for guest in resource.attrs["Containers"]:
            with suppress(APIError):
                resource.disconnect(guest, force=True)
    resource.remove()


def _runs(client: DockerClient) -> Iterator[str]:
    for kind in _kinds(client):
        for resource in kind(RUN_ID):
            yield resource.attrs["Labels"][RUN_ID]


def _is_gone(run: str) -> bool:
    fields = run.split(".")
    if len(fields) != _FIELDS or not fields[3].isdigit():
        return False
    machine, boot, namespace, pid, started = fields
    here = run_id().split(".")
    if machine != here[0]:
        return False
    if boot != here[1]:
        return True
    return namespace == here[2] and _started(int(pid)) not in {started, _UNKNOWN}


@lru_cache(maxsize=8)
def _run_id_of(pid: int) -> str:
    return f"{_machine()}.{_boot()}.{_namespace()}.{pid}.{_started(pid)}"


_UNKNOWN = "unknown"
_NOT_RUNNING = "none"


def _machine() -> str:
    identity = [platform.node(), str(uuid.getnode())]
    with suppress(OSError):
        identity.append(Path("/etc/machine-id").read_text())
    return hashlib.sha256("\n".join(identity).encode()).hexdigest()[:16]


def _boot() -> str:
    """The same for the whole time that the machine is up, where the system tells; a constant elsewhere."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return _UNKNOWN


def _namespace() -> str:
    """Two containers on one machine may have the same pid for different processes."""
    try:
        return os.readlink("/proc/self/ns/pid").strip("pid:[]")
    except OSError:
        return _UNKNOWN


def _started(pid: int) -> str:
    """When a process started, in whichever notation the system has."""
    if Path("/proc/self/stat").exists():
        return _started_by_proc(pid)
    if os.name == "posix":
        command = ["ps", "-o", "lstart=", "-p", str(pid)]
        found = subprocess.run(command, capture_output=True, text=True, check=False)
        return "-".join(found.stdout.replace(":", "-").split()) or _NOT_RUNNING
    return _UNKNOWN


def _started_by_proc(pid: int) -> str:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return _NOT_RUNNING
    except OSError:
        return _UNKNOWN
    # The second field is a name in brackets, with blanks and brackets of its own.
    state, *rest = stat.rpartition(")")[2].split()
    return _NOT_RUNNING if state in "ZX" else rest[18]
