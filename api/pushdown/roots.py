"""The fields of the query as statements: what each asks is told by its own resolver, so that filters, orders,
pages, typed arguments and their errors stand in one place."""

# graphql-core leaves the items of its wrapping types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from graphql import GraphQLInterfaceType, GraphQLNonNull, GraphQLObjectType, GraphQLUnionType, get_named_type

from api.compiled.plain import info_of
from api.pushdown.aggregating import Aggregated
from api.pushdown.context import AskedNode, AskedNodes, AskedTwins
from api.pushdown.gathering import gathered
from api.pushdown.linking import ConnectionReader, Pages
from api.pushdown.reading import Nested, ObjectReader, Place
from api.pushdown.sites import Sites
from api.pushdown.statement import Statement
from api.pushdown.writing import Constant, Writer
from api.schema.context import PRESENT
from api.schema.typed import EXTENSION
from api.schema.typed_filters import KindRoot
from graph.ids import is_iri
from graph.ordering import checked_size, read_cursor, signature_of
from graph.stores.neo4j.anchors import found
from graph.stores.neo4j.lookup import candidates, site_of
from graph.stores.neo4j.orders import beyond, cursor_text, keys_of, order_text
from graph.stores.neo4j.script import Script, refuse
from ontology.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from graphql import GraphQLField
    from graphql.execution.values import VariableValues

    from api.compiled.selecting import Arguments, Asked
    from api.pushdown.context import PushedContext
    from api.pushdown.linking import Connection
    from api.pushdown.planning import Planner
    from api.pushdown.reading import Objects, Reading, Row, Source, Table
    from api.pushdown.writing import Twins
    from api.schema.context import WorldRequest
    from graph.plan import Match
    from graph.stores.neo4j.orders import Key
    from graph.stores.neo4j.script import Around, Sight
    from ontology.schema import Schema

_CANDIDATES_MAX: Final = 2
_CURSOR: Final = object()


@dataclass(slots=True, eq=False)
class Run:
    """One operation while it runs; has the shape of `api.compiled.frames.Run` for `info_of`."""

    context: PushedContext
    schema: Any
    ontology: Schema
    variables: VariableValues
    sight: Sight
    around: Around
    has_ids: bool = field(default=False)

    @property
    def bases(self) -> Mapping[str, str]:
        return self.around.bases

    def writer(self, prefix: str = "p") -> Writer:
        return Writer(self.script(prefix), self.variables, self.around.attributes, self.has_ids)

    def script(self, prefix: str = "p") -> Script:
        return Script(self.ontology, self.sight, prefix, self.around)


class Answer(Protocol):
    """Makes the statement of what a resolver told."""

    def statement(self, run: Run, told: object) -> Statement: ...


@dataclass(frozen=True, slots=True, eq=False)
class Root:
    """One field of the query. Raises whatever its resolver raises."""

    key: str
    field: GraphQLField
    asked: Asked
    arguments: Arguments
    resolve: Callable[..., object]
    answer: Answer

    @property
    def may_be_null(self) -> bool:
        return not isinstance(self.field.type, GraphQLNonNull)

    def statement(self, run: Run) -> Statement:
        given = self.arguments.values(run.variables)
        told = self.resolve(None, info_of(cast("Any", run), self.field, self.asked), **given)
        return self.answer.statement(run, told)


def plan_root(planner: Planner, asked: Asked) -> Root | str:
    """The plan of a field of the query; the name of the query's type for `__typename`."""
    query = cast("GraphQLObjectType", planner.selecting.schema.query_type)
    if asked.name == "__typename":
        return query.name
    known = query.fields.get(asked.name)
    if known is None or known.resolve is None:
        refuse(f"`{asked.name}` beside other fields")
    resolve = cast("Callable[..., object]", known.resolve)
    arguments = planner.selecting.arguments(known, asked)
    kind, meaning = get_named_type(known.type), known.extensions.get(EXTENSION)
    answer: Answer
    if isinstance(kind, GraphQLObjectType) and kind.name.endswith("Connection") and "filter" in known.args:
        answer = _Listed(planner.connection(asked, kind, planner.twins, _CURSOR))
    elif asked.name == "aggregate":
        fields = planner.selecting.below(asked, cast("GraphQLObjectType", kind))
        answer = Aggregated(tuple((each.key, each.name) for each in fields), kind.name)
    elif asked.name == "sites":
        fields = planner.selecting.below(asked, cast("GraphQLObjectType", kind))
        answer = Sites(tuple((each.key, each.name) for each in fields), kind.name)
    elif asked.name == "nodes":
        answer = _Nodes(planner.twins(asked, kind))
    elif isinstance(kind, GraphQLInterfaceType | GraphQLUnionType) and "id" in known.args:
        answer = _Node(planner.twins(asked, kind), meaning.kind if isinstance(meaning, KindRoot) else None)
        resolve = cast("Callable[..., object]", query.fields["node"].resolve)
    else:
        refuse(f"`{asked.name}`")
    return Root(asked.key, known, asked, arguments, resolve, answer)


