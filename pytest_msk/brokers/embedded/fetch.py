"""Fetch: records for consumers, at once or as soon as there are enough of them."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from typing import TYPE_CHECKING, Any

from pytest_msk.brokers.embedded.api import Answer, Request, handles
from pytest_msk.brokers.embedded.delayed import delayed
from pytest_msk.brokers.embedded.fetch_sessions import Context, Found, Wanted
from pytest_msk.brokers.embedded.leadership import current_leader, node_endpoints
from pytest_msk.brokers.wire.errors import KafkaError, code
from pytest_msk.brokers.wire.message import NO_ID, Message

if TYPE_CHECKING:
    from pytest_msk.brokers.embedded.log import Log
    from pytest_msk.brokers.embedded.replicas import Partition

_READ_UNCOMMITTED, _READ_COMMITTED = 0, 1
_NOBODY = -1
_RACK_AWARE = "org.apache.kafka.common.replica.RackAwareReplicaSelector"

# The first versions that read from followers, name topics by id and need no errors of partitions
# beside that of the whole, have the replica's id in a structure, and tell who leads.
_FROM_FOLLOWERS = 11
_BY_ID = 13
_REPLICA_STATE = 15
_TELLS_LEADERS = 16

_LED_ELSEWHERE = frozenset({code("NOT_LEADER_OR_FOLLOWER"), code("FENCED_LEADER_EPOCH")})


@handles("Fetch", 4, 18)
def fetch(request: Request) -> Answer | Awaitable[Answer]:
    """Answer at once if there is enough, or anything but records to tell; else wait (`ReplicaManager`)."""
    body = request.body
    if body.isolation_level not in (_READ_UNCOMMITTED, _READ_COMMITTED):
        return _refusal(request, "UNKNOWN_SERVER_ERROR")
    try:
        context = request.broker.fetch_sessions.context(request.version, body)
    except KafkaError as error:
        return Message(error_code=error.code, responses=[])
    reading = _Reading(request, context)
    reading.read()
    if reading.enough or body.max_wait_ms <= 0:
        return reading.answer()
    partitions = [partition for _, partition in reading.partitions]
    return delayed(request, body.max_wait_ms, partitions, reading.ready, reading.read_and_answer)


class _Reading:
    """Reads what one request wants, once or, after a wait, again.

    Attributes:
        request: the request.
        partitions: the partitions that exist of those wanted.
        enough: whether what was read last is to be answered without waiting for more.
    """

    def __init__(self, request: Request, context: Context) -> None:
        body = request.body
        broker = request.broker
        configured = request.cluster.configs.broker
        self.request = request
        self.partitions: list[tuple[Wanted, Partition]] = []
        self.enough = False
        self._context = context
        self._found: list[Found] = []
        self._unknown: list[Found] = []
        self._leaders: list[int] = []
        self._broker_id = broker.id
        self._replica_id: int = (
            body.replica_state.replica_id if request.version >= _REPLICA_STATE else body.replica_id
        )
        self._committed = body.isolation_level == _READ_COMMITTED
        self._max_bytes: int = min(body.max_bytes, configured(broker.id, "fetch.max.bytes"))
        self._min_bytes: int = min(body.min_bytes, self._max_bytes)
        self._rack = ""
        if (
            request.version >= _FROM_FOLLOWERS
            and body.rack_id
            and configured(broker.id, "replica.selector.class") == _RACK_AWARE
        ):
            self._rack = body.rack_id
        self._resolve()

    def _resolve(self) -> None:
        topics = self.request.cluster.topics
        for wanted in self._context.wanted:
            if wanted.topic is None and (topic := topics.by_id(wanted.topic_id)):
                wanted.topic = topic.name
            if wanted.topic is None:
                self._unknown.append((wanted, _unknown(wanted, "UNKNOWN_TOPIC_ID")))
            elif partition := topics.partition(wanted.topic, wanted.index):
                self.partitions.append((wanted, partition))
            else:
                self._unknown.append((wanted, _unknown(wanted, "UNKNOWN_TOPIC_OR_PARTITION")))

    def read(self) -> None:
        """Read each partition in turn until the answer is full.

        The first partition with records gives at least one batch, however large that is (KIP-74).
        """
        self._found, self._leaders = [], []
        self.enough = not self.partitions
        left = self._max_bytes
        size = 0
        # Of all that a session has, most has no news: that must be told quickly.
        plain = self._context.incremental and not self._committed and not self._rack
        for wanted, partition in self.partitions:
            if plain and _nothing_new(wanted, partition):
                continue
            try:
                part = self._part(wanted, partition, left, at_least_one=not size)
            except KafkaError as error:
                part = self._failed(wanted, partition, error.code)
            if part is not None:
                length = len(part.records)
                size += length
                left = max(0, left - length)
                self._found.append((wanted, part))
        self.enough = self.enough or size >= self._min_bytes

    def ready(self) -> bool:
        """Whether `read` would now find enough. Nothing is copied to tell."""
        size = 0
        for wanted, partition in self.partitions:
            try:
                self._check(wanted, partition)
                up_to = self._readable(wanted, partition)
            except KafkaError:
                return True
            if wanted.offset > up_to:
                return True
            if wanted.offset < up_to:
                size += min(partition.log.available(wanted.offset, up_to=up_to), wanted.max_bytes)
                if size >= self._min_bytes:
                    return True
        return False

    def read_and_answer(self) -> Message:
        """The response, with what there is now."""
        self.read()
        return self.answer()

    def answer(self) -> Message:
        """The response, with what was read last."""
        found = [*self._found, *self._unknown] if self._unknown else self._found
        try:
            session_id = self._context.settle(found)
        except KafkaError as error:
            return Message(error_code=error.code, session_id=self.request.body.session_id, responses=[])
        answer = Message(error_code=0, session_id=session_id, responses=_by_topic(found))
        if self._leaders:
            answer.node_endpoints = node_endpoints(self.request, self._leaders)
        return answer

    def _part(self, wanted: Wanted, partition: Partition, left: int, *, at_least_one: bool) -> Message | None:
        """Read one partition; None where the session's consumer knows already all that there is to tell."""
        self._check(wanted, partition)
        log = partition.log
        extra = self._instead_of_records(wanted, partition)
        if extra:
            self.enough = True
            records = b""
        else:
            up_to = self._readable(wanted, partition)
            # Who has read on past what is stable or committed is not kept waiting (`DelayedFetch`).
            self.enough = self.enough or wanted.offset > up_to
            limit = min(left, wanted.max_bytes)
            records = _records(log, wanted.offset, up_to, limit, at_least_one=at_least_one)
            if (
                not records
                and self._context.incremental
                and wanted.high_watermark == partition.high_watermark
                and wanted.log_start_offset == log.start_offset
            ):
                return None
        return Message(
            partition_index=wanted.index,
            error_code=0,
            high_watermark=partition.high_watermark,
            last_stable_offset=log.stable_offset(partition.high_watermark),
            log_start_offset=log.start_offset,
            aborted_transactions=_aborted(log, wanted.offset, records) if self._committed else None,
            records=records,
            **extra,
        )

    def _check(self, wanted: Wanted, partition: Partition) -> None:
        """Check that this broker may serve the partition to this consumer.

        Raises:
            KafkaError: the partition's error.
        """
        if wanted.served_under is partition.registration and not partition.deleted:
            return
        if wanted.topic_id is not NO_ID and wanted.topic_id != partition.topic.id:
            raise KafkaError("INCONSISTENT_TOPIC_ID")
        if self.request.version >= _FROM_FOLLOWERS:
            partition.held_by(self._broker_id, wanted.leader_epoch)
        else:
            partition.led_by(self._broker_id, wanted.leader_epoch)
        if self._replica_id >= 0:
            # Replication takes no wire here, so whoever asks is none of the replicas.
            raise KafkaError("UNKNOWN_LEADER_EPOCH" if wanted.leader_epoch >= 0 else "NOT_LEADER_OR_FOLLOWER")
        wanted.served_under = partition.registration

    def _readable(self, wanted: Wanted, partition: Partition) -> int:
        """The offset up to which the consumer may read from this broker's replica.

        Raises:
            KafkaError: ``OFFSET_OUT_OF_RANGE``.
        """
        log = partition.log
        end = partition.end_offset(self._broker_id)
        if not log.start_offset <= wanted.offset <= end:
            raise KafkaError("OFFSET_OUT_OF_RANGE")
        committed = partition.high_watermark
        return min(end, log.stable_offset(committed) if self._committed else committed)

    def _instead_of_records(self, wanted: Wanted, partition: Partition) -> dict[str, Any]:
        """Fields that send the consumer elsewhere, if there is anything to send it to."""
        if self._rack and (preferred := self._preferred(wanted, partition)) != _NOBODY:
            return {"preferred_read_replica": preferred}
        if wanted.last_epoch >= 0 and (diverging := _diverging(wanted, partition.log)) is not None:
            return {"diverging_epoch": diverging}
        return {}

    def _preferred(self, wanted: Wanted, partition: Partition) -> int:
        """The follower in the consumer's rack that it should read from, if the leader is asked (KIP-392)."""
        if partition.leader != self._broker_id or self.request.broker.rack == self._rack:
            return _NOBODY
        brokers = self.request.cluster.brokers
        near = [
            replica
            for replica in partition.isr
            if brokers[replica].rack == self._rack
            and partition.log.start_offset <= wanted.offset <= partition.end_offset(replica)
        ]
        return max(near, default=_NOBODY)

    def _failed(self, wanted: Wanted, partition: Partition, error: int) -> Message:
        self.enough = True
        part = _error(wanted, error)
        if self.request.version >= _TELLS_LEADERS and error in _LED_ELSEWHERE:
            part.current_leader = current_leader(partition)
            self._leaders.append(partition.leader)
        return part


