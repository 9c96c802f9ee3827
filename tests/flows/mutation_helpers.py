"""Small files of every format and what an attacker, a bad disk or a hasty edit makes of them."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import TYPE_CHECKING

from adapters.ifc.source import read_ifc
from ontology.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from adapters.model import ImportRequest
    from ontology.schema import Schema
    from ontology.units import Units

TABLES = {
    "twins.csv": """\
id,kind,name,ratedPower [kW],health,timeToRepair,external:gs1,colour
CH-1,brick:Chiller,Chiller,300,1,"weibull(2,500)",123,red
AHU-1,brick:AHU;tm:Asset,"Air, ""big"" one",12.5,0.5,4,,
R-1,rec:Room,Room,,,,,007
SAT,brick:Supply_Air_Temperature_Sensor,,,,,,
""",
    "links.csv": """\
source,relation,target,group,need,medium,bufferHours
CH-1,brick:feeds,AHU-1,cooling,2,chilledWater,"uniform(1,2)"
AHU-1,tm:locatedIn,R-1,,,,
AHU-1,brick:hasPoint,SAT,,,,

id,kind
CH-1,brick:Chiller
AHU-1,brick:AHU
R-1,rec:Room
SAT,brick:Sensor
""",
    "readings.csv": """\
point,time,value,quality
SAT,2026-01-01T00:00:00Z,3,GOOD
SAT,2026-01-01T00:00:01.5+02:00,-4e1,BAD

id,kind
SAT,brick:Sensor
""",
}

TURTLE = """\
@prefix brick: <https://brickschema.org/schema/Brick#> .
@prefix tm: <https://twinmesh.dev/ns#> .
@prefix rdfs: <http://www.w3.org/2000/01/rdf-schema#> .
@prefix xsd: <http://www.w3.org/2001/XMLSchema#> .
@prefix ref: <https://brickschema.org/schema/Brick/ref#> .
@prefix : <https://example.org/b#> .
:ahu a brick:AHU ; rdfs:label "Air"@en , "Luft"@de ; brick:feeds :vav ;
  tm:ratedPower [ tm:value 3.5 ; tm:unit "kW" ] .
:vav a brick:VAV , :Odd ; brick:isFedBy :ahu ; tm:health 0.5 ;
  :note "x\\ny" , 4 , true , "2020-01-01"^^xsd:date .
:sat a brick:Supply_Air_Temperature_Sensor ; brick:isPointOf :ahu ;
  brick:hasUnit <http://qudt.org/vocab/unit/DEG_C> ;
  ref:hasExternalReference [ a ref:TimeseriesReference ; ref:hasTimeseriesId "id-1" ] .
:room a brick:Room ; brick:hasPart ( :a [ :b _:c ] ) .
[] a tm:Relationship ; tm:source :ahu ; tm:relation brick:feeds ; tm:target :vav ; tm:group "" ; tm:weight 2 .
"""

# What stands in files by accident or on purpose: ends of quotes, numbers out of range, odd letters.
TOKENS = (
    *(b"\x00", b"\xff", b"\xed\xa0\x80", b"\xf0\x9f\x98\x80", b"\xe2\x80\xae", b"\xef\xbb\xbf"),
    *(bytes([letter]) for letter in b"\"',;\n\r\\@#$*[]()<>"),
    *(b"1e999", b"-1", b"nan", b"inf", b"9" * 40, b"true", b'{"a":[1]}', b"\\uD800", b"\\u0000"),
    *(b"urn:x", b"http://", b"_:", b"tm:", b"x:"),
)

# What stands in the place of an argument of a STEP statement.
ARGUMENTS = (
    *("$", "*", "()", "1.", "-1.E400", ".T.", ".NOTDEFINED.", ".SOURCE.", ".SINK.", "'x'", "''", '"0AF"'),
    *("IFCTEXT($)", "IFCLABEL(1.)", "IFCREAL(1.E400)", "#1", "#999999", "(#1)", "(1,2,3)", "9" * 20),
    *(
        "'\\X2\\D800\\X0\\'",
        "'\\X2\\D83DDE00\\X0\\'",
        "'\\X\\C4'",
        "'\\S\\D'",
        "'\\X4\\0011FFFF\\X0\\'",
        "'://'",
    ),
)
_ARGUMENT = re.compile(r"(?<=[,(])[^,()\n]*(?=[,)])")
_REFERENCE = re.compile(r"#\d+")
_CLASS = re.compile(r"IFC[A-Z]{4,}")


def mutated(rng: random.Random, content: bytes) -> bytes:
    """One to five changes: a bit, a byte; the end, a line or a span lost; a line doubled; a token put in."""
    data = content
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        if data:
            data = rng.choice((_flip, _byte, _cut, _lose_line, _double_line, _lose_span, _insert))(rng, data)
    return data


def _flip(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]


def _byte(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :]


def _cut(rng: random.Random, data: bytes) -> bytes:
    return data[: rng.randrange(len(data))]


def _lose_line(rng: random.Random, data: bytes) -> bytes:
    lines = data.splitlines(keepends=True)
    del lines[rng.randrange(len(lines))]
    return b"".join(lines)


def _double_line(rng: random.Random, data: bytes) -> bytes:
    lines = data.splitlines(keepends=True)
    lines.insert(rng.randrange(len(lines) + 1), rng.choice(lines))
    return b"".join(lines)


def _lose_span(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + data[at + rng.randrange(1, 30) :]


def _insert(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + rng.choice(TOKENS) + data[at:]


def mutated_step(rng: random.Random, content: bytes) -> bytes:
    """As `mutated`, or a file whose syntax is whole: other references, classes and arguments."""
    if rng.random() < 0.3:
        return mutated(rng, content)
    text = content.decode("latin-1")
    for _ in range(rng.choice((1, 1, 2, 4))):
        pattern = rng.choice((_REFERENCE, _CLASS, _ARGUMENT, _ARGUMENT))
        found = list(pattern.finditer(text))
        there, other = rng.choice(found), rng.choice(found).group()
        new = rng.choice((other, rng.choice(ARGUMENTS))) if pattern is _ARGUMENT else other
        text = text[: there.start()] + new + text[there.end() :]
    return text.encode("latin-1")


def read_files(
    log: Path, paths: Sequence[str], request: ImportRequest, schema: Schema, units: Units
) -> list[str]:
    """In the sandbox: what became of each file, "read" or the code of its refusal; in `log` as well.

    Any other exception ends the process, and with it shows which file is to blame.
    """
    found: list[str] = []
    with log.open("w") as stream:
        for path in paths:
            try:
                read_ifc(Path(path), request, schema, units)
                found.append("read")
            except InputError as error:
                found.append(error.code)
            stream.write(f"{found[-1]}\n")
            stream.flush()
    return found
