"""What quantities can be at all, by kind of point: `ontology/data/limits_by_kind.tsv`."""

from __future__ import annotations

from dataclasses import dataclass

from ontology.vocabulary import DATA, expand, rows


@dataclass(frozen=True, slots=True)
class KindLimits:
    """Of points of a kind (IRI) and of those below it; limits in `unit` (UCUM), None: not limited."""

    kind: str
    unit: str
    lowest: float | None
    highest: float | None


def load_limits() -> tuple[KindLimits, ...]:
    """The table in its order: a later line holds over an earlier one."""
    text = (DATA / "limits_by_kind.tsv").read_text(encoding="utf-8")
    return tuple(
        KindLimits(expand(kind), unit, float(low) if low else None, float(high) if high else None)
        for kind, unit, low, high in rows(text)
    )
