"""One broker that is asked, and how its refusals come back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pytest_msk.brokers.admin.values import KafkaRequestError
from pytest_msk.brokers.clock import real_monotonic
from pytest_msk.brokers.wire import errors
from pytest_msk.brokers.wire.client import Client
from pytest_msk.brokers.wire.errors import KafkaError
from pytest_msk.brokers.wire.message import Message


@dataclass(frozen=True)
class Asked:
    """One broker, and until when it may take to answer.

    Every method raises `KafkaRequestError` where the broker refuses or cannot be asked.
    """

    client: Client
    id: int
    until: float

    def _ask(self, api: str, request: Message, highest: int | None = None) -> Message:
        try:
            return self.client.ask(self.id, api, request, self.until, highest)
        except KafkaError as error:
            raise KafkaRequestError(error.name, error.message or api) from error

    def _check(self, answer: Message, what: str) -> None:
        """Raise what a broker's answer, or a part of it, says went wrong, if anything did."""
        if answer.error_code != errors.NONE:
            words: Any = vars(answer).get("error_message")
            raise KafkaRequestError(errors.name(answer.error_code), words or f"{what} by broker {self.id}")

    def _left_ms(self) -> int:
        return max(1, round((self.until - real_monotonic()) * 1000))
