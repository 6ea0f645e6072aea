from __future__ import annotations

import tracemalloc

import pytest

from tests.brokers.embedded.logs import batch, log


@pytest.mark.parametrize(("in_a_batch", "batches", "most"), [(100, 1000, 1.15), (1, 20_000, 1.3)])
def test_memory_is_little_more_than_the_batches(in_a_batch: int, batches: int, most: float) -> None:
    data = memoryview(batch(*[bytes(100)] * in_a_batch))
    written = log()
    written.append(data, 0)
    tracemalloc.start()
    try:
        for _ in range(batches):
            written.append(data, 0)
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert batches * len(data) <= written.size
    assert used < most * written.size


def test_memory_of_deleted_records_is_given_back() -> None:
    data = memoryview(batch(bytes(10_000)))
    written = log()
    tracemalloc.start()
    try:
        for _ in range(500):
            written.append(data, 0)
        written.delete_records(499)
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert used < 2_000_000
    assert written.size == len(data)
