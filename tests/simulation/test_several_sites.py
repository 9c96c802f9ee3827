"""A cascade over several sites as one: ids, ends in another site, and the revision of each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from graph.pools import Pools
from graph.snapshot import Snapshot
from graph.twin import Twin
from graph.union import union
from ontology.errors import InputError
from simulation.impact import simulate
from simulation.scenario import parse_scenario


@pytest.fixture
def both(tmp_path: Path, schema: Any, site: Any) -> Iterator[Snapshot]:
    """campus feeds plant; each has a twin called X-1."""
    pools = Pools()
    twins = [Twin.open(tmp_path / name, schema, site=name, pools=pools) for name in ("north", "south")]
    north, south = (type(site)(twin, schema) for twin in twins)
    north.put("X-1", "chiller")
    south.put("X-1", "line", valuePerHour=10)
    south.link(north.id("chiller"), "feeds", "line")
    yield union([north.snapshot(), south.snapshot()])
    for twin in twins:
        twin.close()


def test_trouble_crosses_sites(both: Snapshot) -> None:
    scenario = parse_scenario({"events": [{"type": "FAIL", "twin": "north:chiller", "repairHours": 2}]})
    found = simulate(both, scenario).to_json()
    assert [(i["localId"], i["site"], i["expectedCost"]) for i in found["impacts"]] == [
        ("line", "south", 20.0),
        ("chiller", "north", 0.0),
    ]
    assert found["impacts"][0]["why"] == ["chiller", "line"]
    assert set(found["revisions"]) == {"north", "south"}


def test_a_local_id_of_two_sites_needs_its_site(both: Snapshot) -> None:
    with pytest.raises(InputError) as caught:
        simulate(both, parse_scenario({"events": [{"type": "FAIL", "twin": "X-1"}]}))
    assert (caught.value.code, caught.value.place.item) == ("AMBIGUOUS_ID", "events[0].twin")
    scenario = parse_scenario({"events": [{"type": "FAIL", "twin": "south:X-1"}]})
    assert [impact.site for impact in simulate(both, scenario).impacts] == ["south"]


def test_an_added_twin_needs_a_site_too(both: Snapshot) -> None:
    def add(name: str) -> Any:
        return simulate(
            both,
            parse_scenario(
                {
                    "events": [
                        {"type": "ADD", "twin": {"id": name, "kind": "tm:Asset"}},
                        {"type": "FAIL", "twin": name},
                    ]
                }
            ),
        )

    with pytest.raises(InputError) as caught:
        add("new")
    assert (caught.value.code, caught.value.place.item) == ("AMBIGUOUS_ID", "events[0].twin")
    impact = add("south:new").impacts[0]
    assert (impact.local_id, impact.site, impact.kind) == ("new", "south", "tm:Asset")
