from __future__ import annotations

import base64
import calendar
import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple
from unittest import mock
from urllib.parse import parse_qsl, quote, urlencode

import boto3
import pytest
from aws_msk_iam_sasl_signer import MSKAuthTokenProvider  # type: ignore[import-untyped]
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from freezegun import freeze_time
from hypothesis import given
from hypothesis import strategies as st
from moto import mock_aws

from pytest_msk.brokers.auth.iam import (
    DEFAULT_CREDENTIALS,
    AwsMskIam,
    Identities,
    Identity,
    MotoIdentities,
    OAuthBearer,
)
from pytest_msk.brokers.auth.sasl import AuthenticationFailed

ACCOUNT = "123456789012"
OTHER_ACCOUNT = "222222222222"
REGION = "us-east-1"
BROKER = "b-1.orders.abc123.c2.kafka.us-east-1.amazonaws.com"
ENDPOINT = "kafka.us-east-1.amazonaws.com"
ALICE = f"User:arn:aws:iam::{ACCOUNT}:user/alice"
READER = f"User:arn:aws:sts::{ACCOUNT}:assumed-role/reader/laptop"
INVALID_TOKEN = b'{"status":"invalid_token"}'
TRUST = json.dumps({"Version": "2012-10-17", "Statement": []})
EXPIRES = 900


class Key(NamedTuple):
    id: str
    secret: str
    token: str | None = None


class Clock:
    """The real time, or the one that a test says."""

    def __init__(self) -> None:
        self.at: float | None = None

    def __call__(self) -> float:
        return time.time() if self.at is None else self.at


class Known(dict[str, Identity]):
    """Identities in a dictionary."""

    def lookup(self, access_key_id: str) -> Identity | None:
        return self.get(access_key_id)


def signed(
    key: Key,
    host: str,
    *,
    region: str = REGION,
    service: str = "kafka-cluster",
    expires: Any = EXPIRES,
    action: str = "kafka-cluster:Connect",
    headers: Mapping[str, str] | None = None,
    **more: str,
) -> dict[str, str]:
    """What botocore signs, as the parameters of a URL."""
    credentials = Credentials(key.id, key.secret, key.token)
    request = AWSRequest(
        "GET", f"https://{host}/", headers=dict(headers or {}), params={"Action": action, **more}
    )
    SigV4QueryAuth(credentials, service, region, expires=expires).add_auth(request)
    return dict(parse_qsl(request.url.partition("?")[2], keep_blank_values=True))


def resigned(key: Key, host: str, **changes: str | None) -> dict[str, str]:
    """Parameters changed in ways that botocore's own signer has not, and signed all the same."""
    query = {**signed(key, host), **changes}
    unsigned = {name: value for name, value in query.items() if value is not None and "Signature" not in name}
    request = AWSRequest("GET", f"https://{host}/", headers={"host": host}, params=unsigned)
    request.context["timestamp"] = unsigned.get("X-Amz-Date", "")
    signer = SigV4QueryAuth(Credentials(key.id, key.secret), "kafka-cluster", REGION)
    text = signer.string_to_sign(request, signer.canonical_request(request))
    return {**unsigned, "X-Amz-Signature": signer.signature(text, request)}


def payload(query: Mapping[str, str], host: str = BROKER, **changes: Any) -> bytes:
    """The message of AWS_MSK_IAM, as AWS's Java library makes it."""
    members = {"version": "2020_10_22", "host": host, "user-agent": "aws-msk-iam-auth/2.3.0"}
    members |= {name.lower(): value for name, value in query.items()}
    members |= {name.replace("_", "-"): value for name, value in changes.items()}
    return json.dumps({name: value for name, value in members.items() if value is not None}).encode()


def encoded(url: str) -> str:
    return base64.urlsafe_b64encode(url.encode()).decode().rstrip("=")


def bearer(token: str, extensions: str = "", gs2: str = "n,,") -> bytes:
    return f"{gs2}\x01auth=Bearer {token}\x01{extensions}\x01".encode()


def decoded(token: str) -> str:
    return base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()


def token_of(key: Key, region: str = REGION) -> str:
    """A token by AWS's own library, from the environment as it mostly is."""
    environment = {"AWS_ACCESS_KEY_ID": key.id, "AWS_SECRET_ACCESS_KEY": key.secret}
    if key.token:
        environment["AWS_SESSION_TOKEN"] = key.token
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    with mock.patch.dict(os.environ, clean | environment, clear=True):
        token, _ = MSKAuthTokenProvider.generate_auth_token(region)
    return str(token)


