"""TLS of the server: its own certificate, and whose certificates callers must show."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from federation.tls import ClientTls, load_pair, load_trust
from ontology.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from api.config import Federation, Server


def server_context(settings: Server, folder: Path) -> ssl.SSLContext | None:
    """None where nothing about TLS is set. Relative paths begin at the data folder.

    InputError CONFIG_TLS where a file is missing, cannot be read or does not fit the others.
    """
    if not settings.tls_certificate and not settings.tls_key:
        if settings.tls_client_trust:
            message = "server.tls_client_trust needs server.tls_certificate and tls_key"
            raise InputError(message, code="CONFIG_TLS", hint="who wants certificates has to show one")
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    paths = (_path(folder, settings.tls_certificate), _path(folder, settings.tls_key))
    load_pair(context, *paths, "server")
    if settings.tls_client_trust:
        load_trust(context, _path(folder, settings.tls_client_trust), "server.tls_client_trust")
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_tls(settings: Federation, folder: Path | None) -> ClientTls:
    """How peers are called; relative paths begin at the data folder."""
    stated = (settings.tls_trust, settings.tls_certificate, settings.tls_key)
    return ClientTls(*(_path(folder, path) for path in stated))


def _path(folder: Path | None, path: str) -> str:
    return str(folder / path) if path and folder is not None else path
