"""AlterConfigs and IncrementalAlterConfigs: settings that change while the brokers run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from enum import IntEnum

from pytest_msk.brokers.embedded import config_checks
from pytest_msk.brokers.embedded.api import Request, handles
from pytest_msk.brokers.embedded.config_definitions import LISTENER_SETTING, Setting
from pytest_msk.brokers.embedded.config_values import parsed
from pytest_msk.brokers.embedded.configs import (
    ALL_BROKERS,
    MIN_IN_SYNC,
    Configs,
    Overrides,
    ResourceKind,
    check_lengths,
    override,
)
from pytest_msk.brokers.embedded.describe_configs import (
    BROKER,
    BROKER_LOGGER,
    CLIENT_METRICS,
    GROUP,
    TOPIC,
    broker_id,
    known_resources,
    no_loggers,
)
from pytest_msk.brokers.embedded.topic_admin import outcome
from pytest_msk.brokers.embedded.topics import check_name
from pytest_msk.brokers.wire.errors import KafkaError
from pytest_msk.brokers.wire.message import Message


class Operation(IntEnum):
    """What IncrementalAlterConfigs can do to a setting (KIP-339)."""

    SET = 0
    DELETE = 1
    APPEND = 2
    SUBTRACT = 3


Wanted = Callable[[Overrides], dict[str, str]]
"""Gives what a resource is to override, from what it overrides now."""

_KINDS: Mapping[int, ResourceKind] = {
    TOPIC: "topic",
    BROKER: "broker",
    GROUP: "group",
    CLIENT_METRICS: "client-metrics",
}

_ONLY_BY_LISTENER = ("ssl.keystore.", "ssl.truststore.", "ssl.key.password")
"""How the settings start that Kafka changes for one listener at a time alone."""

_CHANGEABLE_OF_LISTENERS = ("max.connections", "max.connection.creation.rate", "num.network.threads")
"""What changes for a listener that is there. Keys and certificates are not reloaded here."""

_REPORTERS = "metric.reporters"
_ONLY_REPORTER = "org.apache.kafka.common.metrics.JmxReporter"


@handles("IncrementalAlterConfigs", 0, 1)
def incremental_alter_configs(request: Request) -> Message:
    """Set, delete, or change lists in settings (KIP-339), of each resource all or none."""

    def wanted(resource: Message) -> Wanted:
        given = [
            op.name for op in resource.configs if op.config_operation != Operation.DELETE and op.value is None
        ]
        _check_nulls(given)
        for op in resource.configs:
            if op.config_operation not in list(Operation):
                error = "INVALID_REQUEST" if resource.resource_type == BROKER else "UNKNOWN_SERVER_ERROR"
                raise KafkaError(error, f"Unknown operation {op.config_operation} on {op.name}")
        settings = _settings(request.cluster.configs, resource.resource_type)
        return lambda now: _changed(now, resource.configs, settings)

    return _altered(request, wanted)


@handles("AlterConfigs", 0, 2)
def alter_configs(request: Request) -> Message:
    """Set all that resources override: what is not named goes back to its default."""

    def wanted(resource: Message) -> Wanted:
        _check_nulls([config.name for config in resource.configs if config.value is None])
        if resource.resource_type == BROKER_LOGGER:
            raise _unknown(resource)
        return lambda _: {config.name: config.value for config in resource.configs}

    return _altered(request, wanted)


def _altered(request: Request, wanted: Callable[[Message], Wanted]) -> Message:
    """Check and change one resource after the other, and answer in the order of the request."""
    resources = request.body.resources
    times = Counter((resource.resource_type, resource.resource_name) for resource in resources)
    responses = []
    for resource in resources:
        error = None
        try:
            if times[resource.resource_type, resource.resource_name] > 1:
                raise _invalid("The resource is there more than once.")
            if len({config.name for config in resource.configs}) < len(resource.configs):
                raise _invalid("A config key is there more than once.")
            _alter(request, resource, wanted(resource))
        except KafkaError as refused:
            error = refused
        responses.append(
            Message(
                resource_type=resource.resource_type, resource_name=resource.resource_name, **outcome(error)
            )
        )
    return Message(responses=responses)


def _alter(request: Request, resource: Message, wanted: Wanted) -> None:
    kind, name = resource.resource_type, resource.resource_name
    configs = request.cluster.configs
    if kind not in known_resources(configs):
        raise _unknown(resource)
    if kind == BROKER_LOGGER:
        raise no_loggers()
    if kind == BROKER and name != ALL_BROKERS and broker_id(name) != request.broker.id:
        raise _invalid(f"Unexpected broker id {name}, expected {request.broker.id}")
    before = configs.overrides(_KINDS[kind], name)
    after = wanted(before)
    if kind == BROKER:
        _check_broker(request, name, after)
        touched = {config.name for config in resource.configs} | (before.keys() - after.keys())
        _check_min_in_sync(configs, name, after, touched)
    elif kind == TOPIC:
        _check_topic(request, name, before, after)
    else:
        _check_other(configs, _KINDS[kind], name, after)
    if not request.body.validate_only:
        configs.replace(_KINDS[kind], name, after)


def _changed(
    now: Overrides, operations: Sequence[Message], settings: Mapping[str, Setting]
) -> dict[str, str]:
    """What is overridden after some operations (``ConfigurationControlManager``)."""
    after = dict(now)
    for op in operations:
        operation = Operation(op.config_operation)
        if operation == Operation.SET:
            after[op.name] = op.value
        elif operation == Operation.DELETE:
            after.pop(op.name, None)
        else:
            setting = settings.get(op.name)
            if setting is None or setting.kind != "list":
                text = f"Can't {operation.name} to {op.name}: its type is not LIST"
                raise KafkaError("INVALID_CONFIG", text)
            present = [part for part in (now.get(op.name, setting.default) or "").split(",") if part]
            for part in op.value.split(","):
                if operation == Operation.APPEND and part not in present:
                    present.append(part)
                elif operation == Operation.SUBTRACT and part in present:
                    present.remove(part)
            after[op.name] = ",".join(present)
    return after


def _check_topic(request: Request, name: str, before: Overrides, after: Overrides) -> None:
    if not name:
        raise _invalid("A topic resource needs a name.")
    check_name(name)
    request.cluster.configs.check_topic(after, before)
    if request.cluster.topics.get(name) is None:
        raise KafkaError("UNKNOWN_TOPIC_OR_PARTITION", f"The topic '{name}' does not exist.")


def _check_other(configs: Configs, kind: ResourceKind, name: str, after: Overrides) -> None:
    check_lengths(after)
    if kind == "group":
        if not name:
            raise _invalid("A group resource needs a name.")
        settings = configs.definitions.group
        unknown = [each for each in after if each not in settings]
        if unknown:
            raise KafkaError("INVALID_CONFIG", f"Unknown group config name: {unknown[0]}")
        values = {each: parsed(settings[each], text) for each, text in after.items()}
        config_checks.check_group(
            lambda each: values[each] if each in values else configs.group_default(each),
            values.keys(),
            lambda each: configs.broker(configs.first, each),
        )
        return
    if not name:
        raise _invalid("A subscription to client metrics needs a name.")
    settings = configs.definitions.client_metrics
    for each in after:
        if each not in settings:
            raise _invalid(f"Unknown client metrics configuration: {each}")
    config_checks.check_client_metrics({each: parsed(settings[each], text) for each, text in after.items()})


def _check_broker(request: Request, name: str, after: Overrides) -> None:
    """Check what a broker checks (``DynamicBrokerConfig.validate``)."""
    configs = request.cluster.configs
    _check_changeable(configs, after, of_all=name == ALL_BROKERS)
    try:
        _check_values(configs, after)
        _check_effect(request, name, after)
    except KafkaError as error:
        raise _invalid(error.message or error.name) from error


def _check_min_in_sync(configs: Configs, name: str, after: Overrides, touched: Collection[str]) -> None:
    """Check what the controller checks of a broker's settings."""
    if configs.guards_min_in_sync and MIN_IN_SYNC in touched:
        if name != ALL_BROKERS:
            text = f"With eligible leader replicas no broker has a {MIN_IN_SYNC} of its own"
            raise KafkaError("INVALID_CONFIG", text)
        if MIN_IN_SYNC not in after:
            text = f"With eligible leader replicas {MIN_IN_SYNC} must stay set for all brokers"
            raise KafkaError("INVALID_CONFIG", text)
    check_lengths(after)