class Door:
    """A broker's login by one of the mechanisms."""

    def __init__(self, mechanism: str, identities: Identities, clock: Clock) -> None:
        self.mechanism = mechanism
        self.host = BROKER if mechanism == "AWS_MSK_IAM" else ENDPOINT
        self.identities = identities
        self.clock = clock
        self.region = REGION

    def open(self) -> AwsMskIam | OAuthBearer:
        if self.mechanism == "AWS_MSK_IAM":
            return AwsMskIam(self.identities, {BROKER, "LocalHost"}, self.region, self.clock)
        return OAuthBearer(self.identities, self.region, self.clock)

    def message(self, query: Mapping[str, str], host: str | None = None) -> bytes:
        if self.mechanism == "AWS_MSK_IAM":
            return payload(query, host or BROKER)
        return bearer(encoded(f"https://{host or ENDPOINT}/?{urlencode(query, quote_via=quote)}"))

    def enter(self, query: Mapping[str, str], host: str | None = None) -> AwsMskIam | OAuthBearer:
        return self.send(self.message(query, host))

    def send(self, message: bytes) -> AwsMskIam | OAuthBearer:
        mechanism = self.open()
        if mechanism.respond(message) == INVALID_TOKEN:
            assert not mechanism.complete
            mechanism.respond(b"\x01")
        assert mechanism.complete
        return mechanism

    def refuses(self, query: Mapping[str, str], text: str, host: str | None = None) -> None:
        """Check that a login is refused, and that the text betrays nothing."""
        message = refused(lambda: self.enter(query, host))
        assert text in message
        for name in ("X-Amz-Signature", "X-Amz-Security-Token"):
            assert query.get(name, "") == "" or query[name] not in message


def refused(login: Callable[[], object]) -> str:
    with pytest.raises(AuthenticationFailed) as caught:
        login()
    error = caught.value
    assert error.text is not None
    assert str(error) in error.text
    return error.text


@pytest.fixture(scope="module")
def aws() -> boto3.Session:
    return boto3.Session("testing", "testing", region_name=REGION)


@pytest.fixture(scope="module")
def iam_client(aws: boto3.Session) -> Any:
    return aws.client("iam")


@pytest.fixture(scope="module")
def sts_client(aws: boto3.Session) -> Any:
    return aws.client("sts")


@pytest.fixture
def iam(iam_client: Any) -> Iterator[Any]:
    with mock_aws():
        yield iam_client


@pytest.fixture
def sts(sts_client: Any) -> Iterator[Any]:
    with mock_aws():
        yield sts_client


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def alice(iam: Any) -> Key:
    iam.create_user(UserName="alice")
    return new_key(iam)


def new_key(iam: Any, user: str = "alice") -> Key:
    key = iam.create_access_key(UserName=user)["AccessKey"]
    return Key(key["AccessKeyId"], key["SecretAccessKey"])


@pytest.fixture
def reader(iam: Any, sts: Any) -> Key:
    """Credentials of a role, for 15 minutes."""
    role = iam.create_role(RoleName="reader", Path="/team/", AssumeRolePolicyDocument=TRUST)["Role"]
    return session(sts, role["Arn"])


def session(sts: Any, role_arn: str, seconds: int = 900) -> Key:
    answer = sts.assume_role(RoleArn=role_arn, RoleSessionName="laptop", DurationSeconds=seconds)
    held = answer["Credentials"]
    return Key(held["AccessKeyId"], held["SecretAccessKey"], held["SessionToken"])


@pytest.fixture
def identities() -> Identities:
    return MotoIdentities(ACCOUNT)


@pytest.fixture(params=["AWS_MSK_IAM", "OAUTHBEARER"])
def door(request: pytest.FixtureRequest, clock: Clock, identities: Identities) -> Door:
    return Door(request.param, identities, clock)


@pytest.fixture
def java(clock: Clock, identities: Identities) -> Door:
    return Door("AWS_MSK_IAM", identities, clock)


@pytest.fixture
def oauth(clock: Clock, identities: Identities) -> Door:
    return Door("OAUTHBEARER", identities, clock)


def signed_at(query: Mapping[str, str]) -> float:
    return calendar.timegm(time.strptime(query["X-Amz-Date"], "%Y%m%dT%H%M%SZ"))


# Who is let in, and as whom.


def test_a_user_is_let_in_by_an_access_key(door: Door, alice: Key) -> None:
    assert door.enter(signed(alice, door.host)).principal == ALICE


def test_a_user_may_have_two_keys(door: Door, iam: Any, alice: Key) -> None:
    assert door.enter(signed(new_key(iam), door.host)).principal == ALICE
    assert door.enter(signed(alice, door.host)).principal == ALICE


def test_a_users_path_is_in_the_principal(door: Door, iam: Any) -> None:
    iam.create_user(UserName="bob", Path="/team/")
    key = new_key(iam, "bob")
    assert door.enter(signed(key, door.host)).principal == f"User:arn:aws:iam::{ACCOUNT}:user/team/bob"


def test_a_role_is_let_in_by_temporary_credentials(door: Door, reader: Key) -> None:
    assert door.enter(signed(reader, door.host)).principal == READER


def test_nobody_is_anybody_before_the_login(door: Door) -> None:
    mechanism = door.open()
    assert (mechanism.complete, mechanism.principal, mechanism.expires_at) == (False, "", None)


def test_an_exchange_is_over_when_the_client_is_in(door: Door, alice: Key) -> None:
    query = signed(alice, door.host)
    mechanism = door.enter(query)
    assert "logged in already" in refused(lambda: mechanism.respond(door.message(query)))
    assert mechanism.principal == ALICE


