"""TLS on the way out: whose certificates are believed, and what we show where a peer asks for one."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import httpx

from ontology.errors import InputError

CONTEXTS_MAX = 16


@dataclass(frozen=True, slots=True)
class ClientTls:
    """Files in PEM. trust: further authorities besides those of the system; certificate and key: our own,
    for peers that ask for one (mutual TLS). '' is none.
    """

    trust: str = ""
    certificate: str = ""
    key: str = ""


SYSTEM_TLS = ClientTls()


def client_context(tls: ClientTls) -> ssl.SSLContext:
    """What a connection to a peer is held against. Files that were replaced are read anew.

    InputError CONFIG_TLS where a file cannot be read or does not fit.
    """
    stamps = tuple(_stamp(path) for path in (tls.trust, tls.certificate, tls.key))
    return _context(tls, stamps)


@lru_cache(maxsize=CONTEXTS_MAX)
def _context(tls: ClientTls, _stamps: tuple[int, ...]) -> ssl.SSLContext:
    """To read the system's certificates takes 15 ms, as long as a whole exchange."""
    context = httpx.create_ssl_context(trust_env=False)
    if tls.trust:
        load_trust(context, tls.trust, "federation.tls_trust")
    if tls.certificate or tls.key:
        load_pair(context, tls.certificate, tls.key, "federation")
    return context


def load_trust(context: ssl.SSLContext, path: str, setting: str) -> None:
    """Believe the authorities of a file too. InputError CONFIG_TLS."""
    try:
        context.load_verify_locations(cafile=path)
    except (OSError, ssl.SSLError) as error:
        raise _wrong(setting, path, error, "a file of certificates in PEM") from error


def load_pair(context: ssl.SSLContext, certificate: str, key: str, section: str) -> None:
    """Show this certificate, proved by this key. InputError CONFIG_TLS; a key with a password is refused."""
    if not certificate or not key:
        missing = "tls_key" if certificate else "tls_certificate"
        message = f"{section}.{missing} is missing"
        raise InputError(message, code="CONFIG_TLS", hint="a certificate and its key go together")
    try:
        # Without a password of our own OpenSSL would ask at the terminal, and a service would hang.
        context.load_cert_chain(certificate, key, password="")
    except (OSError, ssl.SSLError, ValueError) as error:
        hint = "both in PEM, the key without a password, the certificate with those between it and the root"
        raise _wrong(f"{section}.tls_certificate and tls_key", certificate, error, hint) from error


def _wrong(setting: str, path: str, error: Exception, hint: str) -> InputError:
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return InputError(f"{setting} ({path}) cannot be used: {reason}", code="CONFIG_TLS", hint=hint)


def _stamp(path: str) -> int:
    try:
        return Path(path).stat().st_mtime_ns if path else 0
    except OSError:
        return -1
