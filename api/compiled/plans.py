"""Plans of operations that were seen before, bounded by number and by bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from graphql import DirectiveNode, VariableNode

from api.compiled.compiler import Tables, compile_operation
from api.syntax import nodes_below

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from graphql import DocumentNode, GraphQLSchema, OperationDefinitionNode

    from api.compiled.compiler import Compiled

_Values: TypeAlias = tuple["bool | str | None", ...]
_OPERATIONS_MAX: Final = 1_024
_VALUES_MAX: Final = 64
# Of an operation for which no plan was made, that there is none.
_NO_PLAN_BYTES: Final = 500
_ABSENT: Final = "absent"


@dataclass(slots=True, eq=False)
class _Known:
    """The plans of one operation, by the values of the variables that its directives use."""

    operation: OperationDefinitionNode
    schema: GraphQLSchema
    switches: tuple[str, ...]
    plans: dict[_Values, Compiled | None] = field(default_factory=dict[_Values, "Compiled | None"])
    nbytes: int = 0


class Plans:
    """Makes plans and keeps them; safe from any thread. Two threads may make the same plan at once."""

    def __init__(self, *, bytes_max: int = 32 << 20) -> None:
        self._tables = Tables()
        self._known: OrderedDict[tuple[int, int], _Known] = OrderedDict()
        self._lock = threading.Lock()
        self._bytes_max = bytes_max
        self._nbytes = 0

    @property
    def nbytes(self) -> int:
        """Bytes of plans (estimated by their parts) and of free memory kept for the next answers."""
        return self._nbytes + self._tables.arenas.nbytes

    @property
    def bytes_max(self) -> int:
        return self._bytes_max + self._tables.arenas.bytes_max

    def lines(self) -> Iterator[str]:
        """Figures for `/metrics`."""
        yield "# TYPE twinmesh_compiled_cache_bytes gauge"
        yield f"twinmesh_compiled_cache_bytes {self.nbytes}"
        yield "# TYPE twinmesh_compiled_cache_bytes_max gauge"
        yield f"twinmesh_compiled_cache_bytes_max {self.bytes_max}"

    def plan(
        self,
        schema: GraphQLSchema,
        document: DocumentNode,
        operation: OperationDefinitionNode,
        variables: Mapping[str, Any],
    ) -> Compiled | None:
        """The plan of a valid operation for these variables; None where the resolvers must answer."""
        key = (id(operation), id(schema))
        known = self._known.get(key)
        if known is None:
            known = self._enter(key, _Known(operation, schema, switches_of(document)))
        values = values_of(known.switches, variables)
        if values is None:
            return None
        if values not in known.plans:
            made = compile_operation(schema, document, operation, variables, self._tables)
            self._keep(key, known, values, made)
            return made
        return known.plans[values]

    def keep_only(self, schema: GraphQLSchema) -> None:
        """Forget the plans of other schemas: each of those takes megabytes."""
        with self._lock:
            for key in [key for key, known in self._known.items() if known.schema is not schema]:
                self._nbytes -= self._known.pop(key).nbytes
        self._tables.types.keep_only(schema)

    def _enter(self, key: tuple[int, int], known: _Known) -> _Known:
        with self._lock:
            return self._known.setdefault(key, known)

    def _keep(self, key: tuple[int, int], known: _Known, values: _Values, made: Compiled | None) -> None:
        size = _NO_PLAN_BYTES if made is None else made.nbytes
        with self._lock:
            if len(known.plans) >= _VALUES_MAX or self._known.get(key) is not known:
                return
            known.plans[values] = made
            known.nbytes += size
            self._nbytes += size
            self._known.move_to_end(key)
            while self._nbytes > self._bytes_max or len(self._known) > _OPERATIONS_MAX:
                _, dropped = self._known.popitem(last=False)
                self._nbytes -= dropped.nbytes


def switches_of(document: DocumentNode) -> tuple[str, ...]:
    """Names of the variables that directives use, anywhere in the document."""
    return tuple(sorted({each.name.value for each in _in_directives(document)}))


def _in_directives(document: DocumentNode) -> Iterator[VariableNode]:
    for node in nodes_below(document):
        if isinstance(node, DirectiveNode):
            yield from (each for each in nodes_below(node) if isinstance(each, VariableNode))


def values_of(switches: tuple[str, ...], variables: Mapping[str, Any]) -> _Values | None:
    """The values of such variables; None where one is no boolean: the executor says what is wrong with it."""
    found = tuple(variables.get(name, _ABSENT) for name in switches)
    is_plain = all(value is None or value is _ABSENT or isinstance(value, bool) for value in found)
    return found if is_plain else None