@pytest.mark.parametrize("key", [Key(*each) for each in DEFAULT_CREDENTIALS.items()], ids=lambda key: key.id)
@pytest.mark.parametrize("token", [None, "testing"])
def test_default_credentials_are_the_accounts_root_where_that_is_wanted(
    door: Door, key: Key, token: str | None
) -> None:
    door.identities = MotoIdentities(ACCOUNT, lenient=True)
    mechanism = door.enter(signed(key._replace(token=token), door.host))
    assert mechanism.principal == f"User:arn:aws:iam::{ACCOUNT}:root"


def test_default_credentials_are_unknown_otherwise(door: Door) -> None:
    door.refuses(signed(Key("testing", "testing"), door.host), "There is no access key testing.")


@pytest.mark.parametrize("key", [Key("testing", "guessed"), Key("testing", "testing", "guessed")])
def test_default_credentials_have_to_be_the_right_ones(door: Door, key: Key) -> None:
    door.identities = MotoIdentities(ACCOUNT, lenient=True)
    door.refuses(signed(key, door.host), "Access denied")


def test_other_keys_than_the_default_ones_stay_unknown(door: Door) -> None:
    door.identities = MotoIdentities(ACCOUNT, lenient=True)
    door.refuses(signed(Key("AKIAIOSFODNN7EXAMPLE", "testing"), door.host), "There is no access key")


# Until when.


def test_a_users_session_does_not_end_by_itself(java: Door, alice: Key) -> None:
    assert java.enter(signed(alice, BROKER)).expires_at is None


def test_a_roles_session_ends_with_its_credentials(java: Door, iam: Any, sts: Any) -> None:
    before = time.time()
    key = session(sts, f"arn:aws:iam::{ACCOUNT}:role/reader", 3600)
    ends = java.enter(signed(key, BROKER)).expires_at
    assert ends is not None
    assert before + 3600 <= ends <= time.time() + 3600


def test_a_token_ends_the_session_when_it_ends(oauth: Door, alice: Key) -> None:
    query = signed(alice, ENDPOINT, expires=60)
    assert oauth.enter(query).expires_at == signed_at(query) + 60


def test_credentials_end_a_tokens_session_when_they_end_earlier(oauth: Door, alice: Key) -> None:
    ends = time.time() + 30
    oauth.identities = Known({alice.id: Identity("arn", alice.secret, expires_at=ends)})
    assert oauth.enter(signed(alice, ENDPOINT)).expires_at == ends


# AWS_MSK_IAM's messages.


def test_the_answer_is_the_version_and_a_request_id(java: Door, alice: Key) -> None:
    answer = json.loads(java.open().respond(payload(signed(alice, BROKER))))
    assert answer == {"version": "2020_10_22", "request-id": mock.ANY}
    assert str(uuid.UUID(answer["request-id"])) == answer["request-id"]


def test_each_name_of_the_broker_will_do(java: Door, alice: Key) -> None:
    assert java.enter(signed(alice, "localhost"), "localhost").principal == ALICE


def test_a_host_may_be_written_in_capitals(java: Door, alice: Key) -> None:
    assert java.enter(resigned(alice, "LOCALHOST"), "LOCALHOST").principal == ALICE


def test_a_client_may_say_nothing_of_itself(java: Door, alice: Key) -> None:
    java.send(payload(signed(alice, BROKER), user_agent=None))


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (b"", "not JSON in UTF-8"),
        (b"{", "not JSON in UTF-8"),
        (b"\xff\xfe", "not JSON in UTF-8"),
        ('{"version": "ä"}'.encode("latin-1"), "not JSON in UTF-8"),
        ('{"version": "2020_10_22"}'.encode("utf-16"), "not JSON in UTF-8"),
        (b"[" * 100_000, "not JSON in UTF-8"),
        (b'{"version":' + b"9" * 10_000 + b"}", "not JSON in UTF-8"),
        (b"[]", "not a JSON object"),
        (b'[["version", "2020_10_22"]]', "not a JSON object"),
        (b"null", "not a JSON object"),
        (b'{"version": 2020}', "not a JSON object whose values are strings"),
        (b'{"version": {"version": "2020_10_22"}}', "not a JSON object whose values are strings"),
        (b"{}", "The version is '' and has to be '2020_10_22'"),
        (b'{"version": "2021_01_01"}', "The version is '2021_01_01' and has to be '2020_10_22'"),
        (b'{"version": "2020_10_22", "password": "x"}', "There is no member 'password'"),
        (b'{"version": "2020_10_22", "version": "2020_10_22"}', "'version' is there more than once"),
    ],
)
def test_a_message_of_another_form_is_refused(java: Door, message: bytes, text: str) -> None:
    answer = refused(lambda: java.send(message))
    assert "Invalid authentication payload: " in answer
    assert text in answer


def test_a_member_that_comes_twice_is_refused(java: Door, alice: Key) -> None:
    message = payload(signed(alice, BROKER)).replace(b'"action"', b'"x-amz-expires": "900", "action"')
    assert "'x-amz-expires' is there more than once" in refused(lambda: java.send(message))


