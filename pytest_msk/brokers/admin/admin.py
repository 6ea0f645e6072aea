"""Asking and changing a cluster, whichever of its brokers can be asked."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import replace

from pytest_msk.brokers.admin.asking import Asking
from pytest_msk.brokers.admin.requests import Broker, pause
from pytest_msk.brokers.admin.values import (
    TIMED_OUT,
    Acl,
    CommittedOffset,
    ConfigValue,
    Group,
    KafkaRequestError,
    ListedGroup,
    Offsets,
    QuotaKey,
    Resource,
    Survey,
    Topic,
    Transaction,
)
from pytest_msk.brokers.coordination import GROUP_OFFSETS, partition_of


class Admin(Asking):
    """Connections to the brokers of one cluster, as an administrator.

    Every method may be called from any thread. No call takes longer than ``timeout``, and none changes
    anything more when it has failed, except that what timed out may still happen.

    Changes of topics and configurations return when every broker that can be reached has seen them.
    That takes a moment on several brokers: KRaft tells followers what is committed with their next
    fetch. Reads go to the broker beside the active controller, which knows first: they show what other
    clients did a few milliseconds before. Groups and transactions are asked for where they are
    coordinated.

    Args:
        bootstrap: ``host:port`` of one or more brokers, with commas between.
        timeout: seconds that a call may take.

    Raises:
        KafkaRequestError: no broker answers there (``NETWORK_EXCEPTION``).
    """

    def brokers(self) -> list[int]:
        """Ids of the brokers that are there now."""
        return [broker.id for broker in self._all()]

    def create_topic(
        self,
        name: str,
        partitions: int | None = None,
        replication_factor: int | None = None,
        configs: Mapping[str, str] | None = None,
    ) -> Topic:
        """Make a topic; return it when all brokers know it and every partition's leader serves it.

        Args:
            name: the topic's name.
            partitions: number of partitions; None for the brokers' ``num.partitions``.
            replication_factor: replicas of each partition; None for the brokers'
                ``default.replication.factor``. Both defaults need Kafka 2.4 (KIP-464).
            configs: settings that the topic overrides.

        Raises:
            KafkaRequestError: Kafka refused.
        """
        home = self._home()
        topic_id = home.create_topic(name, partitions, replication_factor, configs or {})
        self._everywhere(home, f"topic {name}", lambda broker: broker.serves(name, topic_id))
        return home.topic(name)

    def delete_topic(self, name: str) -> None:
        """Delete a topic; return when no broker knows it any more.

        Raises:
            KafkaRequestError: Kafka refused.
        """
        home = self._home()
        topic = home.topic(name)
        home.delete_topic(name)
        self._everywhere(home, f"the end of topic {name}", lambda broker: not broker.has(name, topic.id))

    def topics(self) -> list[Topic]:
        """All topics, Kafka's own too, by name."""
        return sorted(self._home().topics(), key=lambda topic: topic.name)

    def topic(self, name: str) -> Topic:
        """One topic. Never makes it, whatever ``auto.create.topics.enable`` says.

        Raises:
            KafkaRequestError: there is none (``UNKNOWN_TOPIC_OR_PARTITION``).
        """
        return self._home().topic(name)

    def add_partitions(self, name: str, total: int) -> Topic:
        """Give a topic more partitions; return it when all brokers know them and their leaders serve them.

        Args:
            name: the topic's name.
            total: how many it is to have in all; Kafka refuses fewer than, or as many as, it has.

        Raises:
            KafkaRequestError: Kafka refused.
        """
        home = self._home()
        topic = home.topic(name)
        home.add_partitions(name, total)
        what = f"{total} partitions of topic {name}"
        self._everywhere(home, what, lambda broker: broker.serves(name, topic.id, total))
        return home.topic(name)

    def move_leader(self, name: str, partition: int, broker_id: int) -> None:
        """Have a broker lead a partition; return when every broker knows.

        It becomes the first replica: in place of the present leader, if it was none.

        Raises:
            KafkaRequestError: Kafka refused, there is no such partition, or the broker did not get in sync.
        """
        home = self._home()
        found = home.partition(name, partition)
        if found.leader == broker_id:
            return
        gone = broker_id if broker_id in found.replicas else found.leader
        replicas = (broker_id, *(replica for replica in found.replicas if replica != gone))
        home.assign(name, partition, replicas)
        what = f"broker {broker_id} as the leader of {name}-{partition}"
        while (found := home.partition(name, partition)).leader != broker_id:
            if found.replicas == replicas and broker_id in found.isr:
                _elect(home, name, partition)
            pause(home.until, KafkaRequestError(TIMED_OUT, f"{what} is not there after {self._timeout:g} s"))
        self._everywhere(home, what, lambda broker: broker.partition(name, partition).leader == broker_id)

    def move_coordinator(self, group_id: str, broker_id: int) -> None:
        """Have a broker coordinate a group, and all groups of the same partition of ``__consumer_offsets``.

        Returns when it has read what the groups have committed, and answers.

        Raises:
            KafkaRequestError: as `move_leader`.
        """
        self._coordinated("group", group_id, lambda broker: broker)
        partitions = len(self.topic(GROUP_OFFSETS).partitions)
        self.move_leader(GROUP_OFFSETS, partition_of(group_id, partitions), broker_id)
        self.committed(group_id)

    def describe_configs(self, name: str) -> dict[str, ConfigValue]:
        """All of a topic's settings with the values in effect, by name.

        Raises:
            KafkaRequestError: there is no such topic.
        """
        return self._home().configs(Resource.topic(name))

    def set_configs(self, name: str, configs: Mapping[str, str]) -> None:
        """Make ``configs`` all that a topic overrides; return when every broker goes by them.

        What the topic overrode before and ``configs`` does not name falls back to the brokers' value.

        Raises:
            KafkaRequestError: Kafka refused; nothing was changed.
        """
        self.set_overrides(Resource.topic(name), configs)

    def describe_broker_configs(self, broker_id: int) -> dict[str, ConfigValue]:
        """All of a broker's settings with the values in effect, by name. Asks the broker itself.

        Raises:
            KafkaRequestError: there is no such broker, or it cannot be asked.
        """
        return replace(self._home(), id=broker_id).configs(Resource.broker(broker_id))

    def broker_overrides(self, broker_id: int | None) -> dict[str, str]:
        """What was set over the Kafka protocol on one broker, or as the default of all brokers, by name.

        Passwords are empty: brokers tell them to nobody.

        Args:
            broker_id: the broker, which is asked itself; None for the default of all.

        Raises:
            KafkaRequestError: there is no such broker, or it cannot be asked.
        """
        home = self._home()
        asked = home if broker_id is None else replace(home, id=broker_id)
        return asked.overrides(Resource.broker(broker_id))

    def set_broker_configs(self, broker_id: int | None, configs: Mapping[str, str]) -> None:
        """Make ``configs`` all that is set dynamically (KIP-226); return when it is in effect.

        Args:
            broker_id: the broker; None for the default of all.
            configs: settings that can be changed while brokers run.

        Raises:
            KafkaRequestError: Kafka refused; nothing was changed.
        """
        self.set_overrides(Resource.broker(broker_id), configs)

    def set_overrides(self, resource: Resource, configs: Mapping[str, str]) -> None:
        """Make ``configs`` all that a resource of any kind has of its own; return when it is in effect.

        Raises:
            KafkaRequestError: Kafka refused; nothing was changed.
        """
        home = self._home()
        if resource.one_broker is None:
            self._set_configs(home, resource, configs)
        else:
            # A broker takes its own settings from nobody else, and no other needs to know them.
            home = replace(home, id=resource.one_broker)
            self._set_configs(home, resource, configs, [home])

    def groups(self) -> list[ListedGroup]:
        """All groups that have members or offsets, by id."""
        found = [group for broker in self._all() for group in self._patiently(broker, Broker.groups)]
        return sorted(found, key=lambda group: group.id)

    def group(self, group_id: str) -> Group:
        """A group and its members.

        Raises:
            KafkaRequestError: there is none (``GROUP_ID_NOT_FOUND``).
        """
        return self._coordinated("group", group_id, lambda broker: _described(broker, group_id))

    def delete_group(self, group_id: str, *, remove_members: bool = False) -> None:
        """Delete a group and what it has committed.

        Args:
            group_id: the group's id.
            remove_members: have its members leave first; those that live on will join again, which makes
                the group anew.

        Raises:
            KafkaRequestError: there is none (``GROUP_ID_NOT_FOUND``), or it has members
                (``NON_EMPTY_GROUP``).
        """

        def delete(broker: Broker) -> None:
            while True:
                if remove_members:
                    _remove_members(broker, _described(broker, group_id))
                try:
                    return broker.delete_group(group_id)
                except KafkaRequestError as error:
                    if not remove_members or error.code_name != "NON_EMPTY_GROUP":
                        raise
                    pause(broker.until, error)

        self._coordinated("group", group_id, delete)

    def committed(self, group_id: str) -> Offsets:
        """What a group has committed, by topic and partition; empty where there is no such group."""
        return self._coordinated("group", group_id, lambda broker: broker.committed(group_id))

    def alter_offsets(self, group_id: str, changes: Mapping[tuple[str, int], CommittedOffset | None]) -> None:
        """Commit offsets on behalf of a group without members; have it forget those that are None.

        Raises:
            KafkaRequestError: there is no such group (``GROUP_ID_NOT_FOUND``), or it has members
                (``NON_EMPTY_GROUP``).
        """
        offsets = {where: offset for where, offset in changes.items() if offset is not None}
        dropped = changes.keys() - offsets.keys()

        def alter(broker: Broker) -> None:
            _check_empty(broker, group_id)
            # In this order: some releases let an empty group go with its last offset.
            if offsets:
                broker.commit(group_id, offsets)
            if dropped:
                broker.delete_offsets(group_id, dropped)

        self._coordinated("group", group_id, alter)

    def transactions(self) -> list[Transaction]:
        """All transactional ids that coordinators know, whether a transaction is open or not, by id."""
        found = [one for broker in self._all() for one in self._patiently(broker, Broker.transactions)]
        return sorted(found, key=lambda transaction: transaction.transactional_id)

    def fence(self, transactional_id: str) -> None:
        """Abort what is open under a transactional id, and shut out the producer that has it.

        As ``Admin.fenceProducers`` of the Java client (KIP-588). Kafka deletes no transactional id: it
        forgets those that nobody uses for ``transactional.id.expiration.ms``.

        Raises:
            KafkaRequestError: Kafka refused.
        """
        self._coordinated("transaction", transactional_id, lambda broker: broker.fence(transactional_id))

    def alter_acls(self, added: Set[Acl], removed: Set[Acl]) -> None:
        """Add and remove ACLs; return when every broker goes by them.

        Raises:
            KafkaRequestError: Kafka refused, or there is no authorizer (``SECURITY_DISABLED``).
        """
        home = self._home()
        # The first that go may be those that keep us out.
        if removed:
            home.delete_acls(removed)
        if added:
            home.create_acls(added)
        self._everywhere(home, "the ACLs", lambda broker: _has(broker.acls(), added, removed))

    def alter_quotas(self, changes: Mapping[QuotaKey, float | None]) -> None:
        """Set client quotas, and remove those that are None; return when every broker knows.

        Raises:
            KafkaRequestError: Kafka refused.
        """
        home = self._home()
        home.alter_quotas(changes)
        wanted = {(key, value) for key, value in changes.items() if value is not None}

        def seen(broker: Broker) -> bool:
            return {item for item in broker.quotas().items() if item[0] in changes} == wanted

        self._everywhere(home, "the client quotas", seen)

    def survey(self) -> Survey:
        """What clients have made on the cluster, in as few requests as Kafka lets.

        Raises:
            KafkaRequestError: a broker cannot be asked for its settings.
        """
        home = self._home()
        brokers = self._all(home)
        topics = home.topics()
        named = [Resource.topic(topic.name) for topic in topics if not topic.internal]
        overrides = home.overrides_of([Resource.broker(None), *named, *home.configured()])
        for broker in brokers:
            overrides |= broker.overrides_of([Resource.broker(broker.id)])
        groups = [found for broker in brokers for found in self._patiently(broker, Broker.offsets)]
        transactions = [one for broker in brokers for one in self._patiently(broker, Broker.transactions)]
        return Survey(
            topics=tuple(topics),
            overrides=overrides,
            offsets=dict(groups),
            transactional_ids=frozenset(one.transactional_id for one in transactions),
            acls=home.acls(),
            quotas=home.quotas(),
        )

    def _set_configs(
        self,
        home: Broker,
        resource: Resource,
        configs: Mapping[str, str],
        brokers: list[Broker] | None = None,
    ) -> None:
        before = _comparable(home.overrides(resource))
        home.alter_configs(resource, configs, dropped=before.keys() - configs.keys())
        wanted = _comparable(configs)

        def seen(broker: Broker) -> bool:
            # It need not be what is wanted: somebody else may have set yet other values.
            latest = _comparable(home.overrides(resource))
            return (latest != before or _are(wanted, latest)) and _comparable(
                broker.overrides(resource)
            ) == latest

        self._everywhere(home, f"the configuration of {resource}", seen, brokers)


