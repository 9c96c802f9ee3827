"""The story of the demo: a chiller fails; who is hit, when and why; what it costs; what would help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from api.commands.console import table
from graph.values import Change, RelationshipRecord, Value
from simulation.impact import simulate
from simulation.scenario import parse_scenario

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from api.demo.build import Demo
    from graph.mesh import Mesh
    from graph.snapshot import Snapshot

START = "2026-01-12T00:00:00Z"  # a Monday
START_NS = 1_768_176_000_000_000_000
FAILS_AT_H = 14
FAILURE_NS = START_NS + FAILS_AT_H * 3_600_000_000_000
HORIZON_H = 168
RUNS, SEED = 1000, 7
STOCK_H, STOCK_H_LARGER = 10, 36
ROWS_SHOWN = 10

WALK_FROM = "campus:R2.03"
WALK = """\
query Walk($room: ID!) {
  node(id: $room) { ...it
    in(relation: "feeds", kind: "Air_Diffuser") { nodes { twin { ...it
      in(relation: "feeds", kind: "VAV") { nodes { twin { ...it
        in(relation: "feeds", kind: "AHU") { nodes { twin { ...it
          out(relation: "feeds", kind: "ProductionLine") { nodes { twin { ...it
            out(relation: "supplies", kind: "Product") { nodes { twin { ...it } } } } } } } } } } } } } } } }
}
fragment it on Twin { localId kind site }"""
WALKED = ("in", "in", "in", "out", "out")  # the way of each step of WALK


@dataclass(frozen=True, slots=True)
class Measure:
    """Something one could do, what it costs, and the cascade that is left; costs in the model's currency."""

    name: str
    price: float
    impact: Mapping[str, Any]


def scenario(repair_hours: float | None = None) -> dict[str, object]:
    """The failure of the story; with `repair_hours` the chiller is back after that many hours."""
    event: dict[str, object] = {"type": "FAIL", "twin": "campus:CH-1", "atHours": FAILS_AT_H}
    if repair_hours is not None:
        event["repairHours"] = repair_hours
    return {
        "name": "Chiller CH-1 fails on Monday at 14:00",
        "start": START,
        "horizonHours": HORIZON_H,
        "runs": RUNS,
        "seed": SEED,
        "events": [event],
    }


def cascade(snapshot: Snapshot, document: Mapping[str, object]) -> Mapping[str, Any]:
    """The impact of a scenario document, as `simulate --json` prints it."""
    return simulate(snapshot, parse_scenario(document)).to_json()


def measures(mesh: Mesh) -> tuple[Measure, ...]:
    """What would help, tried one after the other in the same world under the same draws."""
    snapshot = mesh.snapshot()
    crew = cascade(snapshot, scenario(repair_hours=8))
    rental = cascade(snapshot, scenario(repair_hours=5))
    stock = cascade(_with_stock(mesh, STOCK_H_LARGER), scenario())
    _with_stock(mesh, STOCK_H)
    found = (
        Measure("repair crew on call: back after 8 hours", 2_500.0, crew),
        Measure("rented chiller: cold water after 5 hours", 6_800.0, rental),
        Measure(f"{STOCK_H_LARGER} hours of drive boards in stock, not {STOCK_H}", 9_000.0, stock),
    )
    return tuple(sorted(found, key=lambda item: (item.price + expected_cost(item.impact), item.name)))


def expected_cost(impact: Mapping[str, Any]) -> float:
    return float(impact["summary"]["expectedCost"])


def lines(
    demo: Demo,
    snapshot: Snapshot,
    recorded: int,
    walked: Mapping[str, Any],
    impact: Mapping[str, Any],
    found: Sequence[Measure],
) -> Iterator[str]:
    """The report, line by line; it depends on the world and the seed alone."""
    yield f"THE WORLD: three sites, {recorded:,} readings replayed"
    yield from _world(demo, snapshot)
    yield from _question(walked)
    yield from _what_fails(snapshot)
    yield from _who_is_hit(impact)
    yield from _what_it_costs(impact)
    yield from _what_to_do(impact, found)
    yield from _how_to_repeat(impact)