@pytest.mark.parametrize("host", ["b-2.orders.abc123.c2.kafka.us-east-1.amazonaws.com", ENDPOINT])
def test_a_signature_for_another_broker_is_refused(java: Door, alice: Key, host: str) -> None:
    text = f"It is signed for the host '{host}' and has to be for {BROKER} or localhost."
    java.refuses(signed(alice, host), text, host)


def test_a_host_that_only_looks_like_the_brokers_is_refused(clock: Clock, alice: Key) -> None:
    mechanism = AwsMskIam(MotoIdentities(ACCOUNT), {"kafka"}, REGION, clock)
    message = payload(signed(alice, "kafka"), "\u212aafka")  # a Kelvin sign, whose lower case is "k"
    assert "'host' has other characters" in refused(lambda: mechanism.respond(message))


def test_a_host_that_was_not_signed_is_refused(java: Door, alice: Key) -> None:
    java.refuses(signed(alice, BROKER), "The signature is not the one", "localhost")


def test_the_parameters_may_not_come_by_other_names(java: Door, alice: Key) -> None:
    message = payload(signed(alice, BROKER)).replace(b'"action"', b'"Action"')
    assert "There is no member 'Action'" in refused(lambda: java.send(message))


# OAUTHBEARER's messages.


def test_a_token_by_awss_library_lets_a_user_in(oauth: Door, alice: Key) -> None:
    assert oauth.send(bearer(token_of(alice))).principal == ALICE


def test_a_token_by_awss_library_lets_a_role_in(oauth: Door, reader: Key) -> None:
    assert oauth.send(bearer(token_of(reader))).principal == READER


def test_awss_library_takes_the_sessions_end_for_the_tokens(oauth: Door, alice: Key) -> None:
    with mock.patch.dict(os.environ, AWS_ACCESS_KEY_ID=alice.id, AWS_SECRET_ACCESS_KEY=alice.secret):
        token, expiry_ms = MSKAuthTokenProvider.generate_auth_token(REGION)
    assert oauth.send(bearer(token)).expires_at == expiry_ms / 1000


def test_a_good_token_is_answered_with_nothing(oauth: Door, alice: Key) -> None:
    assert oauth.open().respond(bearer(token_of(alice))) == b""


def test_extensions_are_let_pass(oauth: Door, alice: Key) -> None:
    oauth.send(bearer(token_of(alice), extensions="logicalCluster=lkc-1\x01traceId=a b\x01"))


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_scheme_may_be_written_in_any_case(oauth: Door, alice: Key, scheme: str) -> None:
    oauth.send(bearer(token_of(alice)).replace(b"Bearer", scheme.encode()))


def test_a_token_may_be_padded(oauth: Door, alice: Key) -> None:
    url = decoded(token_of(alice))
    url += "x" * ((1 - len(url)) % 3)  # in the user agent, for two characters of padding
    oauth.send(bearer(encoded(url) + "=="))


def test_the_order_of_the_parameters_does_not_matter(oauth: Door, alice: Key) -> None:
    """The libraries for Go and JavaScript sort them, User-Agent among the others."""
    url, _, query = decoded(token_of(alice)).partition("?")
    oauth.send(bearer(encoded(f"{url}?{'&'.join(sorted(query.split('&')))}")))


def test_a_url_may_lack_its_path(oauth: Door, alice: Key) -> None:
    """As AWS's Java library makes it."""
    oauth.send(bearer(encoded(decoded(token_of(alice)).replace("/?", "?"))))


def test_a_space_may_be_written_as_a_plus_sign(oauth: Door, alice: Key) -> None:
    """As the library for Go writes it."""
    query = signed(alice, ENDPOINT, Extra="a+b c")
    oauth.send(bearer(encoded(f"https://{ENDPOINT}/?{urlencode(query)}")))


def test_other_parameters_may_be_there_if_they_are_signed(oauth: Door, alice: Key) -> None:
    query = signed(alice, ENDPOINT, Extra="a+b /~")
    oauth.enter(query)
    oauth.refuses({**query, "Extra": "else"}, "The signature is not the one")
    oauth.refuses({**query, "Another": ""}, "The signature is not the one")


def test_a_bad_token_is_answered_before_the_client_is_refused(oauth: Door) -> None:
    mechanism = oauth.open()
    assert mechanism.respond(bearer("junk")) == INVALID_TOKEN
    assert not mechanism.complete
    assert "The token is not the base64url of a URL" in refused(lambda: mechanism.respond(b"\x01"))


def test_a_good_token_after_a_bad_one_is_refused(oauth: Door, alice: Key) -> None:
    mechanism = oauth.open()
    mechanism.respond(bearer("junk"))
    assert "not the base64url" in refused(lambda: mechanism.respond(bearer(token_of(alice))))
    assert not mechanism.complete


def test_a_client_may_ask_to_act_as_itself(oauth: Door, alice: Key) -> None:
    arn = ALICE.removeprefix("User:")
    assert oauth.send(bearer(token_of(alice), gs2=f"n,a={arn},")).principal == ALICE


