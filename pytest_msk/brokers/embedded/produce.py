"""Produce: record batches into the logs of the partitions that a broker leads."""

from __future__ import annotations

import struct
import uuid
from collections.abc import Awaitable, Iterable
from typing import TYPE_CHECKING

from pytest_msk.brokers.embedded.api import Answer, CloseConnection, Request, handles
from pytest_msk.brokers.embedded.delayed import delayed
from pytest_msk.brokers.embedded.leadership import current_leader, existing, node_endpoints
from pytest_msk.brokers.embedded.validation import RecordsRefusedError
from pytest_msk.brokers.wire.errors import KafkaError, code
from pytest_msk.brokers.wire.message import NO_ID, Message

if TYPE_CHECKING:
    from pytest_msk.brokers.embedded.replicas import Partition

_NO_ACKS, _ALL = 0, -1
_ACKS = frozenset({_ALL, _NO_ACKS, 1})
_ADMIN_CLIENT = "__admin_client"
"""The client id of Kafka's own tools, which may write to internal topics (`AdminUtils`)."""

# The first versions that may use zstd, tell who leads, know TRANSACTION_ABORTABLE, and add the
# partition to the transaction themselves (KIP-890).
_ZSTD_FROM = 7
_TELLS_LEADERS = 10
_KNOWS_ABORTABLE = 11
_ADDS_PARTITIONS = 12

_ASKS_BY_EPOCH = (4, 0)

_BEGINS_FROM_ZERO = (4, 1)
"""Since this release a producer of version 12 has to begin with sequence 0 in each partition."""

# A magic-2 batch: attributes, producer id and epoch, and where the rest of what is looked at lies.
_BATCH = struct.Struct(">21xh20xqh")
_LENGTH_ENDS = 12
_MAGIC_ENDS = 17
_HEADER_SIZE = 61
_LEAST_LENGTH = 14
_MAGIC = 2
_LOW_ATTRIBUTES = 22
_LAST_DELTA = 23
_CODEC, _ZSTD, _TRANSACTIONAL = 0x07, 4, 0x10

_START_UNTOLD = frozenset({"MESSAGE_TOO_LARGE", "RECORD_LIST_TOO_LARGE", "CORRUPT_MESSAGE"})
"""Refusals of a log whose answer lacks the log's start (`ReplicaManager.appendToLocalLog`)."""

_NO_COORDINATOR = frozenset({"COORDINATOR_NOT_AVAILABLE", "COORDINATOR_LOAD_IN_PROGRESS", "NOT_COORDINATOR"})


@handles("Produce", 3, 13)
def produce(request: Request) -> Answer | Awaitable[Answer]:
    """Append what can be appended; the answer says of each partition what became of it.

    With acks=all it waits for the in-sync replicas, which in all but a few moments have the records
    already: as long as a broker that died is still counted among them.

    Raises:
        CloseConnection: the producer wants no answer (acks=0), and something failed.
    """
    topics = _parts(request.body)
    parts = [part for of_topic in topics for part in of_topic]
    _serve(request, parts)
    acks = request.body.acks
    if acks == _NO_ACKS:
        if any(part.answer.error_code for part in parts):
            raise CloseConnection("a produce request that wants no answer failed")
        return None
    if acks == _ALL:
        pending = [part for part in parts if not part.settle(request)]
        if pending:
            partitions = [part.partition for part in pending if part.partition]
            return delayed(
                request,
                request.body.timeout_ms,
                partitions,
                ready=lambda: not [part for part in pending if not part.settle(request)],
                answer=lambda: _answer(request, topics),
            )
    return _answer(request, topics)


def _answer(request: Request, topics: list[list[_Part]]) -> Message:
    response = Message(
        responses=[
            Message(
                name=parts[0].topic.name,
                topic_id=parts[0].topic.topic_id,
                partition_responses=[part.finish() for part in parts],
            )
            for parts in topics
        ]
    )
    leaders = [part.leader for parts in topics for part in parts if part.leader is not None]
    if leaders:
        response.node_endpoints = node_endpoints(request, leaders)
    return response


def _serve(request: Request, parts: list[_Part]) -> None:
    for part in parts:
        if part.corrupt is not None:
            _refuse_all(parts, part.corrupt)
            return
    transactional = [part for part in parts if part.transactional]
    if transactional and request.body.transactional_id is None:
        _refuse_all(parts, KafkaError("TRANSACTIONAL_ID_AUTHORIZATION_FAILED"))
        return
    for part in parts:
        part.check(request)
    if len({part.producer for part in transactional if not part.done and part.producer}) > 1:
        text = "the records of a transaction must all be of one producer id"
        _refuse_all(parts, KafkaError("INVALID_PRODUCER_ID_MAPPING", text))
        return
    for part in parts:
        if not part.done:
            part.append(request)


