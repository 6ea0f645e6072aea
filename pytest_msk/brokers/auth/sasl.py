"""SASL on a Kafka connection, the broker's side: handshake, tokens, re-authentication.

Frames go in and answers come out; there is no socket here, and nothing is waited for. What is done with
which frame is what Kafka's ``SaslServerAuthenticator`` and ``SocketServer`` do (KIP-43, KIP-152, KIP-368).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

from pytest_msk.brokers.clock import Clock
from pytest_msk.brokers.wire import codec, definitions, errors
from pytest_msk.brokers.wire.message import Message

MAX_FRAME = 524_288
"""Bytes of the largest frame of a client that is not authenticated: ``sasl.server.max.receive.size``."""

_HANDSHAKE = "SaslHandshake"
_HANDSHAKE_KEY = b"\x00\x11"
"""The first bytes of its frames: the API's number, 17."""

_AUTHENTICATE = "SaslAuthenticate"
_WRAPPED_SINCE = 1
"""The version of SaslHandshake since which tokens come in SaslAuthenticate requests (KIP-152)."""

_SHOWN = 100
"""Characters of what a stranger sent that a reason shows."""

_LEAST_SECONDS_BETWEEN = 1.0
"""Kafka begins no re-authentication sooner after another's begin."""


class AuthenticationFailed(Exception):  # noqa: N818  # it says what has happened
    """The client is not let in.

    Args:
        text: what the client is told; None for what Kafka says of wrong credentials, whatever is wrong
            with them. It must not tell strangers who is a user.
        reason: what is wrong, for those who run the brokers; without secrets. The text, if left out.
    """

    def __init__(self, text: str | None = None, *, reason: str = "") -> None:
        super().__init__(reason or text or "wrong credentials")
        self.text = text


class Mechanism(Protocol):
    """One exchange of a SASL mechanism with one client."""

    @property
    def complete(self) -> bool:
        """Whether the client is authenticated."""

    @property
    def principal(self) -> str:
        """Who it is, as Kafka writes principals (``User:alice``); asked for once `complete`."""

    @property
    def expires_at(self) -> float | None:
        """When the credentials end, in seconds since the epoch; None for never. Asked for once `complete`."""

    def respond(self, data: bytes) -> bytes:
        """Answer the client's next token.

        Raises:
            AuthenticationFailed: the client is not let in.
        """


class Answer(NamedTuple):
    """What to do with a connection after a frame that came in on it.

    Attributes:
        frame: what to send, with its size before it; empty for nothing.
        closes: why to close the connection then; empty to go on.
    """

    frame: bytes
    closes: str = ""


