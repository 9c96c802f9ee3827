"""Operations planned once and run as statements, one for each field of the query."""

# graphql-core leaves the items of its wrapping types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from graphql import ExecutionResult, GraphQLError, located_error
from graphql.pyutils import Path

from api.compiled.compiler import coerced
from api.compiled.plans import switches_of, values_of
from api.compiled.selecting import Selecting
from api.failures import graphql_errors
from api.operation import Answer
from api.pushdown.fields import plan_field
from api.pushdown.planning import Planner
from api.pushdown.reading import NeedsIdsError, Reading
from api.pushdown.roots import Root, Run
from api.pushdown.statement import Statement
from graph.stores.neo4j.script import Around
from ontology.errors import TwinmeshError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from graphql import GraphQLSchema, OperationDefinitionNode

    from api.operation import Prepared
    from api.pushdown.context import PushedContext
    from api.pushdown.place import Known, Place
    from graph.stores.neo4j.script import Sight

OPERATIONS_MAX: Final = 512
PLANS_MAX: Final = 16  # of one operation
STATEMENTS_MAX: Final = 16  # of one plan
KEY_CHARACTERS_MAX: Final = 4_000  # statements of longer variables are not kept


@dataclass(slots=True, eq=False)
class Planned:
    """An operation for certain values of the variables in its directives, and its last statements.

    A statement is kept by all that it depends on: variables, who sees what, and what is known of the graph.
    """

    schema: GraphQLSchema
    operation: OperationDefinitionNode
    roots: tuple[tuple[str, Root | str], ...]
    _statements: OrderedDict[tuple[object, ...], Statement] = field(
        default_factory=OrderedDict["tuple[object, ...]", "Statement"]
    )
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def statement(self, root: Root, key: tuple[object, ...], make: Callable[[], Statement]) -> Statement:
        """The statement of a root; raises what `make` raises."""
        whole = (root.key, *key)
        with self._lock:
            known = self._statements.get(whole)
            if known is not None:
                self._statements.move_to_end(whole)
                return known
        made = make()
        if not made.is_kept or len(repr(key)) > KEY_CHARACTERS_MAX:
            return made
        with self._lock:
            self._statements[whole] = made
            while len(self._statements) > STATEMENTS_MAX:
                self._statements.popitem(last=False)
        return made


@dataclass(slots=True, eq=False)
class _Operation:
    """The plans of one operation, by the values of the variables that its directives use."""

    operation: OperationDefinitionNode
    schema: GraphQLSchema
    switches: tuple[str, ...]
    plans: dict[object, Planned] = field(default_factory=dict[object, "Planned"])


@dataclass(slots=True, eq=False)
class PushedPlans:
    """Plans of operations that were seen before, the last so many; safe from any thread."""

    _known: OrderedDict[tuple[int, int], _Operation] = field(
        default_factory=OrderedDict["tuple[int, int]", "_Operation"]
    )
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def plan(self, prepared: Prepared) -> Planned:
        """LimitError PUSHDOWN_UNSUPPORTED, GraphQLError."""
        key = (id(prepared.operation), id(prepared.schema))
        with self._lock:
            known = self._known.get(key)
            if known is None:
                # What the ids stand for is kept beside, so that they cannot become another one's.
                made = _Operation(prepared.operation, prepared.schema, switches_of(prepared.document))
                known = self._known[key] = made
            self._known.move_to_end(key)
            while len(self._known) > OPERATIONS_MAX:
                self._known.popitem(last=False)
        values = values_of(known.switches, prepared.request.variables) if known.switches else ()
        planned = known.plans.get(values)
        if planned is None:
            planned = _planned(prepared, prepared.request.variables)
            if len(known.plans) < PLANS_MAX:
                known.plans[values] = planned
        return planned

    def keep_only(self, schema: GraphQLSchema) -> None:
        """Forget the plans of other schemas."""
        with self._lock:
            for key in [key for key, known in self._known.items() if known.schema is not schema]:
                del self._known[key]


def _planned(prepared: Prepared, variables: Mapping[str, Any]) -> Planned:
    schema, operation = prepared.schema, prepared.operation
    values = coerced(schema, operation, variables)
    planner = Planner(Selecting.of(schema, prepared.document, operation, values))
    roots = tuple((asked.key, plan_field(planner, asked)) for asked in planner.selecting.roots())
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
        data: dict[str, Any] | None = {}
        for key, root in self.planned.roots:
            if isinstance(root, str):
                data[key] = root
                continue
            try:
                data[key] = self._root(root)
            except (TwinmeshError, GraphQLError) as error:
                self._failed(root, error)
                data[key] = None
                if not root.may_be_null:
                    data = None
                    break
        errors = graphql_errors(self.errors) if self.errors else None
        return Answer(ExecutionResult(data, errors, self.prepared.extensions))

    def _root(self, root: Root) -> Any:
        try:
            return self._read(root, has_ids=False)
        except NeedsIdsError:
            return self._read(root, has_ids=True)

    def _read(self, root: Root, *, has_ids: bool) -> Any:
        known, variables = self.known, self.prepared.request.variables
        sight = known.sight(self.context.principal)
        key = (repr(variables), sight, has_ids, known.number)
        make = partial(self._written, root, sight, has_ids=has_ids)
        statement = self.planned.statement(root, key, make)
        if statement.min_revision is not None:
            self.place.wait_for(statement.min_revision)
        services, budget = self.context.services, self.context.budget
        row = self.place.ask(statement.text, statement.values, services.settings.limits.wall_s)
        reading = Reading(self.prepared.schema, known.ontology, services.units, known.bases)
        found = statement.read(row, reading)
        while isinstance(found, Statement):
            budget.check_time()
            found = found.read(self.place.ask(found.text, found.values, budget.left_s), reading)
        budget.spend(reading.objects)
        return found

    def _written(self, root: Root, sight: Sight, *, has_ids: bool) -> Statement:
        prepared, known = self.prepared, self.known
        variables = coerced(prepared.schema, prepared.operation, prepared.request.variables)
        return root.statement(
            Run(
                self.context,
                prepared.schema,
                known.ontology,
                variables,
                sight,
                self._around(),
                has_ids,
            )
        )

    def _around(self) -> Around:
        known, texts = self.known, partial(self.place.unit_texts.all_of, self._ask)
        return Around(known.bases, known.attributes, self.context.services.units, self._ask, texts)

    def _ask(self, text: str, values: Mapping[str, Any]) -> list[Any]:
        """The one row of a statement, within the time of the operation."""
        self.context.budget.check_time()
        return self.place.ask(text, values, self.context.budget.left_s)

    def _failed(self, root: Root, error: Exception) -> None:
        path = Path(None, root.key, "Query")
        self.errors.append(located_error(error, [each.node for each in root.asked.nodes], path.as_list()))
