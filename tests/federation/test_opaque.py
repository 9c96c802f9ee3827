"""Answers under opaque ids are those under plain ones with the ids exchanged, and hold none of ours."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import numpy as np
import pytest

from federation.answering import Bounds, answer
from federation.asking import FORMAT, FiguresAsk, MatchAsk, QueryAnswer, QueryAsk, SearchAsk, SpreadAsk
from federation.cataloguing import catalogue_of
from federation.contract import Contract, Grant, Naming, Purpose, Release
from federation.contracts import Contracts
from federation.figures import figures_of
from federation.opaque import Names
from federation.predicates import to_wire
from federation.records import Letter, SiteRecords, disclosure_of
from federation.sharing import Shared, share
from federation.store import FederationStore
from graph.plan import And, AttributeTest, Comparison, Not, Operator, Or, Predicate, TextField, TextTest
from graph.snapshot import Snapshot
from graph.values import Change, RelationshipRecord, TwinRecord
from graph.view import Budget
from ontology.errors import AccessError
from ontology.schema import load_schema
from ontology.units import load_units
from tests.federation.contract_worlds import ATTRIBUTES, DAY_NS, KINDS, NOW_NS, RELATIONS, SITES, random_mesh
from tests.federation.trust_helpers import make_key
from tests.simulation.cascade_worlds import fresh_seed

SCHEMA, UNITS = load_schema(), load_units()
WORLDS = 6
ROOMY = Bounds(10_000, 64 << 20)
OWN = "https://partner.example/"
REAL = re.compile(rb"/T-\d|secret")
"""What ids, groups and ids of relationships of ours look like in these worlds."""


@dataclass(frozen=True)
class Two:
    """A snapshot as one partner sees it with plain ids and with opaque ones."""

    plain: Shared
    opaque: Shared

    @property
    def names(self) -> dict[str, str]:
        """The opaque id of each twin that may leave, stubs of the partner's own not among them."""
        rows = np.flatnonzero(self.opaque.masks.shown)
        pairs = zip(self.plain.snapshot.ids(rows), self.opaque.snapshot.ids(rows), strict=True)
        return {real: opaque for real, opaque in pairs if not real.startswith(OWN)}


def budget() -> Budget:
    return Budget(nodes_max=10**9, wall_s=600.0)


def names_for(folder: Path, partner: str = "partner") -> Names:
    return Names.of(make_key(folder), partner)


def world(folder: Path, random: Random) -> tuple[Snapshot, Contract]:
    """Groups and ids of relationships that are made of names, and stubs of the partner's and of others."""
    kinds = [SCHEMA.kind(name).iri for name in random.sample(KINDS, 5)]
    with random_mesh(folder, SCHEMA, random) as mesh:
        stub, feeds = SCHEMA.kind("tm:External").iri, SCHEMA.relation("tm:feeds").iri
        for site in SITES:
            base, twin = f"https://twinmesh.invalid/{site}/", mesh.twin(site)
            alive = [iri for iri in twin.snapshot().ids(twin.snapshot().living_rows) if iri.startswith(base)]
            far = (f"{OWN}P-{site}", "https://other.example/T-9")
            links = [
                RelationshipRecord(
                    near, feeds, other, f"secret-{n}", f"{base}rel-secret-{n}" if n % 2 else None
                )
                for n, near in enumerate(random.sample(alive, 12))
                for other in (random.choice(far), random.choice(alive))
                if other != near
            ]
            stubs = tuple(TwinRecord(iri, (stub,)) for iri in far)
            unique = {(link.source, link.target, link.group): link for link in links}
            ids = {link.id or key: link for key, link in unique.items()}
            twin.apply(Change(put_twins=stubs, put_relationships=tuple(ids.values())))
        snapshot = mesh.snapshot()
    return snapshot, Contract(
        partner="partner",
        sites=frozenset(SITES) if random.random() < 0.7 else frozenset({random.choice(SITES)}),
        kinds=frozenset({*kinds, SCHEMA.kind("brick:Equipment").iri}),
        attributes=frozenset(random.sample(ATTRIBUTES, 2)),
        relations=frozenset({SCHEMA.relation(name).iri for name in random.sample(RELATIONS, 3)} | {feeds}),
        release=Release.ROWS,
        purposes=frozenset({Purpose.QUERY}),
        expires_ns=NOW_NS + DAY_NS,
        rows_per_answer=10_000,
    )