def test_a_client_may_not_ask_to_act_as_another(oauth: Door, alice: Key) -> None:
    message = bearer(token_of(alice), gs2="n,a=bob=2C the =3Dother,")
    mechanism = oauth.open()
    assert "asks to act as 'bob, the =other'" in refused(lambda: mechanism.respond(message))
    assert not mechanism.complete


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\x01",
        b"\x00alice\x00password",
        b"n,,",
        b"n,,\x01\x01",
        b"n,,\x01auth=Bearer abc\x01",
        b"n,,\x01auth=Bearer abc\x01\x01more",
        b"n,,\x01auth=Basic abc\x01\x01",
        b"n,,\x01auth=Bearer \x01\x01",
        b"n,,\x01auth=Bearer a b\x01\x01",
        b"n,,\x01auth=Bearer \xe4\x01\x01",
        b"n,,\x01auth=Bearer abc\x01auth=Bearer abc\x01\x01",
        b"n,,\x01key=value\x01\x01",
        b"n,a=,\x01auth=Bearer abc\x01\x01",
        b"y,,\x01auth=Bearer abc\x01\x01",
        b"p=tls-unique,,\x01auth=Bearer abc\x01\x01",
    ],
)
def test_an_initial_response_of_another_form_is_refused_at_once(oauth: Door, message: bytes) -> None:
    mechanism = oauth.open()
    assert "Invalid authentication payload" in refused(lambda: mechanism.respond(message))


@pytest.mark.parametrize(
    ("token", "text"),
    [
        ("a", "not the base64url of a URL"),
        ("a+/b", "not the base64url of a URL"),
        ("eyJhbGciOiJub25lIn0.e30.", "not the base64url of a URL"),
        ("ab==cd", "not the base64url of a URL"),
        (base64.urlsafe_b64encode(b"\xff\xff").decode(), "not the base64url of a URL"),
        (encoded(f"https://{ENDPOINT}/?Action=%ff"), "not the base64url of a URL"),
        (encoded(f"https://{ENDPOINT}/?Action=\n"), "not the base64url of a URL"),
        (encoded("https://[::1/?Action="), "not the base64url of a URL"),
        (encoded("junk"), "not of the form https://<host>/?<parameters>"),
        (encoded(f"http://{ENDPOINT}/?Action=x"), "not of the form https://<host>/?<parameters>"),
        (encoded(f"https://{ENDPOINT}/path?Action=x"), "not of the form https://<host>/?<parameters>"),
        (encoded(f"https://{ENDPOINT}/?Action=x#y"), "not of the form https://<host>/?<parameters>"),
        (encoded(f"https://{ENDPOINT}/"), "Action is missing"),
    ],
)
def test_a_token_of_another_form_is_refused(oauth: Door, token: str, text: str) -> None:
    assert text in refused(lambda: oauth.send(bearer(token)))


@pytest.mark.parametrize(
    "parameter",
    ["X-Amz-Expires=900", "X%2DAmz-Expires=900", "Action=kafka-cluster%3AConnect", "User-Agent=x"],
)
def test_a_parameter_that_comes_twice_is_refused(oauth: Door, alice: Key, parameter: str) -> None:
    token = encoded(f"{decoded(token_of(alice))}&{parameter}")
    assert "is there more than once" in refused(lambda: oauth.send(bearer(token)))


@pytest.mark.parametrize(
    "host",
    [
        "kafka.us-west-2.amazonaws.com",
        "kafka.us-east-1.amazonaws.com.evil.example",
        "kafka.us-east-1.amazonaws.com:443",
        "user@kafka.us-east-1.amazonaws.com",
        BROKER,
        "",
    ],
)
def test_a_url_of_another_host_is_refused(oauth: Door, alice: Key, host: str) -> None:
    query = urlencode(signed(alice, ENDPOINT), quote_via=quote)
    message = bearer(encoded(f"https://{host}/?{query}"))
    assert f"and has to be for {ENDPOINT}." in refused(lambda: oauth.send(message))


def test_a_token_by_awss_library_for_another_region_is_refused(oauth: Door, alice: Key) -> None:
    token = token_of(alice, "us-west-2")
    text = refused(lambda: oauth.send(bearer(token)))
    assert "is signed for the host 'kafka.us-west-2.amazonaws.com' and has to be for" in text


def test_a_token_by_awss_library_is_of_no_use_when_it_is_old(oauth: Door, alice: Key) -> None:
    message = bearer(token_of(alice))
    oauth.clock.at = time.time() + EXPIRES
    assert "The signature has expired" in refused(lambda: oauth.send(message))


def test_a_token_is_of_no_use_to_the_other_mechanism(java: Door, oauth: Door, alice: Key) -> None:
    refused(lambda: java.send(bearer(token_of(alice))))
    refused(lambda: oauth.send(payload(signed(alice, BROKER))))


# Every way of being wrong, by both.


@pytest.mark.parametrize("at", [0, 63])
def test_a_changed_signature_is_refused(door: Door, alice: Key, at: int) -> None:
    query = signed(alice, door.host)
    right = query["X-Amz-Signature"]
    digit = "0" if right[at] != "0" else "1"
    door.refuses({**query, "X-Amz-Signature": right[:at] + digit + right[at + 1 :]}, "The signature is not")


