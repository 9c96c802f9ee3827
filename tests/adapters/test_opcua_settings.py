"""Settings and bindings of OPC UA: what is refused, and that all of it is told at once."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from adapters.opcua.bindings import address_of, node_of, parse_opcua_bindings
from adapters.opcua.certificates import fingerprint, own_identity
from adapters.opcua.config import parse_opcua
from adapters.opcua.face_config import parse_face
from ontology.errors import InputError
from ontology.units import load_units

UNITS = load_units()
PIN = "sha256:" + "0a" * 32
TABLE = f"""
[[opcua]]
site = "plant"
url = "opc.tcp://plc.example:4840"
bindings = "b.toml"
server_fingerprint = "{PIN}"
username = "twin"
password_env = "PLANT_WORD"
"""


def problems_of(text: str) -> list[str]:
    with pytest.raises(InputError) as caught:
        parse_opcua(tomllib.loads(text), Path("/x/twinmesh.toml"))
    return [problem.code for problem in caught.value.problems]


def test_a_table_becomes_a_config_with_absolute_paths() -> None:
    (config,) = parse_opcua(tomllib.loads(TABLE), Path("/x/twinmesh.toml"))
    assert (config.site, config.bindings) == ("plant", Path("/x/b.toml"))
    assert (config.line.security, config.line.mode) == ("Basic256Sha256", "sign_and_encrypt")
    assert config.line.certificate == Path("/x/opcua-client.pem")
    assert parse_opcua({}, Path("/x/twinmesh.toml")) == ()


@pytest.mark.parametrize(
    ("line", "codes"),
    [
        ('url = "http://plc:4840"', ["CONFIG_RANGE"]),
        ('url = "opc.tcp://plc"', ["CONFIG_RANGE"]),
        ('url = "opc.tcp://plc:99999"', ["CONFIG_RANGE"]),
        ('url = "opc.tcp://me:word@plc:4840"', ["CONFIG_RANGE"]),
        ('server_fingerprint = "0a0a"', ["CONFIG_RANGE"]),
        ('security = "none"', ["OPCUA_PASSWORD"]),
        ('security = "Basic128Rsa15"', ["CONFIG_RANGE"]),
        ('mode = "sign"', ["OPCUA_PASSWORD"]),
        ("publish_ms = 0", ["CONFIG_RANGE"]),
        ("pubish_ms = 5", ["CONFIG_UNKNOWN_KEY"]),
    ],
)
def test_what_cannot_work_or_is_not_safe_is_refused(line: str, codes: list[str]) -> None:
    key = line.partition(" ")[0]
    kept = "\n".join(each for each in TABLE.splitlines() if not each.startswith(f"{key} ="))
    assert problems_of(f"{kept}\n{line}") == codes


def test_all_problems_come_at_once() -> None:
    text = TABLE.replace("opc.tcp", "http") + 'queue_rows_max = 1\nfoo = 1\n[[opcua]]\nsite = "a"\n'
    assert sorted(problems_of(text)) == sorted(
        [*["CONFIG_RANGE"] * 3, *["CONFIG_KEY_MISSING"] * 2, "CONFIG_UNKNOWN_KEY"]
    )


@pytest.mark.parametrize(
    "node",
    [
        "ns=2;s=Line1.Rate",
        "i=85",
        "ns=1;i=7",
        "nsu=urn:a:b;s=x;y=z",
        "ns=3;s=50%+#{a}",
        "nsu=http://a/b;g=" + "0" * 36,
    ],
)
def test_a_node_is_an_address_and_back(node: str) -> None:
    (binding,) = parse_opcua_bindings({"binding": [{"node": node, "point": "P"}]}, "b.toml", UNITS)
    assert binding.topic.text == address_of(node)
    assert node_of(binding.topic.text) == node
    assert binding.topic.names == ()


@pytest.mark.parametrize(
    ("table", "codes"),
    [
        ({"point": "P"}, ["BINDING_NODE"]),
        ({"node": "Rate", "point": "P"}, ["BINDING_NODE"]),
        ({"node": "ns=x;s=Rate", "point": "P"}, ["BINDING_NODE"]),
        ({"node": 5, "point": "P"}, ["BINDING_NODE"]),
        ({"node": "i=1", "point": "P", "topic": "a", "qos": 1}, ["CONFIG_UNKNOWN_KEY", "CONFIG_UNKNOWN_KEY"]),
        ({"node": "i=1"}, ["CONFIG_KEY_MISSING", "BINDING_POINT"]),
        ({"node": "i=1", "point": "P", "unit": "furlong"}, None),
        ({"node": "i=1", "point": "P", "scale": 0}, ["CONFIG_RANGE"]),
    ],
)
def test_bindings_that_cannot_work_are_refused(table: dict[str, object], codes: list[str] | None) -> None:
    with pytest.raises(InputError) as caught:
        parse_opcua_bindings({"binding": [table]}, "b.toml", UNITS)
    if codes is not None:
        assert [problem.code for problem in caught.value.problems] == codes


def test_the_face_is_there_only_if_it_is_asked_for() -> None:
    assert parse_face({}, Path("/x/twinmesh.toml")) is None
    text = f'[opcua_server]\nsite = "plant"\ncertificates = {{ "{PIN}" = "scada" }}'
    config = parse_face(tomllib.loads(text), Path("/x/twinmesh.toml"))
    assert config is not None
    assert (config.host, config.port, config.certificates) == ("127.0.0.1", 4840, ((PIN, "scada"),))
    for wrong in ('certificates = { "ab" = "scada" }', f'certificates = {{ "{PIN}" = 1 }}', "prot = 1"):
        with pytest.raises(InputError):
            parse_face(tomllib.loads(f'[opcua_server]\nsite = "plant"\n{wrong}'), Path("/x/twinmesh.toml"))


def test_an_identity_is_made_once_and_its_key_is_for_its_owner_alone(tmp_path: Path) -> None:
    made = own_identity(tmp_path / "a" / "c.pem", tmp_path / "a" / "c.key")
    again = own_identity(tmp_path / "a" / "c.pem", tmp_path / "a" / "c.key")
    assert made == again
    assert (tmp_path / "a" / "c.key").stat().st_mode & 0o077 == 0
    assert fingerprint(made.certificate) == fingerprint(made.certificate + b"the chain above")
    other = own_identity(tmp_path / "b.pem", tmp_path / "b.key")
    with pytest.raises(InputError) as caught:
        own_identity(tmp_path / "b.pem", tmp_path / "a" / "c.key")
    assert caught.value.code == "OPCUA_CERTIFICATE"
    (tmp_path / "b.key").unlink()
    with pytest.raises(InputError):
        own_identity(tmp_path / "b.pem", tmp_path / "b.key")
    assert other != made
