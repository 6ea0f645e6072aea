"""One table of settings, and where each value came from.

A setting called ``kafka_version`` is ``--msk-kafka-version`` on the command line,
``PYTEST_MSK_KAFKA_VERSION`` in the environment and ``msk_kafka_version`` in the ini file, in that
precedence. The marker's arguments stand above all of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from pytest_msk.checks import at_least_one, kafka_version, one_of, positive_seconds, text, truth
from pytest_msk.errors import MskUsageError

Backend = Literal["embedded", "docker", "metadata"]
Scope = Literal["session", "module", "class", "function"]
DockerMissing = Literal["fail", "skip"]
Isolation = Literal["test", "none"]

BACKENDS: tuple[Backend, ...] = get_args(Backend)
SCOPES: tuple[Scope, ...] = get_args(Scope)
ISOLATIONS: tuple[Isolation, ...] = get_args(Isolation)
DEFAULT_BACKEND: Backend = "embedded"

_LOCALEMU_DOCKER = "MSK_DOCKER_BACKEND"
"""LocalEmu's own switch for real brokers, honoured so that its users need to learn nothing."""


@dataclass(frozen=True)
class Setting:
    """One row of the table.

    Attributes:
        check: makes a raw value into the setting's, or raises `ValueError`.
        help: its help line.
        also: a second spelling in the environment, which counts less than `variable`.
    """

    name: str
    check: Callable[[Any], Any]
    default: Any
    help: str
    ini_type: Literal["string", "bool", "int", "float"] = "string"
    also: str | None = None

    @property
    def option(self) -> str:
        """Its spelling on the command line."""
        return "--msk-" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """Its spelling in the environment."""
        return "PYTEST_MSK_" + self.name.upper()

    @property
    def ini(self) -> str:
        """Its spelling in the ini file."""
        return "msk_" + self.name


SETTINGS: tuple[Setting, ...] = (
    Setting("docker", truth, False, "run brokers in containers", "bool", also=_LOCALEMU_DOCKER),  # noqa: FBT003
    Setting("backend", one_of(*BACKENDS), None, f"what runs the brokers: {' or '.join(BACKENDS)}"),
    Setting(
        "embedded_process",
        truth,
        default=False,
        help="run embedded brokers in a child process",
        ini_type="bool",
    ),
    Setting("brokers", at_least_one, 1, "number of brokers of a cluster", "int"),
    Setting("kafka_version", kafka_version, "3.7.1", "Kafka's version number, or MSK's name for one"),
    Setting("image", text, "apache/kafka:{version}", "image of a broker; {version} is filled in"),
    Setting("scope", one_of(*SCOPES), "session", f"how long a cluster lives: {', '.join(SCOPES)}"),
    Setting(
        "isolation",
        one_of(*ISOLATIONS),
        "test",
        "what a test makes on a shared cluster is gone after the test, or with none: stays",
    ),
    Setting("startup_timeout", positive_seconds, 120.0, "seconds until brokers must be ready", "float"),
    Setting("strict", truth, default=False, help="AWS's rules without leniency", ini_type="bool"),
    Setting(
        "docker_missing", one_of(*get_args(DockerMissing)), "fail", "without a Docker engine: fail or skip"
    ),
)

DEFAULT = "default"


@dataclass(frozen=True)
class Value:
    """A setting's value and where it came from, in words."""

    value: Any
    source: str


@dataclass(frozen=True)
class Settings:
    """The settings in force.

    Attributes:
        values: setting name to value and source.
    """

    values: Mapping[str, Value]

    def __getattr__(self, name: str) -> Any:
        try:
            return self.values[name].value
        except KeyError:
            raise AttributeError(name) from None

    @property
    def explicit(self) -> bool:
        """Whether anybody set anything."""
        return any(value.source != DEFAULT for value in self.values.values())

    def describe(self) -> str:
        """The settings on one line, each with its source."""
        shown = ("backend", "kafka_version", "brokers", "scope")
        given = [name for name, value in self.values.items() if value.source != DEFAULT]
        names = [*shown, *(name for name in given if name not in shown and name != "docker")]
        return ", ".join(f"{name} {self.values[name].value} ({self.values[name].source})" for name in names)


Source = Callable[[Setting], Value | None]
"""How to look a setting up in one place: the value there, unchecked, or None."""


def resolve(*sources: Source) -> Settings:
    """Look each setting up in ``sources``: the first that has it wins.

    Raises:
        MskUsageError: a value is not allowed; the message names it and its source.
    """
    found = {setting.name: _lookup(setting, sources) for setting in SETTINGS}
    values = {name: value for name, (value, _) in found.items()}
    values["backend"] = _backend(found["docker"], found["backend"])
    return Settings(values)


def environment(setting: Setting) -> Value | None:
    """A setting's value in the environment; an empty one counts as absent."""
    for variable in filter(None, (setting.variable, setting.also)):
        if value := os.environ.get(variable):
            return Value(value, f"environment {variable}")
    return None


def given(arguments: Mapping[str, Any]) -> Source:
    """Settings handed over as keyword arguments.

    Raises:
        MskUsageError: there is no setting of that name.
    """
    names = [setting.name for setting in SETTINGS]
    for name in arguments:
        if name not in names:
            raise MskUsageError(f"There is no setting {name!r}. Settings are: {', '.join(names)}.")

    def look(setting: Setting) -> Value | None:
        value = arguments.get(setting.name)
        return None if value is None else Value(value, f"argument {setting.name}")

    return look


def _lookup(setting: Setting, sources: tuple[Source, ...]) -> tuple[Value, int]:
    for rank, look in enumerate(sources):
        raw = look(setting)
        if raw is None:
            continue
        try:
            return Value(setting.check(raw.value), raw.source), rank
        except ValueError as error:
            raise MskUsageError(f"{raw.source}: {error}") from None
    return Value(setting.default, DEFAULT), len(sources)


def _backend(docker: tuple[Value, int], backend: tuple[Value, int]) -> Value:
    """``docker`` is short for ``backend = docker``: whichever was said in the higher place counts."""
    (docker_value, docker_rank), (backend_value, backend_rank) = docker, backend
    if docker_value.value and backend_rank == docker_rank and backend_value.value != "docker":
        raise MskUsageError(
            f"{docker_value.source} asks for docker and {backend_value.source} for "
            f"{backend_value.value!r}: give one of the two."
        )
    if docker_value.source != DEFAULT and docker_rank <= backend_rank:
        return Value("docker" if docker_value.value else DEFAULT_BACKEND, docker_value.source)
    if backend_value.value is not None:
        return backend_value
    return Value(DEFAULT_BACKEND, DEFAULT)
