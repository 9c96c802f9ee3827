"""The sites of a server, how large they are and how far behind what it shows may be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import strawberry

from api.schema.scalars import Revision, TimeNs
from api.schema.twin import Info
from ontology.errors import StoreError

if TYPE_CHECKING:
    from graph.twin import Twin
    from graph.view import View


@strawberry.type
class SiteInfo:
    name: str
    base: str
    revision: Revision
    time: TimeNs | None = strawberry.field(description="Of the last commit.")
    twins: int
    relationships: int
    lag_commits: int | None = strawberry.field(
        description="Commits that this server does not show yet; 0 at the one that writes; null: not known."
    )
    lag_seconds: float | None = strawberry.field(description="So old may be what this server shows.")
    graph_lag_commits: int | None = strawberry.field(
        description="Commits that the graph in Neo4j does not show yet; null where none is kept from here."
    )
    graph_lag_seconds: float | None


@dataclass(frozen=True, slots=True)
class _SiteRow:
    name: str
    base: str
    revision: int
    time: int | None
    twins: int
    relationships: int
    lag_commits: int | None
    lag_seconds: float | None
    graph_lag_commits: int | None
    graph_lag_seconds: float | None


def sites_of(info: Info) -> list[SiteInfo]:
    """Ours, as the operation sees them: of one moment with all else that it answers."""
    context = info.context
    if context.elsewhere is not None:
        return cast("list[SiteInfo]", context.elsewhere.sites())
    if not context.mesh.sites:
        return []
    present = context.present().snapshot
    parts = {part.heads[0].name: part for part in present.parts or (present,)}
    views = [context.view_of(parts[site]) for site in context.mesh.sites if site in parts]
    shown = [view for view in views if not view.is_narrowed or len(view.all_rows)]
    rows = [_site_row(view, context.mesh.twin(view.snapshot.heads[0].name)) for view in shown]
    return cast("list[SiteInfo]", rows)


def _site_row(view: View, twin: Twin) -> _SiteRow:
    snapshot, head = view.snapshot, view.snapshot.heads[0]
    edges = snapshot.edge_alive
    if view.visible is not None:
        edges = edges & view.visible[snapshot.edge_source] & view.visible[snapshot.edge_target]
    time_ns = head.time_ns or None
    counts = (len(view.all_rows), int(edges.sum()))
    return _SiteRow(head.name, head.base, head.revision, time_ns, *counts, *_lags(twin))


def _lags(twin: Twin) -> tuple[int | None, float | None, int | None, float | None]:
    """Of this server behind the journal, and of the graph that it keeps in a database."""
    gauges: dict[str, float] = {}
    for medium in twin.media:
        gauges.update(medium.gauges())
    commits, age_s = gauges.get("graph_lag_commits"), gauges.get("graph_lag_seconds")
    graph = None if commits is None else int(commits)
    try:
        lag = twin.lag()
    except StoreError:
        return None, None, graph, age_s
    return lag.commits, lag.age_s, graph, age_s