class SaslSession:
    """The SASL state of one connection.

    Args:
        mechanisms: makes an exchange, by the name of the mechanism; those that the listener has enabled.
        clock: says when sessions are over.
        max_reauth_ms: ``connections.max.reauth.ms``: how long a client may go on before it authenticates
            again, in milliseconds; 0 for as long as its credentials last.

    Attributes:
        principal: who the client is; None until it has authenticated.
    """

    def __init__(
        self, mechanisms: Mapping[str, Callable[[], Mechanism]], clock: Clock, *, max_reauth_ms: int = 0
    ) -> None:
        self._mechanisms = mechanisms
        self._clock = clock
        self._max_reauth_ms = max_reauth_ms
        self._step: Callable[[memoryview], Answer | None] = self._before_handshake
        self._name = ""
        self._exchange: Mechanism | None = None
        self._over_at: float | None = None
        self._reauthenticated_at: float | None = None
        self.principal: str | None = None

    def receive(self, frame: memoryview) -> Answer | None:
        """Say what to do with a frame, which comes without its size.

        None: it is a request for the broker to serve, as `principal`, or as nobody if that is None.
        Such a request is not looked into: where the client is authenticated and its API is not
        SaslHandshake, the first two bytes of it suffice.
        """
        if self._step == self._authenticated:
            return self._authenticated(frame)
        # Until a step says otherwise, and so also where one ends in an exception.
        step, self._step = self._step, self._closed
        if len(frame) > MAX_FRAME:
            return Answer(b"", f"a frame of {len(frame)} bytes before the client is authenticated")
        try:
            return step(frame)
        except codec.Malformed as error:
            return Answer(b"", f"not Kafka's protocol, or a client without SASL: {error}")

    def _closed(self, frame: memoryview) -> Answer:
        return Answer(b"", "the connection is closed")

    def _before_handshake(self, frame: memoryview) -> Answer | None:
        header = codec.decode_request_header(frame)
        if header.api == "ApiVersions":
            # Kafka answers it once; how often it comes is not counted here.
            self._step = self._before_handshake
            return None
        if header.api != _HANDSHAKE or header.version not in codec.versions(_HANDSHAKE):
            return Answer(b"", f"{_told(header)} came before authentication")
        return self._handshake(header)

    def _handshake(self, header: codec.RequestHeader) -> Answer:
        asked: str = codec.decode_request(_HANDSHAKE, header.version, header.body).mechanism
        if asked not in self._mechanisms:
            # A client that is to authenticate again is not told; so it is with Kafka 3.9.
            error = b"" if self._is_again else self._handshake_answer(header, "UNSUPPORTED_SASL_MECHANISM")
            return Answer(error, f"SASL mechanism {asked[:_SHOWN]!r} is not enabled")
        self._step = self._token if header.version < _WRAPPED_SINCE else self._wrapped_token
        if self._is_again and asked != self._name:
            # Kafka says that all is well, and ends the connection with what comes next.
            self._step = self._token_of_other_mechanism
        else:
            self._name, self._exchange = asked, self._mechanisms[asked]()
        return Answer(self._handshake_answer(header, "NONE"))

    def _handshake_answer(self, header: codec.RequestHeader, error: str) -> bytes:
        body = Message(error_code=errors.code(error), mechanisms=list(self._mechanisms))
        return codec.response_frame(_HANDSHAKE, header.version, header.correlation_id, body)

    def _token_of_other_mechanism(self, frame: memoryview) -> Answer:
        return Answer(b"", f"re-authentication by another SASL mechanism than {self._name!r}")

    def _token(self, frame: memoryview) -> Answer:
        """Answer a token that is a frame by itself. One that is refused gets no answer."""
        try:
            answer = self._respond(bytes(frame))
        except AuthenticationFailed as error:
            return Answer(b"", str(error))
        if self._is_complete:
            self._begin_session()
        else:
            self._step = self._token
        return Answer(len(answer).to_bytes(4, "big") + answer)

    def _wrapped_token(self, frame: memoryview) -> Answer:
        """Answer a token in a SaslAuthenticate request."""
        header = codec.decode_request_header(frame)
        if header.api != _AUTHENTICATE:
            return Answer(_illegal(header), f"{_told(header)} came during authentication")
        if header.version not in codec.versions(_AUTHENTICATE):
            return Answer(b"", f"there is no {_told(header)}")
        body = codec.decode_request(_AUTHENTICATE, header.version, header.body)
        lifetime_ms = 0
        try:
            token = self._respond(bytes(body.auth_bytes))
        except AuthenticationFailed as error:
            return Answer(self._failure(header, error), str(error))
        if self._is_complete:
            lifetime_ms = self._begin_session()
        else:
            self._step = self._wrapped_token
        return Answer(_authenticate_answer(header, auth_bytes=token, session_lifetime_ms=lifetime_ms))

    def _failure(self, header: codec.RequestHeader, error: AuthenticationFailed) -> bytes:
        usual = (
            f"Authentication failed during {'re-' if self._is_again else ''}authentication "
            f"due to invalid credentials with SASL mechanism {self._name}"
        )
        text = usual if error.text is None else error.text
        code = errors.code("SASL_AUTHENTICATION_FAILED")
        return _authenticate_answer(header, error_code=code, error_message=text)

    def _respond(self, token: bytes) -> bytes:
        assert self._exchange is not None  # noqa: S101
        answer = self._exchange.respond(token)
        if self._is_complete and self.principal not in (None, self._exchange.principal):
            old, new = (str(each).replace(":", ".", 1) for each in (self.principal, self._exchange.principal))
            raise AuthenticationFailed(f"Cannot change principals during re-authentication from {old}: {new}")
        return answer

    @property
    def _is_complete(self) -> bool:
        return self._exchange is not None and self._exchange.complete

    @property
    def _is_again(self) -> bool:
        return self.principal is not None

    def _begin_session(self) -> int:
        """Have the client authenticated; returns the milliseconds until it is to authenticate again, or 0."""
        assert self._exchange is not None  # noqa: S101
        self.principal = self._exchange.principal
        self._step = self._authenticated
        ends = [self._max_reauth_ms] if self._max_reauth_ms > 0 else []
        if self._exchange.expires_at is not None:
            ends.append(int(self._exchange.expires_at * 1000) - self._clock.now_ms())
        self._exchange = None
        if not ends:
            self._over_at = None
            return 0
        lifetime_ms = max(0, min(ends))
        self._over_at = self._clock.monotonic() + lifetime_ms / 1000
        return lifetime_ms

    def _authenticated(self, frame: memoryview) -> Answer | None:
        if self._over_at is None:
            return None
        now = self._clock.monotonic()
        if frame[:2] == _HANDSHAKE_KEY and self._may_begin_again(now):
            self._reauthenticated_at = now
            self._step = self._before_handshake
            return self.receive(frame)
        if now > self._over_at:
            self._step = self._closed
            return Answer(b"", f"the session of {self.principal} is over")
        return None

    def _may_begin_again(self, now: float) -> bool:
        before = self._reauthenticated_at
        return before is None or now - before >= _LEAST_SECONDS_BETWEEN


def _told(header: codec.RequestHeader) -> str:
    return f"{header.api or f'API {header.key}'} v{header.version}"


def _authenticate_answer(header: codec.RequestHeader, **fields: object) -> bytes:
    body = Message(**{"error_code": errors.NONE, **fields})
    return codec.response_frame(_AUTHENTICATE, header.version, header.correlation_id, body)


def _illegal(header: codec.RequestHeader) -> bytes:
    """The answer to a request that comes in place of a token, where its API has one error for all of it."""
    if header.api is None or header.version not in codec.versions(header.api):
        return b""
    fields = definitions.definition(f"{header.api}Response").struct.fields
    if not any(field.name == "error_code" and header.version in field.versions for field in fields):
        return b""
    body = Message(error_code=errors.code("ILLEGAL_SASL_STATE"))
    return codec.response_frame(header.api, header.version, header.correlation_id, body)
