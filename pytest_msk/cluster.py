"""`MskCluster`: what a test holds."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from pytest_msk.brokers.clock import real_monotonic
from pytest_msk.clients import Library, client_config, kafka_python
from pytest_msk.errors import ConditionTimeoutError, MskUsageError, UnsupportedOnPlaneError
from pytest_msk.faults import Fault, Faults
from pytest_msk.marker import TopicRequest
from pytest_msk.records import Record, await_records, read_records
from pytest_msk.spec import CLIENT_LISTENERS, ClusterSpec, Listener

if TYPE_CHECKING:
    from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer

    from pytest_msk.aws.kafka.state import Cluster
    from pytest_msk.brokers.admin import Admin, ListedGroup, Topic
    from pytest_msk.brokers.embedded.journal import SeenRequest
    from pytest_msk.brokers.plane import Broker, Brokers

_CLOSE_SECONDS = 5
_POLL_SECONDS = 0.01

T = TypeVar("T")


class MskCluster(Faults):
    """A test's hold on a cluster, from when the fixture gives it until the fixture ends."""

    def __init__(self, cluster: Cluster, client: Callable[[], Any], on_use: Callable[[str], None]) -> None:
        self._cluster = cluster
        self._make_client = client
        self._on_use = on_use
        self._stopped: set[int] = set()
        self._made_topics: list[str] = []
        # What ends with the lease, and what ends with the running test already.
        self._open = ExitStack()
        self._open_in_test = ExitStack()
        self._in_test = False

    def __repr__(self) -> str:
        return f"<MskCluster {self._cluster.name} {self._cluster.state} brokers={len(self.brokers)}>"

    @property
    def arn(self) -> str:
        """The cluster's ARN, as every operation of the MSK API takes it."""
        self._on_use(str(self._cluster.arn))
        return str(self._cluster.arn)

    @property
    def name(self) -> str:
        """The cluster's name."""
        self._on_use(str(self._cluster.arn))
        return self._cluster.name

    @property
    def spec(self) -> ClusterSpec:
        """What the cluster is to be at present."""
        return self._cluster.spec

    @property
    def brokers(self) -> Sequence[Broker]:
        """The brokers by id, each with ``id``, ``host``, ``port``, ``rack`` and ``endpoints`` by listener.

        Empty on the metadata backend.
        """
        return self._cluster.brokers.brokers

    @property
    def bootstrap_servers(self) -> str:
        """``host:port`` of every broker, comma separated, for a client without credentials.

        Raises:
            UnsupportedOnPlaneError: the cluster's backend runs no brokers.
        """
        return self.bootstrap("plaintext")

    def bootstrap(self, auth: Listener) -> str:
        """``host:port`` of every broker's listener for ``auth``, comma separated.

        Args:
            auth: ``"plaintext"``, ``"tls"``, ``"scram"`` or ``"iam"``.

        Raises:
            MskUsageError: there is no such listener.
            UnsupportedOnPlaneError: this cluster does not have it open.
        """
        if auth not in CLIENT_LISTENERS:
            raise MskUsageError(f"There is no listener {auth!r}; write one of {', '.join(CLIENT_LISTENERS)}.")
        brokers = self._running_brokers()
        servers = [str(broker.endpoints[auth]) for broker in brokers if auth in broker.endpoints]
        if not servers:
            listeners = sorted({listener for broker in brokers for listener in broker.endpoints})
            raise UnsupportedOnPlaneError(
                f"Cluster {self._cluster.name!r} has no open {auth!r} listener; "
                f"open are: {', '.join(listeners)}."
            )
        return ",".join(servers)

    @property
    def ca_pem(self) -> str:
        """The certificate of the cluster's own authority, PEM: what clients trust (``ssl.ca.pem``).

        Brokers show certificates that it signed, on the listeners ``tls``, ``scram`` and ``iam``.

        Raises:
            UnsupportedOnPlaneError: the cluster's backend runs no brokers.
        """
        return self._cluster.brokers.keys.authority.pem.decode()

    @property
    def client(self) -> Any:
        """A boto3 ``kafka`` client in the cluster's region, patched."""
        self._on_use(str(self._cluster.arn))
        return self._client

    @cached_property
    def _client(self) -> Any:
        return self._make_client()

    @property
    def network(self) -> str | None:
        """Name of the container network that the brokers are on; None where there is none."""
        return self._cluster.brokers.network

    @property
    def bootstrap_servers_in_network(self) -> str | None:
        """``host:port`` of every broker for clients in a container on `network`, or None."""
        return ",".join(self._cluster.brokers.endpoints_in_network) or None

    def create_topic(
        self,
        name: str,
        partitions: int = 1,
        replication_factor: int | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> str:
        """Make a topic, and return its name when every partition has a leader.

        Args:
            name: the topic's name.
            partitions: number of partitions.
            replication_factor: replicas of each partition; None for the brokers' own default.
            config: topic configuration, name to value.

        Raises:
            KafkaRequestError: Kafka refused (the topic exists, more replicas than brokers, a bad name …).
        """
        configs = {key: str(value) for key, value in (config or {}).items()}
        with self._asked() as admin:
            admin.create_topic(name, partitions, replication_factor, configs)
        return name

    def unique_topic(self, prefix: str = "topic", **shape: Any) -> str:
        """Make a topic that nobody else uses, and return its name.

        Args:
            prefix: what the name begins with.
            **shape: as for `create_topic`.
        """
        return self.create_topic(f"{prefix}-{uuid.uuid4().hex[:12]}", **shape)

    def producer(self, **config: Any) -> KafkaProducer:
        """A kafka-python producer, whose records are committed once they are acknowledged (``acks="all"``).

        ``config`` overrides that and `client_config`. It is closed with the test that makes it; if a
        fixture of a wider scope does, with the cluster's.
        """
        # kafka-python before 3 asks the leader alone: `records` would not yet have what was sent.
        defaults = {"acks": "all"}
        producer = kafka_python().KafkaProducer(
            **{**self.client_config("kafka-python"), **defaults, **config}
        )
        self._ending.callback(producer.close, timeout=_CLOSE_SECONDS)
        return producer

    def consumer(self, *topics: str, **config: Any) -> KafkaConsumer:
        """A kafka-python consumer that begins at the earliest record, closed as a `producer` is.

        Iterating over it ends when no record came for 10 s; ``consumer_timeout_ms`` and every other
        setting can be given in ``config``.
        """
        defaults = {"auto_offset_reset": "earliest", "consumer_timeout_ms": 10_000}
        consumer = kafka_python().KafkaConsumer(
            *topics, **{**self.client_config("kafka-python"), **defaults, **config}
        )
        self._ending.callback(consumer.close, timeout_ms=_CLOSE_SECONDS * 1000)
        return consumer

    def admin(self) -> KafkaAdminClient:
        """A kafka-python admin client, closed as a `producer` is."""
        admin = kafka_python().KafkaAdminClient(**self.client_config("kafka-python"))
        self._ending.callback(admin.close)
        return admin

    def client_config(self, library: Library, auth: Listener | None = None) -> dict[str, Any]:
        """Settings for a client library, set for fast tests; see `pytest_msk.clients.client_config`.

        Args:
            library: ``"kafka-python"``, ``"confluent-kafka"``, ``"aiokafka"`` or ``"java"``.
            auth: the listener to use; None for plaintext.
        """
        return client_config(library, self.bootstrap(auth or "plaintext"))

    def records(self, topic: str, timeout: float = 10.0) -> list[Record]:
        """All committed records that are in ``topic`` now, by partition and offset.

        What a producer sent with ``acks=1`` may be committed only a moment later: `wait_for_records`.

        Raises:
            RecordsTimeoutError: they could not be read in ``timeout`` seconds, or there is no such topic.
        """
        return read_records(self.bootstrap_servers, topic, timeout)

    def wait_for_records(self, topic: str, count: int, timeout: float = 10.0) -> list[Record]:
        """The committed records of ``topic`` as soon as there are ``count`` of them or more.

        Raises:
            RecordsTimeoutError: there were fewer after ``timeout`` seconds; the message shows them.
        """
        return await_records(self.bootstrap_servers, topic, count, timeout)

    def topics(self) -> list[Topic]:
        """All topics, Kafka's own too, by name: partitions, leaders, replicas, in-sync replicas."""
        with self._asked() as admin:
            return admin.topics()

    def groups(self) -> list[ListedGroup]:
        """All groups that have members or offsets, by id: kind, protocol type, state."""
        with self._asked() as admin:
            return admin.groups()

    def committed(self, group: str) -> dict[tuple[str, int], int]:
        """The offsets that a group has committed, by topic and partition; empty where there is no group."""
        with self._asked() as admin:
            return {where: found.offset for where, found in admin.committed(group).items()}

    def wait_for(self, condition: Callable[[], T], timeout: float = 10.0) -> T:
        """Call ``condition`` until what it returns is true, and return that.

        Args:
            condition: what to wait for, such as ``lambda: cluster.committed("billing")``.
            timeout: seconds.

        Raises:
            ConditionTimeoutError: it was not true in time; the message has what it returned last, and the
                topics and groups that there are.
        """
        until = real_monotonic() + timeout
        while not (found := condition()):
            if real_monotonic() > until:
                topics = ", ".join(topic.name for topic in self.topics())
                groups = ", ".join(f"{group.id} ({group.state})" for group in self.groups())
                raise ConditionTimeoutError(
                    f"What was waited for is still {found!r} after {timeout:g} s. "
                    f"Topics: {topics or 'none'}. Groups: {groups or 'none'}."
                )
            time.sleep(_POLL_SECONDS)
        return found

    def stop_broker(self, broker_id: int, *, graceful: bool = True) -> None:
        """Stop a broker; leaders move to the others. A test's stopped brokers are started again after it.

        Args:
            broker_id: which one.
            graceful: let it hand its leaders over first; otherwise it ends as if its power was cut.
        """
        self._cluster.brokers.stop_broker(broker_id, graceful=graceful)
        self._stopped.add(broker_id)

    def start_broker(self, broker_id: int) -> None:
        """Start a stopped broker again, on its port, with its data; returns when it answers."""
        self._cluster.brokers.start_broker(broker_id)
        self._stopped.discard(broker_id)

    def restart_broker(self, broker_id: int) -> None:
        """Stop a broker and start it again; returns when it answers."""
        self.stop_broker(broker_id)
        self.start_broker(broker_id)

    def move_leader(self, topic: str, partition: int, broker_id: int) -> None:
        """Have a broker lead a partition; returns when every broker knows.

        It takes the place of the present leader among the replicas, if it was none.

        Raises:
            KafkaRequestError: there is no such partition, or the broker cannot lead it.
        """
        with self._asked() as admin:
            admin.move_leader(topic, partition, broker_id)

    def move_coordinator(self, group: str, broker_id: int) -> None:
        """Have a broker coordinate a group; returns when every broker knows.

        Raises:
            KafkaRequestError: the broker cannot.
        """
        with self._asked() as admin:
            admin.move_coordinator(group, broker_id)

    def requests(self, api: str | None = None, client_id: str | None = None) -> list[SeenRequest]:
        """The latest requests that embedded brokers were sent, 2,000 at most, oldest first.

        Args:
            api: only those of this API (``"Produce"``).
            client_id: only those of the client that calls itself so.

        Raises:
            UnsupportedOnPlaneError: the backend is another one.
        """
        found: list[SeenRequest] = self._embedded("requests").call("requests", api, client_id)
        return found

    def compact(self) -> None:
        """Have embedded brokers compact the topics whose ``cleanup.policy`` says so, now.

        Raises:
            UnsupportedOnPlaneError: the backend is another one.
        """
        self._embedded("compact").call("compact")

    def apply_retention(self) -> None:
        """Have embedded brokers delete what ``retention.ms`` and ``retention.bytes`` let go, now.

        Raises:
            UnsupportedOnPlaneError: the backend is another one.
        """
        self._embedded("apply_retention").call("apply_retention")

    def _plane_brokers(self) -> Brokers:
        return self._cluster.brokers

    def _keep(self, fault: Fault) -> Fault:
        self._ending.callback(fault.stop)
        return fault

    @property
    def _ending(self) -> ExitStack:
        return self._open_in_test if self._in_test else self._open

    def _end_test(self) -> None:
        """Close what the test made: a client that lives on would make the test's topics anew."""
        self._in_test = False
        self._open_in_test.close()

    def _start_stopped_brokers(self) -> None:
        """Give the next test a whole cluster."""
        for broker_id in sorted(self._stopped):
            self.start_broker(broker_id)

    def _make_topics(self, topics: Sequence[TopicRequest]) -> None:
        """Make what the lease asks for, and remember it for `_close`."""
        if not topics:
            return
        from pytest_msk.brokers.admin.each import for_each

        def make(topic: TopicRequest) -> None:
            admin.create_topic(topic.name, topic.partitions, topic.replication_factor, topic.config)
            self._made_topics.append(topic.name)

        with self._asked() as admin:
            for_each(topics, make, unless=())

    def _close(self, *, remove_topics: bool) -> None:
        """End the lease: close its clients, and remove its topics where the cluster lives on."""
        with ExitStack() as ending:
            if remove_topics and self._made_topics:
                ending.callback(self._remove_topics)
            ending.callback(self._open.close)
            ending.callback(self._end_test)

    def _remove_topics(self) -> None:
        from pytest_msk.brokers.admin.each import for_each

        with self._asked() as admin:
            for_each(self._made_topics, admin.delete_topic)

    def _asked(self) -> Admin:
        from pytest_msk.brokers.admin import Admin

        return Admin(self._internal_bootstrap())

    def _internal_bootstrap(self) -> str:
        return ",".join(str(broker.endpoints["internal"]) for broker in self._running_brokers())

    def _running_brokers(self) -> Sequence[Broker]:
        brokers = self.brokers
        if not brokers:
            raise UnsupportedOnPlaneError(
                f"Cluster {self._cluster.name!r} has no brokers: the metadata backend answers the MSK API "
                "alone. Leave --msk-backend out, or run pytest with --msk-docker."
            )
        return brokers
