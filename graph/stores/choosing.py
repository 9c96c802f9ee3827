"""Which database keeps the journals of a folder, by the URL in its settings."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

from ontology.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from graph.journals import Journals

NEO4J_SCHEMES: Final = ("bolt", "bolt+s", "bolt+ssc", "neo4j", "neo4j+s", "neo4j+ssc")


def open_journals(
    folder: Path,
    url: str,
    *,
    user: str = "neo4j",
    password: str = "",
    database: str | None = None,
    holder: str | None = None,
    take_over: bool = False,
    by_trigger: bool = True,
) -> Journals | None:
    """The journals at a URL; None for those in the folder (no URL). UsageError STORE_URL.

    holder: who writes there, as others are told; None: the folder's process. take_over: from another one.
    by_trigger: have a trigger note what other programs change, where that is allowed.
    The driver is imported here and not before: most folders need none.
    """
    if not url:
        return None
    scheme = url.partition("://")[0]
    if scheme not in NEO4J_SCHEMES:
        hint = "bolt://HOST:7687 or neo4j://HOST; leave it out for SQLite"
        raise UsageError(f"[store] url {url!r} names no store", code="STORE_URL", hint=hint)
    place = import_module("graph.stores.neo4j.connection").Neo4jPlace(url, user, password, database)
    return import_module("graph.stores.neo4j.journals").Neo4jJournals(
        folder, place, holder, take_over=take_over, by_trigger=by_trigger
    )
