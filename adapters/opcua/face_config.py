"""Settings of the OPC UA server face: the `[opcua_server]` table of `twinmesh.toml`.

    [opcua_server]
    site = "plant"
    port = 4840
    # Programs that enter by their certificate alone, with the rights of an API token:
    certificates = { "sha256:5f..." = "scada" }

The rest: `host certificate private_key refresh_ms`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from adapters.opcua.config import FINGERPRINT
from adapters.tables import Table
from ontology.errors import Place

if TYPE_CHECKING:
    from collections.abc import Mapping

SECTION = "opcua_server"


@dataclass(frozen=True, slots=True)
class FaceConfig:
    """Where to listen and who may enter by certificate: fingerprint -> name of an API token. Port 0: any."""

    site: str
    certificate: Path
    private_key: Path
    host: str = "127.0.0.1"
    port: int = 4840
    refresh_ms: float = 200.0
    certificates: tuple[tuple[str, str], ...] = ()


def parse_face(document: Mapping[str, object], path: Path) -> FaceConfig | None:
    """The settings in a document that was read from `path`; None without the table. InputError CONFIG_..."""
    if SECTION not in document:
        return None
    place = Place(path=path.name, item=SECTION)
    top = Table({SECTION: document[SECTION]}, place)
    values = top.mapping(SECTION)
    top.finish()
    table, folder = Table(values, place), path.parent.absolute()
    named = table.mapping("certificates")
    for fingerprint, name in named.items():
        if not FINGERPRINT.fullmatch(fingerprint) or not isinstance(name, str):
            hint = "sha256: and 64 digits 0-9a-f, then the name of an API token"
            table.note("CONFIG_RANGE", f"certificates.{fingerprint} is no fingerprint with a name", hint)
    config = FaceConfig(
        site=table.text("site"),
        certificate=folder / table.text("certificate", "opcua-server.pem"),
        private_key=folder / table.text("private_key", "opcua-server.key"),
        host=table.text("host", "127.0.0.1"),
        port=table.integer("port", 4_840, minimum=0, maximum=65_535),
        refresh_ms=table.number("refresh_ms", 200.0, minimum=10, maximum=60_000),
        certificates=tuple((fingerprint, str(name)) for fingerprint, name in named.items()),
    )
    table.finish()
    return config
