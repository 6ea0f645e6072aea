from __future__ import annotations

import asyncio
import datetime as dt
import functools
import hashlib
import os
import ssl
import stat
import struct
import tempfile
from pathlib import Path
from typing import Any

import boto3
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, pkcs12
from cryptography.x509.oid import NameOID
from freezegun import freeze_time
from hypothesis import given
from hypothesis import strategies as st
from moto import mock_aws

from pytest_msk.brokers.auth.certificates import Authority, KeyPair, principal, server_context
from pytest_msk.errors import MskUsageError

EXPIRED = dt.timedelta(days=-30)
HOST = "b-1.orders.abc123.c2.kafka.us-east-1.amazonaws.com"
WILDCARD = "*.orders.abc123.c2.kafka.us-east-1.amazonaws.com"

AUTHORITY = Authority.make("orders")
SERVER = AUTHORITY.server([WILDCARD])
DER = ssl.PEM_cert_to_DER_cert(SERVER.certificate.decode())


def trusting(authority: Authority, pair: KeyPair | None = None) -> ssl.SSLContext:
    """A client as strict as any, with a certificate of its own or none."""
    context = ssl.create_default_context(cadata=authority.pem.decode())
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    if pair is not None:
        with tempfile.TemporaryDirectory() as folder:
            context.load_cert_chain(*pair.write(Path(folder)))
    return context


