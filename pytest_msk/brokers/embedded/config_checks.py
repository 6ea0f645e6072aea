"""What settings must be among themselves: what Kafka refuses although each value by itself would do."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from pytest_msk.brokers.embedded.config_values import invalid, split
from pytest_msk.brokers.wire.errors import KafkaError

Value = Callable[[str], Any]
"""Gives the value of a setting, parsed."""

REMOTE_STORAGE = "remote.storage.enable"

_REMOTE_STORAGE_SYSTEM = "remote.log.storage.system.enable"
_DELETE_ON_DISABLE = "remote.log.delete.on.disable"
_COPY_DISABLE = "remote.log.copy.disable"
_BY_RETENTION = -2
"""``local.retention``: as much as ``retention``."""

_MEBIBYTE = 1 << 20
_HOST = re.compile(r"[0-9a-zA-Z.:%_-]+")
_COUNT = re.compile(r"[+-]?[0-9]{1,10}")

_THREADS = (
    *("background.threads", "log.cleaner.threads", "num.io.threads", "num.network.threads"),
    *("num.recovery.threads.per.data.dir", "num.replica.fetchers", "remote.log.reader.threads"),
    "remote.log.manager.copier.thread.pool.size",
    "remote.log.manager.expiration.thread.pool.size",
    "remote.log.manager.follower.thread.pool.size",
)
"""Threads that a running broker gets at most twice as many of at a time, or half as many."""

_AT_LEAST_ONE = (
    "remote.log.index.file.cache.total.size.bytes",
    "remote.log.manager.copy.max.bytes.per.second",
    "remote.log.manager.fetch.max.bytes.per.second",
)
_MOST_CONNECTIONS = ("max.connections", "max.connection.creation.rate")
_CORDONED = "cordoned.log.dirs"
_OF_LISTENERS = ("listeners", "advertised.listeners", "listener.security.protocol.map")

_CLIENT_MATCHES = frozenset(
    {
        *("client_instance_id", "client_id", "client_software_name", "client_software_version"),
        *("client_source_address", "client_source_port"),
    }
)
_PUSH_INTERVAL_MS = range(100, 3_600_001)


def check_topic(value: Value, names: Collection[str], system: Value, *, was_remote: bool) -> None:
    """Check the settings of a topic (``LogConfig.validate``).

    Args:
        value: of the topic's settings, with those that it does not override.
        names: the topic settings that the release has.
        system: of the broker's settings.
        was_remote: whether the topic had tiered storage before.

    Raises:
        KafkaError: ``INVALID_CONFIG``.
    """
    _check_compaction(value, "min.compaction.lag.ms", "max.compaction.lag.ms")
    if REMOTE_STORAGE not in names:
        return
    if value(REMOTE_STORAGE):
        _check_remote_storage(value, names, system)
    elif was_remote and _DELETE_ON_DISABLE in names and not value(_DELETE_ON_DISABLE):
        raise _refused(
            f"{REMOTE_STORAGE}=false would leave remote data behind: set {_DELETE_ON_DISABLE}=true as well, "
            f"or keep it with {REMOTE_STORAGE}=true and {_COPY_DISABLE}=true"
        )


def check_broker(value: Value, names: Collection[str]) -> None:
    """Check the settings that a broker is to have (``KafkaConfig.validateValues``), listeners aside.

    Raises:
        KafkaError: ``INVALID_REQUEST``.
    """
    _require_at_least(first(value, "log.roll.ms", "log.roll.hours"), 1, "log.roll.ms")
    _require_at_least(first(value, "log.roll.jitter.ms", "log.roll.jitter.hours"), 0, "log.roll.jitter.ms")
    retention = first(value, "log.retention.ms", "log.retention.minutes", "log.retention.hours")
    _require(retention != 0, "log.retention.ms must be unlimited (-1) or at least 1")
    buffer, threads = "log.cleaner.dedupe.buffer.size", "log.cleaner.threads"
    if value(threads):
        enough = value(buffer) // value(threads) > _MEBIBYTE
        _require(enough, f"{buffer} must be more than 1 MiB for each of {threads}")
    for longer in ("replica.socket.timeout.ms", "replica.lag.time.max.ms"):
        wait = "replica.fetch.wait.max.ms"
        _require(value(wait) <= value(longer), f"{wait} must not be more than {longer}")
    queued, largest = "queued.max.request.bytes", "socket.request.max.bytes"
    _require(value(queued) <= 0 or value(queued) >= value(largest), f"{queued} must be at least {largest}")
    delay, idle = "connection.failed.authentication.delay.ms", "connections.max.idle.ms"
    _require(value(idle) < 0 or value(delay) < value(idle), f"{delay} must be less than {idle}")
    _check_connections(value)
    _require(_CORDONED not in names or not value(_CORDONED), f"embedded brokers have no {_CORDONED}")
    _check_group_protocols(value, names)


def check_log_defaults(value: Value) -> None:
    """Check what topics get from a broker that starts (``LogManager``).

    Raises:
        KafkaError: ``INVALID_CONFIG``.
    """
    _check_compaction(value, "log.cleaner.min.compaction.lag.ms", "log.cleaner.max.compaction.lag.ms")


def check_broker_change(old: Value, new: Value, names: Collection[str]) -> None:
    """Check that a running broker can go over to other settings (its ``BrokerReconfigurable`` parts).

    Raises:
        KafkaError: ``INVALID_REQUEST``.
    """
    for name in _THREADS:
        if name in names:
            _check_threads(name, old(name), new(name))
    for name in _AT_LEAST_ONE:
        if name in names and old(name) != new(name):
            _require_change(new(name) >= 1, f"{name}={new(name)} must be at least 1")
    for name in _MOST_CONNECTIONS:
        if name in names:
            _require_change(new(name) >= 1, f"{name}={new(name)} must be at least 1")
    for name in _OF_LISTENERS:
        _require_change(old(name) == new(name), f"embedded brokers keep the {name} that they started with")
    if "log.local.retention.ms" in names:
        _check_local_retention(old, new)


def check_group(value: Value, given: Collection[str], bound: Value) -> None:
    """Check the settings of a group (``GroupConfig.validate``).

    Args:
        value: of the group's settings, with those that it does not override.
        given: the names that it overrides.
        bound: of the broker's settings; raises KeyError where there is none of that name.

    Raises:
        KafkaError: ``INVALID_CONFIG``.
    """
    for name in given:
        kind, _, rest = name.partition(".")
        for word in ("min", "max"):
            limit = _limit(kind, word, rest)
            try:
                most = bound(limit)
            except KeyError:
                continue
            if value(name) < most if word == "min" else value(name) > most:
                comparison = "greater" if word == "min" else "less"
                raise _refused(f"{name} must be {comparison} than or equal to {limit}")
    for kind in {name.partition(".")[0] for name in given}:
        session, heartbeat = f"{kind}.session.timeout.ms", f"{kind}.heartbeat.interval.ms"
        if {session, heartbeat} & set(given) and value(session) <= value(heartbeat):
            raise _refused(f"{session} must be greater than {heartbeat}")


def check_client_metrics(values: Mapping[str, Any]) -> None:
    """Check the settings of a subscription to client metrics (``ClientMetricsConfigs.validate``).

    Raises:
        KafkaError: ``INVALID_REQUEST`` or ``INVALID_CONFIG``.
    """
    interval = values.get("interval.ms", _PUSH_INTERVAL_MS.start)
    if interval not in _PUSH_INTERVAL_MS:
        text = f"Invalid value {interval} for interval.ms, interval must be between 100 and 3600000 (1 hour)"
        raise KafkaError("INVALID_REQUEST", text)
    for pattern in values.get("match", ()):
        name, equals, expression = pattern.partition("=")
        if name.strip() not in _CLIENT_MATCHES or not equals or not expression or "=" in expression:
            raise _refused(f"Illegal client matching pattern: {pattern}")
        try:
            re.compile(expression.strip())
        except (re.error, OverflowError, RecursionError):
            raise _refused(f"Illegal client matching pattern: {pattern}") from None


def first(value: Value, *names: str) -> Any:
    """The first setting that is not null of some that say the same, in milliseconds if it is a time."""
    for name in names:
        found = value(name)
        if found is not None:
            return in_ms(name, found)
    return None


def in_ms(name: str, value: Any) -> Any:
    """The value of a setting in hours or minutes as milliseconds; any other as it is."""
    if name.endswith(".hours"):
        return value * 3_600_000
    return value * 60_000 if name.endswith(".minutes") else value


def _refused(text: str) -> KafkaError:
    return KafkaError("INVALID_CONFIG", text)


def _require(condition: bool, text: str) -> None:  # noqa: FBT001 - it reads as a sentence
    if not condition:
        raise KafkaError("INVALID_REQUEST", f"requirement failed: {text}")


def _require_at_least(value: int, least: int, name: str) -> None:
    _require(value >= least, f"{name} must be greater than or equal to {least}")


def _require_change(condition: bool, text: str) -> None:  # noqa: FBT001 - it reads as a sentence
    if not condition:
        raise KafkaError("INVALID_REQUEST", f"Invalid dynamic configuration: {text}")


def _check_compaction(value: Value, least: str, most: str) -> None:
    if value(least) > value(most):
        raise _refused(f"conflict: {least} ({value(least)}) > {most} ({value(most)})")


def _check_remote_storage(value: Value, names: Collection[str], system: Value) -> None:
    if not system(_REMOTE_STORAGE_SYSTEM):
        raise _refused(f"{REMOTE_STORAGE}: Tiered Storage functionality is disabled in the broker")
    if "compact" in value("cleanup.policy"):
        raise _refused(f"{REMOTE_STORAGE}: Remote log storage is unsupported for compacted topics")
    for local, whole, unlimited in (
        ("local.retention.bytes", "retention.bytes", value("retention.bytes") < 0),
        ("local.retention.ms", "retention.ms", value("retention.ms") == -1),
    ):
        if not unlimited:
            _check_local(local, value(local), whole, value(whole))
        copies = _COPY_DISABLE not in names or not value(_COPY_DISABLE)
        if not copies and value(local) not in (_BY_RETENTION, value(whole)):
            raise _refused(f"With {_COPY_DISABLE} {local} and {whole} must be the same")


def _check_local(local: str, value: int, whole: str, limit: int) -> None:
    """Check that what is kept locally is no more than what is kept at all."""
    if value == -1:
        raise invalid(local, value, f"Value must not be -1 where {whole} is {limit}")
    if value > limit:
        raise invalid(local, value, f"Value must not be more than {whole}, which is {limit}")


def _check_local_retention(old: Value, new: Value) -> None:
    times = ("log.retention.ms", "log.retention.minutes", "log.retention.hours")
    sizes = ("log.retention.bytes", "log.local.retention.bytes", "log.local.retention.ms")
    if all(old(name) == new(name) for name in (*times, *sizes)):
        return
    for local, whole, limit in (
        ("log.local.retention.ms", "log.retention.ms", first(new, *times)),
        ("log.local.retention.bytes", "log.retention.bytes", new("log.retention.bytes")),
    ):
        if limit >= 0 and new(local) != _BY_RETENTION:
            try:
                _check_local(local, new(local), whole, limit)
            except KafkaError as error:
                raise KafkaError(
                    "INVALID_REQUEST", f"Invalid dynamic configuration: {error.message}"
                ) from None


def _check_threads(name: str, old: int, new: int) -> None:
    if new == old:
        return
    what = f"thread count {name}={new}"
    _require_change(new > 0, f"{what} must be at least 1")
    _require_change(new >= old // 2, f"{what} must be at least half the current value {old}")
    _require_change(new <= old * 2, f"{what} must not be more than double the current value {old}")


def _check_connections(value: Value) -> None:
    name = "max.connections.per.ip.overrides"
    hosts = []
    for entry in filter(None, split(value(name) or "")):
        host, colon, count = entry.rpartition(":")
        if not colon or not _COUNT.fullmatch(count.strip()):
            raise KafkaError("INVALID_REQUEST", f"Error parsing configuration property '{name}': {entry}")
        hosts.append(host.strip())
    wrong = [host for host in hosts if not _HOST.fullmatch(host)]
    if wrong:
        raise KafkaError("INVALID_REQUEST", f"{name} contains invalid addresses : {','.join(wrong)}")
    _require(
        value("max.connections.per.ip") != 0 or bool(hosts), f"max.connections.per.ip=0 takes {name} as well"
    )


def _limit(kind: str, word: str, rest: str) -> str:
    """The broker setting that limits a group's: ``group.consumer.min.session.timeout.ms``."""
    return f"group.{kind}.{word}.{rest.removeprefix('num.')}"


def _check_group_protocols(value: Value, names: Collection[str]) -> None:
    """Check defaults of groups against the limits of the same (``GroupCoordinatorConfig``)."""
    for least in [name for name in names if name.startswith("group.") and ".min." in name]:
        most, default = least.replace(".min.", ".max."), least.replace(".min.", ".")
        if default in names and most in names:
            low, high = value(least), value(most)
            _require(high >= low, f"{most} must be greater than or equal to {least}")
            _require(value(default) >= low, f"{default} must be greater than or equal to {least}")
            _require(value(default) <= high, f"{default} must be less than or equal to {most}")
    for session in [
        name for name in names if name.startswith("group.") and name.endswith(".session.timeout.ms")
    ]:
        heartbeat = session.replace(".session.timeout.", ".heartbeat.interval.")
        if heartbeat in names and ".min." not in session and ".max." not in session:
            _require(value(heartbeat) < value(session), f"{heartbeat} must be less than {session}")
