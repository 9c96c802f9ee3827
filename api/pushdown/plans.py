"""Operations planned once and run as statements, one for each field of the query."""

# graphql-core leaves the items of its wrapping types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from graphql import ExecutionResult, GraphQLError, located_error
from graphql.pyutils import Path

from api.compiled.compiler import coerced
from api.compiled.plans import switches_of, values_of
from api.compiled.selecting import Selecting
from api.failures import graphql_errors
from api.operation import Answer
from api.pushdown.planning import Planner
from api.pushdown.reading import NeedsIdsError, Reading
from api.pushdown.roots import Root, Run, plan_root
from ontology.errors import TwinmeshError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from graphql import GraphQLSchema, OperationDefinitionNode

    from api.operation import Prepared
    from api.pushdown.context import PushedContext
    from api.pushdown.place import Known, Place

PLANS_MAX: Final = 1_024


@dataclass(frozen=True, slots=True, eq=False)
class Planned:
    """An operation for certain values of the variables in its directives."""

    schema: GraphQLSchema
    operation: OperationDefinitionNode
    roots: tuple[tuple[str, Root | str], ...]


@dataclass(slots=True, eq=False)
class PushedPlans:
    """Plans of operations that were seen before, the last so many; safe from any thread."""

    _known: OrderedDict[tuple[object, ...], Planned] = field(
        default_factory=OrderedDict["tuple[object, ...]", Planned]
    )
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def plan(self, prepared: Prepared) -> Planned:
        """LimitError PUSHDOWN_UNSUPPORTED, GraphQLError."""
        variables = prepared.request.variables
        values = values_of(switches_of(prepared.document), variables) if variables else ()
        key = (id(prepared.operation), id(prepared.schema), values)
        with self._lock:
            known = self._known.get(key)
            if known is not None:
                self._known.move_to_end(key)
                return known
        made = _planned(prepared, variables)
        with self._lock:
            # What the ids stand for is kept beside, so that they cannot become another one's.
            self._known[key] = made
            while len(self._known) > PLANS_MAX:
                self._known.popitem(last=False)
        return made

    def keep_only(self, schema: GraphQLSchema) -> None:
        """Forget the plans of other schemas."""
        with self._lock:
            for key in [key for key, known in self._known.items() if known.schema is not schema]:
                del self._known[key]


def _planned(prepared: Prepared, variables: Mapping[str, Any]) -> Planned:
    schema, operation = prepared.schema, prepared.operation
    values = coerced(schema, operation, variables)
    planner = Planner(Selecting.of(schema, prepared.document, operation, values))
    roots = tuple((asked.key, plan_root(planner, asked)) for asked in planner.selecting.roots())
    return Planned(schema, operation, roots)


@dataclass(slots=True, eq=False)
class Running:
    """One operation on its way through the database."""

    prepared: Prepared
    context: PushedContext
    planned: Planned
    place: Place
    known: Known
    errors: list[GraphQLError] = field(default_factory=list[GraphQLError])

    def answer(self) -> Answer:
        """What a client gets; an error stands at the field of the query that met it."""
        variables = coerced(self.prepared.schema, self.prepared.operation, self.prepared.request.variables)
        known = self.known
        run = Run(
            self.context,
            self.prepared.schema,
            known.ontology,
            variables,
            known.sight(self.context.principal),
            known.bases,
            known.attributes,
        )
        data: dict[str, Any] | None = {}
        for key, root in self.planned.roots:
            if isinstance(root, str):
                data[key] = root
                continue
            try:
                data[key] = self._root(root, run)
            except (TwinmeshError, GraphQLError) as error:
                self._failed(root, error)
                data[key] = None
                if not root.may_be_null:
                    data = None
                    break
        errors = graphql_errors(self.errors) if self.errors else None
        return Answer(ExecutionResult(data, errors, self.prepared.extensions))

    def _root(self, root: Root, run: Run) -> Any:
        try:
            return self._read(root, run)
        except NeedsIdsError:
            return self._read(root, replace(run, has_ids=True))

    def _read(self, root: Root, run: Run) -> Any:
        statement = root.statement(run)
        if statement.min_revision is not None:
            self.place.wait_for(statement.min_revision)
        limits, budget = self.context.services.settings.limits, self.context.budget
        row = self.place.ask(statement.text, statement.values, limits.wall_s)
        known = self.known
        reading = Reading(run.schema, known.ontology, self.context.services.units, known.bases)
        found = statement.read(row, reading)
        budget.spend(reading.objects)
        return found

    def _failed(self, root: Root, error: Exception) -> None:
        path = Path(None, root.key, "Query")
        self.errors.append(located_error(error, [each.node for each in root.asked.nodes], path.as_list()))
