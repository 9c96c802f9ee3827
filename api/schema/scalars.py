"""The scalars of the schema. Inside, revisions are ints and times and durations are nanoseconds."""

from __future__ import annotations

import math
import re
from datetime import datetime
from typing import TYPE_CHECKING, Final, NewType

import strawberry

from graph.times import NS_PER_S
from graph.times import time_text as time_text
from ontology.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from strawberry.types.scalar import ScalarDefinition

Revision = NewType("Revision", int)
TimeNs = NewType("TimeNs", int)
DurationNs = NewType("DurationNs", int)
Json = NewType("Json", object)

_DURATION = re.compile(
    r"P(?:(?P<days>\d+)D)?(?:T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+(?:\.\d{1,9})?)S)?)?"
)
_TIME = re.compile(r"(?P<whole>.+T\d\d:\d\d:\d\d)(?:\.(?P<fraction>\d{1,9}))?(?P<zone>Z|z|[+-]\d\d:\d\d)")
_SECONDS_PER: Final = {"days": 86_400, "hours": 3_600, "minutes": 60, "seconds": 1}


def read_time(value: object) -> TimeNs:
    """Unix time in ns of an ISO 8601 text with a zone; InputError TIME_INVALID."""
    found = _TIME.fullmatch(value) if isinstance(value, str) else None
    try:
        if found is None:
            raise ValueError
        moment = datetime.fromisoformat(found["whole"] + found["zone"].upper().replace("Z", "+00:00"))
    except ValueError:
        hint = "like 2026-01-31T08:00:00Z, with a zone"
        raise InputError(f"{value!r} is not a time", code="TIME_INVALID", hint=hint) from None
    fraction_ns = int((found["fraction"] or "0").ljust(9, "0"))
    return TimeNs(round(moment.timestamp()) * NS_PER_S + fraction_ns)


def read_duration(value: object) -> DurationNs:
    """Nanoseconds of an ISO 8601 duration of days, hours, minutes, seconds; InputError DURATION_INVALID."""
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    parts = {name: text for name, text in (found.groupdict() if found else {}).items() if text}
    if not parts:
        raise InputError(f"{value!r} is not a duration", code="DURATION_INVALID", hint="like PT15M, P1DT12H")
    return DurationNs(sum(round(float(text) * _SECONDS_PER[name] * NS_PER_S) for name, text in parts.items()))


def duration_text(duration_ns: int) -> str:
    seconds, rest = divmod(duration_ns, NS_PER_S)
    fraction = f".{rest:09d}".rstrip("0") if rest else ""
    return f"PT{seconds}{fraction}S"


def read_revision(value: object) -> Revision:
    """A revision from a text of digits; InputError REVISION_INVALID."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return Revision(value)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        return Revision(int(value))
    raise InputError(f"{value!r} is not a revision", code="REVISION_INVALID", hint="a text of digits")


def plain_json(value: object) -> object:
    """A JSON value as it may leave: JSON knows neither NaN nor infinity."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


SCALARS: Final[Mapping[object, ScalarDefinition]] = {
    Revision: strawberry.scalar(
        name="Revision",
        description="Number of a commit of a site, as a text of digits.",
        serialize=str,
        parse_value=read_revision,
    ),
    TimeNs: strawberry.scalar(
        name="DateTime",
        description="ISO 8601 time with a zone, to the nanosecond.",
        specified_by_url="https://scalars.graphql.org/andimarek/date-time.html",
        serialize=time_text,
        parse_value=read_time,
    ),
    DurationNs: strawberry.scalar(
        name="Duration",
        description="ISO 8601 duration of days, hours, minutes and seconds: `PT15M`.",
        serialize=duration_text,
        parse_value=read_duration,
    ),
    Json: strawberry.scalar(
        name="JSON", description="Any JSON value.", serialize=plain_json, parse_value=plain_json
    ),
}
