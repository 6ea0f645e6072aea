"""Changes of a running cluster: brokers that come and go, new settings, a new release of Kafka."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from pytest_msk.brokers import versions
from pytest_msk.brokers.admin import KafkaRequestError
from pytest_msk.brokers.admin.cluster_changes import ClusterChanges, Replicas, without
from pytest_msk.brokers.docker import engine, properties, storage
from pytest_msk.brokers.docker.fleet import Fleet, explained
from pytest_msk.errors import BrokerStartError, MskError, MskUsageError
from pytest_msk.spec import ClusterSpec

_NAMED = 10

# With eligible leader replicas (Kafka 4.1) the controller keeps a value of this for all brokers, as if it was
# set over the Kafka protocol; it stands above their files and cannot be dropped (KIP-966).
_KEPT_BY_KAFKA = "min.insync.replicas"

# Values that are fine for a broker's file, but not for a running broker.
_ONLY_WITH_A_RESTART = ("default cluster level", "thread count")

_NOT_YET = frozenset({"NETWORK_EXCEPTION", "REQUEST_TIMED_OUT", "NOT_CONTROLLER", "LEADER_NOT_AVAILABLE"})


@dataclass(frozen=True)
class Plan:
    """How settings become others.

    Attributes:
        at_once: what is set on all brokers over the Kafka protocol, where they need not restart.
        kept: what is so set whether they restart or not.
        restart: names of the settings that brokers take only from their files.
    """

    at_once: dict[str, str] = field(default_factory=dict)
    kept: dict[str, str] = field(default_factory=dict)
    restart: set[str] = field(default_factory=set)


class Update:
    """One change of a running cluster.

    What would be refused is refused before anything changes. After that each step leaves word of how to take
    it back, which is done, last step first, where a later one fails.

    Args:
        fleet: the cluster's containers.
        spec: what they should be.
    """

    def __init__(self, fleet: Fleet, spec: ClusterSpec) -> None:
        self._fleet = fleet
        self._old = fleet.spec
        self._new = spec
        self._old_image, self._image = fleet.image(fleet.spec), fleet.image(spec)
        self._leaving = list(range(spec.brokers + 1, self._old.brokers + 1))
        self._coming = list(range(self._old.brokers + 1, spec.brokers + 1))
        self._take_back: list[Callable[[], None]] = []

    def carry_out(self) -> None:
        """Make the change.

        Raises:
            MskUsageError: it cannot be made.
            MskError: it was not made; the brokers are what they were, as far as that could be.
        """
        self._check()
        with ClusterChanges(self._fleet.bootstrap) as admin:
            self._check_leaving(admin)
            plan = self._plan(admin)
            if self._image != self._old_image:
                self._fleet.pull(self._new)
            try:
                self._make(admin, plan)
            except BaseException as error:
                what = f"Cluster {self._old.name!r} ({self._old_image}) was not updated"
                failure = explained(what, _as_start_error(error), self._fleet)
                problems = self._back()
                if isinstance(failure, BrokerStartError):
                    raise BrokerStartError("\n".join([str(failure), *problems])) from error
                raise

    def _make(self, admin: ClusterChanges, plan: Plan) -> None:
        restarted = bool(plan.restart) or self._image != self._old_image
        staying = list(self._fleet.containers)
        self._grow(admin)
        self._write(staying)
        self._fleet.lead(staying, self._new)
        if restarted:
            rolled = staying if self._image == self._old_image else list(self._fleet.containers)
            for broker_id in rolled:
                self._roll(admin, broker_id)
        self._vacate(admin)
        self._set(admin, plan, restarted=restarted)
        self._raise_features(admin)
        # From here on there is no way back: their data goes.
        self._take_back.clear()
        self._fleet.spec = self._new
        problems = [problem for broker_id in self._leaving for problem in self._fleet.drop(broker_id)]
        for broker_id in self._leaving:
            admin.unregister(broker_id)
        if problems:
            raise BrokerStartError("\n".join(problems))

    def _check(self) -> None:
        fleet, name = self._fleet, self._old.name
        properties.check_configuration(self._new.configuration)
        old, new = self._old.kafka_version, self._new.kafka_version
        if self._image != self._old_image and versions.release(new) < versions.release(old):
            raise MskUsageError(f"Cluster {name!r} cannot go from Kafka {old} back to {new}.")
        if stopped := fleet.not_alive():
            raise MskError(
                f"Cluster {name!r} cannot be updated while not all of its brokers run: start broker "
                f"{_listed(stopped)} first."
            )
        if voters := [id_ for id_ in self._leaving if id_ in fleet.voters]:
            raise MskUsageError(
                f"{self._cannot_shrink()}: broker {_listed(voters)} is in the quorum of controllers, which "
                f"in containers stays what it was at the start: {_listed(fleet.voters)}. "
                "Create a cluster with fewer brokers instead."
            )

    def _check_leaving(self, admin: ClusterChanges) -> None:
        if not self._leaving:
            return
        if held := admin.held(self._leaving, internal=False):
            named = [f"{topic}-{partition}" for topic, partition in sorted(held)]
            more = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
            raise MskUsageError(
                f"{self._cannot_shrink()}: broker {_listed(self._leaving)} still holds replicas of "
                f"{', '.join(named[:_NAMED])}{more}. Move them to other brokers, or delete the topics, first."
            )

    def _cannot_shrink(self) -> str:
        old, new = self._old, self._new
        return f"Cluster {old.name!r} cannot go from {old.brokers} to {new.brokers} brokers"

    def _plan(self, admin: ClusterChanges) -> Plan:
        plan = Plan()
        changed = self._changed()
        plan.restart.update(name for name in changed if properties.is_own(name))
        changed = {name: value for name, value in changed.items() if name not in plan.restart}
        if not changed:
            return plan
        known = admin.settings(1)
        set_now = admin.broker_overrides(None)
        old = self._fleet.properties(self._fleet.containers[1], self._old)
        for name, wanted in changed.items():
            setting = known.get(name)
            value = setting.default if wanted is None and setting is not None else wanted
            if setting is None or setting.read_only or value is None:
                plan.restart.add(name)
            elif name not in set_now or set_now[name] == self._fleet.defaults.get(name):
                plan.at_once[name] = value
            elif name == _KEPT_BY_KAFKA and set_now[name] == old.get(name):
                plan.kept[name] = value
            else:  # a client has set another: ours comes to stand below it
                plan.restart.add(name)
        self._sort_out(admin, plan)
        return plan

    def _changed(self) -> dict[str, str | None]:
        """The settings that change of brokers that stay, and what to; None for Kafka's default."""
        changed: dict[str, str | None] = {}
        for broker_id, container in self._fleet.containers.items():
            if broker_id not in self._leaving:
                old = self._fleet.properties(container, self._old)
                new = self._fleet.properties(container, self._new)
                changed |= {name: new.get(name) for name in {**old, **new} if old.get(name) != new.get(name)}
        return changed

    def _sort_out(self, admin: ClusterChanges, plan: Plan) -> None:
        """Have brokers say which values they would take; find those that need a restart after all."""
        wanted = {**plan.at_once, **plan.kept}
        try:
            admin.check_defaults(wanted)
        except KafkaRequestError:
            for name, value in wanted.items():
                try:
                    admin.check_defaults({name: value})
                except KafkaRequestError as error:
                    if not any(words in error.message for words in _ONLY_WITH_A_RESTART):
                        raise MskUsageError(
                            f"Cluster {self._old.name!r} cannot have {name} = {value}: {error}"
                        ) from error
                    plan.restart.add(name)
                    plan.at_once.pop(name, None)

    def _grow(self, admin: ClusterChanges) -> None:
        if not self._coming:
            return

        def shrink() -> None:
            for broker_id in self._coming:
                if broker_id in self._fleet.containers:
                    self._fleet.drop(broker_id)
                    admin.unregister(broker_id)

        self._take_back.append(shrink)
        # Of the old release, which the others are of, if that changes too.
        as_others = self._new.changed(kafka_version=self._old.kafka_version)
        self._fleet.bring_up(self._coming, as_others, self._old_image)

    def _write(self, staying: list[int]) -> None:
        """Give brokers the files that they will start with."""
        fleet = self._fleet

        def write(spec: ClusterSpec) -> None:
            for broker_id in staying:
                container = fleet.containers[broker_id]
                container.write(fleet.files(container, spec), fleet.patience())

        self._take_back.append(lambda: write(self._old))
        write(self._new)

    def _roll(self, admin: ClusterChanges, broker_id: int) -> None:
        self._take_back.append(lambda: self._restart(admin, broker_id, self._old, self._old_image))
        self._restart(admin, broker_id, self._new, self._image)

    def _restart(self, admin: ClusterChanges, broker_id: int, spec: ClusterSpec, image: str) -> None:
        """Stop a broker and start it as a spec says; return when it is in sync again."""
        fleet = self._fleet
        container = fleet.containers[broker_id]
        with container.operation:
            fleet.patience().check()
            fleet.stop_kafka(broker_id, graceful=True)
            if container.image == image:
                container.write(fleet.files(container, spec), fleet.patience())
                fleet.start_kafka(broker_id)
            else:
                fleet.move(broker_id, spec, image)
        self._patiently(lambda: admin.is_in_sync(broker_id))

    def _vacate(self, admin: ClusterChanges) -> None:
        """Move Kafka's own topics away from brokers that leave, and stop these."""
        if not self._leaving:
            return
        self._move_away(admin)
        for broker_id in self._leaving:
            self._take_back.append(lambda id_=broker_id: self._fleet.start_kafka(id_))  # type: ignore[misc]
            with self._fleet.containers[broker_id].operation:
                self._fleet.stop_kafka(broker_id, graceful=True)
        # What came meanwhile; now nothing comes any more.
        self._check_leaving(admin)
        self._move_away(admin)

    def _move_away(self, admin: ClusterChanges) -> None:
        staying = range(1, self._new.brokers + 1)
        held = admin.held(self._leaving, internal=True)
        before: Mapping[tuple[str, int], Replicas] = {key: held[key].replicas for key in held}
        after = {key: without(partition, self._leaving, staying) for key, partition in held.items()}
        if held:
            self._take_back.append(lambda: admin.place(before))
            admin.place(after)
            self._patiently(lambda: admin.is_placed(after))

    def _set(self, admin: ClusterChanges, plan: Plan, *, restarted: bool) -> None:
        """Set on all brokers what they take at once; after a restart their files say it."""
        set_now = admin.broker_overrides(None)
        ours = {name: value for name, value in self._fleet.defaults.items() if set_now.get(name) == value}
        values = plan.kept if restarted else plan.kept | plan.at_once
        dropped = ours.keys() - values.keys() if restarted else set()
        before = {name: set_now[name] for name in [*values, *dropped] if name in set_now}
        was = self._fleet.defaults

        def unset() -> None:
            admin.change_defaults(before, values.keys() - before.keys())
            self._fleet.defaults = was

        if values or dropped:
            self._take_back.append(unset)
            admin.change_defaults(values, dropped)
        self._fleet.defaults = {} if restarted else {**ours, **plan.at_once}

    def _raise_features(self, admin: ClusterChanges) -> None:
        if self._image == self._old_image:
            return
        major, minor, _ = versions.release(self._new.kafka_version)
        if levels := storage.FEATURES.get(f"{major}.{minor}"):
            admin.raise_features(levels)

    def _patiently(self, condition: Callable[[], bool]) -> None:
        """Wait for what brokers say once they have found each other again."""

        def met() -> bool:
            try:
                return condition()
            except KafkaRequestError as error:
                if error.code_name not in _NOT_YET:
                    raise
                return False

        self._fleet.patience().until(met)

    def _back(self) -> list[str]:
        """Take back what was done; tells what could not be."""
        problems = []
        while self._take_back and not self._fleet.stopping.is_set():
            try:
                self._take_back.pop()()
            except MskError as error:
                problems.append(f"It could not be taken back completely: {error}")
            except engine.ENGINE_ERRORS as error:
                problems.append(f"It could not be taken back completely: {engine.reason(error)}")
        return problems


def _as_start_error(error: BaseException) -> BaseException:
    """Brokers that refuse a step fail the update as those do that do not start."""
    if isinstance(error, KafkaRequestError):
        return BrokerStartError(str(error))
    return error


def _listed(ids: Iterable[int]) -> str:
    return ", ".join(map(str, ids))
