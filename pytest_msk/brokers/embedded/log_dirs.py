"""DescribeLogDirs and AlterReplicaLogDirs, on brokers that have one directory each, and that in memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pytest_msk.brokers.embedded.api import Request, handles
from pytest_msk.brokers.wire.errors import NONE, KafkaError
from pytest_msk.brokers.wire.message import Message

if TYPE_CHECKING:
    from pytest_msk.brokers.embedded.replicas import Partition

_VOLUME_BYTES = 1 << 40


@handles("DescribeLogDirs", 1, 4)
def describe_log_dirs(request: Request) -> Message:
    """Tell which replicas the broker holds, how large they are, and how far behind their leaders."""
    held = _held(request)
    used = sum(_size(partition, request.broker.id) for partition in held.values())
    if request.body.topics is not None:
        wanted = {(topic.topic, number) for topic in request.body.topics for number in topic.partitions}
        held = {place: partition for place, partition in held.items() if place in wanted}
    topics: dict[str, list[Message]] = {}
    for (name, number), partition in held.items():
        end = partition.end_offset(request.broker.id)
        topics.setdefault(name, []).append(
            Message(
                partition_index=number,
                partition_size=_size(partition, request.broker.id),
                offset_lag=max(0, partition.high_watermark - end),
                is_future_key=False,
            )
        )
    directory = Message(
        error_code=NONE,
        log_dir=_directory(request),
        topics=[Message(name=name, partitions=partitions) for name, partitions in topics.items()],
        total_bytes=_VOLUME_BYTES,
        usable_bytes=max(0, _VOLUME_BYTES - used),
    )
    return Message(results=[directory])


@handles("AlterReplicaLogDirs", 1, 2)
def alter_replica_log_dirs(request: Request) -> Message:
    """Move replicas between the broker's directories: with one alone, they are where they should be."""
    held = _held(request)
    results: dict[str, list[Message]] = {}
    for directory in request.body.dirs:
        for topic in directory.topics:
            for number in topic.partitions:
                error = NONE
                if directory.path != _directory(request):
                    error = KafkaError("LOG_DIR_NOT_FOUND").code
                elif (topic.name, number) not in held:
                    error = KafkaError("REPLICA_NOT_AVAILABLE").code
                partition = Message(partition_index=number, error_code=error)
                results.setdefault(topic.name, []).append(partition)
    return Message(
        results=[Message(topic_name=name, partitions=partitions) for name, partitions in results.items()]
    )


def _held(request: Request) -> Mapping[tuple[str, int], Partition]:
    return {
        (partition.topic.name, partition.id): partition
        for partition in request.cluster.topics.partitions()
        if request.broker.id in partition.replicas
    }


def _directory(request: Request) -> str:
    setting = request.cluster.configs.broker
    directories = setting(request.broker.id, "log.dirs") or setting(request.broker.id, "log.dir")
    return str(directories[0] if isinstance(directories, list) else directories.split(",", 1)[0])


def _size(partition: Partition, broker_id: int) -> int:
    """Bytes that a replica has; one that lags has some of them, as far as it got."""
    log = partition.log
    kept = log.end_offset - log.start_offset
    end = partition.end_offset(broker_id)
    return log.size if end >= log.end_offset else log.size * max(0, end - log.start_offset) // kept
