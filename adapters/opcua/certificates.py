"""Certificates of OPC UA: our own, and the fingerprints by which those of others are known.

Trust goes by fingerprint: SHA-256 of the certificate in DER, as `sha256:` and 64 hexadecimal digits. Who
signed a certificate and what it says about itself does not count.
"""

from __future__ import annotations

import datetime
import hashlib
import os
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ontology.errors import InputError, Place

if TYPE_CHECKING:
    from pathlib import Path

KEY_BITS = 2_048
VALID_DAYS = 3_650
APPLICATION_URI = "urn:twinmesh.dev:opcua"


@dataclass(frozen=True, slots=True)
class Identity:
    """Our certificate (DER), our key (PEM, PKCS 8) and the application URI that the certificate names."""

    certificate: bytes
    private_key: bytes
    application_uri: str


def fingerprint(certificate: bytes) -> str:
    """The name of a certificate in DER; of a chain: of its first certificate."""
    return f"sha256:{hashlib.sha256(first_of_chain(certificate)).hexdigest()}"


def first_of_chain(certificates: bytes) -> bytes:
    """Servers may send their certificate with those above it; the outer DER sequence says where it ends."""
    if len(certificates) < 4 or certificates[:2] != b"\x30\x82":
        return certificates
    return certificates[: 4 + int.from_bytes(certificates[2:4], "big")]


def own_identity(certificate: Path, private_key: Path) -> Identity:
    """Our identity from two files; both are made where neither is there. InputError OPCUA_CERTIFICATE."""
    if not certificate.exists() and not private_key.exists():
        _make(certificate, private_key)
    try:
        found = x509.load_pem_x509_certificate(certificate.read_bytes())
        key = private_key.read_bytes()
        if serialization.load_pem_private_key(key, None).public_key() != found.public_key():
            raise ValueError("the key is not that of the certificate")
    except (OSError, ValueError, TypeError) as error:
        hint = "PEM files without a pass phrase; where neither is there, both are made"
        raise InputError(
            f"cannot be used: {error}", code="OPCUA_CERTIFICATE", place=Place(str(certificate)), hint=hint
        ) from error
    return Identity(found.public_bytes(serialization.Encoding.DER), key, _uri_of(found))


def _uri_of(certificate: x509.Certificate) -> str:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return APPLICATION_URI
    return next(iter(names.get_values_for_type(x509.UniformResourceIdentifier)), APPLICATION_URI)


def _make(certificate: Path, private_key: Path) -> None:
    key = rsa.generate_private_key(public_exponent=65_537, key_size=KEY_BITS)
    certificate.parent.mkdir(parents=True, exist_ok=True)
    private_key.parent.mkdir(parents=True, exist_ok=True)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    descriptor = os.open(private_key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(secret)
    certificate.write_bytes(self_signed(key).public_bytes(serialization.Encoding.PEM))


def self_signed(key: rsa.RSAPrivateKey, application_uri: str = APPLICATION_URI) -> x509.Certificate:
    """An application instance certificate as OPC 10000-6 section 6.2.2 wants it, for client and server."""
    host = socket.gethostname()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "twinmesh")])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.UniformResourceIdentifier(application_uri), x509.DNSName(host)]
    usage = x509.KeyUsage(
        digital_signature=True, content_commitment=True, key_encipherment=True, data_encipherment=True,
        key_agreement=False, key_cert_sign=True, crl_sign=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    purposes = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=VALID_DAYS))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
