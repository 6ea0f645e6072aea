"""Requests about settings, and what to compare of the answers, whatever brokers give them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pytest_msk.brokers.wire import errors
from pytest_msk.brokers.wire.message import Message

TOPIC, BROKER, LOGGER, CLIENT_METRICS, GROUP = 2, 4, 8, 16, 32
SET, DELETE, APPEND, SUBTRACT = range(4)

Ask = Callable[[str, Message], Message]
"""Has a broker answer a request, given by the API's name and the body."""

Operation = tuple[str, int, str | None]
Resource = tuple[int, str]
Request = tuple[str, Message]


def incremental(
    *changes: tuple[int, str, list[Operation]], validate_only: bool = False, **fields: Any
) -> Request:
    resources = [
        Message(
            resource_type=kind,
            resource_name=name,
            configs=[Message(name=key, config_operation=how, value=value) for key, how, value in operations],
        )
        for kind, name, operations in changes
    ]
    return "IncrementalAlterConfigs", Message(resources=resources, validate_only=validate_only, **fields)


def legacy(
    *changes: tuple[int, str, Mapping[str, str | None] | list[tuple[str, str | None]]],
    validate_only: bool = False,
) -> Request:
    resources = [
        Message(
            resource_type=kind,
            resource_name=name,
            configs=[
                Message(name=key, value=value)
                for key, value in (configs.items() if isinstance(configs, Mapping) else configs)
            ],
        )
        for kind, name, configs in changes
    ]
    return "AlterConfigs", Message(resources=resources, validate_only=validate_only)


def setting(kind: int, name: str, key: str, value: str | None, how: int = SET) -> Request:
    return incremental((kind, name, [(key, how, value)]))


def outcomes(answer: Message) -> list[tuple[int, str, str]]:
    """Kind, name and error of each resource that was to be changed."""
    return [
        (each.resource_type, each.resource_name, errors.name(each.error_code)) for each in answer.responses
    ]


def described(
    ask: Ask, resources: Iterable[Resource], names: list[str] | None = None, *, synonyms: bool = True
) -> list[dict[str, Any]]:
    """For each resource, its error, or by name all that is told of a setting."""
    wanted = [
        Message(resource_type=kind, resource_name=name, configuration_keys=names) for kind, name in resources
    ]
    answer = ask("DescribeConfigs", Message(resources=wanted, include_synonyms=synonyms))
    return [
        {config.name: told(config) for config in result.configs}
        if result.error_code == errors.NONE
        else {"error": errors.name(result.error_code)}
        for result in answer.results
    ]


def told(config: Message) -> dict[str, Any]:
    return {
        "value": config.value,
        "read only": config.read_only,
        "source": config.config_source,
        "sensitive": config.is_sensitive,
        "type": config.config_type,
        "synonyms": [(other.name, other.value, other.source) for other in config.synonyms],
    }