def two(folder: Path, snapshot: Snapshot, contract: Contract, partner: str = "partner") -> Two:
    hidden = Grant(replace(contract, ids=Naming.OPAQUE), 1, names_for(folder, partner))
    plain = share(Grant(contract, 1), snapshot, Purpose.QUERY, NOW_NS, (OWN,))
    return Two(plain, share(hidden, snapshot, Purpose.QUERY, NOW_NS, (OWN,)))


def told(shared: Shared, ask: QueryAsk, bounds: Bounds = ROOMY) -> tuple[QueryAnswer, bytes]:
    return answer(ask, shared, UNITS, budget(), bounds)


def facts(made: QueryAnswer, named: Callable[[str], str], text: Callable[[str], str]) -> dict[str, Any]:
    """All that an answer says, in no order; ids, and texts of relationships, as they are called."""
    found: dict[str, Any] = {}
    for site in made.sites:
        for place, iri in enumerate(site.ids):
            assert named(iri) not in found
            found[named(iri)] = [site.site, *_twin_facts(site, place)]
        ends, links = [named(iri) for iri in (*site.ids, *site.links.ends)], site.links
        groups = dict(zip(links.groups.places, links.groups.texts, strict=True))
        own = dict(zip(links.own_ids.places, links.own_ids.texts, strict=True))
        found[f"links of {site.site}"] = sorted(
            (
                ends[links.sources[n]],
                links.relation_iris[links.relations[n]],
                ends[links.targets[n]],
                text(groups[n]) if n in groups else "",
                text(own[n]) if n in own else "",
            )
            for n in range(len(links.sources))
        )
    return found | {"is cut": made.is_cut}


def _twin_facts(site: SiteRecords, place: int) -> list[Any]:
    cells = [(c.name, dict(zip(c.places, c.values, strict=True)).get(place)) for c in site.attributes]
    names = dict(zip(site.names.places, site.names.texts, strict=True)).get(place)
    kinds = site.kind_sets[site.kinds[place]]
    return [kinds, site.revisions[place], names, sorted(cells, key=str)]


def random_filter(random: Random, iris: list[str], depth: int = 2) -> Predicate:
    if depth and random.random() < 0.5:
        parts = tuple(random_filter(random, iris, depth - 1) for _ in range(random.randrange(1, 4)))
        return random.choice((And(parts), Or(parts), Not(parts[0])))
    return random.choice(
        (
            TextTest(TextField.ID, (Comparison(Operator.EQ, random.choice(iris)),)),
            TextTest(TextField.ID, (Comparison(Operator.IN, tuple(random.sample(iris, 3))),)),
            TextTest(TextField.ID, (Comparison(Operator.NOT_IN, tuple(random.sample(iris, 3))),)),
            AttributeTest(random.choice(ATTRIBUTES), (Comparison(Operator.EXISTS, random.random() < 0.5),)),
            TextTest(TextField.KIND, (Comparison(Operator.EQ, "brick:AHU"),)),
        )
    )


def travelled(where: Predicate) -> Any:
    return msgspec.msgpack.decode(msgspec.msgpack.encode(to_wire(where)))


def renamed(where: Any, names: dict[str, str]) -> Any:
    """A filter as it travels, with other ids."""
    if isinstance(where, list | tuple):
        return [renamed(part, names) for part in where]  # pyright: ignore[reportUnknownVariableType]
    return names.get(where, where) if isinstance(where, str) else where


def asks(random: Random, iris: list[str]) -> list[QueryAsk]:
    """By id, by filter, along relations one step and to the end, from shown twins and from the partner's."""
    wheres = [travelled(random_filter(random, iris)) for _ in range(6)]
    kind = SCHEMA.kind("brick:Equipment").iri
    some, ends = tuple(random.sample(iris, 4)), (f"{OWN}P-campus", f"{OWN}P-plant")
    return [
        QueryAsk(FORMAT, (OWN,), None, 64 << 20, ids=some),
        *(QueryAsk(FORMAT, (OWN,), None, 64 << 20, matches=(MatchAsk(kind, where),)) for where in wheres),
        QueryAsk(FORMAT, (OWN,), None, 64 << 20, matches=(MatchAsk(),)),
        QueryAsk(FORMAT, (OWN,), None, 64 << 20, spreads=(SpreadAsk("BOTH", some, None, 1),)),
        QueryAsk(FORMAT, (OWN,), None, 64 << 20, spreads=(SpreadAsk("OUT", (some[0],), None, 50),)),
        QueryAsk(FORMAT, (OWN,), None, 64 << 20, spreads=(SpreadAsk("IN", ends, None, 2, True),)),
    ]


