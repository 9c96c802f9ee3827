"""Rules of alarms: `[[alarms]]` tables of `twinmesh.toml`.

    [[alarms]]
    name = "supply air too hot"             # unique: it is the rule's identity
    site = "campus"                         # absent: every site
    point = "{ahu}-SAT"                     # a pattern of local ids or IRIs; or `kind`, or both
    high = 25                               # exactly one of high, low, quality, when; in the point's unit
    hysteresis = 0.5                        # cleared below 24.5
    delay_s = 10                            # raised only where it lasts
    severity = "high"                       # low, medium, high or critical

`quality = "bad"` (or "uncertain") looks at the quality of readings; `when` is a condition over points as of
`graph.expressions`, such as 'value > 30 and point("{ahu}-RUN") == 1'.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from adapters.binding import Pattern
from adapters.tables import Table, read_tables
from graph.expressions import Expression
from graph.values import Quality
from ontology.errors import InputError, Place

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

RULES_MAX: Final = 1_000
SEVERITIES: Final = ("low", "medium", "high", "critical")
_QUALITIES: Final = {"uncertain": Quality.UNCERTAIN, "bad": Quality.BAD}


@dataclass(frozen=True, slots=True)
class AlarmRule:
    """One table; exactly one of `high`, `low`, `quality` and `when` is there."""

    name: str
    site: str | None
    point: Pattern | None
    kind: str | None
    high: float | None
    low: float | None
    quality: Quality | None
    when: Expression | None
    hysteresis: float
    delay_s: float
    severity: str
    message: str | None
    place: Place

    @property
    def says(self) -> str:
        """The condition in words."""
        if self.high is not None:
            return f"above {self.high:g}"
        if self.low is not None:
            return f"below {self.low:g}"
        if self.quality is not None:
            return f"quality {self.quality.name.lower()}"
        return self.when.text if self.when is not None else ""


def parse_alarms(document: Mapping[str, object], path: Path) -> tuple[AlarmRule, ...]:
    """The `[[alarms]]` tables of a document that was read from `path`. InputError with every problem."""
    return read_tables(
        document,
        "alarms",
        path.name,
        lambda table, _number: _rule(table),
        count_max=RULES_MAX,
        check=_check_names,
    )


def _check_names(top: Table, rules: Sequence[AlarmRule]) -> None:
    names = [rule.name for rule in rules]
    for name in sorted({name for name in names if names.count(name) > 1}):
        top.note("ALARM_RULE", f"two rules are called {name!r}", "the name is the rule's identity")


def _rule(table: Table) -> AlarmRule:
    point = table.optional_text("point")
    quality: Literal["", "uncertain", "bad"] = table.choice("quality", ("", "uncertain", "bad"), "")
    severity: Literal["low", "medium", "high", "critical"] = table.choice(
        "severity", ("low", "medium", "high", "critical"), "medium"
    )
    rule = AlarmRule(
        name=table.text("name"),
        site=table.optional_text("site"),
        point=None if point is None else Pattern.of(point),
        kind=table.optional_text("kind"),
        high=table.optional_number("high"),
        low=table.optional_number("low"),
        quality=_QUALITIES.get(quality),
        when=_condition(table),
        hysteresis=table.number("hysteresis", 0.0, minimum=0),
        delay_s=table.number("delay_s", 0.0, minimum=0, maximum=86_400),
        severity=severity,
        message=table.optional_text("message"),
        place=table.place,
    )
    _check_together(table, rule)
    table.finish()
    return rule


def _condition(table: Table) -> Expression | None:
    text = table.optional_text("when")
    try:
        return None if text is None else Expression.parse(text, ("value",), table.place)
    except InputError as error:
        table.note(error.code, error.message, error.hint)
        return None


def _check_together(table: Table, rule: AlarmRule) -> None:
    stated = [each for each in (rule.high, rule.low, rule.quality, rule.when) if each is not None]
    if len(stated) != 1 and not table.problems:
        table.note("ALARM_RULE", "states none or several of high, low, quality and when", "exactly one")
    if rule.point is None and rule.kind is None:
        table.note("ALARM_RULE", "names neither a point nor a kind")
    if rule.hysteresis and rule.high is None and rule.low is None:
        table.note("ALARM_RULE", "hysteresis needs high or low")
    known = set(rule.point.names) if rule.point is not None else set[str]()
    for text in rule.when.points if rule.when is not None else ():
        if not set(Pattern.of(text).names) <= known:
            table.note("ALARM_RULE", f"{text!r} uses what the point does not have")
