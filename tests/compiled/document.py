"""The parts of a document, how they are written as text, and which may stand beside each other.

GraphQL merges fields of one response key; that is only valid where they are the same field with the same
arguments. A `Scope` remembers what each key of one place stands for, through all fragments that land there.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from graphql import GraphQLEnumType, GraphQLInputObjectType, GraphQLList, GraphQLNonNull

_NAME = re.compile(r"[_A-Za-z][_0-9A-Za-z]*")
_PLAIN_BLOCK = re.compile(r"[ -!#-\[\]-~]*[!#-\[\]-~]")  # no quote, no backslash, no space at the ends


@dataclass(frozen=True, slots=True)
class Field:
    name: str
    alias: str | None = None
    arguments: tuple[tuple[str, str], ...] = ()
    directives: str = ""
    selections: tuple[Selection, ...] = ()

    @property
    def key(self) -> str:
        return self.alias or self.name


@dataclass(frozen=True, slots=True)
class Inline:
    condition: str | None
    directives: str
    selections: tuple[Selection, ...]


@dataclass(frozen=True, slots=True)
class Spread:
    name: str
    directives: str = ""


@dataclass(frozen=True, slots=True)
class Raw:
    """Text as it stands."""

    text: str


Selection: TypeAlias = Field | Inline | Spread | Raw


@dataclass(frozen=True, slots=True)
class Style:
    """How a text is laid out: what stands between selections, around colons, at line ends."""

    between: str = " "
    colon: str = ": "
    comma: str = ", "


STYLES = (
    Style(),
    Style("\n  "),
    Style(" ", ":", ","),
    Style(",\n# a comment }\n", " : ", " "),
    Style("\t,", ": ", ",,"),
)


def selection_text(selections: Sequence[Selection], style: Style) -> str:
    return "{" + style.between.join(["", *(_text(each, style) for each in selections)]) + " }"


def _text(item: Selection, style: Style) -> str:
    if isinstance(item, Raw):
        return item.text
    if isinstance(item, Spread):
        return f"...{item.name}{item.directives}"
    inner = selection_text(item.selections, style) if item.selections else ""
    if isinstance(item, Inline):
        return f"...{f' on {item.condition}' if item.condition else ''}{item.directives} {inner}"
    alias = f"{item.alias}{style.colon}" if item.alias else ""
    arguments = style.comma.join(f"{name}{style.colon}{text}" for name, text in item.arguments)
    given = f"({arguments})" if arguments else ""
    return f"{alias}{item.name}{given}{item.directives}{' ' if inner else ''}{inner}"


# Merging


@dataclass(slots=True)
class Scope:
    """What each response key of one place stands for: (field with arguments and type, scope below)."""

    keys: dict[str, tuple[str, Scope]] = field(default_factory=dict)

    def accepts(self, other: Scope) -> bool:
        """Whether everything there may stand here too."""
        return all(
            key not in self.keys or (self.keys[key][0] == meaning and self.keys[key][1].accepts(below))
            for key, (meaning, below) in other.keys.items()
        )

    def absorb(self, other: Scope) -> None:
        for key, (meaning, below) in other.keys.items():
            self.keys.setdefault(key, (meaning, Scope()))[1].absorb(below)

    def take(self, key: str, meaning: str) -> Scope | None:
        """The scope below a key, None where the key means something else already."""
        known = self.keys.setdefault(key, (meaning, Scope()))
        return known[1] if known[0] == meaning else None


# Constants


def constant(type_: Any, value: object, *, ascii_only: bool = True, block: bool = False) -> str | None:
    """A JSON value as a literal of a type; None where it cannot be written as one."""
    if isinstance(type_, GraphQLNonNull):
        return constant(type_.of_type, value, ascii_only=ascii_only, block=block)
    if value is None:
        return "null"
    if isinstance(type_, GraphQLEnumType):
        return str(value)
    if isinstance(type_, GraphQLList):
        inner = type_.of_type
        items = value if isinstance(value, list) else [value]
        return _joined([constant(inner, each, ascii_only=ascii_only, block=block) for each in items])
    if isinstance(type_, GraphQLInputObjectType) and isinstance(value, dict):
        parts = {
            name: constant(type_.fields[name].type, each, ascii_only=ascii_only, block=block)
            for name, each in value.items()
        }
        return None if None in parts.values() else braced([f"{name}: {text}" for name, text in parts.items()])
    return _plain(value, ascii_only=ascii_only, block=block)


def _plain(value: object, *, ascii_only: bool, block: bool) -> str | None:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value) if math.isfinite(value) else None
    if isinstance(value, str):
        if block and _PLAIN_BLOCK.fullmatch(value):
            return f'"""{value}"""'
        return json.dumps(value, ensure_ascii=ascii_only)
    if isinstance(value, list):
        return _joined([_plain(each, ascii_only=ascii_only, block=block) for each in value])
    assert isinstance(value, dict)
    if not all(_NAME.fullmatch(name) for name in value):
        return None
    parts = {name: _plain(each, ascii_only=ascii_only, block=block) for name, each in value.items()}
    return None if None in parts.values() else braced([f"{name}: {text}" for name, text in parts.items()])


def braced(parts: Sequence[str]) -> str:
    return "{" + ", ".join(parts) + "}"


def _joined(items: list[str | None]) -> str | None:
    return None if None in items else f"[{', '.join(str(item) for item in items)}]"