def with_names(ask: QueryAsk, names: dict[str, str]) -> QueryAsk:
    return msgspec.structs.replace(
        ask,
        ids=tuple(names.get(iri, iri) for iri in ask.ids),
        matches=tuple(MatchAsk(each.kind, renamed(each.where, names)) for each in ask.matches),
        spreads=tuple(
            msgspec.structs.replace(each, ids=tuple(names.get(iri, iri) for iri in each.ids))
            for each in ask.spreads
        ),
    )


def test_answers_are_the_plain_ones_with_other_ids_and_hold_none_of_ours(tmp_path: Path) -> None:
    random, links = Random(seed := fresh_seed("opaque answers")), 0
    for number in range(WORLDS):
        snapshot, contract = world(tmp_path / str(number), random)
        both, names = two(tmp_path, snapshot, contract), names_for(tmp_path)
        known = both.names
        assert len(set(known.values())) == len(known) > 4, seed
        for ask in asks(random, list(known)):
            plain, _ = told(both.plain, ask)
            opaque, body = told(both.opaque, with_names(ask, known))
            wanted = facts(plain, lambda iri, known=known: known.get(iri, iri), names.text)
            assert facts(opaque, str, lambda text: text.rpartition("/")[2]) == wanted, (
                f"seed {seed}, world {number}, {ask}"
            )
            assert not REAL.search(body), f"seed {seed}, world {number}, {ask}"
            links += sum(len(site.links.sources) for site in opaque.sites)
    assert links > 10, seed


def test_figures_and_the_catalogue_are_the_same(tmp_path: Path) -> None:
    random = Random(seed := fresh_seed("opaque figures"))
    snapshot, contract = world(tmp_path / "world", random)
    both = two(tmp_path, snapshot, contract)
    iris, of = list(both.names), tuple(sorted(contract.attributes - {"assetTag"}))
    for _ in range(10):
        where = travelled(random_filter(random, iris))
        if any(name in str(where) for name in set(ATTRIBUTES) - contract.attributes):
            continue
        ask = FiguresAsk(None, ("site",), of, where)
        plain = figures_of(ask, both.plain, contract, UNITS, budget())
        hidden = msgspec.structs.replace(ask, where=renamed(where, both.names))
        assert figures_of(hidden, both.opaque, contract, UNITS, budget()) == plain, (seed, where)
    shown = msgspec.msgpack.encode(catalogue_of(contract, both.opaque))
    assert shown == msgspec.msgpack.encode(catalogue_of(contract, both.plain)), seed


def test_by_real_ids_nothing_is_found(tmp_path: Path) -> None:
    """By none of the doors: id, local id, parts of them, a filter, a walk, a search."""
    random = Random(seed := fresh_seed("real ids"))
    snapshot, contract = world(tmp_path / "world", random)
    both = two(tmp_path, snapshot, contract)
    iris = list(both.names)
    locals_ = [iri.rpartition("/")[2] for iri in iris]
    starts = [(Operator.STARTS_WITH, iri[:-1]) for iri in iris[:3]] + [(Operator.CONTAINS, "T-")]
    tests = [(Operator.EQ, text) for text in (*iris, *locals_)] + starts
    ids = [TextTest(TextField.ID, (Comparison(operator, text),)) for operator, text in tests]
    matches = [MatchAsk(None, travelled(test)) for test in ids]
    matches += [MatchAsk(None, travelled(TextTest(TextField.LOCAL_ID, t.comparisons))) for t in ids]
    spread = SpreadAsk("BOTH", tuple(iris), None, 50)
    searches = tuple(SearchAsk(text) for text in (*locals_[:5], "T", iris[0], "secret"))
    asked = QueryAsk(FORMAT, (OWN,), None, 64 << 20, ids=(*iris, *locals_), searches=searches)
    hidden = tuple(f"urn:twinmesh:hidden:{row}" for row in range(snapshot.size))
    for ask in (
        asked,
        QueryAsk(FORMAT, (OWN,), None, 64 << 20, ids=hidden),
        *(QueryAsk(FORMAT, (OWN,), None, 64 << 20, matches=(match,)) for match in matches),
        QueryAsk(FORMAT, (OWN,), None, 64 << 20, spreads=(spread,)),
    ):
        made, _ = told(both.opaque, ask)
        assert not any(site.ids or site.links.sources for site in made.sites), (seed, ask)


