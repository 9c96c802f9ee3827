"""A query answered as a stream of lines (NDJSON): every object of one paged root, beyond the size of a page.

The twins are matched and ordered once, on one snapshot; page after page is then run as the same operation, so
a line is what the query says, whatever it says. One page is in memory at a time. The last line tells how it
ended: `{"__export":{"complete":true,"count":N}}`. Without it, or with errors in it, something is missing.
"""

# graphql-core leaves the data of a result open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import orjson
from graphql import FieldNode, OperationType, SelectionSetNode, get_named_type

from api.failures import error_of
from api.limits import price_per_object
from api.lines import lines_of
from api.operation import Answer, encode
from api.schema.context import RequestContext
from graph.scroll import Scroll
from ontology.errors import InputError, LimitError, TwinmeshError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine

    from graphql import GraphQLNamedType, GraphQLSchema

    from api.operation import Prepared
    from graph.snapshot import Snapshot

_LINES_PER_PAGE_MAX: Final = 50_000
_HINT: Final = "one root with pages, and `nodes` in it: { twins(kind: ...) { nodes { id } } }"


@dataclass(frozen=True, slots=True, eq=False)
class Export:
    """An operation that may be streamed. `lines` once."""

    prepared: Prepared
    run_page: Callable[[Prepared], Coroutine[Any, Any, Answer]]
    keys: tuple[str, str]  # of the root and of its objects in the answer
    object_cost: int

    @classmethod
    def of(cls, prepared: Prepared, run_page: Callable[[Prepared], Coroutine[Any, Any, Answer]]) -> Export:
        """InputError EXPORT_INVALID where the operation is not of the form."""
        if prepared.operation.operation is not OperationType.QUERY:
            raise _invalid("only queries can be exported")
        root = _only_field(prepared.operation.selection_set)
        objects = None if root is None else _only_field(root.selection_set)
        if root is None or objects is None or objects.name.value != "nodes":
            raise _invalid("the query has not the form of an export")
        variables = prepared.request.variables
        connection = _type_of(prepared.schema, root.name.value)
        cost = price_per_object(prepared.schema, prepared.document, objects, connection, variables)
        return cls(prepared, run_page, (_key(root), _key(objects)), cost)

    async def lines(self) -> AsyncGenerator[bytes, None]:
        """Whole lines, a page at a time."""
        snapshot = self.prepared.context.present().snapshot
        scroll = Scroll(self._rows_per_page())
        revisions = dict(zip(snapshot.sites, map(str, snapshot.revisions), strict=True))
        while scroll.has_next:
            try:
                self.prepared.context.check_principal()
                answer = await self.run_page(self._page(snapshot, scroll))
            except TwinmeshError as error:
                yield _last(scroll, revisions, [error_of(error).formatted])
                return
            if lines := self._lines(answer):
                yield lines
            errors = [error.formatted for error in answer.result.errors or ()]
            if not errors and not scroll.has_begun:
                errors = [error_of(_invalid("this field has no pages that could be exported")).formatted]
            if errors:
                yield _last(scroll, revisions, errors)
                return
        yield _last(scroll, revisions, _cut_short(scroll))

    def _page(self, snapshot: Snapshot, scroll: Scroll) -> Prepared:
        """The operation once more, with a budget of its own, over the next rows."""
        before = self.prepared.context
        context = RequestContext.over(snapshot, before.services, before.principal, scroll)
        return replace(self.prepared, context=context)

    def _rows_per_page(self) -> int:
        """As many as the cost rule and the budget of one request allow at once."""
        limits = self.prepared.context.services.settings.limits
        most = min(limits.cost_max, limits.nodes_max) // self.object_cost
        return max(1, min(_LINES_PER_PAGE_MAX, most))

    def _lines(self, answer: Answer) -> bytes:
        """The objects of a page, one a line."""
        begin, end = self._frame()
        made = answer.data_bytes
        if made is not None and made.startswith(begin) and made.endswith(end):
            return lines_of(memoryview(made)[len(begin) : -len(end)])
        data: Any = answer.result.data if made is None else orjson.loads(made)
        if not data or not data.get(self.keys[0]):
            return b""
        return b"".join(encode(each) + b"\n" for each in data[self.keys[0]][self.keys[1]] or ())

    def _frame(self) -> tuple[bytes, bytes]:
        """What stands around the objects in JSON."""
        root, objects = (encode(key) for key in self.keys)
        return b"{" + root + b":{" + objects + b":[", b"]}}"


def _only_field(node: SelectionSetNode | None) -> FieldNode | None:
    """The one field of a selection, without directives; None where it holds anything else."""
    if node is None or len(node.selections) != 1:
        return None
    only = node.selections[0]
    return only if isinstance(only, FieldNode) and not only.directives else None


def _type_of(schema: GraphQLSchema, root: str) -> GraphQLNamedType | None:
    found = schema.query_type.fields.get(root) if schema.query_type else None
    return get_named_type(found.type) if found else None


def _key(node: FieldNode) -> str:
    return node.alias.value if node.alias else node.name.value


def _last(scroll: Scroll, revisions: dict[str, str], errors: list[Any] | None) -> bytes:
    told = {"complete": errors is None, "count": scroll.taken, "revisions": revisions}
    return encode({"__export": told if errors is None else {**told, "errors": errors}}) + b"\n"


def _cut_short(scroll: Scroll) -> list[Any] | None:
    """A walk that met its budget holds less than was asked for."""
    if scroll.cut is None:
        return None
    message = f"the walk was cut short: {scroll.cut}"
    return [error_of(LimitError(message, code="EXPORT_TRUNCATED", hint="ask for a part of it")).formatted]


def _invalid(message: str) -> InputError:
    return InputError(message, code="EXPORT_INVALID", hint=_HINT)
