"""Settings for Kafka client libraries that suit tests: quick to find brokers, quick to try again."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any, Literal, get_args

from pytest_msk.brokers.clock import real_monotonic
from pytest_msk.errors import MskUsageError

Library = Literal["kafka-python", "confluent-kafka", "aiokafka", "java"]
LIBRARIES: tuple[Library, ...] = get_args(Library)

# The libraries' own waits are made for networks: a first send or a first poll pays them in full.
_RETRY_MS = 20
_METADATA_MAX_AGE_MS = 5_000
_REQUEST_TIMEOUT_MS = 10_000

_CLOCKS_AGREE_SECONDS = 1.0


def _kafka_python(bootstrap_servers: str) -> dict[str, Any]:
    return {
        "bootstrap_servers": bootstrap_servers,
        "retry_backoff_ms": _RETRY_MS,
        "reconnect_backoff_ms": _RETRY_MS,
        "reconnect_backoff_max_ms": 10 * _RETRY_MS,
        "metadata_max_age_ms": _METADATA_MAX_AGE_MS,
    }


def _confluent_kafka(bootstrap_servers: str) -> dict[str, Any]:
    return {
        "bootstrap.servers": bootstrap_servers,
        "retry.backoff.ms": _RETRY_MS,
        "reconnect.backoff.ms": _RETRY_MS,
        "reconnect.backoff.max.ms": 10 * _RETRY_MS,
        "topic.metadata.refresh.fast.interval.ms": 10,
        "metadata.max.age.ms": _METADATA_MAX_AGE_MS,
    }


def _aiokafka(bootstrap_servers: str) -> dict[str, Any]:
    return {
        "bootstrap_servers": bootstrap_servers,
        "retry_backoff_ms": _RETRY_MS,
        "metadata_max_age_ms": _METADATA_MAX_AGE_MS,
        "request_timeout_ms": _REQUEST_TIMEOUT_MS,
    }


def _java(bootstrap_servers: str) -> dict[str, Any]:
    return {
        "bootstrap.servers": bootstrap_servers,
        "retry.backoff.ms": str(_RETRY_MS),
        "reconnect.backoff.ms": str(_RETRY_MS),
        "reconnect.backoff.max.ms": str(10 * _RETRY_MS),
        "metadata.max.age.ms": str(_METADATA_MAX_AGE_MS),
    }


_CONFIGS: Mapping[Library, Callable[[str], dict[str, Any]]] = {
    "kafka-python": _kafka_python,
    "confluent-kafka": _confluent_kafka,
    "aiokafka": _aiokafka,
    "java": _java,
}


def _now() -> float:
    return time.monotonic()


_now_for_kafka_python = FunctionType(_now.__code__, {"__name__": "kafka.now", "time": time})
"""The time that kafka-python sees: tools that freeze it go by the module that asks."""


def kafka_python() -> Any:
    """The ``kafka`` package, imported so that a run with warnings as errors survives it.

    kafka-python 3.0.12 reads its message schemas by a function that Python 3.11 and 3.12 call deprecated.

    Raises:
        MskUsageError: its clients would wait for ever, because time is frozen for them.
    """
    if abs(_now_for_kafka_python() - real_monotonic()) > _CLOCKS_AGREE_SECONDS:
        raise MskUsageError(
            "Time is frozen, and kafka-python's clients measure their waits by it. Leave them the real time: "
            'freezegun.configure(extend_ignore_list=["kafka."]) in a conftest.py, '
            'or freeze_time(..., ignore=["kafka."]).'
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import kafka
    return kafka


def client_config(library: Library, bootstrap_servers: str) -> dict[str, Any]:
    """Settings that a library's producer, consumer and admin client all accept.

    Args:
        library: ``"kafka-python"``, ``"confluent-kafka"``, ``"aiokafka"`` or ``"java"``.
        bootstrap_servers: ``host:port`` of brokers, comma separated.

    Returns:
        Keyword arguments (kafka-python, aiokafka) or properties (confluent-kafka; all strings for
        Java), a new dict that the caller may change.

    Raises:
        MskUsageError: no such library is known.
    """
    if library not in _CONFIGS:
        raise MskUsageError(f"There is no library {library!r}; write one of {', '.join(LIBRARIES)}.")
    return _CONFIGS[library](bootstrap_servers)
