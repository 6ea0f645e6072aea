"""The arguments of ``@pytest.mark.msk(...)``: their schema, their checks, and what they ask for.

The same arguments are taken by `msk_cluster_factory`, `msk_cluster_fixture` and `mock_msk().cluster`.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from pytest_msk import checks
from pytest_msk.errors import MskUsageError
from pytest_msk.settings import DEFAULT_BACKEND, ISOLATIONS, SCOPES, Backend, Isolation, Scope, Settings
from pytest_msk.spec import ClusterSpec


@dataclass(frozen=True)
class TopicRequest:
    """A topic to be made before the test runs.

    Attributes:
        replication_factor: None for the cluster's own default.
    """

    name: str
    partitions: int = 1
    replication_factor: int | None = None
    config: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ClusterRequest:
    """What a test asks for: arguments and settings, checked and merged."""

    brokers: int
    kafka_version: str
    configuration: Mapping[str, str]
    topics: tuple[TopicRequest, ...]
    scope: Scope
    backend: Backend
    name: str | None
    isolation: Isolation = "test"

    @property
    def cluster_key(self) -> tuple[object, ...]:
        """Equal for requests that one cluster can serve; topics are made and removed on it."""
        return (
            self.brokers,
            self.kafka_version,
            tuple(sorted(self.configuration.items())),
            self.backend,
            self.name,
        )

    def spec(self, name: str) -> ClusterSpec:
        """What is asked of the brokers of a cluster with that name, for checks before there is one."""
        return ClusterSpec(name, self.brokers, self.kafka_version, configuration=self.configuration)


def arguments(
    *,
    brokers: int | None = None,
    kafka_version: str | None = None,
    topics: Iterable[str] | Mapping[str, int | Mapping[str, Any]] | None = None,
    configuration: Mapping[str, Any] | str | None = None,
    scope: Scope | None = None,
    docker: bool | None = None,
    name: str | None = None,
    isolation: Isolation | None = None,
) -> dict[str, Any]:
    """Check arguments one by one; this signature is the marker's schema.

    Args:
        brokers: number of brokers, at least 1.
        kafka_version: ``"3.7.1"`` or an MSK name such as ``"3.7.x.kraft"``.
        topics: names; or name to number of partitions; or name to a dict of ``partitions``,
            ``replication_factor`` and ``config``.
        configuration: ``server.properties``, as a dict or as text.
        scope: ``"session"``, ``"module"``, ``"class"`` or ``"function"``.
        docker: True for containers, False for the backend that needs none.
        name: the cluster's name; made up where there is none.
        isolation: ``"test"``: what a test makes on a cluster that it shares is gone after it;
            ``"none"``: it stays.

    Returns:
        Those that were given, in their checked form.

    Raises:
        MskUsageError: a value is not allowed; names the argument, the value and what is allowed.
    """
    given = {key: value for key, value in locals().items() if value is not None}
    return {key: _checked(key, value) for key, value in given.items()}


ARGUMENTS: tuple[str, ...] = tuple(inspect.signature(arguments).parameters)


def check_arguments(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Check a marker's own arguments against the schema.

    Raises:
        MskUsageError: there is no such argument, or a value is not allowed.
    """
    if args:
        raise MskUsageError(f"arguments are named, and {args[0]!r} is not. {_allowed()}")
    for key in kwargs:
        if key not in ARGUMENTS:
            close = difflib.get_close_matches(key, ARGUMENTS, 1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise MskUsageError(f"there is no argument {key!r}.{hint} {_allowed()}")
    return arguments(**kwargs)


def cluster_request(checked: Mapping[str, Any], settings: Settings) -> ClusterRequest:
    """What checked arguments ask for where the settings fill the rest in."""
    backend: Backend = settings.backend
    if "docker" in checked:
        backend = "docker" if checked["docker"] else _without_docker(backend)
    return ClusterRequest(
        brokers=checked.get("brokers", settings.brokers),
        kafka_version=checked.get("kafka_version", settings.kafka_version),
        configuration=checked.get("configuration", MappingProxyType({})),
        topics=checked.get("topics", ()),
        scope=checked.get("scope", settings.scope),
        backend=backend,
        name=checked.get("name"),
        isolation=checked.get("isolation", settings.isolation),
    )


def _without_docker(backend: Backend) -> Backend:
    return DEFAULT_BACKEND if backend == "docker" else backend


def _allowed() -> str:
    return f"Arguments are: {', '.join(ARGUMENTS)}."


def _checked(key: str, value: Any) -> Any:
    try:
        return _CHECKS[key](value)
    except ValueError as error:
        raise MskUsageError(f"{key}={value!r}: {error}.") from None


def _topics(value: Any) -> tuple[TopicRequest, ...]:
    if isinstance(value, Mapping):
        return tuple(_topic(name, shape) for name, shape in value.items())
    if isinstance(value, Iterable) and not isinstance(value, (str, bytes)):
        return tuple(TopicRequest(checks.topic_name(name)) for name in value)
    raise ValueError("write a list of names, or a dict of name to partitions or of name to a dict")


def _topic(name: Any, shape: Any) -> TopicRequest:
    checks.topic_name(name)
    if not isinstance(shape, Mapping):
        return TopicRequest(name, partitions=_of(name, "partitions", checks.count, shape))
    for key in shape:
        if key not in _TOPIC_SHAPE:
            raise ValueError(f"topic {name!r} has no {key!r}; write {', '.join(_TOPIC_SHAPE)}")
    return TopicRequest(name, **{key: _of(name, key, _TOPIC_SHAPE[key], part) for key, part in shape.items()})


def _of(topic: str, key: str, check: Callable[[Any], Any], value: Any) -> Any:
    try:
        return check(value)
    except ValueError as error:
        raise ValueError(f"{key} of topic {topic!r}: {error}") from None


def properties(value: Any) -> Mapping[str, str]:
    """``server.properties`` from a dict, or from text of ``key=value`` lines."""
    if isinstance(value, Mapping):
        return MappingProxyType({checks.text(key): _property(part) for key, part in value.items()})
    if isinstance(value, str):
        lines = (line.strip() for line in value.splitlines())
        return MappingProxyType(dict(_line(line) for line in lines if line and line[0] not in "#!"))
    raise ValueError("write server.properties as a dict, or as text of key=value lines")


def _line(line: str) -> tuple[str, str]:
    key, equals, value = line.partition("=")
    if not equals or not key.strip():
        raise ValueError(f"the line {line!r} is not key=value")
    return key.strip(), value.strip()


def _property(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (str, int, float)):
        return str(value)
    raise ValueError(f"{value!r} is not a string, a number or a bool")


_CHECKS: Mapping[str, Callable[[Any], Any]] = {
    "brokers": checks.count,
    "kafka_version": checks.kafka_version,
    "topics": _topics,
    "configuration": properties,
    "scope": checks.one_of(*SCOPES),
    "docker": checks.flag,
    "name": checks.cluster_name,
    "isolation": checks.one_of(*ISOLATIONS),
}

_TOPIC_SHAPE: Mapping[str, Callable[[Any], Any]] = {
    "partitions": checks.count,
    "replication_factor": checks.count,
    "config": properties,
}
