"""What transactional producers ask: InitProducerId, AddPartitionsToTxn, AddOffsetsToTxn, EndTxn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pytest_msk.brokers.coordination import GROUP_OFFSETS
from pytest_msk.brokers.embedded.api import Request, handles
from pytest_msk.brokers.embedded.transactions.transaction import (
    EPOCH_BUMPS,
    NO_EPOCH,
    NO_PRODUCER_ID,
    TopicPartition,
)
from pytest_msk.brokers.wire.errors import NONE, KafkaError, code
from pytest_msk.brokers.wire.message import Message

_NEW_TO_FENCED: Mapping[str, int] = {
    "InitProducerId": 4,
    "AddPartitionsToTxn": 2,
    "AddOffsetsToTxn": 2,
    "EndTxn": 2,
}
"""The first version of each request whose clients know ``PRODUCER_FENCED``."""

_BATCHES = 4
_CALLS_IT_ABORTABLE = (3, 8)
_BUMPS_EPOCH = 5


@handles("InitProducerId", 0, 5)
def init_producer_id(request: Request) -> Message:
    """Give a producer its id and epoch."""
    try:
        producer_id, epoch = _producer(request)
    except KafkaError as error:
        return Message(error_code=_told(request, error), producer_id=NO_PRODUCER_ID, producer_epoch=NO_EPOCH)
    return Message(producer_id=producer_id, producer_epoch=epoch)


def _producer(request: Request) -> tuple[int, int]:
    cluster, body = request.cluster, request.body
    known = (body.producer_id != NO_PRODUCER_ID, body.producer_epoch != NO_EPOCH)
    if any(known) and not all(known):
        raise KafkaError("INVALID_REQUEST")
    if body.transactional_id is None:
        return cluster.transactions.allocate_producer_id(), 0
    if not body.transactional_id:
        raise KafkaError("INVALID_REQUEST")
    longest: int = cluster.configs.broker(request.broker.id, "transaction.max.timeout.ms")
    if not 0 < body.transaction_timeout_ms <= longest:
        raise KafkaError("INVALID_TRANSACTION_TIMEOUT")
    cluster.coordinates(request.broker, "transaction", body.transactional_id)
    expected = (body.producer_id, body.producer_epoch) if all(known) else None
    return cluster.transactions.initialise(body.transactional_id, body.transaction_timeout_ms, expected)


@handles("AddPartitionsToTxn", 0, 5)
def add_partitions_to_txn(request: Request) -> Message:
    """Take partitions into transactions: one producer's, or from version 4 on, as brokers ask, several."""
    body = request.body
    if request.version >= _BATCHES:
        return Message(
            results_by_transaction=[
                Message(transactional_id=asked.transactional_id, topic_results=_added(request, asked))
                for asked in body.transactions
            ]
        )
    asked = Message(
        transactional_id=body.v3_and_below_transactional_id,
        producer_id=body.v3_and_below_producer_id,
        producer_epoch=body.v3_and_below_producer_epoch,
        topics=body.v3_and_below_topics,
        verify_only=False,
    )
    return Message(results_by_topic_v3_and_below=_added(request, asked))


def _added(request: Request, asked: Message) -> list[Message]:
    """The answer for one transaction. If one partition cannot be taken, none is."""
    topics = request.cluster.topics
    wanted = [(topic.name, index) for topic in asked.topics for index in topic.partitions]
    unknown = {partition for partition in wanted if topics.partition(*partition) is None}
    if unknown:
        codes = {
            partition: code(
                "UNKNOWN_TOPIC_OR_PARTITION" if partition in unknown else "OPERATION_NOT_ATTEMPTED"
            )
            for partition in wanted
        }
    elif asked.verify_only:
        codes = {partition: _verified(request, asked, partition) for partition in wanted}
    else:
        codes = dict.fromkeys(wanted, _taken(request, asked, wanted))
    return [
        Message(
            name=topic.name,
            results_by_partition=[
                Message(partition_index=index, partition_error_code=codes[topic.name, index])
                for index in topic.partitions
            ],
        )
        for topic in asked.topics
    ]


def _taken(request: Request, asked: Message, partitions: Sequence[TopicPartition]) -> int:
    try:
        _check_coordinator(request, asked.transactional_id)
        request.cluster.transactions.add(
            asked.transactional_id, asked.producer_id, asked.producer_epoch, partitions
        )
    except KafkaError as error:
        return _told(request, error)
    return NONE


def _verified(request: Request, asked: Message, partition: TopicPartition) -> int:
    try:
        _check_coordinator(request, asked.transactional_id)
        request.cluster.transactions.verify(
            asked.transactional_id, asked.producer_id, asked.producer_epoch, partition
        )
    except KafkaError as error:
        if error.name == "INVALID_TXN_STATE" and request.cluster.release >= _CALLS_IT_ABORTABLE:
            return code("TRANSACTION_ABORTABLE")
        return error.code
    return NONE


@handles("AddOffsetsToTxn", 0, 4)
def add_offsets_to_txn(request: Request) -> Message:
    """Take the partition of ``__consumer_offsets`` that a group's offsets go to into a transaction."""
    cluster, body = request.cluster, request.body
    number = cluster.coordinator_partition("group", body.group_id)
    try:
        _check_coordinator(request, body.transactional_id)
        cluster.transactions.add(
            body.transactional_id, body.producer_id, body.producer_epoch, [(GROUP_OFFSETS, number)]
        )
    except KafkaError as error:
        return Message(error_code=_told(request, error))
    return Message(error_code=NONE)


@handles("EndTxn", 0, 5)
def end_txn(request: Request) -> Message:
    """Commit or abort a transaction. That is decided with the answer; markers follow as leaders allow."""
    body = request.body
    try:
        _check_coordinator(request, body.transactional_id)
        producer_id, epoch = request.cluster.transactions.end(
            body.transactional_id,
            body.producer_id,
            body.producer_epoch,
            commit=body.committed,
            version=EPOCH_BUMPS if request.version >= _BUMPS_EPOCH else 0,
        )
    except KafkaError as error:
        return Message(error_code=_told(request, error))
    return Message(producer_id=producer_id, producer_epoch=epoch)


def _check_coordinator(request: Request, transactional_id: str) -> None:
    if not transactional_id:
        raise KafkaError("INVALID_REQUEST")
    request.cluster.coordinates(request.broker, "transaction", transactional_id)


def _told(request: Request, error: KafkaError) -> int:
    """The code that a client of the request's version understands."""
    if error.name == "PRODUCER_FENCED" and request.version < _NEW_TO_FENCED[request.api]:
        return code("INVALID_PRODUCER_EPOCH")
    return error.code
