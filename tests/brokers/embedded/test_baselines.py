"""What isolation asks of brokers over the Kafka protocol: as much of a full cluster as of an empty one."""

from __future__ import annotations

from collections import Counter

import pytest

from pytest_msk.brokers.docker import baselines
from pytest_msk.brokers.wire.message import Message
from pytest_msk.mock import MockMsk
from tests.conformance.test_groups import commit
from tests.conformance.wire import Wire

CHANGES = {
    "AlterClientQuotas",
    "AlterUserScramCredentials",
    "DeleteGroups",
    "DeleteTopics",
    "IncrementalAlterConfigs",
    "OffsetCommit",
    "OffsetDelete",
}


@pytest.mark.parametrize("brokers", [1, 3])
def test_isolation_asks_no_more_of_a_full_cluster(msk: MockMsk, brokers: int) -> None:
    cluster = msk.cluster(brokers=brokers)

    def asked() -> Counter[str]:
        cluster._plane_brokers().restore(cluster._plane_brokers().baseline())  # forgets what was asked
        bootstrap = cluster._internal_bootstrap()
        baselines.restore(bootstrap, baselines.taken(bootstrap))
        return Counter(request.api for request in cluster.requests(client_id="pytest-msk-admin"))

    with Wire(cluster) as wire:
        # A coordinator is asked what groups have committed once it has any.
        assert commit(wire, "group", cluster.create_topic("topic"), 1) == "NONE"
        before = asked()
        for number in range(10):
            topic = cluster.create_topic(f"topic-{number}", config={"retention.ms": 1000})
            assert commit(wire, f"group-{number}", topic, 1) == "NONE"
            metrics = Message(
                resource_type=16,
                resource_name=f"metrics-{number}",
                configs=[Message(name="interval.ms", config_operation=0, value="1000")],
            )
            wire.ask("IncrementalAlterConfigs", resources=[metrics], validate_only=False)
        after = asked()
    assert before.keys().isdisjoint(CHANGES)
    assert after.pop("OffsetFetch") <= 2 * brokers
    assert before.pop("OffsetFetch") >= 1
    assert after == before
