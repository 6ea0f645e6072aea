"""Kafka's errors."""

from __future__ import annotations

import pytest

from pytest_msk.brokers.wire import errors
from pytest_msk.brokers.wire.errors import KafkaError


def test_an_error_has_a_name_a_number_and_a_text() -> None:
    error = KafkaError("NOT_LEADER_OR_FOLLOWER", "broker 2 leads")
    assert (error.name, error.code, error.message) == ("NOT_LEADER_OR_FOLLOWER", 6, "broker 2 leads")
    assert str(error) == "NOT_LEADER_OR_FOLLOWER: broker 2 leads"
    plain = KafkaError("INVALID_TXN_STATE")
    assert (str(plain), plain.message) == ("INVALID_TXN_STATE", None)


def test_names_and_numbers_lead_to_each_other() -> None:
    assert errors.code("NONE") == errors.NONE == 0
    assert errors.code("UNKNOWN_SERVER_ERROR") == -1
    for name, code in errors.CODES.items():
        assert errors.name(code) == name


def test_what_kafka_does_not_have() -> None:
    assert errors.name(9999) == "UNKNOWN_SERVER_ERROR"
    with pytest.raises(KeyError):
        errors.code("NO_SUCH_ERROR")
    with pytest.raises(KeyError):
        KafkaError("NO_SUCH_ERROR")
