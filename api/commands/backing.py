"""`backup` and `restore`: a verified copy of a data folder while it is served, and the way back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from api.commands.console import note, say, say_json
from api.commands.folders import journals_of
from graph.backup import make_backup
from graph.restore import restore_backup
from ontology.errors import StoreError
from ontology.schema import load_schema

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from graph.manifest import Manifest


def run_backup(data: Path, target: Path, *, as_json: bool) -> None:
    """Copy, prove the copy, say what is in it."""
    shared = journals_of(data)
    if shared is not None:
        shared.close()
        hint = "back the database up with its own means, or bring the sites into a folder: twinmesh migrate"
        message = "the journals of this folder are in a database, a copy of the folder would hold none"
        raise StoreError(message, code="BACKUP_UNSUPPORTED", hint=hint)
    manifest = make_backup(data, target, load_schema(), _teller(as_json))
    if as_json:
        say_json({"backup": str(target), **_json(manifest)})
        return
    for line in _lines(manifest):
        say(line)
    say(f"backup of {manifest.bytes:,} bytes in {target}, replayed and sound")


def run_restore(backup: Path, data: Path, *, verify: bool, as_json: bool) -> None:
    """Put a backup back; with `verify` rebuild what came back and compare it."""
    manifest = restore_backup(backup, data, load_schema(), verify=verify, tell=_teller(as_json))
    if as_json:
        say_json({"data": str(data), "verified": verify, **_json(manifest)})
        return
    for line in _lines(manifest):
        say(line)
    how = (
        "rebuilt and equal to what was kept" if verify else "every file as it was kept; --verify rebuilds too"
    )
    say(f"restored into {data}: {how}")


def _teller(quiet: bool) -> Callable[[str], None]:
    return (lambda _: None) if quiet else note


def _lines(manifest: Manifest) -> list[str]:
    return [
        f"{mark.site}: revision {mark.revision} of {_time(mark.time_ns)}, content {mark.hash}: "
        f"{mark.content.twins.count:,} twins, {mark.content.relationships.count:,} relationships, "
        f"{mark.readings:,} readings"
        for mark in manifest.sites
    ]


def _json(manifest: Manifest) -> dict[str, object]:
    sites = [
        {
            "site": mark.site,
            "revision": str(mark.revision),
            "time": _time(mark.time_ns),
            "digest": mark.digest,
            "content": mark.hash,
            "twins": mark.content.twins.count,
            "relationships": mark.content.relationships.count,
            "readings": mark.readings,
        }
        for mark in manifest.sites
    ]
    made = {"made": _time(manifest.made_ns), "program": manifest.program}
    return {**made, "bytes": manifest.bytes, "files": len(manifest.files), "sites": sites}


def _time(time_ns: int) -> str | None:
    if not time_ns:
        return None
    return datetime.fromtimestamp(time_ns / 1e9, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