class _Part:
    """What a request has for one partition, and what is answered.

    Attributes:
        topic: the request's part for the topic.
        partition: the partition, once it is known to exist.
        corrupt: why the first bytes do not even say where a batch ends, if so.
        transactional: whether the batch is one of a transaction.
        producer: the id and epoch of the transaction's producer, if the batch has one.
        answer: the response's part.
        done: whether there is an answer.
        leader: who leads the partition, where the answer is that it is not this broker.
    """

    __slots__ = (
        "_index",
        "_records",
        "_required",
        "_size",
        "answer",
        "corrupt",
        "done",
        "leader",
        "partition",
        "producer",
        "topic",
        "transactional",
    )

    def __init__(self, topic: Message, asked: Message) -> None:
        self.topic = topic
        self.partition: Partition | None = None
        self.producer: tuple[int, int] | None = None
        self.answer: Message
        self.done = False
        self.leader: int | None = None
        self._required: int | None = None
        self._index: int = asked.index
        self._records = memoryview(asked.records or b"")
        self._size = 0
        self.corrupt: KafkaError | None = None
        try:
            self._size = _batch_size(self._records)
        except KafkaError as error:
            self.corrupt = error
        self.transactional = (
            self._size >= _HEADER_SIZE and self._records[_LOW_ATTRIBUTES] & _TRANSACTIONAL != 0
        )

    def check(self, request: Request) -> None:
        """Check all that can be checked of this part alone, and answer if that fails."""
        try:
            if not self.topic.name and self.topic.topic_id != NO_ID:
                raise KafkaError("UNKNOWN_TOPIC_ID")
            self.partition = existing(request, self.topic.name, self._index)
            self._check_records(request.version)
        except KafkaError as error:
            self.refuse(error)

    def _check_records(self, version: int) -> None:
        """Check that there is exactly one batch, of the present format.

        What follows it and is no whole batch is cut off (`ProduceRequest.validateRecords`, `UnifiedLog`).
        """
        data, size = self._records, self._size
        if size == 0 or data[_MAGIC_ENDS - 1] != _MAGIC:
            raise KafkaError("INVALID_RECORD")
        if size < _HEADER_SIZE:
            raise KafkaError("CORRUPT_MESSAGE")
        attributes, producer_id, producer_epoch = _BATCH.unpack_from(data)
        if version < _ZSTD_FROM and attributes & _CODEC == _ZSTD:
            raise KafkaError("UNSUPPORTED_COMPRESSION_TYPE")
        if size < len(data):
            if _batch_size(data[size:]):
                raise KafkaError("INVALID_RECORD")
            self._records = data[:size]
        if self.transactional and producer_id >= 0:
            self.producer = producer_id, producer_epoch

    def append(self, request: Request) -> None:
        """Append the batch, if the partition's leader is this broker and takes it."""
        partition = self.partition
        assert partition is not None  # noqa: S101  # `check` came first
        acks = request.body.acks
        start = -1
        try:
            if self.producer is not None:
                partition.led_by(request.broker.id)
                if not _is_ongoing(request, partition, self.producer):
                    _verify(request, partition, self.producer)
            if acks not in _ACKS:
                raise KafkaError("INVALID_REQUIRED_ACKS")
            if partition.topic.internal and request.client_id != _ADMIN_CLIENT:
                raise KafkaError("INVALID_TOPIC_EXCEPTION")
            partition.led_by(request.broker.id)
            start = partition.log.start_offset
            if acks == _ALL and _too_few_in_sync(partition):
                raise KafkaError("NOT_ENOUGH_REPLICAS")
            from_zero = request.version >= _ADDS_PARTITIONS and request.cluster.release >= _BEGINS_FROM_ZERO
            appended = partition.log.append(self._records, partition.leader_epoch, from_zero=from_zero)
        except KafkaError as error:
            self.refuse(error, -1 if error.name in _START_UNTOLD else start)
            self._tell_leader(request.version)
            return
        if acks == _ALL:
            last_delta = int.from_bytes(self._records[_LAST_DELTA : _LAST_DELTA + 4], "big")
            required = appended.base_offset + last_delta + 1
            self._required = required if partition.high_watermark < required else None
        self.done = True
        self.answer = Message(
            index=self._index,
            error_code=0,
            base_offset=appended.base_offset,
            log_append_time_ms=appended.log_append_time,
            log_start_offset=appended.start_offset,
        )

    def settle(self, request: Request) -> bool:
        """Whether nothing has to be waited for any more: the records are committed, or cannot be."""
        partition = self.partition
        if partition is None or self._required is None:
            return True
        try:
            partition.led_by(request.broker.id)
            if partition.high_watermark < self._required:
                return False
            if _too_few_in_sync(partition):
                raise KafkaError("NOT_ENOUGH_REPLICAS_AFTER_APPEND")
        except KafkaError as error:
            self.answer.error_code = error.code
            self._tell_leader(request.version)
        self._required = None
        return True

    def finish(self) -> Message:
        """The answer, as it is now that there is no more time to wait."""
        if self._required is not None:
            self.answer.error_code = code("REQUEST_TIMED_OUT")
        return self.answer

    def refuse(self, error: KafkaError, start: int = -1) -> None:
        """Answer with an error; of its words Kafka tells only those on single records or on transactions."""
        self.done = True
        self.answer = Message(
            index=self._index,
            error_code=error.code,
            base_offset=-1,
            log_append_time_ms=-1,
            log_start_offset=start,
        )
        if isinstance(error, RecordsRefusedError):
            self.answer.record_errors = [
                Message(batch_index=index, batch_index_error_message=text)
                for index, text in error.record_errors
            ]
        if isinstance(error, RecordsRefusedError | _UnverifiedError):
            self.answer.error_message = error.message

    def _tell_leader(self, version: int) -> None:
        if (
            version >= _TELLS_LEADERS
            and self.partition
            and self.answer.error_code == code("NOT_LEADER_OR_FOLLOWER")
        ):
            self.leader = self.partition.leader
            self.answer.current_leader = current_leader(self.partition)


