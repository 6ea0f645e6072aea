"""What the plugin asks of brokers as their administrator: topics and their configurations.

The one module that does so. It goes through kafka-python's admin client for now; nothing of that
library shows on the surface.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, Literal, Self, get_args

from pytest_msk.errors import MskError, MskUsageError

with warnings.catch_warnings():
    # kafka-python 3.0.12 reads its message schemas by a function that Python 3.11 and 3.12 call deprecated.
    warnings.simplefilter("ignore", DeprecationWarning)
    import kafka.errors
    from kafka import KafkaAdminClient
    from kafka.net.compat import KafkaNetClient
    from kafka.net.inet import KafkaNetSocket
    from kafka.protocol.admin import (
        CreatePartitionsRequest,
        CreateTopicsRequest,
        DeleteTopicsRequest,
        DescribeConfigsRequest,
        DescribeQuorumRequest,
        IncrementalAlterConfigsRequest,
    )
    from kafka.protocol.metadata import MetadataRequest

ConfigSource = Literal[
    "UNKNOWN",
    "DYNAMIC_TOPIC_CONFIG",
    "DYNAMIC_BROKER_CONFIG",
    "DYNAMIC_DEFAULT_BROKER_CONFIG",
    "STATIC_BROKER_CONFIG",
    "DEFAULT_CONFIG",
]
"""Where a topic's setting comes from, in the order of Kafka's codes for it (``DescribeConfigsResponse``)."""

UNKNOWN_TOPIC = "UNKNOWN_TOPIC_OR_PARTITION"
UNREACHABLE = "NETWORK_EXCEPTION"
TIMED_OUT = "REQUEST_TIMED_OUT"

_POLL_SECONDS = 0.01
_BROKER_DEFAULT = -1
_TOPIC_RESOURCE = 2
_SET, _DELETE = 0, 1
_METADATA_LOG = "__cluster_metadata"

_ASK_ANOTHER = frozenset({UNREACHABLE, "NOT_LEADER_OR_FOLLOWER", "NOT_CONTROLLER", "LEADER_NOT_AVAILABLE"})

# kafka-python's own names for errors that Kafka calls otherwise (`org.apache.kafka.common.protocol.Errors`).
_KAFKA_NAMES = {
    "UNKNOWN": "UNKNOWN_SERVER_ERROR",
    "NOT_LEADER_FOR_PARTITION": "NOT_LEADER_OR_FOLLOWER",
    "INVALID_TOPIC": "INVALID_TOPIC_EXCEPTION",
    "INVALID_REPLICATION_ASSIGNMENT": "INVALID_REPLICA_ASSIGNMENT",
}


class KafkaRequestError(MskError):
    """A broker refused a request, or none could be asked.

    Attributes:
        code_name: Kafka's own name of the error (``TOPIC_ALREADY_EXISTS``), as
            ``org.apache.kafka.common.protocol.Errors`` has it. ``NETWORK_EXCEPTION`` when no broker
            could be reached, ``REQUEST_TIMED_OUT`` when the time was up.
        message: the broker's own words; where it sent none, those of the Kafka protocol.
    """

    def __init__(self, code_name: str, message: str) -> None:
        super().__init__(f"{code_name}: {message}")
        self.code_name = code_name
        self.message = message


@dataclass(frozen=True)
class Partition:
    """One partition of a topic. ``leader`` is -1 while there is none."""

    id: int
    leader: int
    replicas: tuple[int, ...]
    isr: tuple[int, ...]


@dataclass(frozen=True)
class Topic:
    """A topic as a broker sees it.

    Attributes:
        name: the topic's name.
        id: Kafka's own id of it; a topic made again under the name of a deleted one has another.
        internal: whether it is one of Kafka's own (``__consumer_offsets``).
        partitions: its partitions, by id.
    """

    name: str
    id: str
    internal: bool
    partitions: tuple[Partition, ...]

    @property
    def replication_factor(self) -> int:
        """Number of replicas that each partition is to have."""
        return max((len(partition.replicas) for partition in self.partitions), default=0)

    @property
    def out_of_sync_replicas(self) -> int:
        """Number of replicas, over all partitions, that lag behind their leader."""
        return sum(len(set(partition.replicas) - set(partition.isr)) for partition in self.partitions)

    @property
    def led(self) -> bool:
        """Whether every partition has a leader."""
        return all(partition.leader >= 0 for partition in self.partitions)


@dataclass(frozen=True)
class ConfigValue:
    """The value in effect of one of a topic's settings, and what set it."""

    value: str
    source: ConfigSource

    @property
    def overridden(self) -> bool:
        """Whether the topic itself sets it, rather than the brokers or Kafka's defaults."""
        return self.source == "DYNAMIC_TOPIC_CONFIG"


