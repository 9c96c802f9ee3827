"""What a broker must show and be shown: certificates and passwords, of files and environment."""

from __future__ import annotations

import os
import ssl
from typing import TYPE_CHECKING, Protocol

from ontology.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path


class _TidySocket(ssl.SSLSocket):
    """Closes itself where the handshake fails; paho would leave it to the garbage collector."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise


class Secured(Protocol):
    """The part of a source's settings that is about trust."""

    @property
    def tls(self) -> bool: ...
    @property
    def ca_file(self) -> Path | None: ...
    @property
    def username(self) -> str | None: ...
    @property
    def password_env(self) -> str | None: ...


def tls_context(config: Secured) -> ssl.SSLContext | None:
    """How to check the broker's certificate; None without TLS. Raises InputError MQTT_CA_FILE."""
    if not config.tls:
        return None
    try:
        context = ssl.create_default_context(cafile=str(config.ca_file) if config.ca_file else None)
    except (OSError, ssl.SSLError) as error:
        raise InputError(f"{config.ca_file} cannot be used: {error}", code="MQTT_CA_FILE") from error
    context.sslsocket_class = _TidySocket
    return context


def credentials(config: Secured) -> tuple[str | None, str | None]:
    """Name and password. Raises InputError MQTT_PASSWORD where the variable for it is not set."""
    if config.password_env is not None and config.password_env not in os.environ:
        raise InputError(f"environment variable {config.password_env} is not set", code="MQTT_PASSWORD")
    return config.username, os.environ[config.password_env] if config.password_env else None