def speak(server_side: ssl.SSLContext, client_side: ssl.SSLContext, host: str = "localhost") -> ssl.SSLObject:
    """Shake hands and pass a message each way; the server's end, or the error of the end that refuses."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = server_side.wrap_bio(to_server, to_client, server_side=True)
    client = client_side.wrap_bio(to_client, to_server, server_hostname=host)
    waiting = [client.do_handshake, server.do_handshake]
    while waiting:
        step = waiting.pop(0)
        try:
            step()
        except ssl.SSLWantReadError:
            waiting.append(step)
    client.write(b"ping")
    assert server.read() == b"ping"
    server.write(b"pong")
    assert client.read() == b"pong"
    return server


def seen(server: ssl.SSLObject) -> str | None:
    der = server.getpeercert(binary_form=True)
    return None if der is None else principal(der)


# Servers


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1", HOST])
def test_a_client_that_trusts_the_authority_speaks_with_brokers_by_each_of_their_names(
    version: ssl.TLSVersion, host: str
) -> None:
    client = trusting(AUTHORITY)
    client.minimum_version = client.maximum_version = version

    assert speak(server_context(SERVER), client, host).version() == version.name.replace("_", ".")


def test_tls_1_1_is_refused() -> None:
    client, server, willing = trusting(AUTHORITY), server_context(SERVER), server_context(SERVER)
    for context in (client, server, willing):
        context.set_ciphers("DEFAULT@SECLEVEL=0")
    for context, limit in zip((client, client, willing), ("minimum", "maximum", "minimum"), strict=True):
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            setattr(context, f"{limit}_version", ssl.TLSVersion.TLSv1_1)

    # With a server that takes it, so that nothing else is what refuses.
    assert speak(willing, client).version() == "TLSv1.1"
    with pytest.raises(ssl.SSLError, match="UNSUPPORTED_PROTOCOL"):
        speak(server, client)


def test_a_client_that_trusts_another_authority_refuses_brokers() -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="self-signed certificate"):
        speak(server_context(SERVER), trusting(Authority.make("other")))


def test_authorities_that_share_a_name_are_told_apart() -> None:
    twin = Authority.make("orders")
    both = trusting(AUTHORITY)
    both.load_verify_locations(cadata=twin.pem.decode())

    for authority in (AUTHORITY, twin):
        speak(server_context(authority.server([])), both)
    with pytest.raises(ssl.SSLCertVerificationError):
        speak(server_context(twin.server([])), trusting(AUTHORITY))


def test_a_client_refuses_brokers_whose_certificate_has_expired() -> None:
    expired = AUTHORITY.server([], valid_for=EXPIRED)

    with pytest.raises(ssl.SSLCertVerificationError, match="certificate has expired"):
        speak(server_context(expired), trusting(AUTHORITY))


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1"])
def test_a_client_refuses_brokers_whose_certificate_is_another_hosts(host: str) -> None:
    other = server_context(AUTHORITY.server(["other.example", "192.0.2.1"], local=False))

    with pytest.raises(ssl.SSLCertVerificationError, match=r"(Hostname|IP address) mismatch"):
        speak(other, trusting(AUTHORITY), host)
    for its_own in ("other.example", "192.0.2.1"):
        speak(other, trusting(AUTHORITY), its_own)


@pytest.mark.parametrize("moment", ["2001-09-09", "2090-01-01"])
def test_certificates_go_by_real_time_where_a_test_has_frozen_its_own(moment: str) -> None:
    with freeze_time(moment):
        authority = Authority.make("frozen")
        pair = authority.server([])

    speak(server_context(pair), trusting(authority))


def test_a_certificate_is_valid_from_a_day_ago_for_as_long_as_was_asked() -> None:
    pair = AUTHORITY.client("orders", valid_for=dt.timedelta(hours=1))

    certificate = x509.load_pem_x509_certificate(pair.certificate)
    assert certificate.not_valid_after_utc - certificate.not_valid_before_utc == dt.timedelta(days=1, hours=1)


def test_a_listener_leaves_no_file_behind_and_shows_its_key_to_its_owner_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes = []
    real = ssl.SSLContext.load_cert_chain

    def load(self: ssl.SSLContext, file: str) -> None:
        modes.append(stat.S_IMODE(os.stat(file).st_mode))
        assert Path(file).parent == tmp_path
        real(self, file)

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", load)
    server_context(SERVER)
    with pytest.raises(ssl.SSLError, match="KEY_VALUES_MISMATCH"):
        server_context(KeyPair(SERVER.certificate, AUTHORITY.client("x").key))

    assert modes == [0o600, 0o600]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("names", [[], ["bücher.example"]])
def test_a_server_without_a_name_or_with_one_that_dns_lacks_is_refused(names: list[str]) -> None:
    with pytest.raises(MskUsageError, match="name"):
        AUTHORITY.server(names, local=False)


# Clients


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_client_is_known_by_its_certificate(version: ssl.TLSVersion) -> None:
    pair = AUTHORITY.client("CN=orders,OU=sales,O=Shop")
    client = trusting(AUTHORITY, pair)
    client.minimum_version = client.maximum_version = version

    for require in (True, False):
        server = server_context(SERVER, [AUTHORITY.pem], require=require)
        assert seen(speak(server, client)) == pair.principal == "User:CN=orders,OU=sales,O=Shop"


def test_a_client_without_a_certificate_is_refused_where_one_is_required() -> None:
    with pytest.raises(ssl.SSLError, match="PEER_DID_NOT_RETURN_A_CERTIFICATE"):
        speak(server_context(SERVER, [AUTHORITY.pem], require=True), trusting(AUTHORITY))


def test_a_client_is_nameless_where_no_certificate_is_required_or_asked_for() -> None:
    client = trusting(AUTHORITY, AUTHORITY.client("orders"))

    assert seen(speak(server_context(SERVER, [AUTHORITY.pem]), trusting(AUTHORITY))) is None
    assert seen(speak(server_context(SERVER), client)) is None


@pytest.mark.parametrize("require", [True, False])
@pytest.mark.parametrize(
    ("pair", "why"),
    [
        pytest.param(Authority.make("orders").client("orders"), "self-signed", id="another authority"),
        pytest.param(AUTHORITY.client("orders", valid_for=EXPIRED), "certificate has expired", id="expired"),
        pytest.param(AUTHORITY.server([]), "certificate purpose", id="a server's"),
    ],
)
def test_a_client_with_a_bad_certificate_is_refused_even_where_none_is_required(
    pair: KeyPair, why: str, require: bool
) -> None:
    client = trusting(AUTHORITY, pair)

    with pytest.raises(ssl.SSLCertVerificationError, match=why):
        speak(server_context(SERVER, [AUTHORITY.pem], require=require), client)


def test_each_of_several_authorities_lets_its_clients_in() -> None:
    sales, stock, other = (Authority.make(name) for name in ("sales", "stock", "other"))
    server = server_context(SERVER, [sales.pem, stock.pem], require=True)

    for authority in (sales, stock):
        client = trusting(AUTHORITY, authority.client("orders"))
        assert seen(speak(server, client)) == "User:CN=orders"
    with pytest.raises(ssl.SSLCertVerificationError):
        speak(server, trusting(AUTHORITY, other.client("orders")))


def test_what_is_trusted_need_not_be_a_root() -> None:
    pair = AUTHORITY.client("orders")

    server = server_context(SERVER, [pair.certificate], require=True)

    assert seen(speak(server, trusting(AUTHORITY, pair))) == "User:CN=orders"


def test_certificates_of_clients_cannot_be_required_without_an_authority() -> None:
    with pytest.raises(MskUsageError, match="no authority"):
        server_context(SERVER, require=True)


def test_what_acm_private_ca_signs_is_let_in() -> None:
    with mock_aws():
        authority, pair = by_acm("orders", "CN=orders,OU=sales")
        other, _ = by_acm("other", "CN=other")
    client = trusting(AUTHORITY, pair)

    assert seen(speak(server_context(SERVER, [authority], require=True), client)) == "User:CN=orders,OU=sales"
    with pytest.raises(ssl.SSLCertVerificationError):
        speak(server_context(SERVER, [other], require=True), client)


def by_acm(authority: str, subject: str) -> tuple[bytes, KeyPair]:
    """The certificate of a root authority that ACM Private CA keeps, and a client's that it signed."""
    acm: Any = boto3.client("acm-pca", region_name="us-east-1")
    arn = acm.create_certificate_authority(
        CertificateAuthorityConfiguration={
            "KeyAlgorithm": "RSA_2048",
            "SigningAlgorithm": "SHA256WITHRSA",
            "Subject": {"CommonName": authority},
        },
        CertificateAuthorityType="ROOT",
    )["CertificateAuthorityArn"]
    of = {"CertificateAuthorityArn": arn}

    def issue(csr: bytes, **template: str) -> dict[str, str]:
        days = {"Type": "DAYS", "Value": 30}
        issued = acm.issue_certificate(
            Csr=csr, SigningAlgorithm="SHA256WITHRSA", Validity=days, **template, **of
        )
        got: dict[str, str] = acm.get_certificate(CertificateArn=issued["CertificateArn"], **of)
        return got

    own = acm.get_certificate_authority_csr(**of)["Csr"].encode()
    root = issue(own, TemplateArn="arn:aws:acm-pca:::template/RootCACertificate/V1")["Certificate"]
    acm.import_certificate_authority_certificate(Certificate=root.encode(), **of)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name.from_rfc4514_string(subject)
    csr = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    signed = issue(csr.public_bytes(Encoding.PEM))
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    trusted = acm.get_certificate_authority_certificate(**of)["Certificate"].encode()
    return trusted, KeyPair(signed["Certificate"].encode(), private, signed["CertificateChain"].encode())


