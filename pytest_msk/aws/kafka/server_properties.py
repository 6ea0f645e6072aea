"""``server.properties`` as an MSK configuration has it: how it is read, and what MSK lets through.

The lists are those of the developer guide ("Custom Amazon MSK configurations", "Custom configurations on
Express brokers").
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

from pytest_msk.aws.errors import bad_request


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


STANDARD = _names(
    """
    allow.everyone.if.no.acl.found auto.create.topics.enable auto.leader.rebalance.enable compression.type
    connections.max.idle.ms default.replication.factor delete.topic.enable group.initial.rebalance.delay.ms
    group.max.session.timeout.ms group.min.session.timeout.ms leader.imbalance.per.broker.percentage
    log.cleaner.delete.retention.ms log.cleaner.min.cleanable.ratio log.cleanup.policy
    log.flush.interval.messages log.flush.interval.ms log.local.retention.bytes log.local.retention.ms
    log.message.timestamp.after.max.ms log.message.timestamp.before.max.ms
    log.message.timestamp.difference.max.ms log.message.timestamp.type log.retention.bytes
    log.retention.hours log.retention.minutes log.retention.ms log.roll.ms log.segment.bytes
    max.incremental.fetch.session.cache.slots message.max.bytes min.insync.replicas num.io.threads
    num.network.threads num.partitions num.recovery.threads.per.data.dir num.replica.fetchers
    offsets.retention.minutes offsets.topic.replication.factor remote.log.msk.disable.policy
    replica.fetch.max.bytes replica.fetch.response.max.bytes replica.lag.time.max.ms replica.selector.class
    replica.socket.receive.buffer.bytes socket.receive.buffer.bytes socket.request.max.bytes
    socket.send.buffer.bytes transaction.max.timeout.ms transaction.state.log.min.isr
    transaction.state.log.replication.factor transactional.id.expiration.ms unclean.leader.election.enable
    zookeeper.connection.timeout.ms zookeeper.session.timeout.ms
    """
)
"""What a configuration of Standard brokers may set."""

EXPRESS = _names(
    """
    advertised.listeners allow.everyone.if.no.acl.found auto.create.topics.enable compression.type
    connections.max.idle.ms delete.topic.enable group.initial.rebalance.delay.ms
    group.max.session.timeout.ms leader.imbalance.per.broker.percentage log.cleaner.delete.retention.ms
    log.cleaner.max.compaction.lag.ms log.cleaner.min.compaction.lag.ms log.cleanup.policy
    log.message.timestamp.after.max.ms log.message.timestamp.before.max.ms log.message.timestamp.type
    log.retention.bytes log.retention.ms max.connection.creation.rate max.connections max.connections.per.ip
    max.connections.per.ip.overrides max.incremental.fetch.session.cache.slots message.max.bytes
    num.partitions offsets.retention.minutes producer.id.expiration.ms replica.fetch.max.bytes
    replica.selector.class socket.receive.buffer.bytes socket.request.max.bytes socket.send.buffer.bytes
    transaction.max.timeout.ms transactional.id.expiration.ms
    """
)
"""What a configuration of Express brokers may set."""

_RANGES: Mapping[str, tuple[int, int | None]] = {
    "log.cleaner.max.compaction.lag.ms": (86_400_000, None),
    "replica.lag.time.max.ms": (10_000, 30_000),
    "zookeeper.session.timeout.ms": (6_000, 18_000),
}
"""Where MSK is stricter than Kafka: the least and the greatest value."""

_NEWEST_WITH_ALL = (3, 9, 2)
"""The newest Kafka release that still knows whatever the lists name, and so the values' types."""

_COMMENTS = ("#", "!")
_SEPARATOR = re.compile(r"(?P<name>(?:\\.|[^\\=:\s])*)(?:\s*[=:]\s*|\s+|$)(?P<value>.*)", re.DOTALL)
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_CONTROLS = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}


def parse(content: bytes) -> dict[str, str]:
    """Name to value, as ``java.util.Properties`` reads it: the last of a name counts.

    Raises:
        AwsError: BadRequestException: it is no text.
    """
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise bad_request("Invalid request body", "serverProperties") from error
    return dict(_entries(text))


def check(properties: Mapping[str, str]) -> None:
    """Refuse what neither Standard nor Express brokers may be configured with.

    Raises:
        AwsError: BadRequestException, whose message is a JSON array with an element for each bad line.
    """
    _check(properties, STANDARD | EXPRESS)


def check_express(properties: Mapping[str, str]) -> None:
    """Refuse what Express brokers may not be configured with.

    Raises:
        AwsError: as `check`.
    """
    _check(properties, EXPRESS)


def _check(properties: Mapping[str, str], allowed: frozenset[str]) -> None:
    refused = [
        {"name": name, "value": value, "errorMessages": [f"Key '{name}' {fault}"]}
        for name, value in properties.items()
        if (fault := _fault(name, value, allowed))
    ]
    if refused:
        raise bad_request(json.dumps(refused), "serverProperties")


def _fault(name: str, value: str, allowed: frozenset[str]) -> str | None:
    if name not in allowed:
        return "is not one that can be configured"
    return _fault_of_value(name, value) or _fault_of_range(name, value)


def _fault_of_value(name: str, value: str) -> str | None:
    """What Kafka itself has against a value; nothing where a setting is MSK's own."""
    # Reading the table takes milliseconds that few users of the API need to spend.
    from pytest_msk.brokers.embedded.config_definitions import definitions
    from pytest_msk.brokers.embedded.config_values import parsed
    from pytest_msk.brokers.wire.errors import KafkaError

    setting = definitions(_NEWEST_WITH_ALL).broker.get(name)
    if setting is None:
        return None
    try:
        parsed(setting, value)
    except KafkaError:
        kind = "one of its values" if setting.kind in {"string", "list"} else f"a valid {setting.kind}"
        return f"has the value '{value}', which is not {kind}"
    return None


def _fault_of_range(name: str, value: str) -> str | None:
    if name not in _RANGES:
        return None
    least, most = _RANGES[name]
    if least <= int(value) and (most is None or int(value) <= most):
        return None
    return f"must be {least} or more" if most is None else f"must be from {least} to {most}"


def _entries(text: str) -> Iterator[tuple[str, str]]:
    for line in _logical_lines(text):
        match = _SEPARATOR.match(line)
        if match:
            yield _unescaped(match["name"]), _unescaped(match["value"])


def _logical_lines(text: str) -> Iterator[str]:
    """Lines without blanks before them, comments and empty ones left out, continued ones put together."""
    continued = ""
    for natural in re.split(r"\r\n|\r|\n", text):
        line = natural.lstrip(" \t\f")
        if not continued and (not line or line.startswith(_COMMENTS)):
            continue
        continued += line
        if _goes_on(line):
            continued = continued[:-1]
        else:
            yield continued
            continued = ""
    if continued:
        yield continued


def _goes_on(line: str) -> bool:
    return (len(line) - len(line.rstrip("\\"))) % 2 == 1


def _unescaped(text: str) -> str:
    def character(match: re.Match[str]) -> str:
        code = match[1]
        return chr(int(code[1:], 16)) if len(code) > 1 else _CONTROLS.get(code, code)

    return _ESCAPE.sub(character, text)
