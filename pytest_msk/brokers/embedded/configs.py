"""The settings of a cluster's brokers, topics and groups: what is set where, and what is in effect."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakKeyDictionary

from pytest_msk.brokers.defaults import broker_defaults
from pytest_msk.brokers.embedded import config_checks
from pytest_msk.brokers.embedded.config_definitions import Setting, broker_synonyms, definitions
from pytest_msk.brokers.embedded.config_values import LONGEST, MOST_LONG, parsed
from pytest_msk.brokers.embedded.features import ELR
from pytest_msk.brokers.plane import Endpoint
from pytest_msk.brokers.versions import Release
from pytest_msk.brokers.wire.errors import KafkaError
from pytest_msk.brokers.wire.message import Message
from pytest_msk.errors import BrokerStartError

if TYPE_CHECKING:
    from pytest_msk.brokers.embedded.cluster import Broker, Cluster
    from pytest_msk.brokers.embedded.topics import Topic
    from pytest_msk.spec import ClusterSpec, Listener

Overrides = Mapping[str, str]
"""What is set on one resource: name to value as text."""

ResourceKind = Literal["broker", "topic", "group", "client-metrics"]

ALL_BROKERS = ""
"""The broker resource whose settings are those of every broker that has none of its own."""

MIN_IN_SYNC = "min.insync.replicas"


class Source(IntEnum):
    """Where a value was set, as brokers tell it (``DescribeConfigsResponse.ConfigSource``)."""

    TOPIC = 1
    BROKER = 2
    ALL_BROKERS = 3
    STATIC = 4
    DEFAULT = 5
    CLIENT_METRICS = 7
    GROUP = 8


_CONTROLLERS = 3
_CONTROLLER_LISTENER = "CONTROLLER"
_DATA = "/var/lib/kafka/data"

_LISTENERS: Mapping[Listener, tuple[str, str]] = {
    "plaintext": ("CLIENT", "PLAINTEXT"),
    "tls": ("CLIENT_SECURE", "SSL"),
    "scram": ("CLIENT_SASL_SCRAM", "SASL_SSL"),
    "iam": ("CLIENT_IAM", "SASL_SSL"),
    "internal": ("REPLICATION", "PLAINTEXT"),
}
"""What brokers of MSK call their listeners, and the security protocol of each."""

_TIMESTAMP_DIFFERENCE = "message.timestamp.difference.max.ms"
_TIMESTAMP_LIMITS = ("message.timestamp.before.max.ms", "message.timestamp.after.max.ms")
_FORMAT = "message.format.version"
_FORMAT_IGNORED_SINCE = (3, 0)


class Configs:
    """The settings of a cluster.

    A broker's are those of the ``server.properties`` that it started with, over them what was set for all
    brokers while they ran, over that what was set for it alone. A topic's defaults are settings of brokers;
    where brokers differ in these, those of the broker with the lowest id count for every partition.

    Attributes:
        definitions: the settings that the cluster's release has.
        on_change: called with the kind and the name of a resource whose settings have changed, after it.

    Raises:
        BrokerStartError: the cluster's configuration is one that no broker would start with.
    """

    def __init__(self, cluster: Cluster) -> None:
        self.definitions = definitions(cluster.release)
        self.on_change: list[Callable[[ResourceKind, str], None]] = []
        self._cluster = cluster
        self._static = self.checked(cluster.spec, cluster.release)
        self._static_of: dict[int, Overrides] = {}
        self._set: dict[ResourceKind, dict[str, dict[str, str]]] = {
            kind: {} for kind in ("broker", "group", "client-metrics")
        }
        self._properties: dict[int, Overrides] = {}
        self._parsed: defaultdict[int, dict[str, Any]] = defaultdict(dict)
        self._parsed_of_topics: WeakKeyDictionary[Topic, dict[str, Any]] = WeakKeyDictionary()
        self._agree_on_min_in_sync()

    @property
    def guards_min_in_sync(self) -> bool:
        """Whether ``min.insync.replicas`` must be the same on all brokers: with eligible leader replicas."""
        feature = self._cluster.features.get(ELR)
        return feature is not None and feature.level > 0

    def broker(self, broker_id: int, name: str) -> Any:
        """The value in effect on a broker, parsed (int, float, bool, str, list of str, or None).

        Raises:
            KeyError: the release has no such setting.
        """
        known = self._parsed[broker_id]
        if name not in known:
            known[name] = self._parse(self._properties_of(broker_id), name)
        return known[name]

    def topic(self, topic: Topic, name: str) -> Any:
        """The value in effect of a topic, parsed: its own, else its brokers', else the default.

        ``message.timestamp.before.max.ms`` and ``…after…`` are what they come to together with the older
        setting (KIP-937). Also takes broker settings that no topic overrides.

        Raises:
            KeyError: the release has no such setting.
        """
        try:
            return self._parsed_of_topics[topic][name]
        except KeyError:
            value = self._topic_value(topic, name)
            self._parsed_of_topics.setdefault(topic, {})[name] = value
            return value

    def group(self, group_id: str, name: str) -> Any:
        """The value in effect of a group, parsed: its own, else its brokers', else the default (KIP-848).

        Releases before 4.0 have no settings of groups; there it is always the brokers'.

        Raises:
            KeyError: the release has no such setting.
        """
        own = self._set["group"].get(group_id, {})
        if name in own:
            return parsed(self.definitions.group[name], own[name])
        return self.group_default(name)

    def group_default(self, name: str) -> Any:
        """The value of a setting, parsed, in groups that do not override it."""
        synonym = f"group.{name}"
        if name in self.definitions.group:
            setting = self.definitions.group[name]
            synonym = setting.synonym or synonym
            if synonym not in self.definitions.broker:
                return parsed(setting, setting.default)
        return self.broker(self.first, synonym)

    def topic_default(self, broker_id: int, setting: Setting) -> Any:
        """The value of a topic's setting, parsed, on a broker, where the topic does not override it."""
        ignored = setting.name == _FORMAT and self._cluster.release >= _FORMAT_IGNORED_SINCE
        if setting.synonym is None or ignored:
            return parsed(setting, setting.default)

        def value(name: str) -> Any:
            return self.broker(broker_id, name)

        found = config_checks.first(value, *broker_synonyms(setting.synonym))
        if setting.name == "retention.ms":
            return max(found, -1)
        if found == MOST_LONG and self._has_older_limit(setting.name):
            return value(f"log.{_TIMESTAMP_DIFFERENCE}")
        return found

    def check_topic(self, configs: Mapping[str, str | None], before: Overrides | None = None) -> None:
        """Check what a topic is to override, all of it.

        Args:
            configs: name to value.
            before: what it overrode until now.

        Raises:
            KafkaError: ``INVALID_CONFIG``; says which setting, and what is wrong.
        """
        check_lengths(configs)
        names = self.definitions.topic
        for name, text in configs.items():
            if name not in names:
                raise KafkaError("INVALID_CONFIG", f"Unknown topic config name: {name}")
            if text is None:
                raise KafkaError("INVALID_CONFIG", f"Null value not supported for topic configs: {name}")
        given = {name: parsed(names[name], text) for name, text in configs.items()}

        def value(name: str) -> Any:
            return given[name] if name in given else self.topic_default(self.first, names[name])

        # Before 3.6 tiered storage is internal, and not looked at.
        shown = {name for name, setting in names.items() if not setting.internal}
        was_remote = (before or {}).get(config_checks.REMOTE_STORAGE, "").lower() == "true"
        config_checks.check_topic(value, shown, self._first_broker_value, was_remote=was_remote)

    def described_topic(self, topic: Topic) -> list[Message]:
        """The settings of a topic as the controller tells who made it (KIP-525): not all as brokers would.

        It goes by what is set where, and does not parse it (``KafkaConfigSchema``).
        """
        layers = self.layers(self._cluster.brokers[self.first])

        def places(setting: Setting) -> Iterator[tuple[Source, str | None]]:
            if setting.name in topic.configs:
                yield Source.TOPIC, topic.configs[setting.name]
            names = () if setting.synonym is None else broker_synonyms(setting.synonym)
            for source, layer in layers:
                for name in names:
                    if name in layer:
                        yield source, _in_ms(name, layer[name])
            yield Source.DEFAULT, setting.default

        told = []
        for setting in self.definitions.topic.values():
            if not setting.internal:
                source, value = next(places(setting))
                told.append(Message(name=setting.name, value=value, config_source=int(source)))
        return told

    def layers(self, broker: Broker) -> Sequence[tuple[Source, Overrides]]:
        """What is set for a broker, at each place where it can be, the one that counts first."""
        return (
            (Source.BROKER, self.overrides("broker", str(broker.id))),
            (Source.ALL_BROKERS, self.overrides("broker", ALL_BROKERS)),
            (Source.STATIC, self.static(broker)),
        )

    def static(self, broker: Broker) -> Overrides:
        """What a broker started with, and what it says of itself."""
        return {**self._static_of.get(broker.id, self._static), **self._own(broker)}

    def properties(self, broker: Broker) -> Overrides:
        """All that is set for a broker, of settings that say the same only the one that counts."""
        found = dict(self.static(broker))
        override(found, self.overrides("broker", ALL_BROKERS))
        override(found, self.overrides("broker", str(broker.id)))
        return found

    def overrides(self, kind: ResourceKind, name: str) -> Overrides:
        """What was set on a resource while the brokers ran; of a topic that is not there, nothing."""
        if kind == "topic":
            topic = self._cluster.topics.get(name)
            return {} if topic is None else topic.configs
        return self._set[kind].get(name, {})

    def replace(self, kind: ResourceKind, name: str, overrides: Overrides) -> None:
        """Set all that a resource overrides, unchecked."""
        topic = self._cluster.topics.get(name) if kind == "topic" else None
        if topic is not None:
            self.set_topic(topic, overrides)
            return
        if overrides:
            self._set[kind][name] = dict(overrides)
        else:
            self._set[kind].pop(name, None)
        self._changed(kind, name)

    def forget_broker(self, broker_id: int) -> None:
        """Have no settings of a broker that leaves: another one may come to have its id."""
        self._static_of.pop(broker_id, None)
        self.replace("broker", str(broker_id), {})

    def set_topic(self, topic: Topic, overrides: Overrides) -> None:
        """Set all that a topic overrides, unchecked."""
        topic.configs = dict(overrides)
        self._parsed_of_topics.pop(topic, None)
        self._changed("topic", topic.name)

    def names(self, kind: Literal["group", "client-metrics"]) -> list[str]:
        """The resources of a kind that override anything."""
        return list(self._set[kind])

    def dynamic(self) -> Mapping[str, Overrides]:
        """What was set while the brokers ran, but for topics: by broker id, empty for all brokers.

        Other resources than brokers go by kind and name: ``group orders``.
        """
        return {
            _key(kind, name): dict(found)
            for kind, names in self._set.items()
            for name, found in names.items()
        }

    def set_by_clients(self) -> Mapping[str, Overrides]:
        """As `dynamic`, without what the brokers wrote down themselves."""
        found = dict(self.dynamic())
        if self._min_in_sync_is_agreed:
            of_all = found.pop(ALL_BROKERS)
            if others := {name: of_all[name] for name in of_all if name != MIN_IN_SYNC}:
                found[ALL_BROKERS] = others
        return found

    def restore(self, before: Mapping[str, Overrides]) -> None:
        """Set all back to what `set_by_clients` gave once, but for brokers that have left."""
        now = self.set_by_clients()
        for key in {**now, **before}:
            kind, name = _resource(key)
            wanted = before.get(key, {}) if self._is_there(kind, name) else {}
            if now.get(key, {}) != wanted:
                self.replace(kind, name, wanted)
        self._agree_on_min_in_sync()

    def restart(self, spec: ClusterSpec, broker_id: int | None = None) -> None:
        """Have brokers go on as if they had started anew with another configuration.

        Args:
            spec: has the configuration.
            broker_id: the one broker that has restarted; all if not given.

        Raises:
            BrokerStartError: no broker would start with it; nothing has changed.
        """
        static = self.checked(spec, self._cluster.release)
        if broker_id is None:
            self._drop_agreed_min_in_sync()
            self._static = static
            self._static_of.clear()
            restarted = list(self._cluster.brokers)
        else:
            self._static_of[broker_id] = static
            restarted = [broker_id]
        for each in restarted:
            self._changed("broker", str(each))
        self._agree_on_min_in_sync()

    def upgrade(self, spec: ClusterSpec) -> None:
        """Go on with the settings of the cluster's release, which is a newer one."""
        self.definitions = definitions(self._cluster.release)
        self.restart(spec)

    def needs_restart(self, spec: ClusterSpec) -> bool:
        """Whether brokers take over another configuration only when they start anew."""
        now, then = self._static, self.checked(spec, self._cluster.release)
        changed = {name for name in now.keys() | then.keys() if now.get(name) != then.get(name)}
        names = self.definitions.broker
        return any(name not in names or names[name].update is None for name in changed)

    def checked(self, spec: ClusterSpec, release: Release) -> Overrides:
        """The ``server.properties`` of a spec's brokers.

        Raises:
            BrokerStartError: no broker of that release would start with it.
        """
        static = {**broker_defaults(spec), **spec.configuration}
        if not spec.configuration:
            return static
        known = definitions(release).broker

        def value(name: str) -> Any:
            return parsed(known[name], static.get(name, known[name].default))

        try:
            for name in spec.configuration:
                if name in known:
                    value(name)
            config_checks.check_broker(value, known.keys())
            config_checks.check_log_defaults(value)
        except KafkaError as error:
            raise BrokerStartError(
                f"No broker of cluster {spec.name!r} would start with its configuration: {error.message}"
            ) from error
        return static

    @property
    def first(self) -> int:
        """The broker that stands for all where they should not differ."""
        return min(self._cluster.brokers)

    def parsed_with(self, properties: Overrides) -> Callable[[str], Any]:
        """Gives the values, parsed, that a broker would have with these properties."""
        return lambda name: self._parse(properties, name)

    def _agree_on_min_in_sync(self) -> None:
        """Write the setting down, so that no broker can disagree, where the feature wants that (KIP-966)."""
        if not self.guards_min_in_sync:
            return
        for name, own in list(self._set["broker"].items()):
            if name != ALL_BROKERS and MIN_IN_SYNC in own:
                self.replace("broker", name, {key: own[key] for key in own if key != MIN_IN_SYNC})
        of_all = self._set["broker"].get(ALL_BROKERS, {})
        if MIN_IN_SYNC not in of_all:
            self._set["broker"][ALL_BROKERS] = {**of_all, MIN_IN_SYNC: self._static_min_in_sync}
            self._changed("broker", ALL_BROKERS)

    def _drop_agreed_min_in_sync(self) -> None:
        """Forget what was written down, where no client has set another: there is a new value to agree on."""
        if self._min_in_sync_is_agreed:
            del self._set["broker"][ALL_BROKERS][MIN_IN_SYNC]

    @property
    def _min_in_sync_is_agreed(self) -> bool:
        """Whether the setting of all brokers is the one that `_agree_on_min_in_sync` wrote, or the same."""
        written = self._set["broker"].get(ALL_BROKERS, {}).get(MIN_IN_SYNC)
        return self.guards_min_in_sync and written == self._static_min_in_sync

    @property
    def _static_min_in_sync(self) -> str:
        return str(self._parse(self._static, MIN_IN_SYNC))

    def _is_there(self, kind: ResourceKind, name: str) -> bool:
        """Whether a resource can have settings: a broker that has left cannot."""
        return kind != "broker" or name == ALL_BROKERS or int(name) in self._cluster.brokers

    def _own(self, broker: Broker) -> Overrides:
        """What makes a broker the one that it is; none of it is the configuration's to say."""
        is_controller = broker.id in sorted(self._cluster.brokers)[:_CONTROLLERS]
        # Where brokers and clients come in by the same door, it is known by the clients' name for it.
        doors = sorted(broker.endpoints.items(), key=lambda door: door[0] != "internal")
        reached = {endpoint: _LISTENERS[name] for name, endpoint in doors}
        reached = reached or {Endpoint("127.0.0.1", 9092): _LISTENERS["plaintext"]}
        listeners = ",".join(f"{name}://{endpoint}" for endpoint, (name, _) in reached.items())
        protocols = [*reached.values(), (_CONTROLLER_LISTENER, "PLAINTEXT")]
        return {
            "advertised.listeners": listeners,
            "broker.id": str(broker.id),
            "broker.rack": broker.rack,
            "controller.listener.names": _CONTROLLER_LISTENER,
            "inter.broker.listener.name": next(iter(reached.values()))[0],
            "listener.security.protocol.map": ",".join(f"{name}:{protocol}" for name, protocol in protocols),
            "listeners": listeners,
            "log.dirs": _DATA,
            "node.id": str(broker.id),
            "process.roles": "broker,controller" if is_controller else "broker",
        }

    def _properties_of(self, broker_id: int) -> Overrides:
        if broker_id not in self._properties:
            self._properties[broker_id] = self.properties(self._cluster.brokers[broker_id])
        return self._properties[broker_id]

    def _parse(self, properties: Overrides, name: str) -> Any:
        setting = self.definitions.broker[name]
        return parsed(setting, properties.get(name, setting.default))

    def _topic_value(self, topic: Topic, name: str) -> Any:
        setting = self.definitions.topic.get(name)
        if setting is None:
            return self.broker(self.first, name)
        text = topic.configs.get(name)
        value = self.topic_default(self.first, setting) if text is None else parsed(setting, text)
        if value == MOST_LONG and self._has_older_limit(name):
            return self.topic(topic, _TIMESTAMP_DIFFERENCE)
        return value

    def _has_older_limit(self, name: str) -> bool:
        return name in _TIMESTAMP_LIMITS and _TIMESTAMP_DIFFERENCE in self.definitions.topic

    def _first_broker_value(self, name: str) -> Any:
        return self.broker(self.first, name)

    def _changed(self, kind: ResourceKind, name: str) -> None:
        if kind == "broker":
            self._properties.clear()
            self._parsed.clear()
            self._parsed_of_topics.clear()
        for callback in tuple(self.on_change):
            callback(kind, name)


def override(properties: dict[str, str], overrides: Overrides) -> None:
    """Set some properties, and take out those that say the same (``DynamicBrokerConfig.overrideProps``)."""
    for name, value in overrides.items():
        for synonym in broker_synonyms(name, of_listeners=False):
            properties.pop(synonym, None)
        properties[name] = value


def check_lengths(configs: Mapping[str, str | None]) -> None:
    """Check that no value is longer than can be written down.

    Raises:
        KafkaError: ``INVALID_CONFIG``.
    """
    for name, value in configs.items():
        if value is not None and len(value) > LONGEST:
            raise KafkaError("INVALID_CONFIG", f"The value of {name} has more than {LONGEST} bytes")


def _in_ms(name: str, text: str) -> str:
    in_time = name.endswith((".hours", ".minutes"))
    return str(config_checks.in_ms(name, int(text))) if in_time else text


def _key(kind: ResourceKind, name: str) -> str:
    return name if kind == "broker" else f"{kind} {name}"


def _resource(key: str) -> tuple[ResourceKind, str]:
    """The resource that `_key` made a key of."""
    start, space, name = key.partition(" ")
    if not space:
        return "broker", key
    return ("group" if start == "group" else "client-metrics"), name