def _nothing_new(wanted: Wanted, partition: Partition) -> bool:
    """Whether the session's consumer has read all, and knows all that there is to tell of the partition."""
    return (
        wanted.offset == wanted.high_watermark == partition.high_watermark
        and wanted.served_under is partition.registration
        and wanted.log_start_offset == partition.log.start_offset
        and wanted.last_epoch < 0
        and not partition.deleted
    )


def _records(log: Log, offset: int, up_to: int, limit: int, *, at_least_one: bool) -> bytes:
    if offset >= up_to or (limit == 0 and not at_least_one):
        return b""
    if limit < 0:
        raise KafkaError("UNKNOWN_SERVER_ERROR")
    records = log.read(offset, limit, up_to=up_to)
    return records if at_least_one or len(records) <= limit else b""


def _diverging(wanted: Wanted, log: Log) -> Message | None:
    """Where the log went another way than that of a reader whose last record was of another epoch (KIP-595).

    Raises:
        KafkaError: ``OFFSET_OUT_OF_RANGE`` where nothing is known of the epoch.
    """
    epoch, end = log.end_for_epoch(wanted.last_epoch)
    if epoch < 0 or end < 0 or wanted.offset < log.start_offset:
        raise KafkaError("OFFSET_OUT_OF_RANGE")
    if epoch < wanted.last_epoch or end < wanted.offset:
        return Message(epoch=epoch, end_offset=end)
    return None


