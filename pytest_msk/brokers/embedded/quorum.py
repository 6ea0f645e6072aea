"""DescribeQuorum: the controllers, as far as they can be told of where their quorum is not modelled."""

from __future__ import annotations

from pytest_msk.brokers.embedded.api import Request, handles
from pytest_msk.brokers.embedded.topics import METADATA_LOG, cut
from pytest_msk.brokers.wire.errors import NONE, code
from pytest_msk.brokers.wire.message import NO_ID, Message

_MOST_VOTERS = 3
_NODES_SINCE = 2


@handles("DescribeQuorum", 0, 2)
def describe_quorum(request: Request) -> Message:
    """Name the first three brokers as voters, as they are in containers, and a live broker as their leader.

    Brokers that stop do not take the quorum with them: on MSK controllers stand apart.
    """
    topics = [
        Message(
            topic_name=topic.topic_name,
            partitions=[
                _metadata_log(request)
                if topic.topic_name == METADATA_LOG and partition.partition_index == 0
                else Message(
                    partition_index=partition.partition_index,
                    error_code=code("UNKNOWN_TOPIC_OR_PARTITION"),
                    error_message=f"The quorum has no {cut(topic.topic_name)}-{partition.partition_index}.",
                )
                for partition in topic.partitions
            ],
        )
        for topic in request.body.topics
    ]
    answer = Message(error_code=NONE, error_message="", topics=topics)
    if request.version >= _NODES_SINCE:
        answer.nodes = [Message(node_id=voter, listeners=[]) for voter in _voters(request)]
    return answer


def _voters(request: Request) -> list[int]:
    return sorted(request.cluster.brokers)[:_MOST_VOTERS]


def _metadata_log(request: Request) -> Message:
    cluster = request.cluster
    end = cluster.controller.changes
    now = cluster.clock.now_ms()
    states = {
        broker.id: Message(
            replica_id=broker.id,
            replica_directory_id=NO_ID,
            log_end_offset=end,
            last_fetch_timestamp=now if broker.alive else -1,
            last_caught_up_timestamp=now if broker.alive else -1,
        )
        for broker in cluster.brokers.values()
    }
    voters = _voters(request)
    return Message(
        partition_index=0,
        error_code=NONE,
        error_message="",
        leader_id=cluster.controller_id,
        leader_epoch=1,
        high_watermark=end,
        current_voters=[states[voter] for voter in voters],
        observers=[state for broker_id, state in states.items() if broker_id not in voters],
    )
