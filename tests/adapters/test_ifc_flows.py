"""Port connections: only FlowDirection gives a direction; what a file leaves open or contradicts is said."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from adapters.ifc.config import CONNECTED_TO, CONTROLS, FEEDS, POINT_OF

sys.path.append(str(Path(__file__).parent))
from ifc_helpers import Imported, Model, Reader


@pytest.fixture(scope="module")
def read() -> Reader:
    return Reader()


def codes(imported: Imported) -> list[str]:
    return [warning.code for warning in imported.parsed.warnings]


@pytest.mark.parametrize("schema", ["IFC2X3", "IFC4", "IFC4X3_ADD2"])
@pytest.mark.parametrize(
    ("directions", "relation", "pair", "code"),
    [
        (("SOURCE", "SINK"), FEEDS, ("A", "B"), None),
        (("SINK", "SOURCE"), FEEDS, ("B", "A"), None),  # the order of the relationship is no direction
        (("SOURCEANDSINK", "SOURCEANDSINK"), CONNECTED_TO, ("A", "B"), "IFC_FLOW_UNKNOWN"),
        (("SOURCE", "SOURCEANDSINK"), CONNECTED_TO, ("A", "B"), "IFC_FLOW_UNKNOWN"),
        (("NOTDEFINED", "SINK"), CONNECTED_TO, ("A", "B"), "IFC_FLOW_UNKNOWN"),
        ((None, "SINK"), CONNECTED_TO, ("A", "B"), "IFC_FLOW_UNKNOWN"),
        (("SOURCE", "SOURCE"), CONNECTED_TO, ("A", "B"), "IFC_FLOW_CONFLICT"),
        (("SINK", "SINK"), CONNECTED_TO, ("A", "B"), "IFC_FLOW_CONFLICT"),
    ],
)
def test_direction_is_what_both_ports_say(
    schema: str,
    directions: tuple[str | None, str | None],
    relation: str,
    pair: tuple[str, str],
    code: str | None,
    read: Reader,
    tmp_path: Path,
) -> None:
    model = Model(schema)
    one, other = model.root("IfcFlowSegment", "A"), model.root("IfcFlowSegment", "B")
    model.join(one, other, directions)
    imported = read(model.write(tmp_path))
    flows = [link for link in imported.parsed.relationships if link.relation in (FEEDS, CONNECTED_TO)]
    (flow,) = flows
    assert (flow.relation, imported.local[flow.source], imported.local[flow.target]) == (relation, *pair)
    assert flow.attributes["direction"].value == ("directed" if relation == FEEDS else "unknown")
    assert codes(imported) == ([code] if code else [])


def test_medium_from_ports_system_or_duct(read: Reader, tmp_path: Path) -> None:
    model = Model()
    names = ("BOILER", "COIL", "TANK", "TAP", "FAN", "DUCT", "X", "Y")
    items = {name: model.root("IfcPipeSegment", name) for name in names}
    model.join(items["BOILER"], items["COIL"], ("SOURCE", "SINK"), "HEATING")
    model.join(items["TANK"], items["TAP"], ("SOURCE", "SINK"))
    system = model.root("IfcDistributionSystem", "DCW", PredefinedType="DOMESTICCOLDWATER")
    model.relate("IfcRelAssignsToGroup", RelatingGroup=system, RelatedObjects=[items["TANK"], items["TAP"]])
    ports = [model.port(items["FAN"], "SOURCE"), model.port(items["DUCT"], "SINK")]
    for port in ports:
        port.PredefinedType = "DUCT"
    model.relate("IfcRelConnectsPorts", RelatingPort=ports[0], RelatedPort=ports[1])
    model.join(items["X"], items["Y"], ("SOURCE", "SINK"), "HAZARDOUS")
    imported = read(model.write(tmp_path))
    media = {imported.local[one.source]: one.attributes["medium"].value for one in imported.of(FEEDS)}
    assert media == {"BOILER": "hotWater", "TANK": "domesticColdWater", "FAN": "air", "X": "hazardous"}
    assert imported.by_local["DCW"].attributes["medium"].value == "domesticColdWater"


def test_no_medium_is_guessed(read: Reader, tmp_path: Path) -> None:
    model = Model()
    one, other = model.root("IfcPump", "P-1"), model.root("IfcPipeSegment", "PIPE")
    model.join(one, other, ("SOURCE", "SINK"))
    (flow,) = read(model.write(tmp_path)).of(FEEDS)
    assert "medium" not in flow.attributes


def test_media_that_disagree_are_said(read: Reader, tmp_path: Path) -> None:
    model = Model()
    one, other = model.root("IfcPump", "P-1"), model.root("IfcPipeSegment", "PIPE")
    ends = [model.port(one, "SOURCE", "HEATING"), model.port(other, "SINK", "CHILLEDWATER")]
    model.relate("IfcRelConnectsPorts", RelatingPort=ends[0], RelatedPort=ends[1])
    imported = read(model.write(tmp_path))
    assert codes(imported) == ["IFC_MEDIUM_CONFLICT"]
    assert imported.of(FEEDS)[0].attributes["medium"].value == "hotWater"


def test_two_pipes_of_one_medium_are_one_relationship(read: Reader, tmp_path: Path) -> None:
    model = Model()
    one, other = model.root("IfcChiller", "CH-1"), model.root("IfcTank", "T-1")
    model.join(one, other, ("SOURCE", "SINK"), "CHILLEDWATER")
    model.join(one, other, ("SOURCE", "SINK"), "CHILLEDWATER")
    model.join(one, other, ("SOURCE", "SINK"), "ELECTRICAL")
    model.join(one, other, ("SINK", "SOURCE"), "CHILLEDWATER")
    imported = read(model.write(tmp_path))
    found = [
        (
            imported.local[one.source],
            one.attributes["medium"].value,
            one.group,
            one.attributes.get("ifcConnections"),
        )
        for one in imported.of(FEEDS)
    ]
    assert [
        (source, medium, group, count.value if count else 1) for source, medium, group, count in found
    ] == [
        ("CH-1", "chilledWater", "", 2),
        ("CH-1", "electricity", "electricity", 1),
        ("T-1", "chilledWater", "", 1),
    ]


def test_the_realizing_element_is_named(read: Reader, tmp_path: Path) -> None:
    model = Model()
    one, other, pipe = (model.root("IfcPipeSegment", name) for name in "ABC")
    model.join(one, other, ("SOURCE", "SINK"), RealizingElement=pipe)
    imported = read(model.write(tmp_path))
    assert imported.of(FEEDS)[0].attributes["via"].value == imported.by_local["C"].id


def test_broken_connections_are_left_out_and_said(read: Reader, tmp_path: Path) -> None:
    model = Model()
    pump = model.root("IfcPump", "P-1")
    stray = model.root("IfcDistributionPort", "stray", FlowDirection="SINK")
    model.relate("IfcRelConnectsPorts", RelatingPort=model.port(pump, "SOURCE"), RelatedPort=stray)
    model.join(pump, pump, ("SOURCE", "SINK"))
    imported = read(model.write(tmp_path))
    assert not imported.of(FEEDS)
    assert sorted(codes(imported)) == ["IFC_PORT_DANGLING", "IFC_PORT_SELF", "IFC_PORT_UNOWNED"]


@pytest.mark.parametrize(
    ("joins", "named"),
    [
        ([("V", "A", "SOURCE", "SINK"), ("V", "B", "SOURCE", "SINK")], "V"),  # gives twice, takes never
        ([("A", "V", "SOURCE", "SINK"), ("B", "V", "SOURCE", "SINK")], "V"),  # takes twice, gives never
        ([("A", "V", "SOURCE", "SINK"), ("V", "B", "SOURCE", "SINK")], None),
        ([("V", "A", "SOURCE", "SINK")], None),  # the rest of the pipework may be in another file
        ([("V", "A", "SOURCE", "SINK"), ("V", "B", "SOURCE", "SINK"), ("A", "V", None, "SINK")], None),
    ],
)
def test_an_element_that_only_gives_or_takes_is_said(
    joins: list[tuple[str, str, str, str]], named: str | None, read: Reader, tmp_path: Path
) -> None:
    model = Model()
    items = {
        "V": model.root("IfcValve", "V"),
        "A": model.root("IfcBoiler", "A"),
        "B": model.root("IfcBoiler", "B"),
    }
    for one, other, *directions in joins:
        model.join(items[one], items[other], tuple(directions), "HEATING")
    warned = [
        w.place.item for w in read(model.write(tmp_path)).parsed.warnings if w.code == "IFC_FLOW_REVERSED"
    ]
    assert warned == ([named] if named else [])


def test_a_switchboard_may_only_give(read: Reader, tmp_path: Path) -> None:
    model = Model()
    board = model.root("IfcElectricDistributionBoard", "MSB-1")
    for name in "AB":
        model.join(board, model.root("IfcPump", name), ("SOURCE", "SINK"), "ELECTRICAL")
    assert codes(read(model.write(tmp_path))) == []


def test_sensors_are_points_of_what_they_watch(read: Reader, tmp_path: Path) -> None:
    model = Model()
    duct = model.root("IfcDuctSegment", "D-1")
    sensor = model.root("IfcSensor", "TS-1", PredefinedType="TEMPERATURESENSOR")
    actuator = model.root("IfcActuator", "ACT-1")
    model.relate(
        "IfcRelFlowControlElements", RelatingFlowElement=duct, RelatedControlElements=[sensor, actuator]
    )
    imported = read(model.write(tmp_path))
    assert imported.pairs(POINT_OF) == [("TS-1", "D-1")]
    assert imported.pairs(CONTROLS) == [("ACT-1", "D-1")]


def test_many_warnings_are_counted_not_repeated(read: Reader, tmp_path: Path) -> None:
    model = Model()
    for number in range(60):
        model.join(
            model.root("IfcPipeSegment", f"A{number}"),
            model.root("IfcPipeSegment", f"B{number}"),
            ("SOURCEANDSINK", "SOURCEANDSINK"),
        )
    imported = read(model.write(tmp_path))
    assert len(imported.parsed.warnings) == 21
    assert imported.parsed.warnings[-1].message == "40 more of the same kind, 60 in all"
    assert len(imported.of(CONNECTED_TO)) == 60
