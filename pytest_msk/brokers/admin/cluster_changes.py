"""What is asked of brokers to change the cluster that they make up: settings, members, places, features."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from pytest_msk.brokers.admin.admin import Admin
from pytest_msk.brokers.admin.requests import Broker
from pytest_msk.brokers.admin.values import KafkaRequestError, Partition, Resource
from pytest_msk.brokers.wire.message import Message

Replicas = tuple[int, ...]
Places = Mapping[tuple[str, int], Replicas]
"""Topic and partition to the brokers that are to hold it."""

_SET, _DELETE = 0, 1
_DYNAMIC_BROKER, _DYNAMIC_DEFAULT, _KAFKAS_DEFAULT = 2, 3, 5
"""Where a broker's setting comes from: ``DescribeConfigsResponse.ConfigSource``."""

_UPGRADE = 1


@dataclass(frozen=True)
class Setting:
    """A setting of a broker.

    Attributes:
        value: the value in effect; empty where Kafka has none, and where it tells nobody.
        source: Kafka's code for where that comes from.
        read_only: whether it changes only with a restart.
        default: Kafka's own default; None where it has none.
    """

    value: str
    source: int
    read_only: bool
    default: str | None


class ClusterChanges(Admin):
    """An administrator that changes the cluster itself."""

    def settings(self, broker_id: int) -> dict[str, Setting]:
        """All of a broker's settings, by name; asks the broker itself."""
        return _settings(replace(self._home(), id=broker_id))

    def check_defaults(self, values: Mapping[str, str]) -> None:
        """Find out whether `change_defaults` could set these now.

        Raises:
            KafkaRequestError: it could not; the broker's own words.
        """
        _alter(self._home(), values, (), validate_only=True)

    def change_defaults(self, values: Mapping[str, str], dropped: Collection[str] = ()) -> None:
        """Set, for all brokers, some settings dynamically, and drop others; return when in effect.

        Raises:
            KafkaRequestError: Kafka refused, and nothing was changed; or a broker has not followed in time.
        """
        home = self._home()
        before = {id_: _settings(replace(home, id=id_)) for id_ in self.brokers()}
        _alter(home, values, dropped, validate_only=False)

        def seen(broker: Broker) -> bool:
            return _follows(_settings(broker), before.get(broker.id, {}), values, dropped)

        self._everywhere(home, "the new settings of all brokers", seen)

    def place(self, places: Places) -> None:
        """Have partitions held by the brokers named; returns at once, `is_placed` tells when it is so.

        Raises:
            KafkaRequestError: Kafka refused.
        """
        home = self._home()
        for (topic, partition), replicas in places.items():
            home.assign(topic, partition, replicas)

    def is_placed(self, places: Places) -> bool:
        """Whether partitions are held, in sync, by just the brokers named; one that is gone counts as so."""
        found = self._partitions()
        return all(
            set(partition.replicas) == set(replicas) <= set(partition.isr)
            for key, replicas in places.items()
            if (partition := found.get(key)) is not None
        )

    def is_in_sync(self, broker_id: int) -> bool:
        """Whether a broker is in sync with every partition that it holds a replica of."""
        return all(
            broker_id in partition.isr
            for partition in self._partitions().values()
            if broker_id in partition.replicas
        )

    def held(self, brokers: Collection[int], *, internal: bool) -> dict[tuple[str, int], Partition]:
        """The partitions that brokers hold replicas of: those of Kafka's own topics, or those of others."""
        return {
            (topic.name, partition.id): partition
            for topic in self.topics()
            if topic.internal == internal
            for partition in topic.partitions
            if set(partition.replicas).intersection(brokers)
        }

    def unregister(self, broker_id: int) -> None:
        """Have the cluster forget a broker that is gone (KIP-746); nothing to do where it does not know it.

        Raises:
            KafkaRequestError: Kafka refused.
        """
        home = self._home()
        try:
            home._check(home._ask("UnregisterBroker", Message(broker_id=broker_id)), "UnregisterBroker")
        except KafkaRequestError as error:
            if error.code_name != "BROKER_ID_NOT_REGISTERED":
                raise

    def raise_features(self, levels: Mapping[str, int]) -> None:
        """Raise the cluster's feature levels (KIP-584), none below what it is; return when brokers have them.

        Raises:
            KafkaRequestError: Kafka refused; nothing was changed.
        """
        home = self._home()
        present = _features(home)
        higher = {name: level for name, level in levels.items() if level > present.get(name, 0)}
        if not higher:
            return
        updates = [
            Message(feature=name, max_version_level=level, upgrade_type=_UPGRADE)
            for name, level in sorted(higher.items())
        ]
        answer = home._ask("UpdateFeatures", Message(timeout_ms=home._left_ms(), feature_updates=updates))
        home._check(answer, "UpdateFeatures")
        for result in answer.results:
            home._check(result, f"UpdateFeatures of {result.feature}")
        self._everywhere(home, "the new features", lambda broker: higher.items() <= _features(broker).items())

    def features(self) -> dict[str, int]:
        """The cluster's feature levels, by name."""
        return _features(self._home())

    def _partitions(self) -> dict[tuple[str, int], Partition]:
        return {
            (topic.name, partition.id): partition for topic in self.topics() for partition in topic.partitions
        }