def test_over_a_socket_brokers_learn_who_is_there() -> None:
    async def tell(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.write(principal(der).encode())
        await writer.drain()
        writer.close()

    async def ask() -> bytes:
        context = server_context(SERVER, [AUTHORITY.pem], require=True)
        server = await asyncio.start_server(tell, "127.0.0.1", 0, ssl=context)
        port = server.sockets[0].getsockname()[1]
        client = trusting(AUTHORITY, AUTHORITY.client("orders"))
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client)
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()
        return answer

    assert asyncio.run(ask()) == b"User:CN=orders"


# Files and stores


def test_keys_are_not_in_the_repr_of_anything() -> None:
    assert SERVER.key.startswith(b"-----BEGIN PRIVATE KEY-----\n")
    assert "PRIVATE" not in repr([AUTHORITY, SERVER])
    assert SERVER.key.decode().splitlines()[1] not in repr([AUTHORITY, SERVER])


def test_files_are_their_owners_only_and_are_replaced_not_overwritten(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    before = os.umask(0)
    try:
        certificate, key = SERVER.write(folder)
        key.chmod(0o644)
        os.link(key, tmp_path / "seen before")
        pair = AUTHORITY.client("orders")
        assert pair.write(folder) == (certificate, key) == (folder / "client.pem", folder / "client.key")
    finally:
        os.umask(before)

    assert certificate.read_bytes() == pair.certificate + AUTHORITY.pem
    assert key.read_bytes() == pair.key
    assert (tmp_path / "seen before").read_bytes() == SERVER.key
    assert [stat.S_IMODE(path.stat().st_mode) for path in (folder, certificate, key)] == [0o700, 0o600, 0o600]
    assert sorted(folder.iterdir()) == [key, certificate]


def test_files_that_cannot_be_put_in_place_leave_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "mine.key").mkdir()

    with pytest.raises(OSError, match="directory"):
        SERVER.write(tmp_path, "mine")

    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.key", "mine.pem"]


