"""Offsets committed within transactions, which count once the marker is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pytest_msk.brokers.embedded.groups.offsets import CommittedOffset
from pytest_msk.brokers.embedded.transactions.transaction import NO_EPOCH
from pytest_msk.brokers.wire.errors import KafkaError

if TYPE_CHECKING:
    from pytest_msk.brokers.embedded.groups.coordinator import Groups

_Key = tuple[int, int]
"""A partition of ``__consumer_offsets``, and a producer id."""


class StagedOffsets:
    """Which producers have offsets pending on the partitions of ``__consumer_offsets``, and for which groups.

    It stands for the producer state of these partitions' logs, which hold no records here.
    """

    def __init__(self, groups: Groups) -> None:
        self._groups = groups
        self._pending: dict[_Key, set[str]] = {}
        self._epochs: dict[_Key, int] = {}

    def open(self, partition: int, producer_id: int, epoch: int) -> bool:
        """Whether the producer has offsets pending on the partition, by this epoch."""
        key = (partition, producer_id)
        return key in self._pending and self._epochs[key] == epoch

    def stage(
        self,
        partition: int,
        producer: tuple[int, int],
        group_id: str,
        offsets: Mapping[tuple[str, int], CommittedOffset],
    ) -> None:
        """Have a producer's offsets for a group pend on the partition.

        Raises:
            KafkaError: ``INVALID_PRODUCER_EPOCH``: a later epoch has written there.
        """
        producer_id, epoch = producer
        self._advance(partition, producer_id, epoch)
        self._groups.stage_offsets(group_id, producer_id, epoch, offsets)
        self._pending.setdefault((partition, producer_id), set()).add(group_id)

    def complete(self, partition: int, producer_id: int, epoch: int, *, commit: bool) -> None:
        """Make the producer's pending offsets on the partition count, or drop them.

        Raises:
            KafkaError: ``INVALID_PRODUCER_EPOCH``: a later epoch has written there.
        """
        self._advance(partition, producer_id, epoch)
        for group_id in self._pending.pop((partition, producer_id), ()):
            self._groups.complete_transaction(group_id, producer_id, commit=commit)

    def _advance(self, partition: int, producer_id: int, epoch: int) -> None:
        key = (partition, producer_id)
        if epoch < self._epochs.get(key, NO_EPOCH):
            raise KafkaError("INVALID_PRODUCER_EPOCH")
        self._epochs[key] = epoch
