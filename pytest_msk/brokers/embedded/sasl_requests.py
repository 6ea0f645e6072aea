"""SaslHandshake and SaslAuthenticate where no SASL exchange is due: on other listeners, and after one.

The exchange itself is `pytest_msk.brokers.auth.sasl`'s; Kafka's brokers have the APIs on every listener.
"""

from __future__ import annotations

from pytest_msk.brokers.embedded.api import Request, handles
from pytest_msk.brokers.wire.errors import code
from pytest_msk.brokers.wire.message import Message


@handles("SaslHandshake", 0, 1)
def sasl_handshake(request: Request) -> Message:  # noqa: ARG001
    """Refuse; the connection goes on."""
    return Message(error_code=code("ILLEGAL_SASL_STATE"), mechanisms=[])


@handles("SaslAuthenticate", 0, 2)
def sasl_authenticate(request: Request) -> Message:
    """Refuse; the connection goes on."""
    # Kept neither in the journal nor anywhere else: it may be a password.
    request.body.auth_bytes = b""
    return Message(
        error_code=code("ILLEGAL_SASL_STATE"),
        error_message="SaslAuthenticate request received after successful authentication",
    )