def without(partition: Partition, leaving: Collection[int], staying: Sequence[int]) -> Replicas:
    """Who is to hold a partition when some brokers leave: as many as before, as far as there are so many."""
    kept = [broker for broker in partition.replicas if broker not in leaving]
    # Each partition begins its search elsewhere, so that not all go to the same broker.
    start = partition.id % len(staying)
    others = [broker for broker in (*staying[start:], *staying[:start]) if broker not in kept]
    return tuple([*kept, *others][: min(len(partition.replicas), len(staying))])


def _settings(broker: Broker) -> dict[str, Setting]:
    asked = Message(resource_type=4, resource_name=str(broker.id), configuration_keys=None)
    answer = broker._ask("DescribeConfigs", Message(resources=[asked], include_synonyms=True))
    [found] = answer.results
    broker._check(found, f"DescribeConfigs of broker {broker.id}")
    return {
        config.name: Setting(
            config.value or "", config.config_source, config.read_only, _default(config.name, config.synonyms)
        )
        for config in found.configs
    }


def _default(name: str, synonyms: Iterable[Message]) -> str | None:
    for synonym in synonyms:
        if (synonym.name, synonym.source) == (name, _KAFKAS_DEFAULT):
            found: str | None = synonym.value
            return found
    return None


def _alter(
    broker: Broker, values: Mapping[str, str], dropped: Collection[str], *, validate_only: bool
) -> None:
    entries = [Message(name=name, config_operation=_SET, value=value) for name, value in values.items()]
    entries += [Message(name=name, config_operation=_DELETE, value=None) for name in dropped]
    resource = Resource.broker(None)
    altered = Message(resource_type=resource.kind, resource_name=resource.name, configs=entries)
    answer = broker._ask("IncrementalAlterConfigs", Message(resources=[altered], validate_only=validate_only))
    broker._check(answer.responses[0], "IncrementalAlterConfigs of all brokers")


def _follows(
    now: Mapping[str, Setting],
    before: Mapping[str, Setting],
    values: Mapping[str, str],
    dropped: Collection[str],
) -> bool:
    """Whether a broker goes by new defaults, as far as no setting of its own stands above them."""
    for name, value in values.items():
        setting = now[name]
        if setting.source == _DYNAMIC_BROKER:
            continue
        if setting.source != _DYNAMIC_DEFAULT:
            return False
        # Kafka writes values in its own way: one that differs from the last is the new one.
        last = before.get(name)
        if last is not None and setting.value == last.value and _differ(value, last.value):
            return False
    return all(name not in now or now[name].source != _DYNAMIC_DEFAULT for name in dropped)


def _differ(wanted: str, told: str) -> bool:
    """Whether two texts surely stand for different values."""
    if not told:  # nothing there, or a secret
        return False
    try:
        return float(wanted) != float(told)
    except ValueError:
        return [part.strip().lower() for part in wanted.split(",")] != [
            part.strip().lower() for part in told.split(",")
        ]


def _features(broker: Broker) -> dict[str, int]:
    answer = broker._ask(
        "ApiVersions", Message(client_software_name="pytest-msk", client_software_version="1")
    )
    return {feature.name: feature.max_version_level for feature in answer.finalized_features}
