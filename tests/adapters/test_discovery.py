"""Home Assistant's discovery messages: what they offer, what they do not, and the file that comes of it."""

from __future__ import annotations

import json
import tomllib

import pytest

from adapters.binding import parse_bindings
from adapters.mqtt.discovery import discovered
from adapters.proposing import Candidate, bindings_file, propose
from graph.twin import Twin
from ontology.errors import InputError
from ontology.units import load_units


def config(component: str, of: str, /, **document: object) -> str:
    return f"homeassistant/{component}/{of}/config {json.dumps(document)}\n"


LONG = config(
    "sensor", "node/AHU-1-SAT",
    state_topic="ahu1/state", value_template="{{ value_json.temps['supply/air'] | float }}",
    unit_of_measurement="°C", unique_id="ahu_1_sat", device={"name": "AHU 1"}, name="Supply",
)  # fmt: skip
SHORT = config(
    "sensor", "power", **{"~": "plant/ch1", "stat_t": "~/power", "unit_of_meas": "W", "uniq_id": "CH-1-PWR"}
)


def test_long_and_short_names() -> None:
    assert discovered([LONG, SHORT], "h.txt") == (
        Candidate(
            "ahu1/state", ("ahu_1_sat", "AHU-1-SAT", "AHU 1 Supply", "Supply"), "number", "Cel",
            (("pointer", "/temps/supply~1air"),),
        ),
        Candidate("plant/ch1/power", ("CH-1-PWR", "power"), "number", "W", (("payload", "text"),)),
    )  # fmt: skip


def test_what_is_removed_or_none_is_left_out() -> None:
    removed = "homeassistant/sensor/power/config \n"
    other = ["ahu1/state 21.5\n", config("button", "b"), config("switch", "s", command_topic="c")]
    assert discovered([SHORT, removed, *other], "h.txt") == ()


def test_a_template_that_computes_matches_nothing(campus_twin: Twin) -> None:
    line = config("sensor", "FREE", state_topic="t", value_template="{{ value_json.a * 2 }}")
    (candidate,) = discovered([line], "h.txt")
    assert candidate.names == ()
    assert propose([candidate], campus_twin.snapshot()).unmatched == ("t",)


def test_lines_that_cannot_be_read_are_told_all() -> None:
    wrong = [
        "homeassistant/sensor/a/config {",
        "homeassistant/sensor/b/config []",
        config("sensor", "c", stat_t=3),
    ]
    with pytest.raises(InputError) as caught:
        discovered([SHORT, *wrong], "h.txt")
    told = [(problem.code, problem.place and problem.place.line) for problem in caught.value.problems]
    assert told == [("DISCOVERY_SYNTAX", 2), ("DISCOVERY_SYNTAX", 3), ("DISCOVERY_SYNTAX", 4)]


def test_the_file_that_comes_of_it_is_a_bindings_file(campus_twin: Twin) -> None:
    found = propose(discovered([LONG, SHORT], "h.txt"), campus_twin.snapshot())
    assert [(each.address, each.point) for each in found.proposals] == [
        ("ahu1/state", "AHU-1-SAT"), ("plant/ch1/power", "CH-1-PWR"),
    ]  # fmt: skip
    document = tomllib.loads(bindings_file(found.proposals, "topic"))
    first, second = parse_bindings(document, "b.toml", load_units())
    assert (first.unit, first.pointer, second.payload) == ("Cel", ("temps", "supply/air"), "text")
