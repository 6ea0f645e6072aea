"""DescribeConfigs and ListConfigResources: what settings there are, what they are set to, and where."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from pytest_msk.brokers.embedded.api import Request, handles
from pytest_msk.brokers.embedded.config_definitions import Setting, broker_synonyms
from pytest_msk.brokers.embedded.config_values import parsed, shown
from pytest_msk.brokers.embedded.configs import ALL_BROKERS, Configs, Source
from pytest_msk.brokers.embedded.topics import check_name
from pytest_msk.brokers.wire.errors import NONE, KafkaError, code
from pytest_msk.brokers.wire.message import Message

TOPIC, BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP = 2, 4, 8, 16, 32
"""Kinds of resources that have settings (``ConfigResource.Type``)."""

_KINDS = ("unknown", "boolean", "string", "int", "short", "long", "double", "list", "class", "password")
"""Types of settings, each at the place of its number (``DescribeConfigsResponse.ConfigType``)."""

_NO_KIND = 0
_GROUP_SYNONYMS_SINCE = (4, 3)
_CLIENT_METRICS_WHOLE_SINCE = (4, 1)
_TYPES_SINCE = 1

Synonym = tuple[str, str | None, Source]
"""Another place where a value is or could be set: the setting's name there, the value, the place."""


@handles("DescribeConfigs", 1, 4)
def describe_configs(request: Request) -> Message:
    """Tell the settings of resources, each by itself. What they mean (KIP-569) is left out."""
    known = known_resources(request.cluster.configs)
    unknown = next((each for each in request.body.resources if each.resource_type not in known), None)
    if unknown is not None:
        error = KafkaError(
            "INVALID_REQUEST", f"Unexpected resource type for resource {unknown.resource_name}"
        )
        return Message(results=[_refused(resource, error) for resource in request.body.resources])
    return Message(results=[_described(request, resource) for resource in request.body.resources])


@handles("ListConfigResources", 0, 1)
def list_config_resources(request: Request) -> Message:
    """Tell which resources have settings (KIP-1142); at version 0, which subscriptions to client metrics."""
    cluster = request.cluster
    supported = {CLIENT_METRICS} if request.version < _TYPES_SINCE else known_resources(cluster.configs)
    wanted = request.body.resource_types or sorted(supported)
    if not supported.issuperset(wanted):
        return Message(error_code=code("UNSUPPORTED_VERSION"), config_resources=[])
    brokers = [str(broker.id) for broker in cluster.brokers.values() if not broker.fenced]
    names: Mapping[int, Callable[[], Iterable[str]]] = {
        TOPIC: lambda: [topic.name for topic in cluster.topics.all()],
        BROKER: lambda: brokers,
        BROKER_LOGGER: lambda: brokers,
        CLIENT_METRICS: lambda: cluster.configs.names("client-metrics"),
        GROUP: lambda: cluster.configs.names("group"),
    }
    found = [
        Message(resource_name=name, resource_type=kind)
        for kind in dict.fromkeys(wanted)
        for name in names[kind]()
    ]
    return Message(error_code=NONE, config_resources=found)


def known_resources(configs: Configs) -> set[int]:
    """The kinds of resources that a cluster's release knows."""
    newer = {CLIENT_METRICS: configs.definitions.client_metrics, GROUP: configs.definitions.group}
    return {TOPIC, BROKER, BROKER_LOGGER, *(kind for kind, settings in newer.items() if settings)}


def broker_id(name: str) -> int:
    """The number of a broker resource.

    Raises:
        KafkaError: ``INVALID_REQUEST``: it is none.
    """
    try:
        return int(name)
    except ValueError:
        raise KafkaError("INVALID_REQUEST", f"Broker id must be an integer, not {name}") from None


def no_loggers() -> KafkaError:
    """That the brokers here have no loggers, whose levels Kafka tells and sets like settings (KIP-412)."""
    return KafkaError("INVALID_REQUEST", "Embedded brokers have no loggers.")


def _described(request: Request, resource: Message) -> Message:
    try:
        if resource.resource_type == BROKER_LOGGER:
            raise no_loggers()
        entries = _ENTRIES[resource.resource_type](request, resource.resource_name)
        keys = resource.configuration_keys
        configs = [entry for entry in entries if not keys or entry.name in keys]
    except KafkaError as error:
        return _refused(resource, error)
    for entry in configs:
        if not request.body.include_synonyms:
            entry.synonyms = []
    return Message(
        error_code=NONE,
        resource_type=resource.resource_type,
        resource_name=resource.resource_name,
        configs=configs,
    )


def _refused(resource: Message, error: KafkaError) -> Message:
    return Message(
        error_code=error.code,
        error_message=error.message,
        resource_type=resource.resource_type,
        resource_name=resource.resource_name,
        configs=[],
    )


def _topic_entries(request: Request, name: str) -> Iterator[Message]:
    check_name(name)
    configs = request.cluster.configs
    topic = request.cluster.topics.get(name)
    if topic is None:
        raise KafkaError("UNKNOWN_TOPIC_OR_PARTITION", "")
    places = _Places(request)
    for setting in configs.definitions.topic.values():
        text = topic.configs.get(setting.name)
        if setting.internal and text is None:
            continue
        value = configs.topic_default(request.broker.id, setting) if text is None else parsed(setting, text)
        synonyms = places.of(setting.synonym) if setting.synonym else []
        yield _entry(setting, value, synonyms, None if text is None else Source.TOPIC)


