"""Live sources and their bindings: what comes in, from where, and what does not."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any

import strawberry

from adapters import binding_state
from api.schema.scalars import TimeNs
from api.schema.twin import Info
from ontology.errors import AccessError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@strawberry.enum(description="How a binding does.")
class BindingState(Enum):
    BOUND = binding_state.Condition.BOUND
    POINT_UNKNOWN = binding_state.Condition.POINT_UNKNOWN
    TYPE_MISMATCH = binding_state.Condition.TYPE_MISMATCH
    UNIT_MISMATCH = binding_state.Condition.UNIT_MISMATCH
    REFUSED = binding_state.Condition.REFUSED
    NEVER_SEEN = binding_state.Condition.NEVER_SEEN
    STALE = binding_state.Condition.STALE


@strawberry.type(description="How many values were refused for one reason.")
class Refusal:
    code: str
    count: int


@strawberry.type(description="Which address carries which points, and how that goes.")
class BindingInfo:
    source: str = strawberry.field(description="The live source, as in `liveSources`.")
    site: str
    name: str
    address: str = strawberry.field(description="Topic or node, with placeholders.")
    point: str = strawberry.field(description="The points that it feeds, with placeholders.")
    unit: str | None = strawberry.field(description="UCUM code of what the device sends.")
    state: BindingState
    message: str | None = strawberry.field(description="What is wrong, or what is to know.")
    expected: int = strawberry.field(description="Points of the site that it may feed.")
    seen: int = strawberry.field(description="Of these, points that something came for.")
    never_seen: list[str] = strawberry.field(description="Local ids of the first that nothing came for.")
    stale: list[str] = strawberry.field(description="Local ids of the first that are silent for too long.")
    received: int = strawberry.field(description="Messages since the start.")
    recorded: int = strawberry.field(description="Readings since the start.")
    refused: list[Refusal]
    last_seen: TimeNs | None


@strawberry.type(description="A connection that brings readings in.")
class LiveSource:
    name: str
    site: str
    address: str | None
    connected: bool | None
    received: int | None
    recorded: int | None
    shed: int | None = strawberry.field(description="Left out because there was no room.")
    clock_skew_s: float | None = strawberry.field(
        description="Seconds that stamps of its devices lie behind their arrival; negative: ahead."
    )
    last_error: str | None


def bindings_of(
    info: Info, site: str | None = None, source: str | None = None, state: BindingState | None = None
) -> list[BindingInfo]:
    """Of all live sources; AccessError for who does not see whole sites."""
    rows = [
        _binding(name, each)
        for name, health in _sources(info)
        for each in health.get("bindings", ())
        if source in (None, name)
    ]
    return [row for row in rows if site in (None, row.site) and state in (None, row.state)]


def sources_of(info: Info) -> list[LiveSource]:
    """AccessError as `bindings_of`."""
    return [
        LiveSource(
            name=name,
            site=site_of(name),
            address=health.get("address"),
            connected=health.get("connected"),
            received=health.get("received"),
            recorded=health.get("recorded"),
            shed=health.get("shed"),
            clock_skew_s=health.get("clock_skew_s"),
            last_error=health.get("last_error"),
        )
        for name, health in _sources(info)
    ]


def site_of(source: str) -> str:
    """The site of a source, by its name."""
    return source.rpartition(" ")[2]


def _sources(info: Info) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if info.context.present().is_narrowed:
        message = "live sources are shown to those who see whole sites"
        raise AccessError(message, hint="ask with a token that is not narrowed")
    yield from info.context.services.sources().items()


def _binding(source: str, health: Mapping[str, Any]) -> BindingInfo:
    return BindingInfo(
        source=source,
        site=site_of(source),
        name=health["name"],
        address=health["address"],
        point=health["point"],
        unit=health["unit"],
        state=BindingState[health["state"]],
        message=health["message"],
        expected=health["expected"],
        seen=health["seen"],
        never_seen=list(health["never_seen"]),
        stale=list(health["stale"]),
        received=health["messages"],
        recorded=health["recorded"],
        refused=[Refusal(code=code, count=count) for code, count in sorted(health["refused"].items())],
        last_seen=health["last_ns"],
    )