class _UnverifiedError(KafkaError):
    """A batch whose transaction its coordinator does not vouch for."""


def _is_ongoing(request: Request, partition: Partition, producer: tuple[int, int]) -> bool:
    """Whether the partition's log shows that the coordinator was asked already.

    Where each transaction has an epoch of its own, the one that is open here may be the one before, which
    waits for its marker (`UnifiedLog.hasOngoingTransaction`).
    """
    producer_id, epoch = producer
    by_epoch = request.cluster.release >= _ASKS_BY_EPOCH
    return partition.log.has_transaction(producer_id, epoch if by_epoch else None)


def _verify(request: Request, partition: Partition, producer: tuple[int, int]) -> None:
    """Have the coordinator say that the partition is one of the producer's open transaction.

    Its errors become those that the request's version can understand (`AddPartitionsToTxnManager`).
    """
    version = request.version
    try:
        request.cluster.transactions.check_produce(
            request.body.transactional_id,
            *producer,
            partition.topic.name,
            partition.id,
            add=version >= _ADDS_PARTITIONS,
        )
    except KafkaError as error:
        if error.name == "PRODUCER_FENCED":
            raise KafkaError("INVALID_PRODUCER_EPOCH") from error
        if error.name == "INVALID_TXN_STATE" and version >= _KNOWS_ABORTABLE:
            raise KafkaError("TRANSACTION_ABORTABLE") from error
        if error.name == "INVALID_TXN_STATE":
            raise _UnverifiedError(error.name, "the partition was not added to the transaction") from error
        busy = error.name == "CONCURRENT_TRANSACTIONS" and version < _ADDS_PARTITIONS
        if busy or error.name in _NO_COORDINATOR:
            # Old producers do not try again after these, but do after this one.
            text = f"the coordinator could not confirm the partition as one of the transaction: {error.name}"
            raise _UnverifiedError("NOT_ENOUGH_REPLICAS", text) from error
        raise


def _parts(body: Message) -> list[list[_Part]]:
    """The partitions that a request is for, by topic; of one that is named twice, the last."""
    topics: dict[str | uuid.UUID, dict[int, _Part]] = {}
    for topic in body.topic_data:
        parts = topics.setdefault(topic.name or topic.topic_id, {})
        for asked in topic.partition_data:
            parts[asked.index] = _Part(topic, asked)
    return [list(parts.values()) for parts in topics.values() if parts]


def _refuse_all(parts: Iterable[_Part], error: KafkaError) -> None:
    """Answer as to a request that is refused as a whole."""
    for part in parts:
        part.refuse(error)
        if error.message is not None:
            part.answer.error_message = error.message


def _too_few_in_sync(partition: Partition) -> bool:
    in_sync = len(partition.isr)
    # With all replicas in sync no setting can ask for more, so it need not be looked up.
    return in_sync < len(partition.replicas) and in_sync < partition.min_isr


def _batch_size(data: memoryview) -> int:
    """How many bytes the batch at the beginning has, 0 if there is no whole one (`ByteBufferLogInputStream`).

    Raises:
        KafkaError: ``CORRUPT_MESSAGE``.
    """
    if len(data) < _MAGIC_ENDS:
        return 0
    length = int.from_bytes(data[_LENGTH_ENDS - 4 : _LENGTH_ENDS], "big", signed=True)
    if length < _LEAST_LENGTH:
        raise KafkaError("CORRUPT_MESSAGE", f"{length} bytes are too few for a batch")
    if data[_MAGIC_ENDS - 1] > _MAGIC:
        raise KafkaError("CORRUPT_MESSAGE", f"there is no record format {data[_MAGIC_ENDS - 1]}")
    size = _LENGTH_ENDS + length
    return size if size <= len(data) else 0
