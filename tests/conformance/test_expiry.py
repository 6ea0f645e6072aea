"""Offsets that nobody renews expire, and empty groups go with them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pytest_msk.brokers.wire import errors
from pytest_msk.brokers.wire.message import Message
from pytest_msk.mock import MockMsk
from tests.conformance.test_groups import commit, committed, describe, leave, stable
from tests.conformance.wire import Wire

KEPT_MS = 1
"""How long clients could ask to have an offset kept, before KIP-211."""


@pytest.fixture(scope="module")
def expiring(msk: MockMsk) -> Iterator[Wire]:
    """A cluster that looks for expired offsets all the time; it keeps them for a week, as brokers do."""
    settings = {"offsets.retention.check.interval.ms": 100}
    cluster = msk.cluster(name="expiring", configuration=settings)
    with Wire(cluster) as wire:
        yield wire
    msk.client.delete_cluster(ClusterArn=cluster.arn)


def commit_for(wire: Wire, topic: str, offset: int, kept_ms: int, *, index: int = 0) -> str:
    """Commit an offset of a topic, for the group of that name."""
    part = Message(partition_index=index, committed_offset=offset, committed_metadata="")
    answer = wire.to_coordinator(
        topic,
        "OffsetCommit",
        highest=4,
        group_id=topic,
        generation_id_or_member_epoch=-1,
        member_id="",
        retention_time_ms=kept_ms,
        topics=[Message(name=topic, partitions=[part])],
    )
    return errors.name(answer.topics[0].partitions[0].error_code)


def test_an_offset_is_kept_as_long_as_its_client_asked(expiring: Wire) -> None:
    wire = expiring
    topic = group = wire.topic(partitions=3)
    assert commit_for(wire, topic, 5, -1) == "NONE"
    assert commit_for(wire, topic, 6, 3_600_000, index=1) == "NONE"
    assert commit_for(wire, topic, 7, KEPT_MS, index=2) == "NONE"
    wire.cluster.wait_for(lambda: committed(wire, group, topic, 2) == {2: (-1, "")})
    assert wire.cluster.committed(group) == {(topic, 0): 5, (topic, 1): 6}
    # The last word counts.
    assert commit_for(wire, topic, 5, KEPT_MS) == "NONE"
    wire.cluster.wait_for(lambda: wire.cluster.committed(group) == {(topic, 1): 6})
    assert describe(wire, group).group_state == "Empty"


def test_a_group_goes_with_its_last_offset(expiring: Wire) -> None:
    wire = expiring
    topic = group = wire.topic()
    assert commit_for(wire, topic, 5, KEPT_MS) == "NONE"
    wire.cluster.wait_for(lambda: group not in {each.id for each in wire.cluster.groups()})
    assert describe(wire, group).group_state == "Dead"


def test_a_group_that_its_last_member_left(expiring: Wire) -> None:
    wire = expiring
    topic = wire.topic()
    kept, idle = f"{topic}-kept", f"{topic}-idle"
    # Static members need ask only once: in between, a group is empty, and may go.
    member = stable(wire, kept, group_instance_id="i")
    asked = {
        "generation_id_or_member_epoch": member.generation_id,
        "member_id": member.member_id,
        "group_instance_id": "i",
    }
    assert commit(wire, kept, topic, 3, **asked) == "NONE"
    stable(wire, idle, group_instance_id="i")
    for group in (kept, idle):
        assert leave(wire, group, instance="i") == "NONE"
    wire.cluster.wait_for(lambda: describe(wire, idle).group_state == "Dead")
    assert describe(wire, kept).group_state == "Empty"
    assert wire.cluster.committed(kept) == {(topic, 0): 3}
