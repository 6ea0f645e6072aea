"""What a connection's SASL state makes of frames, with Kafka's own frames and exchanges that are made up."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_msk.brokers.auth.sasl import MAX_FRAME, Answer, AuthenticationFailed, Mechanism, SaslSession
from pytest_msk.brokers.auth.scram import SCRAM_SHA_512, ScramServer
from pytest_msk.brokers.wire import codec, errors
from pytest_msk.brokers.wire.message import Message
from tests.brokers.auth.test_scram import ALICE, ScramClient
from tests.brokers.embedded.clusters import StillClock

HOUR_MS = 3_600_000


class Exchange:
    """A mechanism: the client names its user, after as many questions as the test wants."""

    def __init__(self, questions: int = 0, expires_at: float | None = None) -> None:
        self.questions = questions
        self.expires_at = expires_at
        self.complete = False
        self.principal = ""

    def respond(self, data: bytes) -> bytes:
        if self.questions:
            self.questions -= 1
            return b"who?"
        if data == b"nobody":
            raise AuthenticationFailed(reason="nobody came")
        if data == b"denied":
            raise AuthenticationFailed("Access denied")
        self.principal = f"User:{data.decode()}"
        self.complete = True
        return b"welcome"


class Client:
    """Sends frames to a session and reads what comes back; closed means closed."""

    def __init__(
        self,
        mechanisms: Mapping[str, Callable[[], Mechanism]] | None = None,
        *,
        max_reauth_ms: int = 0,
        clock: StillClock | None = None,
    ) -> None:
        self.clock = clock or StillClock()
        self.session = SaslSession(
            mechanisms or {"ONE": Exchange, "TWO": Exchange}, self.clock, max_reauth_ms=max_reauth_ms
        )
        self.sent = 0
        self.closed = ""

    def send(self, frame: bytes) -> Answer | None:
        step = self.session.receive(memoryview(frame)[4:])
        if step is not None:
            self.closed = step.closes
        return step

    def request(self, api: str, version: int, **fields: object) -> Message | None:
        """The answer; None where there is none."""
        self.sent += 1
        step = self.send(codec.request_frame(api, version, self.sent, "me", Message(**fields)))
        assert step is not None, "it is the broker's to answer"
        if not step.frame:
            return None
        size, answer = step.frame[:4], memoryview(step.frame)[4:]
        assert int.from_bytes(size, "big") == len(answer)
        correlation_id, body = codec.decode_response_header(api, version, answer)
        assert correlation_id == self.sent
        return codec.decode_response(api, version, body)

    def is_passed(self, api: str, version: int = 0, **fields: object) -> bool:
        """Whether a request is left to the broker."""
        return self.send(codec.request_frame(api, version, 1, "me", Message(**fields))) is None

    def handshake(self, mechanism: str = "ONE", version: int = 1) -> Message:
        answer = self.request("SaslHandshake", version, mechanism=mechanism)
        assert answer is not None
        return answer

    def authenticate(self, token: bytes, version: int = 2) -> Message:
        answer = self.request("SaslAuthenticate", version, auth_bytes=token)
        assert answer is not None
        return answer

    def log_in(self, user: str = "alice") -> Message:
        assert self.handshake().error_code == errors.NONE
        answer = self.authenticate(user.encode())
        assert answer.error_code == errors.NONE
        assert not self.closed
        return answer

    def token(self, token: bytes) -> bytes | None:
        """Send a token that is a frame by itself; its answer, None where there is none."""
        step = self.send(len(token).to_bytes(4, "big") + token)
        assert step is not None
        if not step.frame:
            return None
        assert int.from_bytes(step.frame[:4], "big") == len(step.frame) - 4
        return step.frame[4:]


@pytest.mark.parametrize("version", codec.versions("SaslAuthenticate"))
def test_a_client_that_proves_who_it_is_is_let_in(version: int) -> None:
    client = Client()
    answer = client.handshake()
    assert (answer.error_code, answer.mechanisms) == (errors.NONE, ["ONE", "TWO"])
    assert client.session.principal is None
    answer = client.authenticate(b"alice", version)
    assert (answer.error_code, answer.error_message, answer.auth_bytes) == (0, "", b"welcome")
    assert answer.session_lifetime_ms == 0
    assert client.session.principal == "User:alice"
    assert client.is_passed("Metadata", 12, topics=[])


def test_a_mechanism_may_ask_more_than_once() -> None:
    client = Client({"ONE": lambda: Exchange(questions=2)}, max_reauth_ms=HOUR_MS)
    client.handshake()
    for _ in range(2):
        answer = client.authenticate(b"me")
        assert (answer.auth_bytes, answer.session_lifetime_ms) == (b"who?", 0)
        assert client.session.principal is None
    assert client.authenticate(b"alice").auth_bytes == b"welcome"


@pytest.mark.parametrize("version", [0, 3])
def test_versions_are_told_before_the_handshake(version: int) -> None:
    client = Client()
    assert client.is_passed("ApiVersions", version)
    client.log_in()
    assert client.is_passed("ApiVersions", version)


def test_a_version_of_api_versions_that_is_not_known_yet_is_left_to_the_broker() -> None:
    client = Client()
    assert client.send(b"\0\0\0\x0b" + b"\0\x12\x7f\xff" + b"\0\0\0\1" + b"\xff\xff\0") is None
    assert client.is_passed("ApiVersions", 3)
    client.log_in()


@pytest.mark.parametrize("version", [0, 1])
def test_a_mechanism_that_is_not_enabled_is_refused_with_those_that_are(version: int) -> None:
    client = Client()
    answer = client.handshake("PLAIN", version)
    assert answer.error_code == errors.code("UNSUPPORTED_SASL_MECHANISM")
    assert answer.mechanisms == ["ONE", "TWO"]
    assert "'PLAIN'" in client.closed


def test_a_client_that_goes_on_after_it_was_refused_is_not_heard() -> None:
    client = Client()
    client.handshake("PLAIN")
    assert client.request("SaslHandshake", 1, mechanism="ONE") is None
    assert client.closed
    assert client.token(b"alice") is None


@pytest.mark.parametrize(
    ("api", "version"), [("Metadata", 12), ("SaslAuthenticate", 2), ("Produce", 9), ("ListGroups", 4)]
)
def test_another_request_before_the_handshake_closes_the_connection(api: str, version: int) -> None:
    client = Client()
    assert client.request(api, version) is None
    assert client.closed == f"{api} v{version} came before authentication"


@pytest.mark.parametrize("first", [b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/1.1", b"", b"\0", b"\0\x11\0\1"])
def test_what_is_no_request_closes_the_connection(first: bytes) -> None:
    client = Client()
    assert client.token(first) is None
    assert client.closed


def test_a_version_that_there_is_not_closes_the_connection() -> None:
    client = Client()
    assert client.token(b"\0\x11\0\2" + b"\0\0\0\1" + b"\xff\xff" + b"\0\3ONE") is None
    assert client.closed == "SaslHandshake v2 came before authentication"
    client = Client()
    client.handshake()
    assert client.token(b"\0\x24\0\3" + b"\0\0\0\1" + b"\xff\xff\0" + b"\6alice\0") is None
    assert client.closed == "there is no SaslAuthenticate v3"


@pytest.mark.parametrize(
    ("api", "version"), [("ListGroups", 4), ("ApiVersions", 3), ("SaslHandshake", 1), ("Metadata", 13)]
)
def test_another_request_during_the_exchange_is_refused_with_an_error(api: str, version: int) -> None:
    client = Client()
    client.handshake()
    answer = client.request(api, version)
    assert answer is not None
    assert answer.error_code == errors.code("ILLEGAL_SASL_STATE")
    assert client.closed == f"{api} v{version} came during authentication"


def test_a_request_whose_answer_has_no_room_for_the_error_closes_the_connection() -> None:
    client = Client()
    client.handshake()
    assert client.request("Produce", 9) is None
    assert client.closed


def test_an_api_that_there_is_not_closes_the_connection_at_any_time() -> None:
    for begin in (lambda _: None, Client.handshake):
        client = Client()
        begin(client)
        assert client.token(b"\x7f\0\0\0" + b"\0\0\0\1" + b"\xff\xff") is None
        assert client.closed


@pytest.mark.parametrize("version", codec.versions("SaslAuthenticate"))
def test_wrong_credentials_are_refused_in_the_words_of_kafka(version: int) -> None:
    client = Client()
    client.handshake("TWO")
    answer = client.authenticate(b"nobody", version)
    assert answer.error_code == errors.code("SASL_AUTHENTICATION_FAILED")
    assert answer.error_message == (
        "Authentication failed during authentication due to invalid credentials with SASL mechanism TWO"
    )
    assert answer.auth_bytes == b""
    assert client.closed == "nobody came"
    assert client.session.principal is None


def test_a_mechanism_may_have_words_of_its_own() -> None:
    client = Client()
    client.handshake()
    assert client.authenticate(b"denied").error_message == "Access denied"
    assert client.closed == "Access denied"


@pytest.mark.parametrize("again", [b"alice", b"nobody"])
def test_nobody_may_try_again_on_the_same_connection(again: bytes) -> None:
    client = Client()
    client.handshake()
    client.authenticate(b"nobody")
    assert client.request("SaslAuthenticate", 2, auth_bytes=again) is None
    assert client.closed
    assert client.session.principal is None


def test_a_mechanism_that_breaks_lets_nobody_in() -> None:
    client = Client()
    client.handshake()
    with pytest.raises(UnicodeDecodeError):
        client.authenticate(b"\xff")
    assert client.request("SaslAuthenticate", 2, auth_bytes=b"alice") is None
    assert client.closed


def test_tokens_come_without_headers_after_the_old_handshake() -> None:
    client = Client({"ONE": lambda: Exchange(questions=1)})
    assert client.handshake(version=0).error_code == errors.NONE
    assert client.token(b"me") == b"who?"
    assert client.token(b"alice") == b"welcome"
    assert client.session.principal == "User:alice"
    assert client.is_passed("Metadata", 0, topics=[])


@pytest.mark.parametrize("again", [False, True])
def test_a_token_without_header_that_is_refused_has_no_answer(again: bool) -> None:
    client = Client(max_reauth_ms=HOUR_MS)
    if again:
        client.log_in("alice")
    client.handshake(version=0)
    assert client.token(b"bob" if again else b"nobody") is None
    assert "Cannot change principals" in client.closed or client.closed == "nobody came"


def test_an_empty_token_is_a_frame_too() -> None:
    class Silent(Exchange):
        def respond(self, data: bytes) -> bytes:
            super().respond(data)
            return b""

    client = Client({"ONE": Silent})
    client.handshake(version=0)
    step = client.send(b"\0\0\0\5alice")
    assert step == Answer(b"\0\0\0\0")


def test_a_large_frame_is_taken_only_from_those_who_are_known() -> None:
    client = Client()
    client.handshake()
    assert client.token(bytes(MAX_FRAME + 1)) is None
    assert str(MAX_FRAME + 1) in client.closed
    client = Client()
    client.handshake(version=0)
    assert client.token(b"a" * MAX_FRAME) == b"welcome"
    assert client.send(bytes(4 + MAX_FRAME + 1)) is None


def test_scram_goes_through_the_frames() -> None:
    for name, password, error in (
        ("alice", "wrong", "SASL_AUTHENTICATION_FAILED"),
        ("mallory", "", "SASL_AUTHENTICATION_FAILED"),
        ("alice", "", "NONE"),
    ):
        client = Client({SCRAM_SHA_512: lambda: ScramServer(SCRAM_SHA_512, {"alice": ALICE}.get)})
        client.handshake(SCRAM_SHA_512)
        scram = ScramClient(password, name=name) if password else ScramClient(name=name)
        challenge = client.authenticate(scram.first())
        answer = client.authenticate(scram.final(challenge.auth_bytes))
        assert errors.name(answer.error_code) == error
        assert bool(client.closed) == (error != "NONE")
        assert client.session.principal == (None if client.closed else "User:alice")
        if client.closed:
            assert answer.error_message == (
                "Authentication failed during authentication due to invalid credentials "
                "with SASL mechanism SCRAM-SHA-512"
            )
        else:
            assert scram.trusts(answer.auth_bytes)


@pytest.mark.parametrize(
    ("max_reauth_ms", "expires_in", "lifetime_ms"),
    [
        (HOUR_MS, None, HOUR_MS),
        (0, 900.0, 900_000),
        (HOUR_MS, 900.0, 900_000),
        (60_000, 900.0, 60_000),
        (0, -1.0, 0),
        (HOUR_MS, -1.0, 0),
        (0, None, 0),
    ],
)
def test_the_client_is_told_how_long_its_session_lasts(
    max_reauth_ms: int, expires_in: float | None, lifetime_ms: int
) -> None:
    clock = StillClock()
    expires_at = None if expires_in is None else clock.now_ms() / 1000 + expires_in
    client = Client({"ONE": lambda: Exchange(0, expires_at)}, max_reauth_ms=max_reauth_ms, clock=clock)
    assert client.log_in().session_lifetime_ms == lifetime_ms


def test_a_client_of_an_old_version_is_not_told_but_its_session_ends_as_well() -> None:
    client = Client(max_reauth_ms=HOUR_MS)
    client.handshake()
    client.authenticate(b"alice", version=0)
    client.clock.advance(HOUR_MS / 1000 + 0.001)
    assert client.request("Metadata", 12) is None
    assert client.closed


def test_a_session_without_end_goes_on_for_ever() -> None:
    client = Client()
    client.log_in()
    client.clock.advance(1e9)
    assert client.is_passed("Metadata", 12, topics=[])


def test_any_request_after_the_session_closes_the_connection() -> None:
    client = Client(max_reauth_ms=HOUR_MS)
    client.log_in()
    client.clock.advance(HOUR_MS / 1000)
    assert client.is_passed("Metadata", 12, topics=[])
    client.clock.advance(0.001)
    assert client.request("ApiVersions", 3) is None
    assert client.closed == "the session of User:alice is over"
    assert client.request("SaslHandshake", 1, mechanism="ONE") is None


def test_credentials_that_are_over_let_the_client_in_and_out_again() -> None:
    client = Client({"ONE": lambda: Exchange(expires_at=0)})
    client.log_in()
    client.clock.advance(0.001)
    assert client.request("Metadata", 12) is None
    assert client.closed


def test_credentials_that_last_replace_those_that_end() -> None:
    clock = StillClock()
    ends = iter([clock.now_ms() / 1000 + 900, None])
    client = Client({"ONE": lambda: Exchange(expires_at=next(ends))}, clock=clock)
    assert client.log_in().session_lifetime_ms == 900_000
    assert client.log_in().session_lifetime_ms == 0
    clock.advance(1e9)
    assert client.is_passed("Metadata", 12, topics=[])


@pytest.mark.parametrize("late", [False, True])
def test_a_client_may_authenticate_again_before_and_after_its_session_ends(late: bool) -> None:
    client = Client(max_reauth_ms=HOUR_MS)
    client.log_in()
    client.clock.advance(HOUR_MS / 1000 + (60 if late else -60))
    assert client.log_in().session_lifetime_ms == HOUR_MS
    assert client.session.principal == "User:alice"
    client.clock.advance(HOUR_MS / 1000)
    assert client.is_passed("Metadata", 12, topics=[])


def test_authenticating_again_may_use_tokens_without_headers() -> None:
    client = Client(max_reauth_ms=HOUR_MS)
    client.log_in()
    client.handshake(version=0)
    assert client.token(b"alice") == b"welcome"
    assert client.is_passed("Metadata", 12, topics=[])


def test_nothing_else_is_served_while_a_client_authenticates_again() -> None:
    client = Client(max_reauth_ms=HOUR_MS)
    client.log_in()
    client.handshake()
    answer = client.request("Metadata", 13, topics=[])
    assert answer is not None
    assert answer.error_code == errors.code("ILLEGAL_SASL_STATE")
    assert client.closed


def test_nobody_becomes_another_by_authenticating_again() -> None:
    client = Client(max_reauth_ms=HOUR_MS)
    client.log_in("alice")
    client.handshake()
    answer = client.authenticate(b"bob")
    assert answer.error_code == errors.code("SASL_AUTHENTICATION_FAILED")
    assert answer.error_message == (
        "Cannot change principals during re-authentication from User.alice: User.bob"
    )
    assert client.closed
    assert client.session.principal == "User:alice"
    assert client.request("Metadata", 12) is None


def test_wrong_credentials_when_authenticating_again_are_told_as_that() -> None:
    client = Client(max_reauth_ms=HOUR_MS)
    client.log_in()
    client.handshake()
    assert client.authenticate(b"nobody").error_message == (
        "Authentication failed during re-authentication due to invalid credentials with SASL mechanism ONE"
    )
    assert client.closed


def test_another_mechanism_for_authenticating_again_closes_the_connection_without_a_word() -> None:
    client = Client(max_reauth_ms=HOUR_MS)
    client.log_in()
    assert client.handshake("TWO").error_code == errors.NONE
    assert not client.closed
    assert client.request("SaslAuthenticate", 2, auth_bytes=b"alice") is None
    assert "'ONE'" in client.closed
    client = Client(max_reauth_ms=HOUR_MS)
    client.log_in()
    assert client.request("SaslHandshake", 1, mechanism="PLAIN") is None
    assert "'PLAIN'" in client.closed


@pytest.mark.parametrize("api", ["SaslHandshake", "SaslAuthenticate"])
def test_without_an_end_of_the_session_the_broker_refuses_to_begin_again(api: str) -> None:
    client = Client()
    client.log_in()
    assert client.is_passed(api, 1)


def test_a_client_may_not_begin_again_twice_within_a_second() -> None:
    client = Client(max_reauth_ms=HOUR_MS)
    client.log_in()
    client.log_in()
    client.clock.advance(0.999)
    assert client.is_passed("SaslHandshake", 1, mechanism="ONE")
    client.clock.advance(0.001)
    client.log_in()


REQUESTS = st.builds(
    lambda key, version, rest: key.to_bytes(2, "big") + version.to_bytes(2, "big") + rest,
    st.sampled_from([17, 18, 36, 3, 0, 999]),
    st.integers(0, 6),
    st.just(b"\0\0\0\1\xff\xff\0\3ONE") | st.binary(max_size=30),
)


@given(st.lists(REQUESTS | st.binary(max_size=40), max_size=6), st.booleans())
def test_strangers_get_answers_or_are_shown_the_door_whatever_they_send(
    frames: list[bytes], begun: bool
) -> None:
    client = Client({"ONE": lambda: ScramServer(SCRAM_SHA_512, {"alice": ALICE}.get)})
    if begun:
        client.handshake()
    for frame in frames:
        was_closed = client.closed
        step = client.send(b"size" + frame)
        assert not (was_closed and (step is None or step.frame or not step.closes))
        assert client.session.principal is None
        assert step is not None or frame[:2] == b"\0\x12"


@given(st.binary(max_size=60))
def test_frames_of_an_authenticated_client_are_not_looked_into(frame: bytes) -> None:
    client = Client()
    client.log_in()
    assert client.send(b"size" + frame) is None
