"""NodeSet2 files: what comes of them, and what is refused."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

from tests.adapters.import_helpers import BASE, Place

FILE = """<?xml version="1.0" encoding="utf-8"?>
<!-- made by hand -->
<UANodeSet xmlns="http://opcfoundation.org/UA/2011/03/UANodeSet.xsd">
  <NamespaceUris><Uri>urn:mill</Uri></NamespaceUris>
  <Aliases>
    <Alias Alias="Double">i=11</Alias><Alias Alias="Boolean">i=1</Alias>
    <Alias Alias="HasComponent">i=47</Alias><Alias Alias="HasProperty">i=46</Alias>
    <Alias Alias="Organizes">i=35</Alias><Alias Alias="HasTypeDefinition">i=40</Alias>
    <Alias Alias="HasSubtype">i=45</Alias>
  </Aliases>
  <UAReferenceType NodeId="ns=1;i=10" BrowseName="1:Holds">
    <References><Reference ReferenceType="HasSubtype" IsForward="false">i=47</Reference></References>
  </UAReferenceType>
  <UAObjectType NodeId="ns=1;i=1" BrowseName="1:Machine"><DisplayName>Machine</DisplayName>
    <References><Reference ReferenceType="HasSubtype" IsForward="false">i=58</Reference></References>
  </UAObjectType>
  <UAObjectType NodeId="ns=1;i=2" BrowseName="1:Press"><DisplayName>Press</DisplayName>
    <References><Reference ReferenceType="HasSubtype" IsForward="false">ns=1;i=1</Reference></References>
  </UAObjectType>
  <UAVariable NodeId="ns=1;i=3" BrowseName="1:Speed" ParentNodeId="ns=1;i=1" DataType="Double">
    <References>
      <Reference ReferenceType="HasComponent" IsForward="false">ns=1;i=1</Reference>
      <Reference ReferenceType="HasTypeDefinition">i=63</Reference>
    </References>
  </UAVariable>
  <UAObject NodeId="ns=1;s=Line" BrowseName="1:Line"><DisplayName>Line one</DisplayName>
    <References>
      <Reference ReferenceType="Organizes" IsForward="false">i=85</Reference>
      <Reference ReferenceType="HasTypeDefinition">i=61</Reference>
      <Reference ReferenceType="ns=1;i=10">ns=1;s=Line.Press</Reference>
    </References>
  </UAObject>
  <UAObject NodeId="ns=1;s=Line.Press" BrowseName="1:Press"><DisplayName>Press 7</DisplayName>
    <References><Reference ReferenceType="HasTypeDefinition">ns=1;i=2</Reference></References>
  </UAObject>
  <UAVariable NodeId="ns=1;s=Line.Press.Speed" BrowseName="1:Speed" DataType="Double">
    <References>
      <Reference ReferenceType="HasComponent" IsForward="false">ns=1;s=Line.Press</Reference>
      <Reference ReferenceType="HasTypeDefinition">i=63</Reference>
    </References>
  </UAVariable>
  <UAVariable NodeId="ns=1;s=Line.Press.Run" BrowseName="1:Run" DataType="Boolean">
    <References>
      <Reference ReferenceType="HasComponent" IsForward="false">ns=1;s=Line.Press</Reference>
    </References>
  </UAVariable>
  <UAVariable NodeId="ns=1;s=Line.Press.Serial" BrowseName="1:serialNumber" DataType="i=12">
    <References>
      <Reference ReferenceType="HasProperty" IsForward="false">ns=1;s=Line.Press</Reference>
    </References>
    <Value><String xmlns="http://opcfoundation.org/UA/2008/02/Types.xsd">P-7</String></Value>
  </UAVariable>