class Admin:
    """A connection to the brokers of one cluster, as an administrator.

    Every method may be called from any thread: one thread of the connection's own does the talking,
    and ends with `close`. No call takes longer than ``timeout``, and none changes anything more when it
    has failed, except that what timed out may still happen.

    Changes return when every broker that can be reached has seen them. That takes a moment
    on several brokers: KRaft tells followers what is committed with their next fetch. Reads go to the
    broker beside the active controller, which knows first: they show what other clients did a few
    milliseconds before.

    Args:
        bootstrap: ``host:port`` of one or more brokers, with commas between.
        timeout: seconds that a call may take.

    Raises:
        KafkaRequestError: no broker answers there (``NETWORK_EXCEPTION``).
    """

    def __init__(self, bootstrap: str, *, timeout: float = 15.0) -> None:
        self._timeout = timeout
        self._connection = _Connection(bootstrap, self._until())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of sockets and thread. Safe more than once."""
        self._connection.close()

    def create_topic(
        self,
        name: str,
        partitions: int | None = None,
        replication_factor: int | None = None,
        configs: Mapping[str, str] | None = None,
    ) -> Topic:
        """Make a topic; return it when all brokers know it and every partition has a leader.

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
        self._everywhere(home, f"topic {name}", lambda broker: broker.leads(name, topic_id))
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
        """Give a topic more partitions; return it when all brokers know them and each has a leader.

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
        self._everywhere(home, what, lambda broker: broker.leads(name, topic.id, total))
        return home.topic(name)

    def describe_configs(self, name: str) -> dict[str, ConfigValue]:
        """All of a topic's settings with the values in effect, by name.

        Raises:
            KafkaRequestError: there is no such topic.
        """
        return self._home().topic_configs(name)

    def set_configs(self, name: str, configs: Mapping[str, str]) -> None:
        """Make ``configs`` all that a topic overrides; return when every broker goes by them.

        What the topic overrode before and ``configs`` does not name falls back to the brokers' value.

        Raises:
            KafkaRequestError: Kafka refused; nothing was changed.
        """
        home = self._home()
        before = home.overrides(name)
        home.alter_topic_configs(name, configs, dropped=before.keys() - configs.keys())
        wanted = {key: _canonical(value) for key, value in configs.items()}

        def seen(broker: _Broker) -> bool:
            # It need not be what is wanted: somebody else may have set yet other values.
            latest = home.overrides(name)
            return (latest == wanted or latest != before) and broker.overrides(name) == latest

        self._everywhere(home, f"the configuration of topic {name}", seen)

    def _until(self) -> float:
        return time.monotonic() + self._timeout

    def _home(self) -> _Broker:
        """The broker to ask: the one beside the active controller, else any that answers."""
        until = self._until()
        while True:
            brokers = self._connection.brokers()
            failure = KafkaRequestError(UNREACHABLE, "the cluster has no brokers")
            for broker in (_Broker(self._connection, number, until) for number in brokers):
                try:
                    leader = broker.active_controller()
                except KafkaRequestError as error:
                    if error.code_name not in _ASK_ANOTHER:
                        raise
                    failure = error
                else:
                    return replace(broker, id=leader) if leader in brokers else broker
            _pause(until, failure)

    def _everywhere(self, home: _Broker, what: str, seen: Callable[[_Broker], bool]) -> None:
        """Wait until every broker has seen a change, those aside that no client can reach."""
        self._connection.look_for_brokers(home.id)
        waiting = [replace(home, id=number) for number in self._connection.brokers()]
        while waiting := [broker for broker in waiting if not _settled(broker, seen)]:
            late = ", ".join(str(broker.id) for broker in waiting)
            text = f"accepted, but after {self._timeout:g} s broker {late} has not seen {what}"
            _pause(home.until, KafkaRequestError(TIMED_OUT, text))


def _settled(broker: _Broker, seen: Callable[[_Broker], bool]) -> bool:
    try:
        return seen(broker)
    except KafkaRequestError as error:
        if error.code_name == UNREACHABLE:
            return True
        if error.code_name == UNKNOWN_TOPIC:
            return False
        raise


def _pause(until: float, failure: KafkaRequestError) -> None:
    if time.monotonic() >= until:
        raise failure
    time.sleep(_POLL_SECONDS)


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


@dataclass(frozen=True)
class _Broker:
    """One broker, and until when it may take to answer: Kafka's requests, one method each.

    kafka-python's admin client connects and settles versions. Its own methods drop what is needed
    here: none can say which broker to ask, `describe_configs` hides errors, `alter_configs` returns
    them as text. So the requests are made here.
    """

    connection: _Connection
    id: int
    until: float

    def active_controller(self) -> int:
        """Id of the metadata log's leader; this broker's own where there is no such log."""
        try:
            answer = self._ask(DescribeQuorumRequest(topics=[(_METADATA_LOG, [(0,)])]))
        except KafkaRequestError as error:
            if error.code_name == "UNSUPPORTED_VERSION":
                return self.id
            raise
        _check(answer.error_code)
        partition = answer.topics[0].partitions[0]
        _check(partition.error_code)
        return int(partition.leader_id)

    def topics(self) -> list[Topic]:
        request = MetadataRequest(topics=None, allow_auto_topic_creation=False)
        return [_topic(entry) for entry in self._ask(request).topics]

    def topic(self, name: str) -> Topic:
        wanted = MetadataRequest.MetadataRequestTopic(name=name)
        request = MetadataRequest(topics=[wanted], allow_auto_topic_creation=False)
        return _topic(self._ask(request).topics[0])

    def has(self, name: str, topic_id: str) -> bool:
        """Whether it knows the very topic that has this id."""
        try:
            return self.topic(name).id == topic_id
        except KafkaRequestError as error:
            if error.code_name == UNKNOWN_TOPIC:
                return False
            raise

    def leads(self, name: str, topic_id: str, partitions: int = 1) -> bool:
        """Whether it knows that topic with so many partitions, and a leader for each."""
        topic = self.topic(name)
        return topic.id == topic_id and topic.led and len(topic.partitions) >= partitions

    def create_topic(
        self, name: str, partitions: int | None, replication_factor: int | None, configs: Mapping[str, str]
    ) -> str:
        """The new topic's id."""
        topic = CreateTopicsRequest.CreatableTopic(
            name=name,
            num_partitions=_BROKER_DEFAULT if partitions is None else partitions,
            replication_factor=_BROKER_DEFAULT if replication_factor is None else replication_factor,
            assignments=[],
            configs=list(configs.items()),
        )
        request = CreateTopicsRequest(topics=[topic], timeout_ms=_left_ms(self.until), validate_only=False)
        entry = self._ask(request).topics[0]
        _check(entry.error_code, entry.error_message)
        return str(entry.topic_id)

    def delete_topic(self, name: str) -> None:
        topic = DeleteTopicsRequest.DeleteTopicState(name=name)
        request = DeleteTopicsRequest(topics=[topic], timeout_ms=_left_ms(self.until))
        entry = self._ask(request).responses[0]
        _check(entry.error_code, entry.error_message)

    def add_partitions(self, name: str, total: int) -> None:
        topic = CreatePartitionsRequest.CreatePartitionsTopic(name=name, count=total)
        request = CreatePartitionsRequest(
            topics=[topic], timeout_ms=_left_ms(self.until), validate_only=False
        )
        entry = self._ask(request).results[0]
        _check(entry.error_code, entry.error_message)

    def topic_configs(self, name: str) -> dict[str, ConfigValue]:
        entry = self._ask(DescribeConfigsRequest(resources=[(_TOPIC_RESOURCE, name, None)])).results[0]
        _check(entry.error_code, entry.error_message)
        return {
            config.name: ConfigValue(config.value or "", get_args(ConfigSource)[config.config_source])
            for config in sorted(entry.configs, key=lambda config: str(config.name))
        }

    def overrides(self, name: str) -> dict[str, str]:
        """What the topic itself sets, in a form that can be compared."""
        configs = self.topic_configs(name)
        return {key: _canonical(config.value) for key, config in configs.items() if config.overridden}

    def alter_topic_configs(self, name: str, configs: Mapping[str, str], dropped: Set[str]) -> None:
        """Set some and drop some in one request, which Kafka does wholly or not at all."""
        entries: list[tuple[str, int, str | None]] = [(key, _SET, value) for key, value in configs.items()]
        entries += [(key, _DELETE, None) for key in sorted(dropped)]
        resource = (_TOPIC_RESOURCE, name, entries)
        entry = self._ask(
            IncrementalAlterConfigsRequest(resources=[resource], validate_only=False)
        ).responses[0]
        _check(entry.error_code, entry.error_message)

    def _ask(self, request: Any) -> Any:
        return self.connection.ask(request, self.id, self.until)


