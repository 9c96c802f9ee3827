"""What a contract says of private figures: a budget of epsilon for a window of days, and public bounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

MICRO: Final = 1_000_000
WINDOW_DAYS_DEFAULT: Final = 30


@dataclass(frozen=True, slots=True)
class PrivateBound:
    """Values of an attribute are clamped into lower .. upper, in `unit` (UCUM; None: they have none)."""

    attribute: str
    lower: float
    upper: float
    unit: str | None = None

    def __str__(self) -> str:
        return f"{self.lower:g} to {self.upper:g}" + (f" {self.unit}" if self.unit else "")


@dataclass(frozen=True, slots=True)
class PrivateTerms:
    """So much epsilon, in millionths, in every window of days; figures of these attributes and no others.

    An attribute that is named here may leave as a noisy figure even where the contract never shows a value.
    """

    epsilon_micro: int
    window_days: int
    bounds: tuple[PrivateBound, ...] = ()

    def bound(self, attribute: str) -> PrivateBound | None:
        return next((each for each in self.bounds if each.attribute == attribute), None)


def private_changes(old: PrivateTerms | None, new: PrivateTerms | None) -> Iterator[tuple[bool, str]]:
    """What changes, a line each, and whether it widens what may be learnt."""
    if old == new:
        return
    if old is None or new is None:
        yield new is not None, "privacy: " + (_terms(new) if new else "none")
        return
    if old.epsilon_micro != new.epsilon_micro:
        is_wider = new.epsilon_micro > old.epsilon_micro
        yield is_wider, f"privacy.epsilon: {old.epsilon_micro / MICRO:g} -> {new.epsilon_micro / MICRO:g}"
    if old.window_days != new.window_days:
        # The same epsilon more often is more.
        yield (
            new.window_days < old.window_days,
            f"privacy.window_days: {old.window_days} -> {new.window_days}",
        )
    yield from _bound_changes(old, new)


def _bound_changes(old: PrivateTerms, new: PrivateTerms) -> Iterator[tuple[bool, str]]:
    for name in sorted({each.attribute for each in (*old.bounds, *new.bounds)}):
        was, becomes = old.bound(name), new.bound(name)
        if was is None or becomes is None:
            yield becomes is not None, f"privacy.bounds: {'+' if becomes else '-'} {name}"
        elif was != becomes:
            # Narrower bounds mean less noise: more is told of the values within them.
            yield True, f"privacy.bounds: {name} {was} -> {becomes}"


def _terms(terms: PrivateTerms) -> str:
    names = ", ".join(sorted(each.attribute for each in terms.bounds)) or "counts only"
    return f"epsilon {terms.epsilon_micro / MICRO:g} in {terms.window_days} days, {names}"