def _check_world(world: WorldRequest) -> int | None:
    """The revision to be waited for. LimitError PUSHDOWN_UNSUPPORTED for any world but the present."""
    if (world.as_of_ns, world.at_revision, world.scenario) != (None, None, None):
        refuse("the past, or a world that does not exist yet,")
    return None if world == PRESENT else world.min_revision


# One twin, several twins


@dataclass(frozen=True, slots=True)
class _Node:
    twins: Twins
    kind: str | None  # IRI of the kind that the field is of

    def statement(self, run: Run, told: object) -> Statement:
        asked = cast("AskedNode", told)
        writer, place = run.writer(), Place()
        script = writer.script
        twin = f"MATCH (n:Entity) WHERE {named(script, run.bases, (asked.text,))} AND {script.here('n')}"
        reader = self.twins.reader(writer, place, "n")
        own = None if self.kind is None else run.ontology.kind_by_iri(self.kind)
        fits = None if own is None else place.index(f"n{script.kind(own.name)}")
        gathering = gathered(place, "n")

        def read(rows: Row, reading: Reading) -> Any:
            twins, more = rows
            if len(twins) > 1:
                message = f"{asked.text!r} means several twins"
                raise InputError(message, code="AMBIGUOUS_ID", hint="write site:localId or the full IRI")
            reading.objects += len(twins)
            if not twins or (fits is not None and not twins[0][fits]):
                return None
            return reader(gathering.table(twins, more), reading)[0]

        text = f"{twin} WITH n LIMIT {_CANDIDATES_MAX} {gathering.text}"
        return Statement(text, script.values, read, _check_world(asked.world))


def named(script: Script, bases: Mapping[str, str], texts: tuple[str, ...]) -> str:
    """That a node is one that a text may mean: by IRI, `site:localId` or local id."""
    iris = [text for text in texts if is_iri(text)]
    locals_: dict[tuple[str, ...], list[str]] = {}  # by the sites that they may be of
    for text in texts:
        if not is_iri(text):
            iris += candidates(bases, text)
            site, local = site_of(bases, text)
            locals_.setdefault((site,) if site else tuple(bases), []).append(local)
    if len(iris) == 1 and not locals_:
        return f"n.id = {script.value(iris[0])}"
    parts = [f"n.id IN {script.value(iris)}"]
    for sites, local in locals_.items():
        parts.append(f"(n._local IN {script.value(local)} AND n._site IN {script.value(list(sites))})")
    return parts[0] if len(parts) == 1 else f"({' OR '.join(parts)})"


@dataclass(frozen=True, slots=True)
class _Nodes:
    twins: Twins

    def statement(self, run: Run, told: object) -> Statement:
        texts = cast("AskedNodes", told).texts
        writer, place = run.writer(), Place(["n.id", "n._local", "n._site"])
        script = writer.script
        reader = self.twins.reader(writer, place, "n")
        where = named(script, run.bases, texts) if texts else "false"
        gathering = gathered(place, "n")

        def read(rows: Row, reading: Reading) -> list[Any]:
            page, more = rows
            twins = meant(texts, page, run.bases)
            reading.objects += len(twins)
            made = reader(gathering.table(page, more), reading)
            places = {row[0]: place for place, row in enumerate(page)}
            return [None if row is None else made[places[row[0]]] for row in twins]

        text = f"MATCH (n:Entity) WHERE {where} AND {script.here('n')} {gathering.text}"
        return Statement(text, script.values, read)


def meant(texts: Sequence[str], rows: Sequence[Row], bases: Mapping[str, str]) -> list[Row | None]:
    """The row that each text means; they begin with id, local id and site. InputError AMBIGUOUS_ID."""
    by_id = {row[0]: row for row in rows}
    by_local: dict[str, list[Row]] = {}
    for row in rows:
        by_local.setdefault(row[1], []).append(row)
    return [_found(text, by_id, by_local, bases) for text in texts]