@pytest.mark.parametrize(
    "change", [str.upper, lambda it: it[:-1], lambda it: it + "0", lambda it: it.replace("a", "\xe4")]
)
def test_a_signature_of_another_form_is_refused(door: Door, alice: Key, change: Callable[[str], str]) -> None:
    query = signed(alice, door.host)
    changed = change("a" + query["X-Amz-Signature"][1:])
    door.refuses({**query, "X-Amz-Signature": changed}, "is not 64 hexadecimal digits")


def test_a_signature_by_another_secret_is_refused(door: Door, alice: Key) -> None:
    text = f"The signature is not the one that the secret key of {alice.id} makes for '{door.host}'."
    door.refuses(signed(alice._replace(secret="guessed"), door.host), text)


def test_a_signature_by_another_users_secret_is_refused(door: Door, iam: Any, alice: Key) -> None:
    iam.create_user(UserName="mallory")
    mallory = new_key(iam, "mallory")
    door.refuses(signed(mallory._replace(id=alice.id), door.host), "The signature is not the one")


def test_a_region_other_than_the_clusters_is_refused(door: Door, alice: Key) -> None:
    query = signed(alice, door.host, region="us-west-2")
    door.refuses(query, "It is signed for the region 'us-west-2' and has to be for 'us-east-1'.")


def test_a_service_other_than_msk_is_refused(door: Door, alice: Key) -> None:
    query = signed(alice, door.host, service="sts")
    door.refuses(query, "It is signed for the service 'sts' and has to be for 'kafka-cluster'.")


def test_a_scope_of_another_day_is_refused(door: Door, alice: Key) -> None:
    credential = f"{alice.id}/20200101/us-east-1/kafka-cluster/aws4_request"
    query = resigned(alice, door.host, **{"X-Amz-Credential": credential})
    door.refuses(query, "It is signed for the date '20200101' and has to be for '20")


@pytest.mark.parametrize(
    "credential",
    [
        "",
        "AKIA",
        "/20260101/us-east-1/kafka-cluster/aws4_request",
        "AKIA/20260101/us-east-1/kafka-cluster/aws5_request",
        "AKIA/20260101/us-east-1/kafka-cluster/aws4_request/",
        "AK IA/20260101/us-east-1/kafka-cluster/aws4_request",
    ],
)
def test_a_credential_of_another_form_is_refused(door: Door, alice: Key, credential: str) -> None:
    query = {**signed(alice, door.host), "X-Amz-Credential": credential}
    door.refuses(
        query, "X-Amz-Credential is not of the form <access key id>/<yyyymmdd>/<region>/kafka-cluster/"
    )


def test_an_action_other_than_connect_is_refused(door: Door, alice: Key) -> None:
    query = signed(alice, door.host, action="kafka-cluster:ReadData")
    door.refuses(query, "Action is 'kafka-cluster:ReadData' and has to be 'kafka-cluster:Connect'.")


def test_an_algorithm_other_than_awss_is_refused(door: Door, alice: Key) -> None:
    query = resigned(alice, door.host, **{"X-Amz-Algorithm": "AWS4-ECDSA-P256-SHA256"})
    door.refuses(query, "X-Amz-Algorithm is 'AWS4-ECDSA-P256-SHA256' and has to be 'AWS4-HMAC-SHA256'.")


def test_headers_signed_beside_the_host_are_refused(door: Door, alice: Key) -> None:
    query = signed(alice, door.host, headers={"x-more": "signed"})
    door.refuses(query, "X-Amz-SignedHeaders is 'host;x-more' and has to be 'host'.")


@pytest.mark.parametrize(
    "name",
    [
        "Action",
        "X-Amz-Algorithm",
        "X-Amz-Credential",
        "X-Amz-Date",
        "X-Amz-Expires",
        "X-Amz-SignedHeaders",
        "X-Amz-Signature",
    ],
)
def test_a_missing_parameter_is_named(door: Door, alice: Key, name: str) -> None:
    query = signed(alice, door.host)
    del query[name]
    door.refuses(query, f"Invalid authentication payload: {name} is missing.")


def test_a_parameter_in_other_characters_than_ascii_is_refused(door: Door, alice: Key) -> None:
    for value in ("kafka-cluster:Cönnect", "kafka-cluster:Connect\x00", "\U0001f511"):
        door.refuses({**signed(alice, door.host), "Action": value}, "'Action' has other characters")


def test_a_long_value_is_not_repeated(door: Door, alice: Key) -> None:
    query = {**signed(alice, door.host), "Action": "x" * 10_000}
    door.refuses(query, "Action is a text of 10000 characters and has to be")


# Time.


def test_a_signature_is_good_until_it_expires(door: Door, alice: Key) -> None:
    query = signed(alice, door.host)
    door.clock.at = signed_at(query) + EXPIRES - 0.001
    door.enter(query)


@pytest.mark.parametrize("expires", [1, 60, EXPIRES])
def test_an_expired_signature_is_refused(door: Door, alice: Key, expires: int) -> None:
    query = signed(alice, door.host, expires=expires)
    door.clock.at = signed_at(query) + expires
    text = f"The signature has expired. It was signed at {query['X-Amz-Date']} for {expires} s, and"
    door.refuses(query, text)


def test_a_clock_that_is_ahead_by_five_minutes_is_suffered(door: Door, alice: Key) -> None:
    query = signed(alice, door.host)
    door.clock.at = signed_at(query) - 300
    door.enter(query)


