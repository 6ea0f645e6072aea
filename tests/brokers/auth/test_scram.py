"""SCRAM as a broker speaks it, with a client that is written by RFC 5802."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_msk.brokers.auth.sasl import AuthenticationFailed, Mechanism
from pytest_msk.brokers.auth.scram import (
    HASHES,
    LEAST_ITERATIONS,
    SCRAM_SHA_256,
    SCRAM_SHA_512,
    Credential,
    ScramServer,
)

PASSWORD = "a secret that nobody is shown"
ALICE = Credential.of_password(SCRAM_SHA_512, PASSWORD)
SERVER_FIRST = re.compile(rb"r=([^,]+),s=([^,]+),i=(\d+)")


class ScramClient:
    """The client's side. What it sends can be bent by the test: name and all but the password go as given."""

    def __init__(
        self,
        password: str = PASSWORD,
        *,
        name: str = "alice",
        mechanism: str = SCRAM_SHA_512,
        nonce: str = "clientnonce",
        gs2: str = "n,,",
        extensions: str = "",
    ) -> None:
        self.password = password.encode()
        self.algorithm = HASHES[mechanism]
        self.nonce = nonce.encode()
        self.gs2 = gs2.encode()
        self.bare = f"n={name},r={nonce}{extensions}".encode()
        self.signed = b""
        self.salted = b""

    def first(self) -> bytes:
        return self.gs2 + self.bare

    def final(self, server_first: bytes, *, nonce: bytes | None = None) -> bytes:
        match = SERVER_FIRST.fullmatch(server_first)
        assert match is not None, server_first
        assert match[1].startswith(self.nonce)
        salt, iterations = base64.b64decode(match[2]), int(match[3])
        self.salted = hashlib.pbkdf2_hmac(self.algorithm, self.password, salt, iterations)
        binding = base64.b64encode(self.gs2)
        without_proof = b"c=" + binding + b",r=" + (match[1] if nonce is None else nonce)
        self.signed = self.bare + b"," + server_first + b"," + without_proof
        client_key = self._keyed(self.salted, b"Client Key")
        signature = self._keyed(hashlib.new(self.algorithm, client_key).digest(), self.signed)
        proof = bytes(one ^ other for one, other in zip(client_key, signature, strict=True))
        return without_proof + b",p=" + base64.b64encode(proof)

    def trusts(self, server_final: bytes) -> bool:
        signature = self._keyed(self._keyed(self.salted, b"Server Key"), self.signed)
        return server_final == b"v=" + base64.b64encode(signature)

    def _keyed(self, key: bytes, data: bytes) -> bytes:
        return hmac.digest(key, data, self.algorithm)


def server(**users: Credential) -> ScramServer:
    return ScramServer(SCRAM_SHA_512, (users or {"alice": ALICE}).get)


def log_in(server: ScramServer, client: ScramClient) -> None:
    assert client.trusts(server.respond(client.final(server.respond(client.first()))))


def refusal(server: ScramServer, *messages: bytes) -> AuthenticationFailed:
    """What the last of some messages is refused with; the others are answered."""
    for message in messages[:-1]:
        server.respond(message)
    with pytest.raises(AuthenticationFailed) as refused:
        server.respond(messages[-1])
    assert not server.complete
    return refused.value


def refused_at_last(exchange: ScramServer, client: ScramClient) -> AuthenticationFailed:
    return refusal(exchange, client.final(exchange.respond(client.first())))


def test_the_right_password_lets_a_user_in_and_the_client_trusts_the_server() -> None:
    exchange = server()
    log_in(exchange, ScramClient())
    mechanism: Mechanism = exchange
    assert mechanism.complete
    assert exchange.user == "alice"
    assert mechanism.principal == "User:alice"
    assert mechanism.expires_at is None


