"""Settings of an OPC UA source: an `[[opcua]]` table of `twinmesh.toml`.

    [[opcua]]
    site = "plant"
    url = "opc.tcp://plc.example:4840"
    bindings = "plant-opcua.toml"            # beside twinmesh.toml
    server_fingerprint = "sha256:5f..."      # of the server's certificate, as its operator told you
    username = "twinmesh"
    password_env = "PLANT_OPCUA_PASSWORD"    # secrets stay out of files

The rest: `security mode certificate private_key publish_ms sampling_ms item_queue every_timestamp
request_timeout_s queue_rows_max batch_rows_max batch_wait_s reconnect_s_min reconnect_s_max`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from adapters.tables import Table, read_tables

if TYPE_CHECKING:
    from collections.abc import Mapping

SECURITIES = ("Basic256Sha256", "Aes128Sha256RsaOaep", "Aes256Sha256RsaPss", "none")
MODES = ("sign_and_encrypt", "sign")
FINGERPRINT = re.compile(r"sha256:[0-9a-f]{64}")

Security = Literal["Basic256Sha256", "Aes128Sha256RsaOaep", "Aes256Sha256RsaPss", "none"]
Mode = Literal["sign_and_encrypt", "sign"]


@dataclass(frozen=True, slots=True)
class Line:
    """A server, how the line to it is secured, and who we are there. Paths are absolute."""

    url: str
    certificate: Path
    private_key: Path
    security: Security = "Basic256Sha256"
    mode: Mode = "sign_and_encrypt"
    server_fingerprint: str | None = None
    username: str | None = None
    password_env: str | None = None
    request_timeout_s: float = 15.0


@dataclass(frozen=True, slots=True)
class OpcuaConfig:
    """A server to listen to. `sampling_ms` -1: as often as is published; 0: as fast as the server can."""

    site: str
    line: Line
    bindings: Path
    publish_ms: float = 100.0
    sampling_ms: float = -1.0
    item_queue: int = 10
    every_timestamp: bool = False  # also what was written again with the same value
    queue_rows_max: int = 200_000
    batch_rows_max: int = 10_000
    batch_wait_s: float = 0.02
    reconnect_s_min: float = 1.0
    reconnect_s_max: float = 60.0


def parse_opcua(document: Mapping[str, object], path: Path) -> tuple[OpcuaConfig, ...]:
    """The `[[opcua]]` tables of a document read from `path`. Raises InputError with every problem."""
    return read_tables(document, "opcua", path.name, lambda table, _number: _config(table, path.parent))


def _config(table: Table, folder: Path) -> OpcuaConfig:
    config = OpcuaConfig(
        site=table.text("site"),
        line=read_line(table, folder.absolute()),
        bindings=folder.absolute() / table.text("bindings"),
        publish_ms=table.number("publish_ms", 100.0, minimum=1, maximum=3_600_000),
        sampling_ms=table.number("sampling_ms", -1.0, minimum=-1, maximum=3_600_000),
        item_queue=table.integer("item_queue", 10, minimum=1, maximum=100_000),
        every_timestamp=table.boolean("every_timestamp", False),
        queue_rows_max=table.integer("queue_rows_max", 200_000, minimum=100, maximum=10_000_000),
        batch_rows_max=table.integer("batch_rows_max", 10_000, minimum=1, maximum=1_000_000),
        batch_wait_s=table.number("batch_wait_s", 0.02, minimum=0, maximum=10),
        reconnect_s_min=table.number("reconnect_s_min", 1.0, minimum=0.01, maximum=3_600),
        reconnect_s_max=table.number("reconnect_s_max", 60.0, minimum=0.01, maximum=3_600),
    )
    table.finish()
    return config


def read_line(table: Table, folder: Path) -> Line:
    """The keys of a table that say where a server is; what is wrong is noted in the table."""
    line = Line(
        url=table.text("url"),
        certificate=folder / table.text("certificate", "opcua-client.pem"),
        private_key=folder / table.text("private_key", "opcua-client.key"),
        security=table.choice("security", SECURITIES, "Basic256Sha256"),
        mode=table.choice("mode", MODES, "sign_and_encrypt"),
        server_fingerprint=table.optional_text("server_fingerprint"),
        username=table.optional_text("username"),
        password_env=table.optional_text("password_env"),
        request_timeout_s=table.number("request_timeout_s", 15.0, minimum=1, maximum=600),
    )
    for code, message, hint in line_problems(line):
        table.note(code, message, hint)
    return line


def line_problems(line: Line) -> list[tuple[str, str, str]]:
    """Code, message and hint of whatever cannot work or would not be safe."""
    found: list[tuple[str, str, str]] = []
    try:
        parts = urlsplit(line.url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme != "opc.tcp" or not parts.hostname or not port or parts.username:
        found.append(
            (
                "CONFIG_RANGE",
                f"url {line.url!r} is no address of a server",
                "such as opc.tcp://plc.example:4840",
            )
        )
    pin = line.server_fingerprint
    if pin is not None and not FINGERPRINT.fullmatch(pin):
        found.append(
            ("CONFIG_RANGE", f"server_fingerprint {pin!r} is no fingerprint", "sha256: and 64 digits 0-9a-f")
        )
    if line.username is not None and (line.security == "none" or line.mode == "sign"):
        hint = 'security = "Basic256Sha256" and mode = "sign_and_encrypt"'
        found.append(("OPCUA_PASSWORD", "a password is only sent over an encrypted line", hint))
    return found
