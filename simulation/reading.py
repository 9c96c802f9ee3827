"""Reading a JSON document strictly: every problem is collected with its place, unknown fields included."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeGuard

from ontology.errors import InputError, Place, Problem, suggestion


def is_number(value: object) -> TypeGuard[int | float]:
    """A finite JSON number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def is_list(value: object) -> TypeGuard[Sequence[object]]:
    return isinstance(value, list | tuple)


def is_object(value: object) -> TypeGuard[Mapping[object, object]]:
    return isinstance(value, Mapping)


class Fields:
    """The fields of one JSON object. A wrong one is noted and its default given back: reading goes on.

    null means absent. `close` notes the fields that nobody asked for. Raise `refusal` once all is read.
    """

    def __init__(self, document: object, place: str, problems: list[Problem] | None = None) -> None:
        self.place = place
        self.problems: list[Problem] = [] if problems is None else problems
        self._rest: dict[str, object] = {}
        self._known: list[str] = []
        if is_object(document):
            self._rest = {str(name): value for name, value in document.items() if value is not None}
        else:
            self.note("", f"should be an object, not {_shown(document)}")

    def at(self, name: str) -> str:
        """The place of a field: `events[2].atHours`."""
        return f"{self.place}.{name}" if self.place and name else self.place or name

    def note(self, name: str, message: str, hint: str | None = None, code: str = "SCENARIO_INVALID") -> None:
        self.problems.append(Problem(code, message, Place(item=self.at(name) or None), hint))

    def child(self, document: object, name: str) -> Fields:
        """The fields of an object inside this one; problems are noted together."""
        return Fields(document, self.at(name), self.problems)

    def take(self, name: str) -> object:
        """The raw value, None where absent."""
        self._known.append(name)
        return self._rest.pop(name, None)

    def has(self, name: str) -> bool:
        return name in self._rest

    def need(self, name: str) -> object:
        """The raw value; its absence is noted."""
        value = self.take(name)
        if value is None:
            self.note(name, "is missing")
        return value

    def text(self, name: str, default: str = "") -> str:
        value = self.take(name)
        if value is None or isinstance(value, str):
            return default if value is None else value
        self.note(name, f"should be a text, not {_shown(value)}")
        return default

    def needed_text(self, name: str) -> str:
        if not self.has(name):
            self.need(name)
            return ""
        text = self.text(name)
        if not text:
            self.note(name, "should not be empty")
        return text

    def items(self, name: str) -> Sequence[object]:
        """The items of a list; none where it is absent."""
        value = self.take(name)
        if value is None or is_list(value):
            return value or ()
        self.note(name, f"should be a list, not {_shown(value)}")
        return ()

    def number(self, name: str, default: float, low: float, high: float) -> float:
        """A number from low to high."""
        value = self.take(name)
        if value is None:
            return default
        if is_number(value) and low <= value <= high:
            return float(value)
        self.note(name, f"should be a number from {low:g} to {high:g}, not {_shown(value)}")
        return default

    def needed_number(self, name: str, low: float, high: float) -> float:
        if not self.has(name):
            self.need(name)
            return low
        return self.number(name, low, low, high)

    def integer(self, name: str, default: int, low: int, high: int | None = None) -> int:
        value = self.take(name)
        if value is None:
            return default
        if is_number(value) and value == int(value) and low <= value and (high is None or value <= high):
            return int(value)
        span = f"from {low} to {high}" if high is not None else f"of at least {low}"
        self.note(name, f"should be a whole number {span}, not {_shown(value)}")
        return default

    def close(self, more_known: Iterable[str] = ()) -> None:
        """Note every field that was not taken, with the nearest that would have been."""
        known = [*self._known, *more_known]
        for name in self._rest:
            hint = suggestion(name, known) or f"known here: {', '.join(dict.fromkeys(known))}"
            self.note(name, "unknown field", hint, "SCENARIO_UNKNOWN_FIELD")

    def refusal(self) -> InputError | None:
        """The error for all problems noted so far, None if there are none."""
        if not self.problems:
            return None
        first = self.problems[0]
        return InputError(
            first.message, code=first.code, place=first.place, hint=first.hint, problems=self.problems
        )


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