def _elect(broker: Broker, topic: str, partition: int) -> None:
    try:
        broker.elect_preferred(topic, partition)
    except KafkaRequestError as error:
        if error.code_name not in {"ELECTION_NOT_NEEDED", "PREFERRED_LEADER_NOT_AVAILABLE"}:
            raise


def _described(broker: Broker, group_id: str) -> Group:
    kind = _listed(broker, group_id).kind
    return broker.classic_group(group_id) if kind == "classic" else broker.newer_group(group_id, kind)


def _check_empty(broker: Broker, group_id: str) -> None:
    state = _listed(broker, group_id).state
    if state != "Empty":
        raise KafkaRequestError("NON_EMPTY_GROUP", f"group {group_id} is {state}")


def _listed(broker: Broker, group_id: str) -> ListedGroup:
    for group in broker.groups():
        if group.id == group_id:
            return group
    raise KafkaRequestError("GROUP_ID_NOT_FOUND", f"there is no group {group_id}")


def _has(acls: Set[Acl], added: Set[Acl], removed: Set[Acl]) -> bool:
    return added <= acls and not removed & acls


def _remove_members(broker: Broker, group: Group) -> None:
    for member in group.members:
        try:
            broker.remove_member(group, member)
        except KafkaRequestError as error:
            # It has left by itself.
            if error.code_name not in {"UNKNOWN_MEMBER_ID", "GROUP_ID_NOT_FOUND"}:
                raise


def _are(wanted: Mapping[str, str], latest: Mapping[str, str]) -> bool:
    """Whether settings are as they should be, as far as brokers tell them: passwords are empty."""
    return wanted.keys() == latest.keys() and all(latest[key] in {value, ""} for key, value in wanted.items())


def _comparable(configs: Mapping[str, str]) -> dict[str, str]:
    return {key: _canonical(value) for key, value in configs.items()}


def _canonical(value: str) -> str:
    """A setting in one of the ways to write it: Kafka trims, and writes numbers and lists as it likes."""
    text = ",".join(part.strip() for part in value.split(",")).lower()
    try:
        return str(int(text))
    except ValueError:
        pass
    try:
        number = float(text)
    except ValueError:
        return text
    return str(int(number)) if number.is_integer() else str(number)