def to_json(
    walked: Mapping[str, Any], impact: Mapping[str, Any], found: Sequence[Measure]
) -> dict[str, object]:
    """The same as one document."""
    rows = [
        {"name": item.name, "price": item.price, "expectedCost": expected_cost(item.impact)} for item in found
    ]
    return {"walk": walked, "impact": impact, "measures": rows}


def live_world(demo: Demo, snapshot: Snapshot) -> Iterator[str]:
    """The first lines of the story beside running servers."""
    yield "THE WORLD: three sites, each served by a process of its own, partners under contracts"
    yield from _world(demo, snapshot)
    yield from _what_fails(snapshot)


def live_lines(
    walked: Mapping[str, Any], impact: Mapping[str, Any], urls: Mapping[str, str]
) -> Iterator[str]:
    """The rest: the same failure, asked of the campus. What partners do not show is missing."""
    url = urls["campus"]
    yield from _question(walked)
    yield from _who_is_hit(impact)
    yield from _what_it_costs(impact)
    yield "WHAT NEXT"
    yield f"  partners:      {', '.join(f'{site} {each}' for site, each in urls.items() if each != url)}"
    yield f"  in a browser:  {url}/graphql"
    yield f"  another shell: uv run twinmesh simulate --fail CH-1 --repair-hours 8 --url {url}"
    yield f"  live changes:  uv run twinmesh watch --url {url}"
    yield "  what would help, and what it would save: uv run twinmesh demo --once"


def _world(demo: Demo, snapshot: Snapshot) -> Iterator[str]:
    for index, site in enumerate(snapshot.sites):
        twins = int((snapshot.alive & (snapshot.site == index)).sum())
        points = [
            row for row in snapshot.rows_of_kind(snapshot.schema.point_kind) if snapshot.site[row] == index
        ]
        read = sum(int(snapshot.point_time_ns[row]) > 0 for row in points)
        made_of = ", ".join(_files(demo, site))
        yield f"  {site:9} {twins:4} twins, {read} of {len(points)} points with readings; from {made_of}"
    yield ""


def _files(demo: Demo, site: str) -> list[str]:
    """Names of the files that a site was made of."""
    reports = [report for name, report in demo.imports if name == site]
    return [file.path.rsplit("/", 1)[-1] for report in reports for file in report.files]


def _question(walked: Mapping[str, Any]) -> Iterator[str]:
    yield "ONE QUESTION ACROSS THREE SITES (GraphQL)"
    yield from (f"  {line}" for line in WALK.splitlines())
    yield f"  answer: {' -> '.join(names_of(walked))}"
    yield ""


def names_of(walked: Mapping[str, Any]) -> list[str]:
    """The twins of the answer, from the room over its air handler and the line to the first product."""
    twin = cast("Mapping[str, Any]", walked["node"])
    names = [_name(twin)]
    for way in WALKED:
        twin = cast("Mapping[str, Any]", twin[way]["nodes"][0]["twin"])
        names.append(_name(twin))
    return names


def is_walked(walked: Mapping[str, Any]) -> bool:
    """Whether the answer goes all the way; a partner that did not answer leaves null for its twin."""
    twin = cast("Mapping[str, Any] | None", walked["node"])
    for way in WALKED:
        nodes = twin[way]["nodes"] if twin else ()
        twin = nodes[0]["twin"] if nodes else None
    return twin is not None


def _name(twin: Mapping[str, Any]) -> str:
    return f"{twin['localId']} ({twin['kind'].split(':')[-1]} at {twin['site']})"


def _what_fails(snapshot: Snapshot) -> Iterator[str]:
    yield "WHAT FAILS"
    yield f"  {scenario()['name']}; looked at: {HORIZON_H} hours in {RUNS:,} draws."
    for point in ("CH-1-LWT", "CH-1-PWR", "AHU-2-SAT", "LINE-1-RTE"):
        row = snapshot.find(point)
        unit = snapshot.attributes(row).get("unit")
        shown = f"{snapshot.point_value(row):g} {unit.value if unit else ''}".rstrip()
        yield f"  before: {snapshot.name(row) or point:32} {shown}"
    yield ""


