"""``server.properties`` as an MSK configuration has it: how it is read, and what MSK lets through.

The lists are those of the developer guide ("Custom Amazon MSK configurations", "Custom configurations on
Express brokers").
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence

from pytest_msk.aws.errors import AwsError, bad_request
from pytest_msk.aws.kafka.versions import LISTED, Version


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
    "socket.receive.buffer.bytes": (-1, None),
    "socket.send.buffer.bytes": (-1, None),
    "zookeeper.session.timeout.ms": (6_000, 18_000),
}
"""Where MSK is stricter than Kafka: the least and the greatest value."""

_WORDS: Mapping[str, tuple[str, ...]] = {
    "allow.everyone.if.no.acl.found": ("true", "false"),
    "remote.log.msk.disable.policy": ("Delete",),
}
"""The values, in any case, of what Kafka's own table of settings does not have."""

_SINCE: Mapping[str, tuple[int, int]] = {"auto.leader.rebalance.enable": (3, 0)}
"""What a configuration for older releases may not set. AWS does not say when that changed: it was refused
for 2.2.1, and is in the default configuration today."""

_NEWEST_WITH_ALL = (3, 9, 2)
"""The newest Kafka release that still knows whatever the lists name, and so the values' types."""

_COMMENTS = ("#", "!")
_BLANKS = " \t\f"
_SEPARATOR = re.compile(
    rf"(?P<name>(?:\\.|[^\\=:{_BLANKS}])*)(?:[{_BLANKS}]*[=:][{_BLANKS}]*|[{_BLANKS}]+|$)(?P<value>.*)",
    re.DOTALL,
)
_ESCAPE = re.compile(r"\\(?:u(?P<code>[0-9a-fA-F]{4})|(?P<bad>u)|(?P<other>.))", re.DOTALL)
_CONTROLS = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}


def parse(content: bytes) -> dict[str, str]:
    """Name to value, as ``java.util.Properties`` reads it: the last of a name counts.

    Raises:
        AwsError: BadRequestException: it is no text, or has an escape that Java does not read.
    """
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise bad_request("Invalid request body", "serverProperties") from error
    return dict(_entries(text))


def check(properties: Mapping[str, str], versions: Sequence[Version] = ()) -> None:
    """Refuse what neither Standard nor Express brokers may be configured with.

    Args:
        properties: name to value.
        versions: the versions that they are for; none for all of MSK's.

    Raises:
        AwsError: BadRequestException, whose message is a JSON array with an element for each bad property.
    """
    checked = ", ".join(version.name for version in versions or LISTED)
    unsupported = (
        f"is not supported by at least one Apache Kafka version. Key checked against versions: [{checked}]"
    )
    oldest = min((version.release for version in versions), default=None)

    def fault(name: str, value: str) -> str | None:
        if name not in STANDARD | EXPRESS or (oldest and oldest < _SINCE.get(name, oldest)):
            return unsupported
        return _fault_of_value(name, value)

    faults = {name: found for name, value in properties.items() if (found := fault(name, value))}
    if faults:
        raise _refusal(properties, faults, "serverProperties")


def check_express(properties: Mapping[str, str]) -> None:
    """Refuse what a cluster of Express brokers may not be configured with.

    Raises:
        AwsError: as `check`. AWS's text for this is not public.
    """
    faults = {
        name: "is not one that Express brokers let be set" for name in properties if name not in EXPRESS
    }
    if faults:
        raise _refusal(properties, faults, "configurationInfo")


def _refusal(properties: Mapping[str, str], faults: Mapping[str, str], parameter: str) -> AwsError:
    """The refusal of some properties, by name, with the JSON laid out as AWS has it."""
    elements = []
    for name, fault in faults.items():
        message = f"Key '{name}' {fault}"
        elements.append(
            f'{{\n  "name" : {_json(name)},\n  "value" : {_json(properties[name])},\n'
            f'  "errorMessages" : [ {_json(message)} ]\n}}'
        )
    return bad_request(f"[ {', '.join(elements)} ]", parameter)


def _json(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _fault_of_value(name: str, value: str) -> str | None:
    """What Kafka or MSK has against a value. AWS's texts for it are not public."""
    why = _fault_of_word(name, value) if name in _WORDS else _fault_of_setting(name, value)
    return f"cannot have the value '{value}': {why}" if why else None


def _fault_of_word(name: str, value: str) -> str | None:
    words = _WORDS[name]
    known = value.strip().lower() in {word.lower() for word in words}
    return None if known else f"Value must be {' or '.join(words)}"


def _fault_of_setting(name: str, value: str) -> str | None:
    # Reading the table takes milliseconds that few users of the API need to spend.
    from pytest_msk.brokers.embedded.config_definitions import definitions
    from pytest_msk.brokers.embedded.config_values import parsed
    from pytest_msk.brokers.wire.errors import KafkaError

    try:
        number = parsed(definitions(_NEWEST_WITH_ALL).broker[name], value)
    except KafkaError as error:
        return str(error.message).partition(f"for configuration {name}: ")[2]
    least, most = _RANGES.get(name, (None, None))
    if least is not None and number < least:
        return f"Value must be at least {least}"
    if most is not None and number > most:
        return f"Value must be no more than {most}"
    return None


def _entries(text: str) -> Iterator[tuple[str, str]]:
    for line in _logical_lines(text):
        match = _SEPARATOR.match(line)
        if match:
            yield _unescaped(match["name"]), _unescaped(match["value"])


def _logical_lines(text: str) -> Iterator[str]:
    """Lines without blanks before them, comments and empty ones left out, continued ones put together."""
    continued = ""
    for natural in re.split(r"\r\n|\r|\n", text):
        line = natural.lstrip(_BLANKS)
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
        if match["bad"]:
            raise bad_request("Malformed \\uxxxx encoding.", "serverProperties")
        if match["code"]:
            return chr(int(match["code"], 16))
        return _CONTROLS.get(match["other"], match["other"])

    # Java's characters are UTF-16: two escapes may be one character, and half of one is none.
    return _ESCAPE.sub(character, text).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
