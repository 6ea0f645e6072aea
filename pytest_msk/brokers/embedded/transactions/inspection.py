"""What administrators ask (KIP-664): DescribeTransactions, ListTransactions, DescribeProducers."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

from pytest_msk.brokers.embedded.api import Request, handles
from pytest_msk.brokers.embedded.re2 import Pattern
from pytest_msk.brokers.embedded.topics import check_name
from pytest_msk.brokers.embedded.transactions.transaction import State, Transaction
from pytest_msk.brokers.wire.errors import KafkaError
from pytest_msk.brokers.wire.message import Message


@handles("DescribeTransactions", 0, 0)
def describe_transactions(request: Request) -> Message:
    """Tell the state of transactional ids that the broker coordinates."""
    return Message(
        transaction_states=[
            _described(request, transactional_id) for transactional_id in request.body.transactional_ids
        ]
    )


def _described(request: Request, transactional_id: str) -> Message:
    try:
        if not transactional_id:
            raise KafkaError("INVALID_REQUEST")
        request.cluster.coordinates(request.broker, "transaction", transactional_id)
        found = request.cluster.transactions.get(transactional_id)
        if found is None:
            raise KafkaError("TRANSACTIONAL_ID_NOT_FOUND")
    except KafkaError as error:
        return Message(error_code=error.code, transactional_id=transactional_id)
    return Message(
        transactional_id=transactional_id,
        transaction_state=str(found.state),
        transaction_timeout_ms=found.timeout_ms,
        transaction_start_time_ms=found.started_ms,
        producer_id=found.producer_id,
        producer_epoch=found.producer_epoch,
        topics=[
            Message(topic=topic, partitions=[index for _, index in partitions])
            for topic, partitions in itertools.groupby(
                sorted(found.partitions), lambda partition: partition[0]
            )
        ],
    )


@handles("ListTransactions", 0, 2)
def list_transactions(request: Request) -> Message:
    """List the transactional ids that the broker coordinates, those that pass all filters."""
    body = request.body
    coordinated = request.cluster.transactions.coordinated_by(request.broker.id)
    try:
        matches = _pattern(body.transactional_id_pattern, coordinated)
    except KafkaError as error:
        return Message(error_code=error.code)
    now_ms = request.cluster.clock.now_ms()
    known = set(State)
    return Message(
        unknown_state_filters=[state for state in dict.fromkeys(body.state_filters) if state not in known],
        transaction_states=[
            Message(
                transactional_id=transaction.id,
                producer_id=transaction.producer_id,
                transaction_state=str(transaction.state),
            )
            for transaction in coordinated
            if (not body.producer_id_filters or transaction.producer_id in body.producer_id_filters)
            and (not body.state_filters or transaction.state in body.state_filters)
            # An id without a transaction passes for one since 1970, as in Kafka.
            and (body.duration_filter < 0 or now_ms - transaction.started_ms > body.duration_filter)
            and matches(transaction.id)
        ],
    )


def _pattern(pattern: str | None, coordinated: Sequence[Transaction]) -> Callable[[str], bool]:
    if not pattern:
        return lambda _: True
    alphabet = frozenset(itertools.chain.from_iterable(transaction.id for transaction in coordinated))
    return Pattern(pattern, alphabet).matches


@handles("DescribeProducers", 0, 0)
def describe_producers(request: Request) -> Message:
    """Tell which producers a replica's log knows. Any replica answers, not only the leader."""
    return Message(
        topics=[
            Message(
                name=topic.name,
                partitions=[_producers(request, topic.name, index) for index in topic.partition_indexes],
            )
            for topic in request.body.topics
        ]
    )


def _producers(request: Request, topic: str, index: int) -> Message:
    try:
        check_name(topic)
        partition = request.cluster.topics.partition(topic, index)
        if partition is None:
            raise KafkaError("UNKNOWN_TOPIC_OR_PARTITION")
        partition.held_by(request.broker.id)
    except KafkaError as error:
        return Message(partition_index=index, error_code=error.code, error_message=error.message)
    return Message(
        partition_index=index,
        active_producers=[
            Message(
                producer_id=producer.producer_id,
                producer_epoch=producer.producer_epoch,
                last_sequence=producer.last_sequence,
                last_timestamp=producer.last_timestamp,
                coordinator_epoch=producer.coordinator_epoch,
                current_txn_start_offset=producer.transaction_start,
            )
            for producer in partition.log.producers()
        ],
    )