def test_the_example_of_rfc_7677() -> None:
    credential = Credential.of_salted_password(
        SCRAM_SHA_256,
        hashlib.pbkdf2_hmac("sha256", b"pencil", base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ=="), 4096),
        base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ=="),
        4096,
    )
    exchange = ScramServer(
        SCRAM_SHA_256, {"user": credential}.get, nonce=lambda: "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    )
    assert exchange.respond(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO") == (
        b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    )
    assert not exchange.complete
    assert (
        exchange.respond(
            b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
            b"p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        )
        == b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
    )
    assert exchange.complete
    assert exchange.user == "user"


@pytest.mark.parametrize("mechanism", HASHES)
def test_each_mechanism_has_its_own_hash(mechanism: str) -> None:
    credential = Credential.of_password(mechanism, PASSWORD)
    assert credential.iterations == LEAST_ITERATIONS
    assert len(credential.stored_key) == hashlib.new(HASHES[mechanism]).digest_size
    log_in(ScramServer(mechanism, {"alice": credential}.get), ScramClient(mechanism=mechanism))


def test_a_credential_is_salted_anew_each_time() -> None:
    again = Credential.of_password(SCRAM_SHA_512, PASSWORD)
    assert again.salt != ALICE.salt
    assert again.stored_key != ALICE.stored_key


def test_a_wrong_password_is_refused() -> None:
    refused = refused_at_last(server(), ScramClient("another"))
    # None stands for the usual text, which tells whether it is a re-authentication.
    assert refused.text is None
    assert "'alice'" in str(refused)


def test_an_unknown_user_looks_like_a_wrong_password() -> None:
    wrong = refused_at_last(server(), ScramClient("another"))
    unknown = refused_at_last(server(), ScramClient(name="mallory"))
    assert unknown.text == wrong.text
    assert str(unknown) == str(wrong).replace("alice", "mallory")


def test_an_unknown_user_is_always_asked_with_the_same_salt() -> None:
    def challenge(name: str) -> tuple[bytes, bytes]:
        match = SERVER_FIRST.fullmatch(server().respond(ScramClient(name=name).first()))
        assert match is not None
        return match[2], match[3]

    assert challenge("mallory") == challenge("mallory")
    assert challenge("mallory") != challenge("eve")
    salt, iterations = challenge("mallory")
    known_salt, known_iterations = challenge("alice")
    assert len(salt) == len(known_salt)
    assert iterations == known_iterations


def test_every_exchange_has_its_own_nonce() -> None:
    assert server().respond(ScramClient().first()) != server().respond(ScramClient().first())


def test_a_recorded_proof_lets_nobody_in_again() -> None:
    exchange, client = server(), ScramClient()
    final = client.final(exchange.respond(client.first()))
    exchange.respond(final)
    refusal(server(), client.first(), final)


@pytest.mark.parametrize("bent", [lambda nonce: nonce[:-1], lambda nonce: nonce + b"x", lambda _: b"own"])
def test_another_nonce_in_the_final_message_is_refused(bent: Callable[[bytes], bytes]) -> None:
    exchange, client = server(), ScramClient()
    server_first = exchange.respond(client.first())
    nonce = server_first.split(b",")[0][2:]
    refused = refusal(exchange, client.final(server_first, nonce=bent(nonce)))
    assert "nonce" in str(refused)


@pytest.mark.parametrize(
    "proof", ["", "AAAA", base64.b64encode(bytes(64)).decode(), base64.b64encode(bytes(65)).decode()]
)
def test_a_proof_of_any_length_is_only_wrong(proof: str) -> None:
    exchange, client = server(), ScramClient()
    final = client.final(exchange.respond(client.first()))
    refusal(exchange, final.split(b",p=")[0] + b",p=" + proof.encode())


def test_a_right_proof_with_something_behind_it_is_refused() -> None:
    exchange, client = server(), ScramClient()
    without_proof, proof = client.final(exchange.respond(client.first())).split(b",p=")
    longer = base64.b64encode(base64.b64decode(proof) + b"\0")
    refusal(exchange, without_proof + b",p=" + longer)


def test_an_exchange_is_over_with_its_first_error() -> None:
    exchange, client = server(), ScramClient()
    server_first = exchange.respond(client.first())
    refusal(exchange, b"c=biws")
    assert "over" in str(refusal(exchange, client.final(server_first)))


def test_an_exchange_is_over_when_it_is_complete() -> None:
    exchange, client = server(), ScramClient()
    log_in(exchange, client)
    with pytest.raises(AuthenticationFailed, match="over"):
        exchange.respond(client.first())


@pytest.mark.parametrize(
    ("saslname", "user"), [("a=2Cb", "a,b"), ("a=3Db", "a=b"), ("=3D2C", "=2C"), ("=2C=3D", ",=")]
)
def test_commas_and_equals_signs_of_a_name_are_escaped(saslname: str, user: str) -> None:
    exchange = server(**{user: ALICE})
    log_in(exchange, ScramClient(name=saslname))
    assert exchange.user == user


@pytest.mark.parametrize("name", ["", "a=b", "a=2cb", "a=", "\0", "ä", "a,b"])
def test_a_name_that_is_not_escaped_or_not_ascii_is_refused(name: str) -> None:
    assert refusal(server(), ScramClient(name=name).first()).text is None


def test_the_user_s_own_name_may_be_asked_for_as_authorization_id() -> None:
    log_in(server(), ScramClient(gs2="n,a=alice,"))


@pytest.mark.parametrize("name", ["alice", "mallory"])
def test_another_authorization_id_is_refused_whoever_asks(name: str) -> None:
    refused = refusal(server(), ScramClient(name=name, gs2="n,a=bob,").first())
    assert refused.text == (
        "Authentication failed: Client requested an authorization id that is different from username"
    )


@pytest.mark.parametrize("gs2", ["y,,", "p=tls-unique,,", "", "n,", "n,bob,", "n,a=,", "N,,"])
def test_channel_binding_and_other_headers_are_refused(gs2: str) -> None:
    refusal(server(), ScramClient(gs2=gs2).first())


@pytest.mark.parametrize("value", ["true", "TRUE", "false,tokenauth=true"])
def test_a_delegation_token_is_refused(value: str) -> None:
    refused = refusal(server(), ScramClient(extensions=f",tokenauth={value}").first())
    assert refused.text is None
    assert "token" in str(refused)


@pytest.mark.parametrize("extensions", [",tokenauth=false", ",a=b", ",a==,bc=d e"])
def test_other_extensions_of_the_first_message_change_nothing(extensions: str) -> None:
    log_in(server(), ScramClient(extensions=extensions))


def test_an_extension_that_must_be_understood_is_refused() -> None:
    refusal(server(), b"n,,m=x,n=alice,r=clientnonce")


def test_what_the_client_says_of_channel_binding_is_not_compared() -> None:
    exchange, client = server(), ScramClient()
    server_first = exchange.respond(client.first())
    client.gs2 = b"y,,"
    assert client.trusts(exchange.respond(client.final(server_first)))


def test_an_extension_of_the_final_message_is_no_part_of_the_proof() -> None:
    exchange, client = server(), ScramClient()
    final = client.final(exchange.respond(client.first()))
    assert client.trusts(exchange.respond(final.replace(b",p=", b",x=y,p=")))


def test_the_proof_is_what_stands_last() -> None:
    exchange, client = server(), ScramClient()
    start, proof = client.final(exchange.respond(client.first())).split(b",p=")
    refusal(exchange, start + b",p=" + proof + b",p=" + base64.b64encode(bytes(64)))


def test_a_credential_of_too_few_iterations_lets_nobody_in() -> None:
    weak = replace(ALICE, iterations=LEAST_ITERATIONS - 1)
    assert "4095" in str(refusal(server(alice=weak), ScramClient().first()))


def test_a_credential_of_many_iterations_is_as_good_as_any() -> None:
    salted = hashlib.pbkdf2_hmac("sha512", PASSWORD.encode(), b"salt", 20_000)
    many = Credential.of_salted_password(SCRAM_SHA_512, salted, b"salt", 20_000)
    log_in(server(alice=many), ScramClient())


def test_a_password_that_changes_in_the_middle_counts_from_the_next_time() -> None:
    users = {"alice": ALICE}
    exchange, client = ScramServer(SCRAM_SHA_512, users.get), ScramClient()
    final = client.final(exchange.respond(client.first()))
    users["alice"] = Credential.of_password(SCRAM_SHA_512, "another")
    assert client.trusts(exchange.respond(final))
    refused_at_last(ScramServer(SCRAM_SHA_512, users.get), ScramClient())


def test_a_long_name_makes_no_long_reason() -> None:
    assert len(str(refused_at_last(server(), ScramClient(name="a" * 100_000)))) < 1000


def test_there_is_no_other_mechanism() -> None:
    with pytest.raises(KeyError):
        ScramServer("SCRAM-SHA-1", {"alice": ALICE}.get)


def test_no_secret_is_shown() -> None:
    exchange = server()
    shown = f"{ALICE!r} {exchange!r} {refused_at_last(exchange, ScramClient('wrong one'))!r}"
    for secret in (ALICE.salt, ALICE.stored_key, ALICE.server_key):
        assert repr(secret)[2:-1] not in shown
        assert base64.b64encode(secret).decode() not in shown
    assert "iterations=4096" in shown
    assert "wrong one" not in shown


def only_refuses(exchange: ScramServer, data: bytes) -> None:
    try:
        exchange.respond(data)
    except AuthenticationFailed:
        pass
    else:
        assert data.startswith(b"n,")
    assert not exchange.complete


PIECES = st.sampled_from(
    [b"n,", b"n=alice", b",r=", b"r=x", b",", b"=2C", b"=3D", b"=", b"a=", b"m=", b"c=biws", b"p=", b"A" * 88]
)
HOSTILE = st.binary(max_size=200) | st.lists(PIECES | st.binary(max_size=4), max_size=12).map(b"".join)


@given(HOSTILE)
def test_any_bytes_for_a_first_message_are_refused_at_most(data: bytes) -> None:
    only_refuses(server(), data)


@given(HOSTILE, st.booleans())
def test_any_bytes_for_a_final_message_are_refused(data: bytes, with_nonce: bool) -> None:
    exchange = server()
    server_first = exchange.respond(ScramClient().first())
    start = b"c=biws," + server_first.split(b",")[0] + b",p=" if with_nonce else b""
    with pytest.raises(AuthenticationFailed):
        exchange.respond(start + data)
    assert not exchange.complete


@given(st.data())
def test_a_bit_that_flips_in_the_final_message_lets_nobody_in(data: st.DataObject) -> None:
    exchange, client = server(), ScramClient()
    final = bytearray(client.final(exchange.respond(client.first())))
    # The last character stands for two bits of the proof and four of nothing; two equals signs follow.
    position = data.draw(st.integers(0, len(final) - 4))
    final[position] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(AuthenticationFailed):
        exchange.respond(bytes(final))


@given(st.text(st.characters(min_codepoint=1, max_codepoint=127), min_size=1, max_size=20))
def test_every_ascii_name_comes_back_from_its_escaped_form(user: str) -> None:
    exchange = server()
    exchange.respond(ScramClient(name=user.replace("=", "=3D").replace(",", "=2C")).first())
    assert exchange.user == user
