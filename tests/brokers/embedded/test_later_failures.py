"""Errors of the brokers themselves that no request waits for: they reach the test all the same."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pytest_msk.brokers.clock import real_monotonic
from pytest_msk.brokers.embedded.groups.coordinator import Groups
from pytest_msk.brokers.embedded.plane import EmbeddedBrokers
from pytest_msk.brokers.wire.message import Message
from tests.brokers.embedded.test_server import client, until


def test_an_error_at_a_later_time_is_kept_for_the_test(
    cluster_of: Callable[..., EmbeddedBrokers], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Groups) -> None:
        raise LookupError("while offsets expire")

    monkeypatch.setattr(Groups, "expire_offsets", fail)
    cluster = cluster_of(configuration={"offsets.retention.check.interval.ms": "1"})
    with client(cluster) as asking:
        asking.ask("FindCoordinator", Message(key_type=0, coordinator_keys=["g"]), until())
        commit = Message(group_id="g", generation_id_or_member_epoch=-1, member_id="", topics=[])
        join = Message(
            group_id="g",
            session_timeout_ms=10_000,
            rebalance_timeout_ms=10_000,
            protocol_type="consumer",
            protocols=[Message(name="range", metadata=b"")],
        )
        asking.ask("OffsetCommit", commit, until(), 9)
        asking.ask("JoinGroup", join, until())
    late = real_monotonic() + 10
    found: list[str] = []
    while not found:
        assert real_monotonic() < late
        found += cluster.failures()
    assert "LookupError: while offsets expire" in found[0]