def _aborted(log: Log, offset: int, records: bytes) -> list[Message]:
    """The aborted transactions that a consumer needs to know of to skip their records."""
    if not records:
        return []
    if not log.aborted(offset, log.end_offset):
        # So it is nearly always, and where the records end need not be looked for.
        return []
    aborted = log.aborted(offset, _last_offset(records))
    return [Message(producer_id=producer_id, first_offset=first) for producer_id, first in aborted]


def _last_offset(records: bytes) -> int:
    """The last offset of some whole batches: base offset plus last offset delta of the last one."""
    at = following = 0
    while following < len(records):
        at = following
        following = at + 12 + int.from_bytes(records[at + 8 : at + 12], "big")
    return int.from_bytes(records[at : at + 8], "big") + int.from_bytes(records[at + 23 : at + 27], "big")


def _error(wanted: Wanted, error: int) -> Message:
    return Message(
        partition_index=wanted.index,
        error_code=error,
        high_watermark=-1,
        last_stable_offset=-1,
        log_start_offset=-1,
        aborted_transactions=None,
        records=b"",
    )


def _unknown(wanted: Wanted, error: str) -> Message:
    part = _error(wanted, code(error))
    part.aborted_transactions = []
    return part


def _by_topic(found: Iterable[Found]) -> list[Message]:
    """The response's topics. Order counts, so only neighbours of one topic are put together."""
    topics: list[Message] = []
    before: Wanted | None = None
    for wanted, part in found:
        if before and before.topic == wanted.topic and before.topic_id == wanted.topic_id:
            topics[-1].partitions.append(part)
        else:
            topics.append(Message(topic=wanted.topic or "", topic_id=wanted.topic_id, partitions=[part]))
        before = wanted
    return topics


def _refusal(request: Request, error: str) -> Message:
    """The answer to a request that is refused as a whole; older consumers look at partitions alone."""
    body = request.body
    responses = [
        Message(
            topic=topic.topic,
            partitions=[
                Message(
                    partition_index=asked.partition, error_code=code(error), high_watermark=-1, records=b""
                )
                for asked in topic.partitions
            ],
        )
        for topic in (body.topics if request.version < _BY_ID else ())
    ]
    return Message(error_code=code(error), session_id=body.session_id, responses=responses)