class _Connection:
    """kafka-python's connections to the brokers of a cluster."""

    def __init__(self, bootstrap: str, until: float) -> None:
        self._client = _connect(bootstrap, until)
        self._network = self._client._client
        self._manager = self._client._manager

    def close(self) -> None:
        self._client.close()

    def brokers(self) -> list[int]:
        """The brokers that the cluster was last seen to have."""
        return sorted(broker.node_id for broker in self._network.cluster.brokers())

    def look_for_brokers(self, broker: int) -> None:
        """See which brokers the cluster has now, as far as one of them can be asked."""
        with suppress(KafkaRequestError), _translated():
            self._manager.run(self._network.cluster.refresh_metadata, broker)

    def ask(self, request: Any, broker: int, until: float) -> Any:
        with _translated():
            return self._manager.run(self._manager.send, request, broker, _left_ms(until))


class _TidySocket(KafkaNetSocket):  # type: ignore[misc]
    """How kafka-python connects, without a proxy, but closing the sockets of connections that failed.

    It leaves those to the garbage collector, which warns; and where warnings are errors, a test fails.
    What connects is chosen by the scheme of ``proxy_url``.
    """

    SCHEMES = ("pytest-msk-direct",)

    async def sock_connect(self, net: Any, sock: Any, sockaddr: Any, timeout_at: float | None = None) -> Any:
        try:
            return await super().sock_connect(net, sock, sockaddr, timeout_at=timeout_at)
        except BaseException:
            sock.close()
            raise


