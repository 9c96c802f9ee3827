"""Tokens of a data folder: made, listed, revoked."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from api.auth import DAY_S, Tokens
from api.commands.console import note, say, say_json, table
from api.policy import Role
from ontology.errors import Place, StoreError, UsageError, suggestion

if TYPE_CHECKING:
    from pathlib import Path

    from api.auth import TokenRecord

COLUMNS = ("id", "name", "role", "sites", "kinds", "expires", "state")


def run_create(
    folder: Path,
    name: str,
    role: str,
    days: float,
    sites: tuple[str, ...],
    kinds: tuple[str, ...],
    *,
    as_json: bool,
) -> None:
    """Print a new token's text: the one time it is shown."""
    roles = [known.value for known in Role]
    if role not in roles:
        hint = suggestion(role, roles) or f"one of {', '.join(roles)}"
        raise UsageError(f"no role {role!r}", code="ROLE_UNKNOWN", hint=hint)
    text = _tokens(folder).create(
        name, Role(role), lifetime_s=days * DAY_S, sites=sites or None, kinds=kinds or None
    )
    if as_json:
        say_json({"token": text, "name": name, "role": role, "days": days})
    else:
        say(text)
        note("keep it: it is not shown again")


def run_list(folder: Path, *, as_json: bool) -> None:
    records = _tokens(folder).list()
    if as_json:
        say_json({"tokens": [_row(record) for record in records]})
        return
    for line in table([_shown(record) for record in records], COLUMNS):
        say(line)


def run_revoke(folder: Path, id_or_name: str, *, as_json: bool) -> None:
    record = _tokens(folder).revoke(id_or_name)
    if as_json:
        say_json({"revoked": record.id, "name": record.name})
    else:
        say(f"revoked {record.name} ({record.id})")


def _tokens(folder: Path) -> Tokens:
    if not (folder / "twinmesh.toml").is_file():
        raise StoreError("this is no data folder of twinmesh", code="STORE_MISSING", place=Place(str(folder)))
    return Tokens(folder / "tokens.json")


def _row(record: TokenRecord) -> dict[str, object]:
    expires = datetime.fromtimestamp(record.expires_ns / 1e9, UTC)
    live = "expired" if expires < datetime.now(UTC) else "live"
    return {
        "id": record.id,
        "name": record.name,
        "role": record.role.value,
        "sites": list(record.sites) if record.sites is not None else None,
        "kinds": list(record.kinds) if record.kinds is not None else None,
        "expires": expires.strftime("%Y-%m-%dT%H:%MZ"),
        "state": "revoked" if record.revoked_ns is not None else live,
    }


def _shown(record: TokenRecord) -> dict[str, object]:
    """A row for a reader: no list means no limit."""
    lists = {"sites": record.sites, "kinds": record.kinds}
    return {
        **_row(record),
        **{name: "all" if part is None else ",".join(part) for name, part in lists.items()},
    }
