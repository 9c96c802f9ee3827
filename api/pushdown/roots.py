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
from api.pushdown.context import AskedNode, AskedNodes, AskedTwins
from api.pushdown.gathering import gathered
from api.pushdown.linking import ConnectionReader, Pages
from api.pushdown.reading import Nested, ObjectReader, Place
from api.pushdown.writing import Constant, Writer
from api.schema.context import PRESENT
from api.schema.typed import EXTENSION
from api.schema.typed_filters import KindRoot
from graph.ids import is_iri, local_iri
from graph.ordering import checked_size, encode_cursor, read_cursor, signature_of
from graph.stores.neo4j.anchors import found
from graph.stores.neo4j.orders import beyond, keys_of, order_text
from graph.stores.neo4j.script import Script, refuse
from ontology.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from graphql import GraphQLField
    from graphql.execution.values import VariableValues

    from api.compiled.selecting import Arguments, Asked
    from api.pushdown.context import PushedContext
    from api.pushdown.linking import Connection
    from api.pushdown.planning import Planner
    from api.pushdown.reading import Objects, Reading, Row, Source, Table
    from api.pushdown.writing import Twins
    from api.schema.context import WorldRequest
    from graph.order_keys import Scalar
    from graph.plan import Match
    from graph.stores.neo4j.script import Sight
    from ontology.schema import Schema

_CANDIDATES_MAX: Final = 2
_CURSOR: Final = object()


@dataclass(frozen=True, slots=True)
class Statement:
    """Text, parameters, and what makes data of the one row that it gives."""

    text: str
    values: dict[str, Any]
    read: Callable[[Row, Reading], Any]
    min_revision: int | None = None


@dataclass(slots=True, eq=False)
class Run:
    """One operation while it runs; has the shape of `api.compiled.frames.Run` for `info_of`."""

    context: PushedContext
    schema: Any
    ontology: Schema
    variables: VariableValues
    sight: Sight
    bases: Mapping[str, str]
    used: frozenset[str]
    has_ids: bool = field(default=False)

    def writer(self, prefix: str = "p") -> Writer:
        return Writer(Script(self.ontology, self.sight, prefix), self.variables, self.used, self.has_ids)


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
        twin = f"MATCH (n:Entity) WHERE {_named(script, run.bases, (asked.text,))} AND {script.here('n')}"
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


def _named(script: Script, bases: Mapping[str, str], texts: tuple[str, ...]) -> str:
    """That a node is one that a text may mean: by IRI, `site:localId` or local id."""
    iris = [text for text in texts if is_iri(text)]
    locals_: list[str] = []
    sites: list[str] = []
    for text in texts:
        if not is_iri(text):
            iris += candidates(bases, text)
            site, local = _of_site(bases, text)
            locals_.append(local)
            sites += [site] if site else bases
    if len(iris) == 1 and not locals_:
        return f"n.id = {script.value(iris[0])}"
    found = f"n.id IN {script.value(iris)}"
    if not locals_:
        return found
    given = f"n._local IN {script.value(locals_)} AND n._site IN {script.value(sites)}"
    return f"({found} OR ({given}))"


def _of_site(bases: Mapping[str, str], text: str) -> tuple[str | None, str]:
    """The site that a text that is no IRI names, and the local id."""
    site, colon, rest = text.partition(":")
    return (site, rest) if colon and site in bases else (None, text)


def candidates(bases: Mapping[str, str], text: str) -> list[str]:
    """The IRIs that may be meant by a text that is none."""
    site, local = _of_site(bases, text)
    if is_iri(local):
        return [local]
    return [local_iri(base, local) for name, base in bases.items() if site in (None, name)]


@dataclass(frozen=True, slots=True)
class _Nodes:
    twins: Twins

    def statement(self, run: Run, told: object) -> Statement:
        texts = cast("AskedNodes", told).texts
        writer, place = run.writer(), Place(["n.id", "n._local", "n._site"])
        script = writer.script
        reader = self.twins.reader(writer, place, "n")
        where = _named(script, run.bases, texts) if texts else "false"
        gathering = gathered(place, "n")

        def read(rows: Row, reading: Reading) -> list[Any]:
            page, more = rows
            by_id = {row[0]: row for row in page}
            by_local: dict[str, list[Row]] = {}
            for row in page:
                by_local.setdefault(row[1], []).append(row)
            twins = [_found(text, by_id, by_local, run.bases) for text in texts]
            reading.objects += len(twins)
            made = reader(gathering.table(page, more), reading)
            places = {row[0]: place for place, row in enumerate(page)}
            return [None if row is None else made[places[row[0]]] for row in twins]

        text = f"MATCH (n:Entity) WHERE {where} AND {script.here('n')} {gathering.text}"
        return Statement(text, script.values, read)


def _found(
    text: str, by_id: Mapping[str, Row], by_local: Mapping[str, list[Row]], bases: Mapping[str, str]
) -> Row | None:
    if is_iri(text):
        return by_id.get(text)
    site, local = _of_site(bases, text)
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
        keys = keys_of(script, "n", match.order)
        values = ", ".join(f"v{place}" for place in range(len(keys)))
        columns = [f"{key.group} AS g{place}, {key.value} AS v{place}" for place, key in enumerate(keys)]
        twins = found(script, match)
        rows = f"{twins.clauses} WITH {', '.join(['n', 'n.id AS id', *columns])}"
        side = None if edge is None else beyond(script, keys, edge.values, edge.twin, after=forward)
        place = Place(["id", f"[{values}]"])
        reader = self._reader(writer, place, signature)
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

        return Statement(text, script.values, read, self.min_revision)

    def _reader(self, writer: Writer, place: Place, signature: str) -> ConnectionReader:
        def cursor(table: Table, _reading: Reading) -> list[str]:
            ends = zip(table.columns[0], table.columns[1], strict=True)
            return [encode_cursor([signature, list(map(_scalar, keys)), twin]) for twin, keys in ends]

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


def _scalar(value: Scalar) -> Scalar:
    """Numbers as cursors of columns hold them."""
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