def _who_is_hit(impact: Mapping[str, Any]) -> Iterator[str]:
    yield f"WHO IS HIT: {impact['summary']['twinsHit']} twins; the costliest first"
    yield from (
        f"  {line}" for line in table([_row(item) for item in impact["impacts"][:ROWS_SHOWN]], COLUMNS)
    )
    rest = len(impact["impacts"]) - ROWS_SHOWN
    yield f"  ... and {rest} more, most of them rooms"
    yield ""
    product = next(item for item in impact["impacts"] if item["localId"] == "DRIVE-200")
    yield f"  why {product['name']} at the supplier: {_why(product)}"
    yield ""


def _why(item: Mapping[str, Any]) -> str:
    """The path of trouble; of a partner's twin only its owner knows it."""
    path = " -> ".join(item["why"])
    return path if len(item["why"]) > 1 else f"{path}, by inputs that its owner does not show"


COLUMNS = ("twin", "site", "chance", "after h", "down h", "cost", "why")


def _row(item: Mapping[str, Any]) -> dict[str, object]:
    return {
        "twin": _titled(item),
        "site": item["site"],
        "chance": f"{item['probability']:.0%}",
        "after h": round(float(item["firstHitHours"]["p50"]) - FAILS_AT_H, 2),
        "down h": round(float(item["expectedDownHours"]), 1),
        "cost": round(float(item["expectedCost"])),
        "why": " -> ".join(item["why"]),
    }


def _titled(item: Mapping[str, Any]) -> str:
    named = item["name"] and item["name"] != item["localId"]
    return f"{item['localId']} {item['name']}" if named else str(item["localId"])


def _what_it_costs(impact: Mapping[str, Any]) -> Iterator[str]:
    summary = impact["summary"]
    yield "WHAT IT COSTS"
    low, high = _money(summary["costP05"]), _money(summary["costP95"])
    yield f"  expected {_money(summary['expectedCost'])}; nine times in ten between {low} and {high}"
    yield ""


def _what_to_do(impact: Mapping[str, Any], found: Sequence[Measure]) -> Iterator[str]:
    yield "WHAT TO DO (same draws, so differences are not chance)"
    nothing = expected_cost(impact)
    rows = [{"measure": "nothing", "price": 0, "loss": round(nothing), "saved": 0, "net": 0}]
    for item in found:
        saved = nothing - expected_cost(item.impact)
        loss = round(expected_cost(item.impact))
        rows.append({
            "measure": item.name, "price": round(item.price), "loss": loss,
            "saved": round(saved), "net": round(saved - item.price),
        })  # fmt: skip
    yield from (f"  {line}" for line in table(rows, ("measure", "price", "loss", "saved", "net")))
    best = found[0]
    yield f"  best: {best.name}"
    yield ""


def _how_to_repeat(impact: Mapping[str, Any]) -> Iterator[str]:
    revisions = ", ".join(f"{site} {revision}" for site, revision in impact["revisions"].items())
    yield "TO REPEAT IT"
    yield f"  seed {impact['seed']}, {impact['runsComputed']} runs, engine {impact['engine']}"
    yield f"  revisions: {revisions}"


def _money(amount: float) -> str:
    return f"{round(amount):,} EUR"


def _with_stock(mesh: Mesh, hours: float) -> Snapshot:
    """The world with another stock of drive boards at the supplier."""
    snapshot = mesh.snapshot()
    twin = mesh.twin("supplier")
    relation = snapshot.schema.relation("tm:supplies").iri
    edge = RelationshipRecord(
        snapshot.id(snapshot.find("plant:LINE-1")),
        relation,
        snapshot.id(snapshot.find("supplier:DRIVE-200")),
        "drive boards",
        attributes={"delayHours": Value(4), "bufferHours": Value(hours)},
    )
    twin.apply(Change(put_relationships=(edge,), message=f"stock of {hours:g} hours"))
    return mesh.snapshot()
