"""Channels, which deliver a topic to S3 or to an Iceberg table: their control plane.

What moves records is behind `movers`. Each change of a channel is an operation of its cluster, which goes on
being ACTIVE.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pytest_msk import neighbours
from pytest_msk.aws.arns import new_arn, parse_arn
from pytest_msk.aws.errors import AwsError, bad_request, conflict, not_found
from pytest_msk.aws.kafka import channel_rules, rules
from pytest_msk.aws.kafka.api import Call, operation, provisioned_cluster
from pytest_msk.aws.kafka.monitoring import check_log_destinations
from pytest_msk.aws.kafka.movers import MOVER
from pytest_msk.aws.kafka.operations import ClusterOperation, new_operation_arn
from pytest_msk.aws.kafka.resources import ClusterResource
from pytest_msk.aws.kafka.state import Cluster, Region, StateInfo
from pytest_msk.aws.kafka.tags import check_tags
from pytest_msk.aws.pages import page
from pytest_msk.errors import MskError

_log = logging.getLogger(__name__)

_DELETE = "DELETE_CHANNEL"

Status = Literal["CREATING", "ACTIVE", "UPDATING", "DELETING", "FAILED"]


@dataclass(eq=False, kw_only=True)
class Channel(ClusterResource):
    """A channel.

    Attributes:
        topic: the topic's name.
        destination_type: ``S3`` or ``ICEBERG``.
        destination: the destination's configuration.
        given: the other members that Describe echoes.
        operation: the cluster operation that goes on.
    """

    tagged_as: ClassVar[str | None] = "kafka:channel"

    topic: str
    destination_type: str
    destination: Mapping[str, Any]
    given: Mapping[str, Any]
    status: Status = "CREATING"
    state_info: StateInfo | None = None
    operation: ClusterOperation | None = None


def channel_of(region: Region, cluster: Cluster, topic: str) -> Channel | None:
    """The channel that delivers a topic, if one does."""
    channels = region.resources(Channel)
    return next((one for one in channels if one.cluster is cluster and one.topic == topic), None)


@operation("CreateChannel")
def create_channel(call: Call) -> Mapping[str, Any]:
    """Answers at once; the channel is ACTIVE a moment later, or FAILED and says why."""
    region, params = call.region, call.params
    cluster = _express_cluster(call)
    channel_rules.check_name(params["ChannelName"])
    tags = params.get("Tags", {})
    check_tags(tags)
    logging_info = params.get("LoggingInfo", {})
    channel_rules.check_logging(logging_info)
    check_log_destinations(region, {"LoggingInfo": logging_info})
    topic = channel_rules.topic_name(cluster, params["TopicConfigurationList"])
    kind, destination = channel_rules.destination(params)
    _check_topic(cluster, topic)
    with region.service.changed:
        name = params["ChannelName"]
        if any(known.name == name for known in _channels(region, cluster)):
            raise conflict(f"The cluster has a channel named {name} already.", "channelName")
        made = Channel(
            arn=new_arn("channel", name, region.name, region.account_id),
            tags=dict(tags),
            cluster=cluster,
            topic=topic,
            destination_type=kind,
            destination=destination,
            given={
                member: params[member]
                for member in ("EncryptionConfiguration", "TopicConfigurationList", "LoggingInfo")
                if member in params
            },
        )
        region.add(made)
    return _begin(region, made, "CREATE_CHANNEL", lambda: _start(region, made))


@operation("DescribeChannel")
def describe_channel(call: Call) -> Mapping[str, Any]:
    """A channel, with what it was made with and AWS's defaults."""
    channel = _find(call)
    info = channel.state_info
    prefix = "S3" if channel.destination_type == "S3" else "Iceberg"
    return {
        **_summary(channel),
        **channel.given,
        f"{prefix}DestinationConfiguration": channel.destination,
        "StateInfo": {"Code": info.code, "Message": info.message} if info else None,
        "Tags": channel.tags,
    }


@operation("ListChannels")
def list_channels(call: Call) -> Mapping[str, Any]:
    """The channels of a cluster, oldest first."""
    cluster = provisioned_cluster(call)
    wanted = call.params.get("TopicNameFilter", "")
    known = [one for one in _channels(call.region, cluster) if one.topic.startswith(wanted)]
    shown, token = page(call, known, lambda one: f"{one.number:012}")
    return {"Channels": [_summary(one) for one in shown], "NextToken": token}


@operation("UpdateChannel")
def update_channel(call: Call) -> Mapping[str, Any]:
    """How fresh what it delivers is: nothing else of a channel can be changed."""
    s3, iceberg = (call.params.get(f"{kind}DestinationUpdate") for kind in ("S3", "Iceberg"))
    channel = _find(call)
    if (s3 is None) == (iceberg is None):
        raise bad_request(
            "Exactly one of s3DestinationUpdate and icebergDestinationUpdate must be given.",
            "s3DestinationUpdate",
        )
    if (s3 is not None) != (channel.destination_type == "S3"):
        raise bad_request(
            f"The channel {channel.name} delivers to {channel.destination_type}.",
            "s3DestinationUpdate" if s3 is not None else "icebergDestinationUpdate",
        )
    seconds = (s3 or iceberg or {})["DataFreshnessInSeconds"]
    channel_rules.check_freshness(seconds)
    with call.region.service.changed:
        _check_active(channel, "update")
        channel.destination = {**channel.destination, "DataFreshnessInSeconds": seconds}
        channel.status = "UPDATING"
    return _begin(call.region, channel, "UPDATE_CHANNEL", lambda: _update(channel))