def _check_changeable(configs: Configs, after: Overrides, *, of_all: bool) -> None:
    settings = configs.definitions.broker
    fixed = [name for name in after if name in settings and not settings[name].changeable]
    if fixed:
        raise _invalid(f"Cannot update these configs dynamically: {', '.join(fixed)}")
    by_listener = [name for name in after if name.startswith(_ONLY_BY_LISTENER)]
    if by_listener:
        raise _invalid(f"Only with a listener's prefix these change dynamically: {', '.join(by_listener)}")
    of_one = [name for name in after if _is_of_one_broker(settings, name)]
    if of_all and of_one:
        raise _invalid(f"These configs change dynamically for one broker id at a time: {', '.join(of_one)}")


def _is_of_one_broker(settings: Mapping[str, Setting], name: str) -> bool:
    match = LISTENER_SETTING.fullmatch(name)
    if match is not None:
        return match[1] not in _CHANGEABLE_OF_LISTENERS
    return name in settings and settings[name].update == "per-broker"


def _check_values(configs: Configs, after: Overrides) -> None:
    settings = configs.definitions.broker
    for name, text in after.items():
        match = LISTENER_SETTING.fullmatch(name)
        setting = settings.get(match[1] if match else name)
        if setting is not None and setting.changeable:
            parsed(setting, text)