</UANodeSet>
"""


@pytest.fixture
def place(tmp_path: Path) -> Generator[Place]:
    made = Place(tmp_path)
    yield made
    made.close()


def local(id: str) -> str:
    return f"nsu=urn:mill;s={id}"


def test_objects_variables_types_and_properties_become_twins_points_kinds_attributes(
    place: Place,
) -> None:
    report = place.load(place.write("mill.xml", FILE))
    assert report.files[0].errors == ()
    assert (report.files[0].format, report.files[0].created) == ("nodeset2", 7)
    snapshot = place.mesh.twin("plant").snapshot()
    assert set(snapshot.local_ids(snapshot.living_rows)) == {
        local(name) for name in ("Line", "Line.Press", "Line.Press.Speed", "Line.Press.Run")
    }
    press, run = snapshot.find(local("Line.Press")), snapshot.find(local("Line.Press.Run"))
    assert snapshot.name(press) == "Press 7"
    assert snapshot.attributes(press)["serialNumber"].value == "P-7"
    assert snapshot.value_type(run).value == "boolean"
    assert [(one.system, one.id) for one in snapshot.external_ids(run)] == [
        ("opcua", local("Line.Press.Run"))
    ]
    schema = snapshot.schema
    machine = schema.kind_by_iri(
        BASE + "nsu=urn:mill;i=1".replace("=", "%3D").replace(":", "%3A").replace(";", "%3B")
    )
    assert machine is not None
    assert snapshot.is_of_kind(snapshot.rows_of_kind(machine.index), machine.index).tolist() == [True]
    assert snapshot.local_ids(snapshot.rows_of_kind(machine.index)) == [local("Line.Press")]
    names = [snapshot.local_id(row) for row in range(snapshot.size)]
    ends = zip(snapshot.edge_source.tolist(), snapshot.edge_target.tolist(), strict=True)
    edges = {
        (names[source], snapshot.relation_of(edge).rpartition("#")[2], names[target])
        for edge, (source, target) in enumerate(ends)
    }
    assert edges == {
        (local("Line.Press"), "partOf", local("Line")),
        (local("Line.Press.Speed"), "pointOf", local("Line.Press")),
        (local("Line.Press.Run"), "pointOf", local("Line.Press")),
    }
    assert place.load(place.write("mill.xml", FILE)).files[0].unchanged == 7


@pytest.mark.parametrize(
    ("before", "after", "code"),
    [
        ("</UANodeSet>", "", "NODESET_SYNTAX"),
        ('"1:Line"', '"1:Line', "NODESET_SYNTAX"),
        ("P-7</String>", "P-7</Int32>", "NODESET_SYNTAX"),
        ("ns=1;s=Line.Press.Run", "ns=1;s=Line.Press", "NODESET_DUPLICATE"),
        ('NodeId="ns=1;s=Line"', 'NodeId="Line"', "NODESET_NODE_ID"),
        ('NodeId="ns=1;s=Line"', 'NodeId="ns=7;s=Line"', "NODESET_NODE_ID"),
        ("<!-- made by hand -->", '<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/hosts">]>', "NODESET_ENTITY"),
        ("<!-- made by hand -->", '<!DOCTYPE a [<!ENTITY e "ha">]>', "NODESET_ENTITY"),
    ],
)
def test_damaged_files_are_refused_whole(place: Place, before: str, after: str, code: str) -> None:
    line = FILE.count("\n", 0, FILE.index(before)) + 1
    path = place.write("mill.xml", FILE.replace(before, after, 1))
    error = place.load(path, format="nodeset2").files[0].errors[0]
    assert (error.code, "plant" in place.mesh.sites) == (code, False)
    assert error.place.line is not None and line <= error.place.line <= line + 1


def test_another_vocabulary_is_refused(place: Place) -> None:
    path = place.write("mill.xml", FILE.replace("UANodeSet", "Other"))
    assert place.load(path, format="nodeset2").files[0].errors[0].code == "NODESET_ROOT"


def test_a_file_that_nests_without_end_is_refused(place: Place) -> None:
    text = "<UANodeSet>" + "<a>" * 200_000
    report = place.load(place.write("deep.xml", text), format="nodeset2")
    assert report.files[0].errors[0].code == "NODESET_SYNTAX"
