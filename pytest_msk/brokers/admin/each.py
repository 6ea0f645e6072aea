"""Doing the same to many things of a cluster."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from pytest_msk.brokers.admin.values import UNKNOWN_TOPIC, KafkaRequestError

T = TypeVar("T")

GONE = frozenset({UNKNOWN_TOPIC, "GROUP_ID_NOT_FOUND"})
"""Errors that say that something is not there, or not any more."""

_AT_ONCE = 8


def for_each(items: Iterable[T], action: Callable[[T], object], unless: Collection[str] = GONE) -> None:
    """Call an action for each item, side by side: brokers take a moment to tell each other of a change.

    Args:
        items: what to call it with.
        action: what to call.
        unless: names of errors with which Kafka may refuse it.

    Raises:
        KafkaRequestError: the first other refusal, when all have ended.
    """

    def act(item: T) -> None:
        try:
            action(item)
        except KafkaRequestError as error:
            if error.code_name not in unless:
                raise

    with ThreadPoolExecutor(_AT_ONCE) as threads:
        list(threads.map(act, items))