def test_a_signature_from_the_future_is_refused(door: Door, alice: Key) -> None:
    query = signed(alice, door.host)
    door.clock.at = signed_at(query) - 300.001
    door.refuses(query, "The signature is not yet valid.")


@pytest.mark.parametrize("expires", [901, 3600, 0, -1, "", "abc", "9e2", "900 ", "9" * 5000])
def test_a_signature_may_be_good_for_fifteen_minutes_at_most(door: Door, alice: Key, expires: Any) -> None:
    door.refuses(signed(alice, door.host, expires=expires), "and has to be from 1 to 900 seconds.")


@pytest.mark.parametrize(
    "date",
    ["", "now", "20260231T000000Z", "00000101T000000Z", "2026-01-01T00:00:00Z", "20260101T000000+0100"],
)
def test_a_date_of_another_form_is_refused(door: Door, alice: Key, date: str) -> None:
    credential = f"{alice.id}/{date[:8]}/us-east-1/kafka-cluster/aws4_request"
    query = {**signed(alice, door.host), "X-Amz-Date": date, "X-Amz-Credential": credential}
    assert "Invalid authentication payload: X-Amz-" in refused(lambda: door.enter(query))


def test_a_test_that_freezes_time_does_not_freeze_the_brokers(alice: Key) -> None:
    real = time.time()
    query = signed(alice, BROKER)
    with freeze_time("2020-01-01"):
        mechanism = AwsMskIam(MotoIdentities(ACCOUNT), {BROKER}, REGION, lambda: real)
        mechanism.respond(payload(query))
        refused(
            lambda: AwsMskIam(MotoIdentities(ACCOUNT), {BROKER}, REGION, time.time).respond(payload(query))
        )
    assert mechanism.complete


# Keys that do not count.


def test_an_unknown_key_is_refused(door: Door, iam: Any) -> None:
    query = signed(Key("AKIAIOSFODNN7EXAMPLE", "secret"), door.host)
    door.refuses(query, "Access denied: There is no access key AKIAIOSFODNN7EXAMPLE.")


def test_an_inactive_key_is_refused_until_it_is_active_again(door: Door, iam: Any, alice: Key) -> None:
    iam.update_access_key(UserName="alice", AccessKeyId=alice.id, Status="Inactive")
    door.refuses(signed(alice, door.host), f"The access key {alice.id} is inactive.")
    iam.update_access_key(UserName="alice", AccessKeyId=alice.id, Status="Active")
    door.enter(signed(alice, door.host))


def test_a_deleted_key_is_refused(door: Door, iam: Any, alice: Key) -> None:
    iam.delete_access_key(UserName="alice", AccessKeyId=alice.id)
    door.refuses(signed(alice, door.host), f"There is no access key {alice.id}.")


def test_a_deleted_users_key_is_refused(door: Door, iam: Any, alice: Key) -> None:
    iam.delete_user(UserName="alice")
    door.refuses(signed(alice, door.host), f"There is no access key {alice.id}.")


def test_temporary_credentials_need_their_session_token(door: Door, reader: Key) -> None:
    query = signed(reader._replace(token=None), door.host)
    door.refuses(query, f"The credentials of {READER.removeprefix('User:')} are temporary and need")


@pytest.mark.parametrize("token", ["guessed", ""])
def test_another_session_token_than_the_issued_one_is_refused(door: Door, reader: Key, token: str) -> None:
    query = signed(reader._replace(token=token), door.host)
    door.refuses(query, "X-Amz-Security-Token is not the token that was issued to")


def test_another_sessions_token_is_refused(door: Door, sts: Any, reader: Key) -> None:
    other = session(sts, f"arn:aws:iam::{ACCOUNT}:role/reader")
    query = signed(reader._replace(token=other.token), door.host)
    door.refuses(query, "X-Amz-Security-Token is not the token that was issued to")


def test_a_session_token_put_in_after_signing_is_refused(door: Door, reader: Key) -> None:
    query = signed(reader._replace(token=None), door.host)
    door.refuses({**query, "X-Amz-Security-Token": reader.token or ""}, "The signature is not the one")


def test_a_users_key_takes_no_session_token(door: Door, alice: Key) -> None:
    query = signed(alice._replace(token="token"), door.host)
    door.refuses(query, "is a long-term one and takes no X-Amz-Security-Token.")


def test_credentials_whose_session_has_ended_are_refused(door: Door, reader: Key) -> None:
    ended = Identity("arn", reader.secret, reader.token, expires_at=time.time() - 1)
    door.identities = Known({reader.id: ended})
    text = f"Session too short: The temporary credentials {reader.id} expired at 20"
    door.refuses(signed(reader, door.host), text)


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A time zone that is not UTC."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("elsewhere")
def test_a_roles_credentials_end_when_moto_says(reader: Key) -> None:
    held = MotoIdentities(ACCOUNT).lookup(reader.id)
    assert held is not None
    assert held.expires_at is not None
    assert abs(held.expires_at - time.time() - 900) < 60


# Accounts and partitions.


