"""How far behind a server is, for `doctor --url`: a follower, and the graph that a writer keeps in Neo4j."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from api.commands.client import Client
from api.commands.finding import Finding
from ontology.errors import TwinmeshError

if TYPE_CHECKING:
    from collections.abc import Iterator

QUERY: Final = "{ sites { name revision lagCommits lagSeconds graphLagCommits graphLagSeconds } }"
# Beyond this something is slow or stopped. `/readyz` has limits of its own.
LAG_S_MAX: Final = 10.0


def lag_findings(url: str, token: str | None) -> list[Finding]:
    """One for each site, and one for its graph where it keeps one. No errors: findings."""
    try:
        rows: list[dict[str, Any]] = Client(url.rstrip("/"), token).data(QUERY)["sites"]
    except TwinmeshError as error:
        return [Finding("sites", "problem", str(error), error.hint)]
    return [finding for row in rows for finding in _of_site(row)]


def _of_site(row: dict[str, Any]) -> Iterator[Finding]:
    name, commits, age_s = row["name"], row["lagCommits"], row["lagSeconds"]
    if commits is None:
        yield Finding(f"site {name}", "warning", "its journal cannot be asked now", "see /readyz")
    else:
        late = age_s > LAG_S_MAX
        detail = f"revision {row['revision']}, {commits} commits behind, at most {age_s:.1f} s old"
        hint = "the journal or the thread that follows is slow" if late else None
        yield Finding(f"site {name}", "warning" if late else "ok", detail, hint)
    if row["graphLagCommits"] is not None:
        late = row["graphLagSeconds"] > LAG_S_MAX
        detail = f"{row['graphLagCommits']} commits behind, for {row['graphLagSeconds']:.1f} s"
        hint = "a first load takes a while; else see /readyz" if late else None
        yield Finding(f"neo4j graph {name}", "warning" if late else "ok", detail, hint)
