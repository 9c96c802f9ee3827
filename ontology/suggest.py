"""Which kind was meant: hints for names that are misspelt, reordered, or of an older Brick."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ontology.terms import Kind

_MOST = 3
_SURE, _LIKELY = 0.85, 0.75  # how alike two names must be, as difflib counts


def kinds_meant(bare: str, kinds: Sequence[Kind]) -> list[str]:
    """At most three names, the best guesses only: a kind that is deprecated gives way to what replaces it.

    First the same words in another order; then a name very like it; then a more general kind, all of whose
    words occur and whose last word is the same (Outside_Air_Damper_Command: Damper_Command); then a name
    somewhat like it.
    """
    by_name = {kind.bare.lower(): kind for kind in reversed(kinds)}
    found = (
        _same_words(bare, kinds)
        or _alike(bare, by_name, _SURE)
        or _more_general(bare, kinds)
        or _alike(bare, by_name, _LIKELY)
    )
    return list(dict.fromkeys(kind.replaced_by or kind.name for kind in found))[:_MOST]


def _words(bare: str) -> list[str]:
    return bare.lower().split("_")


def _same_words(bare: str, kinds: Sequence[Kind]) -> list[Kind]:
    words = sorted(_words(bare))
    return [kind for kind in kinds if sorted(_words(kind.bare)) == words]


def _alike(bare: str, by_name: dict[str, Kind], cutoff: float) -> list[Kind]:
    return [by_name[name] for name in get_close_matches(bare.lower(), by_name, n=_MOST, cutoff=cutoff)]


def _more_general(bare: str, kinds: Sequence[Kind]) -> list[Kind]:
    """Of the kinds of at least two words, those with the most words in common."""
    *_, last = words = _words(bare)
    general = [(own, kind) for kind in kinds if len(own := _words(kind.bare)) > 1 and own[-1] == last]
    fitting = [(len(own), kind) for own, kind in general if set(own) < set(words)]
    most = max((size for size, _ in fitting), default=0)
    return [kind for size, kind in fitting if size == most]