def test_nothing_tells_in_which_order_we_have_them(tmp_path: Path) -> None:
    """Told by opaque id, and of too many the first by these."""
    random = Random(seed := fresh_seed("opaque order"))
    snapshot, contract = world(tmp_path / "world", random)
    both = two(tmp_path, snapshot, contract)
    ask = QueryAsk(FORMAT, (OWN,), None, 64 << 20, matches=(MatchAsk(),))
    made, _ = told(both.opaque, ask, Bounds(3, 64 << 20))
    found = [iri for site in made.sites for iri in site.ids]
    everything = both.opaque.snapshot.ids(np.flatnonzero(both.opaque.masks.shown))
    assert made.is_cut and sorted(found) == sorted(everything)[:3], seed
    for site in told(both.opaque, ask)[0].sites:
        assert list(site.ids) == sorted(site.ids), seed


def test_partners_have_nothing_in_common_and_a_restart_changes_nothing(tmp_path: Path) -> None:
    random = Random(fresh_seed("partners"))
    snapshot, contract = world(tmp_path / "world", random)
    one, again = (two(tmp_path / "key", snapshot, contract) for _ in range(2))
    other = two(tmp_path / "key", snapshot, contract, "another partner")
    foreign = two(tmp_path / "another key", snapshot, contract)
    assert one.names == again.names
    for each in (other, foreign):
        assert one.names.keys() == each.names.keys()
        assert not set(one.names.values()) & set(each.names.values())
    assert all(
        re.fullmatch(r"https://twinmesh\.invalid/\w+/x-[0-9a-f]{32}", name) for name in one.names.values()
    )


def test_names_come_with_the_contract_that_wants_them(tmp_path: Path) -> None:
    key = make_key(tmp_path)
    plain = Contract("p", expires_ns=NOW_NS + DAY_NS)
    with FederationStore.open(tmp_path) as store:
        contracts = Contracts(store, key)
        contracts.put(plain, "", NOW_NS)
        assert contracts.grant("p").names is None
        contracts.put(replace(plain, ids=Naming.OPAQUE), "", NOW_NS)
        granted = contracts.grant("p")
        assert granted.is_opaque and granted.names is not None
        assert granted.names.text("a") == Names.of(key, "p").text("a")
        assert "secret" not in repr(granted) and repr(granted.names) == "Names()"


def test_without_names_nothing_leaves(tmp_path: Path) -> None:
    snapshot, contract = world(tmp_path / "world", Random(3))
    with pytest.raises(AccessError) as caught:
        share(Grant(replace(contract, ids=Naming.OPAQUE), 1), snapshot, Purpose.QUERY, NOW_NS)
    assert caught.value.code == "CONTRACT_OPAQUE_NAMES"


def test_the_ledger_has_both_ids(tmp_path: Path) -> None:
    snapshot, contract = world(tmp_path / "world", Random(fresh_seed("opaque ledger")))
    both = two(tmp_path, snapshot, contract)
    made, body = told(both.opaque, QueryAsk(FORMAT, (OWN,), None, 64 << 20, matches=(MatchAsk(),)))
    letter = Letter("partner", 1, "query", "query", len(body))
    noted = disclosure_of(letter, made.sites, None, both.opaque)
    pairs = zip(noted.twins, noted.told_as, strict=True)
    assert {real: name for real, name in pairs if not real.startswith(OWN)} == both.names
    assert (
        disclosure_of(letter, told(both.plain, QueryAsk(FORMAT, (OWN,), None, 64 << 20))[0].sites).told_as
        == ()
    )