@operation("DeleteChannel")
def delete_channel(call: Call) -> Mapping[str, Any]:
    """Answers at once; the channel is gone a moment later."""
    channel = _find(call)
    with call.region.service.changed:
        if channel.status != "FAILED":
            _check_active(channel, "delete")
        channel.status = "DELETING"
    return _begin(call.region, channel, _DELETE, lambda: _stop(channel))


def _begin(
    region: Region, channel: Channel, kind: str, work: Callable[[], StateInfo | None]
) -> Mapping[str, Any]:
    """Carry a change out in the background. What it returns is the channel's ``StateInfo`` from then on."""
    changed = region.service.changed
    begun = ClusterOperation(new_operation_arn(channel.cluster), kind)

    def carry_out() -> None:
        with changed:
            begun.begin()
        failure: Exception | None = None
        info: StateInfo | None = None
        try:
            info = work()
        except Exception as error:
            failure = error
        with changed:
            if failure is not None:
                info = StateInfo.of(failure)
                begun.fail(info)
            else:
                begun.complete()
            # In one step: a channel that is ACTIVE shows no operation, and can be updated at once.
            channel.operation, channel.state_info = None, info
            if kind == _DELETE and failure is None:
                region.remove(channel)
            else:
                channel.status = "FAILED" if failure else "ACTIVE"
            changed.notify_all()
        # Last: callers who poll without a pause keep the interpreter from what takes long.
        if failure is not None and not isinstance(failure, MskError):
            _log.error("%s of %s failed", kind, channel.arn, exc_info=failure)

    with changed:
        channel.cluster.operations.append(begun)
        channel.operation = begun
    region.service.run(f"{kind.lower()}-{channel.name}", carry_out)
    return {"ChannelArn": str(channel.arn), "ClusterOperationArn": str(begun.arn)}


def _start(region: Region, channel: Channel) -> StateInfo | None:
    _check_bucket(region, channel)
    return MOVER.start(channel)


def _update(channel: Channel) -> StateInfo | None:
    MOVER.update(channel)
    return channel.state_info


def _stop(channel: Channel) -> StateInfo | None:
    MOVER.stop(channel)
    return channel.state_info


def _channels(region: Region, cluster: Cluster) -> list[Channel]:
    return [channel for channel in region.resources(Channel) if channel.cluster is cluster]


def _express_cluster(call: Call) -> Cluster:
    cluster = provisioned_cluster(call)
    if not rules.is_express(cluster.settings["BrokerNodeGroupInfo"]["InstanceType"]):
        raise bad_request("Channels are for clusters with Express brokers.", "clusterArn")
    if cluster.state != "ACTIVE":
        raise bad_request(f"You can't create a channel of a cluster in {cluster.state} state.", "clusterArn")
    return cluster


def _find(call: Call) -> Channel:
    cluster = provisioned_cluster(call)
    arn = call.params["ChannelArn"]
    parse_arn(arn, "channel", "channelArn")
    found = call.region.resource(Channel, arn)
    if found is None or found.cluster is not cluster:
        raise not_found(f"The channel {arn} does not exist.", "channelArn")
    return found


def _check_active(channel: Channel, what: str) -> None:
    if channel.status != "ACTIVE":
        raise bad_request(f"You can't {what} a channel in {channel.status} state.", "channelArn")


def _check_topic(cluster: Cluster, topic: str) -> None:
    """Refuse a topic that the cluster's brokers do not have; where there are no brokers any will do."""
    brokers = cluster.brokers.brokers
    if not brokers:
        return
    from pytest_msk.brokers.admin import UNKNOWN_TOPIC, Admin, KafkaRequestError

    bootstrap = ",".join(str(broker.endpoints["internal"]) for broker in brokers)
    try:
        with Admin(bootstrap) as admin:
            admin.topic(topic)
    except KafkaRequestError as error:
        text = f"The topic {topic} does not exist." if error.code_name == UNKNOWN_TOPIC else str(error)
        raise bad_request(text, "topicArn") from error


def _check_bucket(region: Region, channel: Channel) -> None:
    """Find the buckets in moto's S3, once anything has used that.

    Raises:
        AwsError: there is no such bucket.
    """
    backend = neighbours.backend("s3", region.account_id, "aws")
    if backend is None:
        return
    storage = channel.destination.get("Storage", {})
    for place in (storage, channel.destination["DeadLetterQueueS3"]):
        name = place.get("BucketArn", "").rpartition(":")[2]
        if name and name not in backend.buckets:
            raise AwsError("NotFoundException", f"The bucket {name} does not exist.", "bucketArn")


def _summary(channel: Channel) -> dict[str, Any]:
    return {
        "ChannelArn": str(channel.arn),
        "ChannelName": channel.name,
        "ClusterOperationArn": str(channel.operation.arn) if channel.operation else None,
        "CreationTime": channel.creation_time,
        "DestinationType": channel.destination_type,
        "Status": channel.status,
    }
