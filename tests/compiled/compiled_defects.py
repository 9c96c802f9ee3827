"""Defects planted into the compiled way itself, at its seam: what a plan gives for a request."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any, Final, TypeAlias

from api.compiled.compiler import Compiled, Encoded
from api.schema.context import RequestContext

Run: TypeAlias = Callable[[Compiled, RequestContext, Mapping[str, Any]], Encoded | None]


def _kept_by(key: Callable[[Compiled, Mapping[str, Any]], Hashable]) -> Callable[[Run], Run]:
    """Answers are kept, and whoever asks what the key calls the same gets the same."""

    def plant(run: Run) -> Run:
        kept: dict[Hashable, tuple[Compiled, Encoded | None]] = {}

        def wrong(self: Compiled, context: RequestContext, variables: Mapping[str, Any]) -> Encoded | None:
            place = key(self, variables)
            if place not in kept:
                kept[place] = (
                    self,
                    run(self, context, variables),
                )  # the plan is kept too: its id stays its own
            return kept[place][1]

        return wrong

    return plant


def _replaced(old: bytes, new: bytes) -> Callable[[Run], Run]:
    """The bytes differ in a small thing."""

    def plant(run: Run) -> Run:
        def wrong(self: Compiled, context: RequestContext, variables: Mapping[str, Any]) -> Encoded | None:
            found = run(self, context, variables)
            return None if found is None else Encoded(found.data.replace(old, new))

        return wrong

    return plant


def _without_errors(run: Run) -> Run:
    """What a plan cannot answer is answered with nothing."""

    def wrong(self: Compiled, context: RequestContext, variables: Mapping[str, Any]) -> Encoded | None:
        return run(self, context, variables) or Encoded(b"{}")

    return wrong


COMPILED_DEFECTS: Final[Mapping[str, Callable[[Run], Run]]] = {
    "an answer is kept by its plan alone": _kept_by(lambda plan, _: id(plan)),
    "an answer is kept whoever asks": _kept_by(lambda plan, variables: (id(plan), repr(variables))),
    "errors are taken for nothing": _without_errors,
    "minus zero loses its sign": _replaced(b":-0.0", b":0.0"),
    "quotes in texts are not escaped": _replaced(b'\\"', b'"'),
    "line separators are escaped": _replaced("\u2028".encode(), b"\\u2028"),
    "there is never another page": _replaced(b'"hasNextPage":true', b'"hasNextPage":false'),
}
