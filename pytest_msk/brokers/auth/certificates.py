"""Certificates of a cluster: its authority, its brokers' and its clients' certificates, and TLS with them.

Imports ``cryptography`` and ``ssl``: import this module only where a cluster has a TLS listener.

AWS has brokers' certificates signed by Amazon Trust Services, which clients trust already. Here every cluster
has an authority of its own, whose certificate tests hand to their clients.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import ipaddress
import os
import ssl
import struct
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    pkcs12,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pytest_msk.errors import MskUsageError

VALID_FOR = dt.timedelta(days=3650)
"""How long authorities and their certificates are valid, where the caller names no other time."""

LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
"""Where clients of this machine find brokers."""

_EARLIER = dt.timedelta(days=1)  # Clocks of containers may lag a little.
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
# In a tuple, where tools that freeze time for a test (freezegun) do not look for functions to replace: those
# who check certificates, OpenSSL and Java, go by the real time.
_REAL = (time.time,)


@dataclass(frozen=True)
class KeyPair:
    """A certificate and its private key.

    Args:
        certificate: PEM, one certificate.
        key: PEM, PKCS #8, unencrypted. Not in the ``repr``.
        chain: PEM, certificates of its issuers, nearest first; may be empty.
    """

    certificate: bytes
    key: bytes = field(repr=False)
    chain: bytes = field(default=b"", repr=False)

    @property
    def principal(self) -> str:
        """What Kafka calls a client that comes with this certificate: see `principal`."""
        return principal(ssl.PEM_cert_to_DER_cert(self.certificate.decode("ascii")))

    @property
    def certificates(self) -> bytes:
        """PEM, certificate and chain, as a TLS listener or client shows them."""
        # What ACM Private CA gives ends without a newline.
        return b"".join(pem.strip() + b"\n" for pem in (self.certificate, self.chain) if pem)

    def keystore(self, password: str) -> bytes:
        """PKCS #12 with key, certificate and chain, for Java (``ssl.keystore.type=PKCS12``).

        Java 8u301, 11.0.12 and later read it: key and certificates are encrypted by AES.

        Args:
            password: of the store and of the key; not empty.
        """
        return pkcs12.serialize_key_and_certificates(
            b"kafka",
            load_pem_private_key(self.key, password=None),  # type: ignore[arg-type]
            x509.load_pem_x509_certificate(self.certificate),
            x509.load_pem_x509_certificates(self.chain) if self.chain else None,
            BestAvailableEncryption(_checked(password)),
        )

    def write(self, directory: Path, name: str = "client") -> tuple[Path, Path]:
        """Files as librdkafka, Python's ``ssl`` and OpenSSL want them, of mode 0600 from the first byte on.

        A file that was there is replaced in one step: who reads it meanwhile reads the old or the new one.

        Args:
            directory: made, of mode 0700, where it is not there.
            name: of both files, before ``.pem`` and ``.key``.

        Returns:
            The certificate's file, which holds the chain too, and the key's file.
        """
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        return (
            _write(directory / f"{name}.pem", self.certificates),
            _write(directory / f"{name}.key", self.key),
        )


class Authority:
    """A certificate authority in memory. ``repr`` and files never show its key."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        self._key = key
        self._certificate = certificate

    @classmethod
    def make(cls, name: str) -> Authority:
        """A new authority with a key of its own (EC P-256), valid for ten years from a day ago.

        Args:
            name: its common name, 1 to 64 bytes of UTF-8. Authorities may share a name. Its organization is
                ``pytest-msk``, so that no client of that name looks as if it had signed itself.

        Raises:
            MskUsageError: the name is too short or too long.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        organization = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "pytest-msk")
        subject = x509.Name([organization, *_common_name(name)])
        builder = (
            _builder(subject, key.public_key(), VALID_FOR)
            .issuer_name(subject)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(authority=True), critical=True)
        )
        return cls(key, builder.sign(key, hashes.SHA256()))

    @property
    def pem(self) -> bytes:
        """Its certificate: what clients trust (``ssl.ca.location``, ``cafile``)."""
        return self._certificate.public_bytes(Encoding.PEM)

    def truststore(self, password: str, kind: Literal["PKCS12", "JKS"] = "PKCS12") -> bytes:
        """A store that holds its certificate alone, for Java's ``ssl.truststore.location``.

        Args:
            password: of the store; not empty. It keeps no secret: it only protects against change.
            kind: ``ssl.truststore.type``.

        Raises:
            MskUsageError: the password is empty, or there is no such kind; PKCS12 needs cryptography 45.
        """
        secret = _checked(password)
        if kind == "JKS":
            return _java_key_store(self._certificate.public_bytes(Encoding.DER), password)
        if kind != "PKCS12":
            raise MskUsageError(f"there is no kind of truststore {kind!r}: PKCS12 or JKS")
        # Java trusts no certificate of a PKCS #12 file that lacks an attribute of Java's own.
        serialize = getattr(pkcs12, "serialize_java_truststore", None)
        if serialize is None:
            raise MskUsageError("a truststore of kind PKCS12 needs cryptography 45 or later; JKS does not")
        entry = pkcs12.PKCS12Certificate(self._certificate, b"caroot")
        store: bytes = serialize([entry], BestAvailableEncryption(secret))
        return store

    def server(
        self, names: Sequence[str], *, local: bool = True, valid_for: dt.timedelta = VALID_FOR
    ) -> KeyPair:
        """A certificate for brokers.

        Args:
            names: DNS names (``*.`` in front is a wildcard) and IP addresses that clients may reach them by.
            local: whether `LOCAL_NAMES` count among them. Without, clients on this machine see brokers whose
                certificate is another host's.
            valid_for: from now on. Less than zero makes a certificate that has expired.

        Raises:
            MskUsageError: there is no name, or one is no ASCII DNS name.
        """
        every = dict.fromkeys((*LOCAL_NAMES, *names) if local else names)
        if not every:
            raise MskUsageError("a server's certificate needs a name")
        # No host name: some clients would take it for one more that the certificate is for.
        subject = _common_name("Kafka broker")
        alternatives = x509.SubjectAlternativeName([_general_name(name) for name in every])
        return self._issue(subject, ExtendedKeyUsageOID.SERVER_AUTH, valid_for, alternatives)

    def client(self, subject: str, *, valid_for: dt.timedelta = VALID_FOR) -> KeyPair:
        """A certificate for a client, which Kafka knows by its subject.

        Args:
            subject: a common name (``orders``); or, where it holds a ``=``, a whole distinguished name as RFC
                4514 writes it (``CN=orders,OU=sales,O=Shop``; CN, OU, O, L, ST, C, STREET, DC, UID and dotted
                OIDs are known; no space after commas).
            valid_for: from now on. Less than zero makes a certificate that has expired.

        Raises:
            MskUsageError: the subject is neither.
        """
        return self._issue(_subject(subject), ExtendedKeyUsageOID.CLIENT_AUTH, valid_for)

    def _issue(
        self,
        subject: x509.Name,
        purpose: x509.ObjectIdentifier,
        valid_for: dt.timedelta,
        alternatives: x509.SubjectAlternativeName | None = None,
    ) -> KeyPair:
        key = ec.generate_private_key(ec.SECP256R1())
        issuer = self._certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        builder = (
            _builder(subject, key.public_key(), valid_for)
            .issuer_name(self._certificate.subject)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(authority=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer), critical=False
            )
        )
        if alternatives is not None:
            builder = builder.add_extension(alternatives, critical=False)
        return KeyPair(
            certificate=builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM),
            key=key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
            chain=self.pem,
        )


def server_context(
    pair: KeyPair, client_authorities: Sequence[bytes] = (), *, require: bool = False
) -> ssl.SSLContext:
    """TLS 1.2 and 1.3 for a listener. No file stays behind.

    Args:
        pair: what the listener shows.
        client_authorities: PEM, one or more certificates each. A client's certificate must be signed by one
            of them, be it a root or not (as with a Java truststore), and be meant for clients. Without any,
            clients are not asked for certificates.
        require: whether clients without a certificate are refused (``ssl.client.auth=required``), or let in
            as ``User:ANONYMOUS`` (``requested``).

    Raises:
        MskUsageError: certificates are required and there is no authority to sign them.
        ssl.SSLError: something is no certificate, or the key is another certificate's.
    """
    if require and not client_authorities:
        raise MskUsageError("certificates of clients are required, but no authority is named to sign them")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION  # as Kafka
    # The module ssl takes keys from files only. This one is of mode 0600.
    with tempfile.NamedTemporaryFile(prefix="pytest-msk-") as file:
        file.write(pair.certificates + pair.key)
        file.flush()
        context.load_cert_chain(file.name)
    if client_authorities:
        context.verify_mode = ssl.CERT_REQUIRED if require else ssl.CERT_OPTIONAL
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # OpenSSL by itself trusts roots only.
        for pem in client_authorities:
            context.load_verify_locations(cadata=pem.decode("ascii"))
    return context


def principal(der_certificate: bytes) -> str:
    """What Kafka calls a client: ``User:`` and the subject as Java's ``X500Principal.getName()`` writes it.

    That is RFC 2253, last part first: ``User:CN=orders,OU=sales,O=Shop``. Attributes that RFC 2253 does not
    name are written by OID and the value's DER in hex: ``1.2.840.113549.1.9.1=#1612…``. Kafka does so by
    ``DefaultKafkaPrincipalBuilder`` where ``ssl.principal.mapping.rules`` is ``DEFAULT``.

    Args:
        der_certificate: as ``SSLSocket.getpeercert(binary_form=True)`` gives it.

    Raises:
        ValueError: it is no X.509 certificate.
    """
    try:
        (certificate,) = _elements(der_certificate)
        body, _algorithm, _signature = certificate.children(_SEQUENCE)
        fields = [element for element in body.children(_SEQUENCE) if element.tag != _VERSION]
        _serial, _algorithm, _issuer, _validity, subject, *_others = fields
        parts = [_relative_name(part) for part in subject.children(_SEQUENCE)]
    except ValueError as error:
        raise ValueError("no X.509 certificate") from error
    return "User:" + ",".join(reversed(parts))


def _subject(subject: str) -> x509.Name:
    if "=" not in subject:
        return _common_name(subject)
    try:
        return x509.Name.from_rfc4514_string(subject)
    except ValueError as error:
        raise MskUsageError(
            f"{subject!r} is no distinguished name as RFC 4514 writes it, such as CN=orders,OU=sales,O=Shop"
        ) from error


def _common_name(name: str) -> x509.Name:
    try:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    except ValueError as error:
        raise MskUsageError(f"a common name has 1 to 64 bytes: {name!r}") from error


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        pass
    try:
        return x509.DNSName(name)
    except ValueError as error:
        raise MskUsageError(f"no DNS name: {name!r}") from error


def _builder(
    subject: x509.Name, key: ec.EllipticCurvePublicKey, valid_for: dt.timedelta
) -> x509.CertificateBuilder:
    now = _EPOCH + dt.timedelta(seconds=int(_REAL[0]()))
    end = now + valid_for
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(min(now, end) - _EARLIER)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _checked(password: str) -> bytes:
    if not password:
        raise MskUsageError("a store needs a password")
    return password.encode()


def _write(path: Path, content: bytes) -> Path:
    # mkstemp makes files of mode 0600, and never follows a link.
    descriptor, made = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
        os.replace(made, path)
    except BaseException:
        os.unlink(made)
        raise
    return path


def _java_key_store(certificate: bytes, password: str) -> bytes:
    """Java's own format of key stores, version 2, with one trusted certificate.

    Described in the source of ``sun.security.provider.JavaKeyStore`` only: big-endian numbers, strings as
    ``DataOutput.writeUTF`` has them, and last a SHA-1 of the password, a phrase, and all before it.
    """
    made_at = int(_REAL[0]() * 1000)
    header = struct.pack(">III", 0xFEEDFEED, 2, 1)
    trusted = struct.pack(">IH6sQH5sI", 2, 6, b"caroot", made_at, 5, b"X.509", len(certificate)) + certificate
    body = header + trusted
    salted = password.encode("utf-16-be") + b"Mighty Aphrodite" + body
    return body + hashlib.sha1(salted, usedforsecurity=False).digest()


_SEQUENCE, _SET, _OID, _VERSION = 0x30, 0x31, 0x06, 0xA0
_LONG_TAG, _LONG_LENGTH = 0x1F, 0x80

# UTF8String, PrintableString, T61String, IA5String, GeneralString, BMPString: Java reads each as UTF-8.
_STRINGS = frozenset({0x0C, 0x13, 0x14, 0x16, 0x1B, 0x1E})

_KEYWORDS = {
    "2.5.4.3": "CN",
    "2.5.4.6": "C",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.9": "STREET",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
    "0.9.2342.19200300.100.1.1": "UID",
    "0.9.2342.19200300.100.1.25": "DC",
}

_ESCAPES = str.maketrans({"\0": "\\00"} | {character: f"\\{character}" for character in ',=+<>#;"\\'})
_BLANKS = " \r"


class _Element(NamedTuple):
    """A value in DER, which starts with its tag and its length."""

    tag: int
    content: bytes
    whole: bytes

    def children(self, tag: int) -> list[_Element]:
        if self.tag != tag:
            raise ValueError(f"tag {self.tag:#x} where {tag:#x} was due")
        return _elements(self.content)


def _elements(data: bytes) -> list[_Element]:
    found = []
    while data:
        tag, length, start = data[0], int.from_bytes(data[1:2], "big"), 2
        if tag & _LONG_TAG == _LONG_TAG or length == _LONG_LENGTH:
            raise ValueError("tags of several bytes, and values of unknown length, are in no certificate")
        if length > _LONG_LENGTH:
            start += length - _LONG_LENGTH
            length = int.from_bytes(data[2:start], "big")
        end = start + length
        if end > len(data):
            raise ValueError("cut short")
        found.append(_Element(tag, data[start:end], data[:end]))
        data = data[end:]
    return found


def _relative_name(part: _Element) -> str:
    return "+".join(_attribute(attribute) for attribute in part.children(_SET))


def _attribute(element: _Element) -> str:
    oid, value = element.children(_SEQUENCE)
    if oid.tag != _OID:
        raise ValueError("no attribute of a name")
    dotted = _dotted(oid.content)
    keyword = _KEYWORDS.get(dotted)
    if keyword is None or value.tag not in _STRINGS:
        return f"{keyword or dotted}=#{value.whole.hex()}"
    escaped = value.content.decode("utf-8", "replace").translate(_ESCAPES)
    inner = escaped.strip(_BLANKS)
    # Blanks at both ends are escaped one by one; where there is nothing else, all are.
    lead = len(escaped) - len(escaped.lstrip(_BLANKS))
    before, after = escaped[:lead], escaped[lead + len(inner) :]
    return f"{keyword}={_escaped(before)}{inner}{_escaped(after)}"


def _escaped(blanks: str) -> str:
    return "".join(f"\\{blank}" for blank in blanks)


def _dotted(oid: bytes) -> str:
    if not oid or oid[-1] & 0x80:
        raise ValueError("no object identifier")
    numbers, number = [], 0
    for byte in oid:
        number = number << 7 | byte & 0x7F
        if not byte & 0x80:
            numbers.append(number)
            number = 0
    root = min(numbers[0] // 40, 2)  # The first two numbers are in one.
    return ".".join(map(str, [root, numbers[0] - 40 * root, *numbers[1:]]))
