"""Strict reading of configuration tables: keys are known, values have their type, all problems at once."""

from __future__ import annotations

import math
import tomllib
from typing import TYPE_CHECKING, TypeVar, cast

from ontology.errors import InputError, Place, Problem, suggestion

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

TYPE_NAMES: dict[type, str] = {
    str: "a text",
    bool: "true or false",
    int: "an integer",
    float: "a number",
    dict: "a table",
    list: "a list",
}
Choice = TypeVar("Choice", bound=str)
Read = TypeVar("Read")


def read_toml(path: Path) -> dict[str, object]:
    """The document at `path`. Raises InputError CONFIG_UNREADABLE or CONFIG_SYNTAX with the place."""
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise InputError(str(error), code="CONFIG_SYNTAX", place=Place(path=path.name)) from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"cannot be read: {error}", code="CONFIG_UNREADABLE", place=Place(path=path.name)
        ) from error


def read_tables(
    document: Mapping[str, object],
    key: str,
    name: str,
    read: Callable[[Table, int], Read],
    *,
    count_max: int | None = None,
    check: Callable[[Table, Sequence[Read]], None] | None = None,
) -> tuple[Read, ...]:
    """What `read` makes of each `[[key]]` table of a document, which are numbered from 1; its other keys are
    for others. InputError with every problem of all.

    name: of the file. check: notes what is wrong with them together.
    """
    top = Table({key: document.get(key, [])}, Place(path=name))
    tables = top.tables(key)
    if count_max is not None and len(tables) > count_max:
        top.note("CONFIG_RANGE", f"at most {count_max} [[{key}]] tables, not {len(tables)}")
    found = top.each(tables, lambda number, _values: f"{key} {number}", read, check)
    top.finish()
    return found


class Table:
    """One table of a document. Readers note what is wrong and answer with a default; `finish` raises it all.

    Raises (from `finish` only) InputError with CONFIG_UNKNOWN_KEY, CONFIG_KEY_MISSING, CONFIG_WRONG_TYPE,
    CONFIG_RANGE.
    """

    def __init__(self, values: Mapping[str, object], place: Place) -> None:
        self.place = place
        self.problems: list[Problem] = []
        self._values = values
        self._known: set[str] = set()

    def text(self, key: str, default: str | None = None) -> str:
        return self._read(key, str, default)

    def optional_text(self, key: str) -> str | None:
        return self._read(key, str, "") if self._present(key) else None

    def boolean(self, key: str, default: bool) -> bool:
        return self._read(key, bool, default)

    def integer(self, key: str, default: int, *, minimum: int, maximum: int) -> int:
        value = self._read(key, int, default)
        return value if self._within(key, value, minimum, maximum) else default

    def number(
        self, key: str, default: float, *, minimum: float = -math.inf, maximum: float = math.inf
    ) -> float:
        value = float(self._read(key, float, default))
        return value if self._within(key, value, minimum, maximum) else default

    def optional_number(self, key: str, *, minimum: float = -math.inf) -> float | None:
        return self.number(key, minimum, minimum=minimum) if self._present(key) else None

    def choice(self, key: str, choices: tuple[Choice, ...], default: Choice) -> Choice:
        value = self._read(key, str, default)
        for choice in choices:
            if choice == value:
                return choice
        hint = suggestion(value, choices) or f"one of {', '.join(choices)}"
        self.note("CONFIG_RANGE", f"{key!r} cannot be {value!r}", hint)
        return default

    def tables(self, key: str) -> list[Mapping[str, object]]:
        """The list of tables at `key` (`[[key]]`), empty where absent."""
        items: list[object] = self._read(key, list, [])
        found = [cast("Mapping[str, object]", item) for item in items if isinstance(item, dict)]
        if len(found) != len(items):
            self.note("CONFIG_WRONG_TYPE", f"{key!r} holds tables", f"write [[{key}]]")
        return found

    def each(
        self,
        tables: Sequence[Mapping[str, object]],
        item: Callable[[int, Mapping[str, object]], str],
        read: Callable[[Table, int], Read],
        check: Callable[[Table, Sequence[Read]], None] | None = None,
    ) -> tuple[Read, ...]:
        """What `read` makes of tables inside this one, numbered from 1; what it raises becomes problems of
        this one. item: how the place of one is called. check: as in `read_tables`.
        """
        problems: list[Problem] = []
        found: list[Read] = []
        for number, values in enumerate(tables, 1):
            try:
                place = Place(path=self.place.path, item=item(number, values))
                found.append(read(Table(values, place), number))
            except InputError as error:
                problems.extend(error.problems)
        if check is not None:
            check(self, found)
        self.problems.extend(problems)
        return tuple(found)

    def items(self, key: str) -> list[object]:
        """A list of whatever, empty where absent."""
        return self._read(key, list, [])

    def texts(self, key: str) -> tuple[str, ...]:
        """The list of texts at `key`, empty where absent."""
        items: list[object] = self._read(key, list, [])
        if not all(isinstance(item, str) for item in items):
            self.note("CONFIG_WRONG_TYPE", f"{key!r} holds texts")
        return tuple(item for item in items if isinstance(item, str))

    def mapping(self, key: str) -> dict[str, object]:
        return self._read(key, dict, {})

    def note(self, code: str, message: str, hint: str | None = None) -> None:
        self.problems.append(Problem(code, message, self.place, hint))

    def finish(self) -> None:
        """Raise all that was noted, unknown keys included."""
        for key in self._values:
            if key not in self._known:
                self.note("CONFIG_UNKNOWN_KEY", f"unknown key {key!r}", suggestion(key, self._known))
        if self.problems:
            raise InputError.of(self.problems)

    def _present(self, key: str) -> bool:
        self._known.add(key)
        return key in self._values

    def _read(self, key: str, wanted: type[Read], default: Read | None) -> Read:
        if not self._present(key):
            if default is None:
                self.note("CONFIG_KEY_MISSING", f"{key!r} is required")
            return wanted() if default is None else default
        value = self._values[key]
        if _fits(value, wanted):
            return cast("Read", value)
        self.note("CONFIG_WRONG_TYPE", f"{key!r} must be {TYPE_NAMES[wanted]}, not {value!r}")
        return wanted() if default is None else default

    def _within(self, key: str, value: float, minimum: float, maximum: float) -> bool:
        if minimum <= value <= maximum:
            return True
        self.note("CONFIG_RANGE", f"{key!r} must lie between {minimum:g} and {maximum:g}, not {value:g}")
        return False


def _fits(value: object, wanted: type) -> bool:
    if wanted is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if wanted is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, wanted)
