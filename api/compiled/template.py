"""What a plan is made of: literals, and slots that give one piece for each object of a frame.

An object within an object needs no text of its own: its literals and slots become part of the outer template.

Everything can be written in two ways, to the same bytes: `pieces`, by kernels over columns, and `texts`,
which for a few objects takes less time than calling a kernel does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeAlias, TypeVar

import numpy as np

from api.compiled.arena import Pieces, Thread, lists_of
from api.compiled.frames import Frame
from api.compiled.leaves import put

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy.typing as npt

F = TypeVar("F", bound=Frame)
F_contra = TypeVar("F_contra", bound=Frame, contravariant=True)
G = TypeVar("G", bound=Frame)
Children: TypeAlias = "tuple[G, npt.NDArray[np.int64]]"
_NULL: Final = b"null"
FEW: Final = 24
"""Up to so many objects are written as texts."""


class Slot(Protocol[F_contra]):
    def pieces(self, frame: F_contra) -> Pieces:
        """A piece for each object of the frame."""
        ...

    def texts(self, frame: F_contra) -> list[bytes]:
        """The same, for frames of a few objects."""
        ...


class Check(Protocol[F_contra]):
    def __call__(self, frame: F_contra, /) -> None: ...


@dataclass(frozen=True, slots=True)
class Template(Generic[F]):
    """literals[0], slots[0], literals[1], ..., slots[k - 1], literals[k]"""

    literals: tuple[bytes, ...] = (b"",)
    slots: tuple[Slot[F], ...] = ()
    checks: tuple[Check[F], ...] = ()

    def __add__(self, other: Template[F]) -> Template[F]:
        seam = self.literals[-1] + other.literals[0]
        literals = (*self.literals[:-1], seam, *other.literals[1:])
        return Template(literals, (*self.slots, *other.slots), (*self.checks, *other.checks))

    def of(self, derive: Callable[[G], F]) -> Template[G]:
        """The same for the objects that `derive` gives, one for each of another frame."""
        slots = tuple(Derived(derive, slot) for slot in self.slots)
        checks: tuple[Check[G], ...] = tuple(DerivedCheck(derive, check) for check in self.checks)
        if not slots and not checks:
            checks = (Found(derive),)  # nothing is asked of them, but to look for them may be an error
        return Template(self.literals, slots, checks)

    def checked(self, check: Check[F]) -> Template[F]:
        """The same for frames that pass a check; it raises Deopt."""
        return Template(self.literals, self.slots, (*self.checks, check))


def text(literal: bytes) -> Template[Any]:
    return Template((literal,))


def slot(part: Slot[F], before: bytes = b"", behind: bytes = b"") -> Template[F]:
    return Template((before, behind), (part,))


def object_of(fields: Iterable[tuple[bytes, Template[F]]]) -> Template[F]:
    """A JSON object; fields with their keys as JSON."""
    made: Template[F] = text(b"{")
    for number, (key, value) in enumerate(fields):
        made += text((b"," if number else b"") + key + b":") + value
    return made + text(b"}")


@dataclass(frozen=True, slots=True)
class Column(Generic[F]):
    """A column of the frame, computed once however often it is asked for."""

    key: object
    column: Callable[[F], Pieces]
    few: Callable[[F], list[bytes]] | None = None

    def pieces(self, frame: F) -> Pieces:
        return frame.kept(("column", self.key), lambda: self.column(frame))

    def texts(self, frame: F) -> list[bytes]:
        if self.few is None:
            return _texts_of(frame, self.pieces(frame))
        return frame.kept(("texts", self.key), lambda: self.few(frame) if self.few else [])


@dataclass(frozen=True, slots=True)
class Derived(Generic[G, F]):
    derive: Callable[[G], F]
    inner: Slot[F]

    def pieces(self, frame: G) -> Pieces:
        return self.inner.pieces(self.derive(frame))

    def texts(self, frame: G) -> list[bytes]:
        return self.inner.texts(self.derive(frame))


@dataclass(frozen=True, slots=True)
class DerivedCheck(Generic[G, F]):
    derive: Callable[[G], F]
    inner: Check[F]

    def __call__(self, frame: G) -> None:
        self.inner(self.derive(frame))


@dataclass(frozen=True, slots=True)
class Found(Generic[G, F]):
    """That what a frame is derived to can be found."""

    derive: Callable[[G], F]

    def __call__(self, frame: G) -> None:
        self.derive(frame)


@dataclass(frozen=True, slots=True, eq=False)
class Woven(Generic[F]):
    """The text of a template for every object of a frame; they follow each other."""

    template: Template[F]
    thread: Thread
    form: bytes  # the same literals with %b where the pieces stand

    def texts(self, frame: F) -> list[bytes]:
        if not frame.count:
            return []
        for check in self.template.checks:
            check(frame)
        columns = [part.texts(frame) for part in self.template.slots]
        if not columns:
            return [self.template.literals[0]] * frame.count
        return [self.form % row for row in zip(*columns, strict=True)]

    def pieces(self, frame: F) -> Pieces:
        if not frame.count:
            return frame.arena.repeat(b"", 0)
        for check in self.template.checks:
            check(frame)
        slots = [part.pieces(frame) for part in self.template.slots]
        return frame.arena.woven(self.thread, slots, frame.count)


def woven(template: Template[F]) -> Woven[F]:
    """What writes a template."""
    form = b"%b".join(literal.replace(b"%", b"%%") for literal in template.literals)
    return Woven(template, Thread.of(template.literals), form)


@dataclass(frozen=True, slots=True, eq=False)
class Variants(Generic[F]):
    """Objects of several types: each is written by the template of its type.

    number: of each object, which template; int64[n]
    """

    number: Callable[[F], npt.NDArray[np.integer[Any]]]
    some: Callable[[F, npt.NDArray[np.int64]], F]
    templates: Sequence[Woven[F]]

    def texts(self, frame: F) -> list[bytes]:
        number = self.number(frame)
        found = [b""] * frame.count
        for each, text in enumerate(self.templates):
            places = np.flatnonzero(number == each)
            if len(places):
                some = text.texts(self.some(frame, places))
                for place, own in zip(places.tolist(), some, strict=True):
                    found[place] = own
        return found

    def pieces(self, frame: F) -> Pieces:
        number = self.number(frame)
        pieces = Pieces(np.zeros(frame.count, np.int64), np.zeros(frame.count, np.int64))
        for each, text in enumerate(self.templates):
            places = np.flatnonzero(number == each)
            if len(places) == frame.count:
                return text.pieces(frame)
            if len(places):
                put(pieces, places, text.pieces(self.some(frame, places)))
        return pieces


@dataclass(frozen=True, slots=True, eq=False)
class ListOf(Generic[F, G]):
    """The inside of a list for every object of a frame."""

    children: Callable[[F], Children[G]]
    item: Woven[G]  # with a comma at the end

    def texts(self, frame: F) -> list[bytes]:
        items, bounds = self.children(frame)
        if items.count > FEW:
            return _texts_of(frame, lists_of(bounds, self.item.pieces(items)))
        texts, cuts = self.item.texts(items), bounds.tolist()
        return [b"".join(texts[begin:end])[:-1] for begin, end in pairwise(cuts)]

    def pieces(self, frame: F) -> Pieces:
        items, bounds = self.children(frame)
        return lists_of(bounds, self.item.pieces(items))


def list_of(children: Callable[[F], Children[G]], item: Template[G]) -> Template[F]:
    """A JSON list."""
    return slot(ListOf(children, woven(item + text(b","))), b"[", b"]")


@dataclass(frozen=True, slots=True, eq=False)
class FirstOf(Generic[F, G]):
    """The first of each object's children as a text, null where there is none."""

    children: Callable[[F], Children[G]]
    item: Woven[G]

    def texts(self, frame: F) -> list[bytes]:
        items, bounds = self.children(frame)
        texts, cuts = self.item.texts(items), bounds.tolist()
        return [texts[begin] if end > begin else _NULL for begin, end in pairwise(cuts)]

    def pieces(self, frame: F) -> Pieces:
        items, bounds = self.children(frame)
        pieces = self.item.pieces(items)
        here = np.flatnonzero(bounds[1:] > bounds[:-1])
        if len(here) == frame.count == items.count:
            return pieces
        found = frame.arena.repeat(_NULL, frame.count)
        put(found, here, pieces.take(bounds[:-1][here]))
        return found


def written(frame: F, woven: Woven[F], *, few: bool) -> list[bytes] | list[memoryview]:
    """The texts of a template for every object of a frame, in the way that is faster."""
    if few:
        return woven.texts(frame)
    pieces = woven.pieces(frame)
    return [frame.arena.text(pieces, place) for place in range(frame.count)]


def _texts_of(frame: Frame, pieces: Pieces) -> list[bytes]:
    return [bytes(frame.arena.text(pieces, place)) for place in range(len(pieces))]