def test_a_keystore_holds_key_certificate_and_chain() -> None:
    store = pkcs12.load_pkcs12(SERVER.keystore("secret of ours"), b"secret of ours")

    assert store.key is not None
    assert store.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) == SERVER.key
    assert store.cert is not None
    assert store.cert.friendly_name == b"kafka"
    assert store.cert.certificate.public_bytes(Encoding.PEM) == SERVER.certificate
    assert [one.certificate.public_bytes(Encoding.PEM) for one in store.additional_certs] == [AUTHORITY.pem]
    with pytest.raises(ValueError, match="password"):
        pkcs12.load_pkcs12(SERVER.keystore("secret of ours"), b"another")
    alone = KeyPair(SERVER.certificate, SERVER.key)
    assert pkcs12.load_pkcs12(alone.keystore("secret"), b"secret").additional_certs == []


def test_a_truststore_of_kind_pkcs12_holds_the_authority_alone() -> None:
    store = pkcs12.load_pkcs12(AUTHORITY.truststore("changeit"), b"changeit")

    assert store.key is None
    assert [one.certificate.public_bytes(Encoding.PEM) for one in store.additional_certs] == [AUTHORITY.pem]
    assert [one.friendly_name for one in store.additional_certs] == [b"caroot"]


def test_a_truststore_of_kind_jks_holds_the_authority_alone() -> None:
    store = AUTHORITY.truststore("changeit", "JKS")

    body, digest = store[:-20], store[-20:]
    phrase = b"\0c\0h\0a\0n\0g\0e\0i\0tMighty Aphrodite"
    assert digest == hashlib.sha1(phrase + body, usedforsecurity=False).digest()
    head = struct.Struct(">IIIIH6sQH5sI")
    *numbers, alias, made_at, _, kind, length = head.unpack_from(body)
    assert (*numbers, alias, kind) == (0xFEEDFEED, 2, 1, 2, len(alias), b"caroot", b"X.509")
    assert length == len(body) - head.size
    assert ssl.DER_cert_to_PEM_cert(body[head.size :]).encode() == AUTHORITY.pem
    age = dt.datetime.now(dt.UTC) - dt.datetime.fromtimestamp(made_at / 1000, dt.UTC)
    assert dt.timedelta(minutes=-1) < age < dt.timedelta(minutes=1)


def test_stores_need_a_password() -> None:
    for make in (SERVER.keystore, AUTHORITY.truststore, functools.partial(AUTHORITY.truststore, kind="JKS")):
        with pytest.raises(MskUsageError, match="password"):
            make("")


def test_a_truststore_of_a_kind_that_cannot_be_made_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MskUsageError, match="PKCS12 or JKS"):
        AUTHORITY.truststore("changeit", "BCFKS")  # type: ignore[arg-type]
    monkeypatch.delattr(pkcs12, "serialize_java_truststore", raising=False)
    with pytest.raises(MskUsageError, match="cryptography 45 or later"):
        AUTHORITY.truststore("changeit")


