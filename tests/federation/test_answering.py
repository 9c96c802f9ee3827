"""What an answer to a query holds, on random worlds under random contracts, held against single twins."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random

import msgspec
import numpy as np
import pytest

from federation.answering import Bounds, answer
from federation.asking import FORMAT, MatchAsk, QueryAnswer, QueryAsk, SearchAsk, SpreadAsk
from federation.contract import OWN_FIELDS, Contract, Grant, Purpose, Release
from federation.predicates import for_peer, from_wire, to_wire
from federation.records import Letter, disclosure_of
from federation.sharing import share
from graph.matching import mask_of
from graph.plan import (
    And,
    AttributeTest,
    Comparison,
    LinkTest,
    Not,
    Operator,
    Or,
    Predicate,
    Quantifier,
    TextField,
    TextTest,
)
from graph.snapshot import Snapshot
from graph.view import Budget, View
from ontology.errors import InputError
from ontology.schema import load_schema
from ontology.units import load_units
from tests.federation.contract_worlds import (
    ATTRIBUTES,
    DAY_NS,
    NOW_NS,
    RELATIONS,
    SITES,
    may_count,
    may_link,
    random_contract,
    random_mesh,
)
from tests.simulation.cascade_worlds import fresh_seed

SCHEMA, UNITS = load_schema(), load_units()
WORLDS = 8
ROOMY = Bounds(10_000, 64 << 20)


def budget() -> Budget:
    return Budget(nodes_max=10**9, wall_s=600.0)


def asked(snapshot: Snapshot, contract: Contract, ask: QueryAsk, bounds: Bounds = ROOMY) -> QueryAnswer:
    shared = share(Grant(contract, 1), snapshot, Purpose.QUERY, NOW_NS)
    made, body = answer(ask, shared, UNITS, budget(), bounds)
    assert msgspec.msgpack.decode(body, type=QueryAnswer) == made
    return made


def everything(snapshot: Snapshot) -> QueryAsk:
    """All that can be asked for, at once: by id, by kind, by a word, along relations."""
    ids = tuple(snapshot.ids(snapshot.living_rows))
    return QueryAsk(
        FORMAT,
        (),
        None,
        64 << 20,
        ids=ids,
        matches=(MatchAsk(), MatchAsk(SCHEMA.kind("brick:AHU").iri)),
        searches=(SearchAsk("T"),),
        spreads=(SpreadAsk("BOTH", ids, None, 50),),
    )


def random_world(folder: Path, random: Random) -> tuple[Snapshot, Contract]:
    with random_mesh(folder, SCHEMA, random) as mesh:
        snapshot = mesh.snapshot()
    contract = random_contract(SCHEMA, random, "partner")
    more = frozenset({SCHEMA.kind("brick:Equipment").iri} if random.random() < 0.7 else set[str]())
    return snapshot, replace(
        contract,
        sites=frozenset(SITES) if random.random() < 0.7 else contract.sites,
        kinds=contract.kinds | more,
        relations=contract.relations | {SCHEMA.relation(random.choice(RELATIONS)).iri},
        release=Release.ROWS,
        purposes=frozenset({Purpose.QUERY}),
        starts_ns=0,
        expires_ns=NOW_NS + DAY_NS,
    )


def test_an_answer_holds_what_the_contract_shows_and_all_of_it(tmp_path: Path) -> None:
    check_worlds(tmp_path, fresh_seed("shown"))


def test_and_of_a_world_in_which_there_is_something_to_show(tmp_path: Path) -> None:
    """A seed that is known to have relationships that may leave."""
    assert check_worlds(tmp_path, 7) > 10


def check_worlds(tmp_path: Path, seed: int) -> int:
    """How many relationships were shown."""
    random, told_links = Random(seed), 0
    for number in range(WORLDS):
        snapshot, contract = random_world(tmp_path / str(number), random)
        made = asked(snapshot, contract, everything(snapshot))
        rows = [row for row in range(snapshot.size) if may_count(contract, snapshot, row)]
        assert sorted(iri for site in made.sites for iri in site.ids) == sorted(map(snapshot.id, rows)), seed
        links = [edge for edge in range(snapshot.edge_count) if may_link(contract, snapshot, edge)]
        assert links_of(made) == sorted(link_at(snapshot, edge) for edge in links), seed
        told_links += len(links)
        names = {cells.name for site in made.sites for cells in site.attributes}
        assert names <= contract.attributes, seed
        disclosed = disclosure_of(Letter("partner", 1, "query", "query", 1), made.sites)
        assert set(disclosed.attributes) <= contract.attributes | OWN_FIELDS, seed
        assert not made.is_cut
    return told_links


def links_of(made: QueryAnswer) -> list[tuple[str, str, str]]:
    found: list[tuple[str, str, str]] = []
    for site in made.sites:
        ends, links = (*site.ids, *site.links.ends), site.links
        for source, relation, target in zip(links.sources, links.relations, links.targets, strict=True):
            found.append((ends[source], links.relation_iris[relation], ends[target]))
    return sorted(found)


def link_at(snapshot: Snapshot, edge: int) -> tuple[str, str, str]:
    source, target = int(snapshot.edge_source[edge]), int(snapshot.edge_target[edge])
    return snapshot.id(source), snapshot.relation_of(edge), snapshot.id(target)


def test_an_answer_keeps_its_bounds(tmp_path: Path) -> None:
    random = Random(seed := fresh_seed("bounds"))
    snapshot, contract = random_world(tmp_path, random)
    contract = replace(contract, sites=frozenset(SITES), kinds=frozenset({SCHEMA.kind("tm:Twin").iri}))
    whole = asked(snapshot, contract, everything(snapshot))
    size = len(msgspec.msgpack.encode(whole))
    for rows_max, bytes_max in ((5, size), (10_000, size // 2), (10_000, size // 20), (10_000, 300), (1, 1)):
        made = asked(snapshot, contract, everything(snapshot), Bounds(rows_max, bytes_max))
        assert made.is_cut, seed
        assert sum(len(site.ids) for site in made.sites) <= rows_max, seed
        told = {iri for site in made.sites for iri in site.ids}
        assert told or bytes_max < 1_000, seed
        if told:
            assert len(msgspec.msgpack.encode(made)) <= bytes_max, seed
        # No relationship without both of its ends: one would look like a stranger's.
        assert all({source, target} <= told for source, _, target in links_of(made)), seed


def random_predicate(random: Random, snapshot: Snapshot, depth: int = 3) -> Predicate:
    if depth and random.random() < 0.6:
        parts = tuple(random_predicate(random, snapshot, depth - 1) for _ in range(random.randrange(1, 4)))
        return random.choice((And(parts), Or(parts), Not(parts[0])))
    row = random.choice(snapshot.living_rows.tolist())
    return random.choice(
        (
            TextTest(TextField.ID, (Comparison(Operator.EQ, snapshot.id(row)),)),
            TextTest(TextField.ID, (Comparison(Operator.IN, ("urn:x", snapshot.id(row))),)),
            TextTest(TextField.SITE, (Comparison(Operator.EQ, random.choice(SITES)),)),
            TextTest(TextField.SITE, (Comparison(Operator.NE, random.choice(SITES)),)),
            TextTest(TextField.SITE, (Comparison(Operator.NOT_IN, SITES),)),
            TextTest(TextField.KIND, (Comparison(Operator.EQ, "brick:AHU"),)),
            AttributeTest(random.choice(ATTRIBUTES), (Comparison(Operator.EXISTS, random.random() < 0.5),)),
            LinkTest(random.choice(tuple(Quantifier)), random.choice(RELATIONS)),
        )
    )


def test_what_is_sent_of_a_filter_is_never_stricter(tmp_path: Path) -> None:
    """Of every twin of the peer: where the whole filter holds, so does the part that the peer judges."""
    random = Random(seed := fresh_seed("filters"))
    with random_mesh(tmp_path, SCHEMA, random) as mesh:
        snapshot = mesh.snapshot()
    view = View(snapshot, UNITS, budget())
    verdicts: set[object] = set()
    for _ in range(300):
        where = random_predicate(random, snapshot)
        peers = random.choice((("campus",), ("plant",), SITES))
        rows = snapshot.living_rows
        bases = tuple(f"https://twinmesh.invalid/{site}/" for site in peers)
        # Its own twins: stubs for those of others are not its to tell of.
        rows = rows[np.array([iri.startswith(bases) for iri in snapshot.ids(rows)])]
        rows = rows[np.array([snapshot.sites[site] in peers for site in snapshot.site[rows].tolist()])]
        assert len(rows) > 10, seed
        judged = for_peer(where, peers, bases)
        verdicts.add(judged if isinstance(judged, bool) else "open")
        if isinstance(judged, bool):
            allowed = np.full(len(rows), judged)
        else:
            again = from_wire(msgspec.msgpack.decode(msgspec.msgpack.encode(to_wire(judged))))
            assert again == judged, seed
            allowed = mask_of(view, again, rows)
        assert not (mask_of(view, where, rows) & ~allowed).any(), (seed, where)
    assert verdicts == {True, False, "open"}


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        ["and"],
        ["xor", ["and"]],
        ["not"],
        ["text", "colour", []],
        ["text", "id", [["like", "x"]]],
        ["text", "id", [["in", "x"]]],
        ["text", "id", [["exists", "x"]]],
        ["text", "id", [["eq", b"x"]]],
        ["text", "id", "eq"],
        ["attribute", "area", [], 5],
        ["attribute", 5, [], None],
        ["text", "name", [["gt", 5]]],
        ["text", "id", [["in", ["x", None]]]],
        ["attribute", "area", [["contains", 5]], None],
        ["attribute", "area", [["startsWith", True]], None],
    ],
)
def test_filters_that_nobody_writes_are_refused(data: object) -> None:
    with pytest.raises(InputError) as caught:
        from_wire(data)
    assert caught.value.code == "QUERY_INVALID"


def test_a_filter_is_bounded() -> None:
    deep: list[object] = ["text", "id", []]
    for _ in range(30):
        deep = ["not", deep]
    wide: list[object] = ["and", *(["text", "id", []] for _ in range(600))]
    for data in (deep, wide):
        with pytest.raises(InputError) as caught:
            from_wire(data)
        assert caught.value.code == "QUERY_INVALID"