def _found(
    text: str, by_id: Mapping[str, Row], by_local: Mapping[str, list[Row]], bases: Mapping[str, str]
) -> Row | None:
    if is_iri(text):
        return by_id.get(text)
    site, local = site_of(bases, text)
    found = {iri: by_id[iri] for iri in candidates(bases, text) if iri in by_id}
    found |= {row[0]: row for row in by_local.get(local, ()) if site in (None, row[2])}
    if len(found) > 1:
        raise InputError(f"{text!r} means several twins", code="AMBIGUOUS_ID", hint="write the full IRI")
    return next(iter(found.values()), None)


# Pages of twins


@dataclass(frozen=True, slots=True)
class _Listed:
    connection: Connection

    def statement(self, run: Run, told: object) -> Statement:
        asked = cast("AskedTwins", told)
        return _Listing(run, asked.match, self.connection, _check_world(asked.world)).statement()


@dataclass(slots=True, eq=False)
class _Listing:
    """One page while its statement is written. Rows: [id, [values of keys], what is asked ...]."""

    run: Run
    match: Match
    connection: Connection
    min_revision: int | None

    def statement(self) -> Statement:
        match, writer = self.match, self.run.writer()
        script, page = writer.script, match.page
        size, forward = checked_size(page)
        signature = signature_of(match.order)
        edge = read_cursor(page.after if forward else page.before, signature, len(match.order))
        if (page.before if forward else page.after) is not None:
            refuse("a page between two cursors")
        keys = keys_of(script, "n", match)
        values = ", ".join(f"v{place}" for place in range(len(keys)))
        columns = [f"{key.group} AS g{place}, {key.value} AS v{place}" for place, key in enumerate(keys)]
        twins = found(script, match)
        rows = f"{twins.clauses} WITH {', '.join(['n', 'n.id AS id', *columns])}"
        side = None if edge is None else beyond(script, keys, edge, after=forward)
        place = Place(["id", f"[{values}]"])
        reader = self._reader(writer, place, signature, keys)
        behind, gathering = "" if side is None else f" WHERE {side}", gathered(place, "n")
        text = (
            f"{rows}{behind} ORDER BY {order_text(keys, forward=forward)} LIMIT {script.value(size + 1)} "
            f"{gathering.text}"
        )
        others: list[str] = []
        if self.connection.totals:
            others.append(twins.count)
        if side is not None and self.connection.asks("hasPreviousPage" if forward else "hasNextPage"):
            others.append(f"EXISTS {{ {rows} WHERE NOT {side} RETURN 1 AS one }}")
        if others:
            text = f"CALL () {{ {text} }} RETURN page, more, {', '.join(others)}"

        def read(row: Row, reading: Reading) -> dict[str, Any]:
            rows, more, *rest = row
            is_more = len(rows) > size
            places = range(min(size, len(rows)))
            table = gathering.table(rows, more).take(places if forward else places[::-1])
            total = rest.pop(0) if self.connection.totals else None
            is_begun = bool(rest and rest[0])
            sides = (is_begun, is_more) if forward else (is_more, is_begun)
            found = Nested([table.size], table)
            [page] = reader.read(Pages(found, [sides[0]], [sides[1]], [total]), reading)
            return page

        return Statement(text, script.values, read, self.min_revision, is_kept=not script.has_asked)

    def _reader(self, writer: Writer, place: Place, signature: str, keys: Sequence[Key]) -> ConnectionReader:
        def cursor(table: Table, _reading: Reading) -> list[str]:
            ends = zip(table.columns[0], table.columns[1], strict=True)
            return [cursor_text(signature, keys, values, twin) for twin, values in ends]

        lists: list[tuple[str, Objects]] = []
        for key, item in self.connection.nodes:
            lists.append((key, cast("Twins", item).reader(writer, place, "n")))
        for key, fields in self.connection.edges:
            sources: list[tuple[str, Source]] = []
            for each, item in fields:
                if item is _CURSOR:
                    sources.append((each, cursor))
                elif isinstance(item, Constant):
                    sources.append((each, item.source(writer, place, "n")))
                else:
                    sources.append((each, cast("Twins", item).reader(writer, place, "n")))
            lists.append((key, ObjectReader(tuple(sources))))
        return ConnectionReader(self.connection, tuple(lists), cursor)