# Principals


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        ("orders", "CN=orders"),
        ("orders, of Shop", r"CN=orders\, of Shop"),
        ("CN=orders,OU=sales,O=Shop", "CN=orders,OU=sales,O=Shop"),
        (r"CN=Doe\, Jane,L=Köln,ST=NRW,C=DE", r"CN=Doe\, Jane,L=Köln,ST=NRW,C=DE"),
        ("STREET=Elm 1,DC=shop,DC=example,UID=u1", "STREET=Elm 1,DC=shop,DC=example,UID=u1"),
        ("CN=a,1.2.840.113549.1.9.1=b@c.d", "CN=a,1.2.840.113549.1.9.1=#16056240632e64"),
        ("CN=a,2.5.4.4=Doe,2.5.4.5=7", "CN=a,2.5.4.4=#0c03446f65,2.5.4.5=#130137"),
        ("CN=a,2.999.1=b", "CN=a,2.999.1=#0c0162"),
        (r"CN=\ \#a\#b \ ", r"CN=\ \#a\#b\ \ "),
        (r"CN=a\=b\<c\>d\;e\"f\\g\+h", r"CN=a\=b\<c\>d\;e\"f\\g\+h"),
        (r"CN=a\00b", r"CN=a\00b"),
        ("CN=\ta*/@\n", "CN=\ta*/@\n"),
        ("CN=漢😀", "CN=漢😀"),
        (r"CN=\ ", r"CN=\ "),
    ],
)
def test_a_principal_is_what_java_writes(subject: str, expected: str) -> None:
    assert AUTHORITY.client(subject).principal == f"User:{expected}"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("", ""),
        ("310d300b060355040313046f6e6c79", "CN=only"),
        ("310b300906035504031402c3a9", "CN=é"),  # T61String, for UTF-8
        ("310b300906035504031e020061", r"CN=\00a"),  # BMPString, for UTF-8
        ("310b300906035504031b026162", "CN=ab"),  # GeneralString
        ("310b3009060355040312023132", "CN=#12023132"),  # NumericString
        ("310b300906035504031c026162", "CN=#1c026162"),  # UniversalString
        ("310b300906035504030c02200d", "CN=\\ \\\r"),
        ("310a300806035504030c01ff", "CN=\ufffd"),
        ("31143008060355040313017a3008060355040b130161", "CN=z+OU=a"),  # as they come
    ],
)
def test_a_principal_is_what_java_writes_of_names_that_others_sign(name: str, expected: str) -> None:
    for version in (b"", b"\xa0\x03\x02\x01\x02"):  # Version 1 is not written, version 3 is.
        assert principal(certificate_of(bytes.fromhex(name), version)) == f"User:{expected}"


def certificate_of(name: bytes, version: bytes) -> bytes:
    """DER with this subject, and no more than a certificate must have."""
    empty = b"\x30\x00"
    body = version + b"\x02\x01\x01" + 3 * empty + b"\x30" + bytes([len(name)]) + name + empty
    whole = b"\x30" + bytes([len(body)]) + body + empty + b"\x03\x01\x00"
    return b"\x30" + bytes([len(whole)]) + whole


# cryptography does not read the carriage return that Java escapes.
TEXTS = st.text(st.characters(exclude_characters="\r", exclude_categories=["Cs"]), min_size=1, max_size=16)


@given(TEXTS)
def test_a_principal_reads_back_as_the_subject_it_came_from(unit: str) -> None:
    name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit)])

    made = AUTHORITY.client(name.rfc4514_string()).principal

    assert x509.Name.from_rfc4514_string(made.removeprefix("User:")) == name


@given(st.binary() | st.tuples(st.integers(0, len(DER)), st.binary(max_size=8)))
def test_what_is_no_certificate_has_no_principal(data: bytes | tuple[int, bytes]) -> None:
    if isinstance(data, tuple):
        at, instead = data
        data = DER[:at] + instead + DER[at + len(instead) :]

    try:
        found = principal(data)
    except ValueError as error:
        assert str(error) == "no X.509 certificate"  # noqa: PT017
    else:
        assert found.startswith("User:")


def test_half_a_certificate_has_no_principal() -> None:
    half_an_oid = certificate_of(bytes.fromhex("310b3009060355048413023132"), b"")
    for half in (half_an_oid, *(DER[:size] for size in range(len(DER)))):
        with pytest.raises(ValueError, match=r"no X\.509 certificate"):
            principal(half)


@pytest.mark.parametrize(
    "subject", ["", "x" * 65, "CN=a, OU=b", "CN=", "XX=a", r"CN=\zz", "C=Germany", "CN=a,", "="]
)
def test_a_subject_that_no_certificate_can_have_is_refused(subject: str) -> None:
    with pytest.raises(MskUsageError, match="name"):
        AUTHORITY.client(subject)


def test_an_authority_needs_a_name_that_a_certificate_can_have() -> None:
    with pytest.raises(MskUsageError, match="1 to 64 bytes"):
        Authority.make("x" * 65)