def test_a_session_in_another_account_is_somebody_of_that_account(door: Door, sts: Any) -> None:
    key = session(sts, f"arn:aws:iam::{OTHER_ACCOUNT}:role/guest")
    principal = door.enter(signed(key, door.host)).principal
    assert principal == f"User:arn:aws:sts::{OTHER_ACCOUNT}:assumed-role/guest/laptop"


def test_other_accounts_are_unknown_where_only_some_are_named(door: Door, sts: Any, alice: Key) -> None:
    door.identities = MotoIdentities(ACCOUNT, [ACCOUNT])
    key = session(sts, f"arn:aws:iam::{OTHER_ACCOUNT}:role/guest")
    door.refuses(signed(key, door.host), f"There is no access key {key.id}.")
    door.enter(signed(alice, door.host))


def test_keys_of_another_partition_are_unknown(aws: boto3.Session) -> None:
    with mock_aws():
        iam = aws.client("iam", region_name="cn-north-1")
        iam.create_user(UserName="alice")
        key = new_key(iam)
        assert MotoIdentities(ACCOUNT).lookup(key.id) is None
        held = MotoIdentities(ACCOUNT, partition="aws-cn").lookup(key.id)
    assert held is not None
    assert held.arn == f"arn:aws-cn:iam::{ACCOUNT}:user/alice"


# Secrets, and what is imported.


def test_an_identity_shows_no_secret(reader: Key) -> None:
    shown = repr(MotoIdentities(ACCOUNT).lookup(reader.id))
    assert READER.removeprefix("User:") in shown
    assert reader.secret not in shown
    assert str(reader.token) not in shown


def test_a_lookup_imports_neither_moto_nor_botocore() -> None:
    program = (
        "import sys\n"
        "from pytest_msk.brokers.auth.iam import MotoIdentities\n"
        "assert MotoIdentities('123456789012').lookup('AKIA') is None\n"
        "print([name for name in ('moto', 'boto3', 'botocore') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# Whatever strangers send.

SOMEBODY = Key("AKIAIOSFODNN7EXAMPLE", "top secret", "issued token")
IDENTITIES = Known({SOMEBODY.id: Identity("arn", SOMEBODY.secret, SOMEBODY.token)})
MEMBERS = ["version", "host", *(name.lower() for name in signed(SOMEBODY, BROKER))]


def fuzzed(mechanism: str) -> Door:
    return Door(mechanism, IDENTITIES, Clock())


def let_in(door: Door, message: bytes) -> str | None:
    """Whom a message lets in; None where it is refused, by a text that betrays nothing."""
    text = ""
    try:
        return door.send(message).principal
    except AuthenticationFailed as error:
        text = str(error.text)
    assert text.isascii()
    assert text.isprintable()
    assert not [secret for secret in SOMEBODY[1:] if str(secret) in text]
    return None


JSON = st.recursive(
    st.none() | st.integers() | st.text(), lambda it: st.lists(it) | st.dictionaries(st.text(), it)
)
ANY_TEXT = st.text(st.characters())  # halves of surrogate pairs too, unlike text()'s own


@given(st.binary())
def test_random_bytes_are_refused(message: bytes) -> None:
    assert let_in(fuzzed("AWS_MSK_IAM"), message) is None
    assert let_in(fuzzed("OAUTHBEARER"), message) is None


@given(JSON)
def test_random_json_is_refused(value: Any) -> None:
    assert let_in(fuzzed("AWS_MSK_IAM"), json.dumps(value).encode()) is None


@given(st.dictionaries(st.sampled_from(MEMBERS), ANY_TEXT, min_size=1))
def test_a_login_with_other_values_is_refused(changes: dict[str, str]) -> None:
    members = json.loads(payload(signed(SOMEBODY, BROKER))) | changes
    assert let_in(fuzzed("AWS_MSK_IAM"), json.dumps(members).encode()) is None


@given(ANY_TEXT)
def test_what_a_client_says_of_itself_does_not_matter(user_agent: str) -> None:
    message = payload(signed(SOMEBODY, BROKER), user_agent=user_agent)
    assert let_in(fuzzed("AWS_MSK_IAM"), message) == "User:arn"


@given(st.sampled_from(["", "https://", f"https://{ENDPOINT}/?"]), st.text(st.characters(max_codepoint=127)))
def test_random_urls_are_refused(start: str, url: str) -> None:
    assert let_in(fuzzed("OAUTHBEARER"), bearer(encoded(start + url))) is None


@given(st.binary())
def test_random_tokens_are_refused(data: bytes) -> None:
    message = bearer(base64.urlsafe_b64encode(data).decode())
    assert let_in(fuzzed("OAUTHBEARER"), message) is None


@given(st.sampled_from(["AWS_MSK_IAM", "OAUTHBEARER"]), st.data())
def test_a_login_with_one_byte_changed_is_nobody_elses(mechanism: str, data: st.DataObject) -> None:
    door = fuzzed(mechanism)
    message = bytearray(door.message(signed(SOMEBODY, door.host)))
    message[data.draw(st.integers(0, len(message) - 1))] = data.draw(st.integers(0, 255))
    assert let_in(door, bytes(message)) in (None, "User:arn")
