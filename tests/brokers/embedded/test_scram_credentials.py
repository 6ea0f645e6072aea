"""What an embedded cluster keeps of SCRAM users; what it answers is in the conformance suite."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest

from pytest_msk.brokers.admin import Admin, KafkaRequestError
from pytest_msk.brokers.admin.scram import remove_scram_users, scram_users, set_scram_passwords
from pytest_msk.brokers.embedded.api import SERVED, Peer, Request
from pytest_msk.brokers.embedded.cluster import Cluster
from pytest_msk.brokers.embedded.dispatch import served_versions
from pytest_msk.brokers.wire.message import Message
from pytest_msk.mock import MockMsk
from tests.brokers.embedded.clusters import ask, cluster_of

SHA_256, SHA_512 = 1, 2
SALT = b"W22ZaJ0SNY7soEsUEjb6gQ=="


def put(user: str, mechanism: int, salted_password: bytes) -> Message:
    return Message(
        name=user,
        mechanism=mechanism,
        iterations=4096,
        salt=base64.b64decode(SALT),
        salted_password=salted_password,
    )


def alter(cluster: Cluster, *upsertions: Message, broker: int = 1) -> list[int]:
    answer = ask(cluster, "AlterUserScramCredentials", 0, broker, deletions=[], upsertions=list(upsertions))
    return [result.error_code for result in answer.results]


def test_what_is_kept_checks_the_proof_of_rfc_7677() -> None:
    """The example of RFC 7677: user ``user``, password ``pencil``."""
    cluster = cluster_of()
    salted = hashlib.pbkdf2_hmac("sha256", b"pencil", base64.b64decode(SALT), 4096)
    assert alter(cluster, put("user", SHA_256, salted)) == [0]
    kept = cluster.scram_credentials.by_user["user"][SHA_256]
    messages = (
        b"n=user,r=rOprNGfwEbeRWgbNEkqO,"
        b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,"
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    )
    signature = hmac.digest(kept.stored_key, messages, "sha256")
    proof = base64.b64decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
    client_key = bytes(one ^ other for one, other in zip(proof, signature, strict=True))
    assert hashlib.sha256(client_key).digest() == kept.stored_key
    server_signature = hmac.digest(kept.server_key, messages, "sha256")
    assert base64.b64encode(server_signature) == b"6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


def test_nothing_that_is_kept_is_shown() -> None:
    cluster = cluster_of()
    alter(cluster, put("ann", SHA_512, b"salted"))
    [kept] = cluster.scram_credentials.by_user["ann"].values()
    assert repr(kept) == "Credential(iterations=4096)"


def test_a_request_that_was_served_has_no_password_any_more() -> None:
    """Since the journal keeps it."""
    cluster = cluster_of()
    body = Message(deletions=[], upsertions=[put("ann", SHA_512, b"salted"), put("", SHA_512, b"salted")])
    request = Request(cluster.brokers[1], "AlterUserScramCredentials", 0, "tests", body, Peer("", "tls"))
    SERVED[request.api].handler(request)
    assert [each.salted_password for each in body.upsertions] == [b"", b""]


def test_users_outlive_the_brokers() -> None:
    cluster = cluster_of()
    alter(cluster, put("ann", SHA_512, b"salted"))
    for broker_id in (1, 2, 3):
        cluster.stop_broker(broker_id)
        cluster.start_broker(broker_id)
    added = cluster.add_broker(4)
    answer = ask(cluster, "DescribeUserScramCredentials", 0, added.id, users=None)
    assert [result.user for result in answer.results] == ["ann"]


def test_an_empty_list_asks_for_all_users() -> None:
    cluster = cluster_of()
    alter(cluster, put("ann", SHA_512, b"salted"), put("bob", SHA_256, b"salted"))
    answer = ask(cluster, "DescribeUserScramCredentials", 0, users=[])
    assert sorted(result.user for result in answer.results) == ["ann", "bob"]


@pytest.mark.parametrize(("release", "served"), [((2, 6, 2), False), ((2, 7, 0), True), ((4, 3, 1), True)])
def test_releases_that_have_the_apis(release: tuple[int, ...], served: bool) -> None:
    apis = {"DescribeUserScramCredentials", "AlterUserScramCredentials"}
    assert apis & served_versions(release).keys() == (apis if served else set())


def test_administrators_set_and_remove_users(msk: MockMsk) -> None:
    cluster = msk.cluster(brokers=3)
    with Admin(cluster._internal_bootstrap()) as admin:
        set_scram_passwords(admin, {"ann": "pencil", "bjørn": "blyant ✎"})
        assert scram_users(admin) == {"ann", "bjørn"}
        set_scram_passwords(admin, {"ann": "another"})
        # Those that are not there are passed over.
        remove_scram_users(admin, ["ann", "carol"])
        assert scram_users(admin) == {"bjørn"}
        with pytest.raises(KafkaRequestError) as caught:
            set_scram_passwords(admin, {"": "nameless"})
    assert caught.value.code_name == "UNACCEPTABLE_CREDENTIAL"
    journal = "".join(repr(vars(each.body)) for each in cluster.requests(client_id="pytest-msk-admin"))
    assert "ann" in journal
    assert not any(password in journal for password in ("pencil", "another", "blyant"))


def test_a_password_is_salted_as_kafka_does_it(msk: MockMsk) -> None:
    cluster = msk.cluster()
    sent: list[Message] = []

    def take(request: Request) -> None:
        sent.extend(Message(**vars(each)) for each in request.body.upsertions)

    with cluster.on("AlterUserScramCredentials", take), Admin(cluster._internal_bootstrap()) as admin:
        set_scram_passwords(admin, {"ann": "blyant ✎", "bob": "blyant ✎"})
    ann, bob = sent
    assert (ann.name, ann.mechanism, ann.iterations) == ("ann", SHA_512, 4096)
    assert ann.salt != bob.salt
    assert ann.salted_password == hashlib.pbkdf2_hmac("sha512", "blyant ✎".encode(), ann.salt, 4096)