def _group_entries(request: Request, name: str) -> Iterator[Message]:
    if not name:
        raise KafkaError("INVALID_REQUEST", "A group resource needs a name.")
    configs = request.cluster.configs
    own = configs.overrides("group", name)
    places = _Places(request)
    tells_synonyms = request.cluster.release >= _GROUP_SYNONYMS_SINCE
    for setting in configs.definitions.group.values():
        if setting.internal and setting.name not in own:
            continue
        value = configs.group(name, setting.name)
        if tells_synonyms and setting.synonym:
            synonyms = places.of(setting.synonym)
        elif tells_synonyms:
            has_default = setting.default is not None
            synonyms = [(setting.name, setting.default, Source.DEFAULT)] if has_default else []
        elif setting.name in own:
            synonyms = []
        else:
            synonyms = [(setting.name, shown(value, setting.kind), Source.DEFAULT)]
        yield _entry(setting, value, synonyms, Source.GROUP if setting.name in own else None)


def _client_metrics_entries(request: Request, name: str) -> Iterator[Message]:
    if not name:
        raise KafkaError("INVALID_REQUEST", "A subscription to client metrics needs a name.")
    configs = request.cluster.configs
    own = configs.overrides("client-metrics", name)
    if request.cluster.release < _CLIENT_METRICS_WHOLE_SINCE:
        for each, text in own.items():
            yield Message(
                name=each, value=text, config_source=int(Source.CLIENT_METRICS), synonyms=[], documentation=""
            )
        return
    for setting in configs.definitions.client_metrics.values():
        value = parsed(setting, own.get(setting.name, setting.default))
        yield _entry(setting, value, [], Source.CLIENT_METRICS if setting.name in own else None)


def _broker_entries(request: Request, name: str) -> Iterator[Message]:
    configs = request.cluster.configs
    places = _Places(request)
    if name == ALL_BROKERS:
        for each, text in configs.overrides("broker", ALL_BROKERS).items():
            of_all = [synonym for synonym in places.of(each) if synonym[2] == Source.ALL_BROKERS]
            yield _broker_entry(configs, each, text, of_all)
        return
    if broker_id(name) != request.broker.id:
        text = f"Unexpected broker id {name}, expected {request.broker.id} or none"
        raise KafkaError("INVALID_REQUEST", text)
    properties = configs.properties(request.broker)
    settings = configs.definitions.broker
    listed = [setting for setting in settings.values() if not setting.internal and not setting.unlisted]
    for setting in listed:
        value = parsed(setting, properties.get(setting.name, setting.default))
        yield _broker_entry(configs, setting.name, shown(value, setting.kind), places.of(setting.name))
    told = {setting.name for setting in listed}
    for each, text in properties.items():
        if each not in told:
            yield _broker_entry(configs, each, text, places.of(each))


_ENTRIES: Mapping[int, Callable[[Request, str], Iterator[Message]]] = {
    TOPIC: _topic_entries,
    BROKER: _broker_entries,
    CLIENT_METRICS: _client_metrics_entries,
    GROUP: _group_entries,
}


class _Places:
    """Finds where broker settings are set on the broker that is asked (``ConfigHelper.configSynonyms``)."""

    def __init__(self, request: Request) -> None:
        configs = request.cluster.configs
        self._settings = configs.definitions.broker
        self._layers = configs.layers(request.broker)

    def of(self, name: str) -> list[Synonym]:
        """The places, the one that counts first, from the first on that has the setting by this very name."""
        names = broker_synonyms(name)
        found: list[Synonym] = [
            (each, layer[each], source) for source, layer in self._layers for each in names if each in layer
        ]
        for each in names:
            setting = self._settings.get(each)
            if setting is not None and not setting.unlisted and setting.default is not None:
                found.append((each, setting.default, Source.DEFAULT))
        start = next((number for number, synonym in enumerate(found) if synonym[0] == name), len(found))
        return found[start:]


def _broker_entry(configs: Configs, name: str, text: str | None, synonyms: list[Synonym]) -> Message:
    settings = configs.definitions.broker
    known = next((settings[each] for each in (name, *broker_synonyms(name)) if each in settings), None)
    kind = None if known is None else known.kind
    exact = settings.get(name)
    return _message(name, text, synonyms, kind, read_only=exact is None or exact.update is None)


def _entry(setting: Setting, value: Any, synonyms: list[Synonym], own: Source | None) -> Message:
    """A setting of another resource than a broker, which overrides it (``own``) or not."""
    text = shown(value, setting.kind)
    if own is not None:
        synonyms = [(setting.name, text, own), *synonyms]
    return _message(setting.name, text, synonyms, setting.kind, read_only=False)


def _message(
    name: str, text: str | None, synonyms: list[Synonym], kind: str | None, *, read_only: bool
) -> Message:
    # Of what is not known, brokers do not tell the value: it could be a password.
    sensitive = kind in (None, "password")
    return Message(
        name=name,
        value=None if sensitive else text,
        read_only=read_only,
        config_source=int(synonyms[0][2] if synonyms else Source.DEFAULT),
        is_sensitive=sensitive,
        synonyms=[
            Message(name=other, value=None if sensitive else value, source=int(source))
            for other, value, source in synonyms
        ],
        config_type=_NO_KIND if kind is None else _KINDS.index(kind),
        documentation=None,
    )