def _check_effect(request: Request, name: str, after: Overrides) -> None:
    """Check the settings that the broker would come to have, and the way there from those that it has."""
    configs, broker = request.cluster.configs, request.broker
    properties = dict(configs.static(broker))
    own = configs.overrides("broker", str(broker.id))
    for layer in (after, own) if name == ALL_BROKERS else (configs.overrides("broker", ALL_BROKERS), after):
        override(properties, layer)
    new = configs.parsed_with(properties)
    settings = configs.definitions.broker
    config_checks.check_broker(new, settings.keys())
    old = configs.parsed_with(configs.properties(broker))
    config_checks.check_broker_change(old, new, settings.keys())
    for each, text in after.items():
        match = LISTENER_SETTING.fullmatch(each)
        if match is None:
            setting = settings.get(each)
            if setting is not None and setting.kind == "class" and old(each) != new(each):
                raise _invalid(f"Class {text} could not be found.")
        elif each not in own and match[1] not in _CHANGEABLE_OF_LISTENERS and _has_listener(properties, each):
            raise _invalid(f"Embedded brokers do not change {each} of a listener that is there.")
    if not {_ONLY_REPORTER}.issuperset(new(_REPORTERS) or ()):
        raise _invalid(f"Invalid dynamic configuration: a class of {_REPORTERS} could not be found")


def _has_listener(properties: Overrides, setting: str) -> bool:
    listeners = properties["listeners"].split(",")
    names = [listener.partition(":")[0].lower() for listener in listeners]
    return setting.split(".")[2] in names


def _settings(configs: Configs, resource_type: int) -> Mapping[str, Setting]:
    """Where to look for lists: the controller knows those of no other resources."""
    names = configs.definitions
    return {TOPIC: names.topic, BROKER: names.broker}.get(resource_type, {})


def _check_nulls(names: Sequence[str]) -> None:
    if names:
        raise _invalid(f"Null value not supported for : {', '.join(names)}")


def _unknown(resource: Message) -> KafkaError:
    return _invalid(f"Unknown resource type {resource.resource_type}")


def _invalid(text: str) -> KafkaError:
    return KafkaError("INVALID_REQUEST", text)
