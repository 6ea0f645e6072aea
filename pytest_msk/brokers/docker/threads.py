"""Doing the same for several things at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def side_by_side(
    action: Callable[[Item], Result], items: Iterable[Item], on_failure: Callable[[], object] = bool
) -> list[Result]:
    """Call an action for each item, each in a thread of its own.

    Args:
        action: what to call.
        items: what to call it with.
        on_failure: called at once when a call fails, so that the others can give up.

    Returns:
        What each call returned, in the order of the items.

    Raises:
        Exception: what the first failing call raised, when all have ended.
    """
    everything = list(items)
    with ThreadPoolExecutor(max(1, len(everything)), thread_name_prefix="pytest-msk-docker") as pool:
        calls = [pool.submit(action, item) for item in everything]
        try:
            for call in as_completed(calls):
                call.result()
        except BaseException:
            on_failure()
            raise
    return [call.result() for call in calls]
