"""Readings out as CSV and back in: the same; as Parquet: the same columns."""

from __future__ import annotations

import pyarrow.parquet as pq

from tests.flows.flow_helpers import command

TWINS = "id,kind,valueType\nT-1,tm:Point,\nB-1,tm:Point,boolean\nC-1,tm:Point,counter\nM-1,tm:Point,code\n"
READINGS = """point,time,value,quality
T-1,2026-01-01T00:00:00Z,21.5,GOOD
T-1,2026-01-01T00:01:00.000000001Z,-1e-300,UNCERTAIN
T-1,2026-01-02T00:00:00Z,0.1,BAD
B-1,2026-01-01T00:00:00Z,true,GOOD
C-1,2026-01-01T00:00:00Z,18446744073709551615,GOOD
M-1,2026-01-01T00:00:00Z,AUTO,GOOD
"""


def export(data, out, *words):
    return command("export", "readings", "--data", data, "--out", out, "--json", *words)


def test_readings_come_back_by_import(tmp_path):
    (tmp_path / "twins.csv").write_text(TWINS)
    (tmp_path / "readings.csv").write_text(READINGS)
    one, other = tmp_path / "one", tmp_path / "other"
    options = ("--site", "s", "--json")
    files = (tmp_path / "twins.csv", tmp_path / "readings.csv")
    assert command("import", *files, "--data", one, *options).code == 0
    first = export(one, tmp_path / "out.csv", "--format", "csv")
    assert first.json["readings"] == 6, first.err
    assert command("import", files[0], tmp_path / "out.csv", "--data", other, *options).code == 0
    assert export(other, tmp_path / "again.csv", "--format", "csv").json["readings"] == 6
    text = (tmp_path / "out.csv").read_text()
    assert (tmp_path / "again.csv").read_text() == text
    assert "2026-01-01T00:01:00.000000001Z,-1e-300,UNCERTAIN" in text
    assert "18446744073709551615" in text
    words = ("--format", "parquet", "--point", "T-1", "--to", "2026-01-02T00:00:00Z")
    assert export(one, tmp_path / "out.parquet", *words).json["readings"] == 2
    table = pq.read_table(tmp_path / "out.parquet")
    assert table.column("value").to_pylist() == [21.5, -1e-300]
    assert table.column("quality").to_pylist() == ["GOOD", "UNCERTAIN"]


def test_wrong_use_is_told(tmp_path):
    for words, code in (
        (("export", "things", "--format", "csv", "--data", tmp_path), "EXPORT_WHAT"),
        (("export", "readings", "--format", "ttl", "--data", tmp_path), "FORMAT_UNKNOWN"),
        (("export", "readings", "--format", "csv", "--data", tmp_path), "EXPORT_OUT"),
    ):
        done = command(*words)
        assert (done.code, code in done.err) == (2, True), done.err


def test_doctor_tells_what_a_history_takes(tmp_path):
    (tmp_path / "twins.csv").write_text(TWINS)
    (tmp_path / "readings.csv").write_text(READINGS)
    files = (tmp_path / "twins.csv", tmp_path / "readings.csv")
    assert command("import", *files, "--data", tmp_path / "data", "--site", "s", "--json").code == 0
    found = command("doctor", "--data", tmp_path / "data", "--json").json["findings"]
    (told,) = [finding for finding in found if finding["name"] == "history s"]
    assert (told["state"], told["detail"].startswith("6 readings in ")) == ("ok", True)