def _left_ms(until: float) -> int:
    return max(1, round((until - time.monotonic()) * 1000))


def _connect(bootstrap: str, until: float) -> KafkaAdminClient:
    made: list[KafkaNetClient] = []

    def network(**settings: Any) -> KafkaNetClient:
        made.append(KafkaNetClient(**settings))
        return made[-1]

    try:
        with _translated():
            return KafkaAdminClient(
                bootstrap_servers=[address.strip() for address in bootstrap.split(",")],
                client_id="pytest-msk-admin",
                proxy_url=f"{_TidySocket.SCHEMES[0]}://",
                kafka_client=network,
                bootstrap_timeout_ms=_left_ms(until),
                request_timeout_ms=_left_ms(until),
                reconnect_backoff_ms=10,
                reconnect_backoff_max_ms=100,
                # Beyond this many at once the client refuses instead of waiting.
                max_in_flight_requests_per_connection=1000,
            )
    except BaseException as error:
        # A client that could not bootstrap leaves its thread and sockets behind.
        for client in made:
            client.close()
        if isinstance(error, KafkaRequestError) and error.code_name == TIMED_OUT:
            raise KafkaRequestError(UNREACHABLE, f"no broker answers at {bootstrap}") from error
        raise


@contextmanager
def _translated() -> Iterator[None]:
    """Turn what kafka-python raises, when no broker's answer came back, into our own error."""
    try:
        yield
    except kafka.errors.BrokerResponseError as error:
        raise KafkaRequestError(_code_name(type(error)), _words(error)) from error
    except kafka.errors.KafkaTimeoutError as error:
        raise KafkaRequestError(TIMED_OUT, _words(error)) from error
    except kafka.errors.IncompatibleBrokerVersion as error:
        raise KafkaRequestError("UNSUPPORTED_VERSION", _words(error)) from error
    except kafka.errors.KafkaError as error:
        raise KafkaRequestError(UNREACHABLE, _words(error)) from error
    except RuntimeError as error:
        # What its event loop raises once it is closed.
        raise MskUsageError("This Admin is closed; open another.") from error


def _words(error: Exception) -> str:
    """What an error of kafka-python says, without the names that it puts before."""
    return str(error.args[0]) if error.args else type(error).__name__


def _code_name(error: Any) -> str:
    if issubclass(error, kafka.errors.UnknownError) and error.errno != kafka.errors.UnknownError.errno:
        return f"ERROR_{error.errno}"  # of a Kafka newer than kafka-python
    return _KAFKA_NAMES.get(error.message, str(error.message))


def _check(code: int, message: str | None = None) -> None:
    """Raise what a broker's answer says went wrong, if anything did."""
    if code == 0:
        return
    error = kafka.errors.for_code(code)
    raise KafkaRequestError(_code_name(error), message or str(error.description))


def _topic(entry: Any) -> Topic:
    _check(entry.error_code)
    partitions = (
        Partition(
            partition.partition_index,
            partition.leader_id,
            tuple(partition.replica_nodes),
            tuple(partition.isr_nodes),
        )
        for partition in entry.partitions
    )
    return Topic(
        entry.name,
        str(entry.topic_id),
        bool(entry.is_internal),
        tuple(sorted(partitions, key=lambda partition: partition.id)),
    )
