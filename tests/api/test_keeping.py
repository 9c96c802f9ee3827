"""backup, restore, verify and migrate as commands: what they print, and how they exit."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from api.cli import main

GOLDEN = Path(__file__).parents[1] / "conformance" / "golden" / "format-1" / "data"


@pytest.fixture
def data(tmp_path):
    shutil.copytree(GOLDEN, tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def run(monkeypatch, capsys):
    """Run a command line; its exit code, stdout and stderr."""

    def command(*arguments):
        monkeypatch.setattr(sys, "argv", ["twinmesh", *map(str, arguments)])
        with pytest.raises(SystemExit) as done:
            main()
        said = capsys.readouterr()
        return done.value.code or 0, said.out, said.err

    return command


def test_there_and_back(run, data, tmp_path):
    code, out, _ = run("backup", tmp_path / "kept", "--data", data)
    assert code == 0
    assert "campus: revision 18 of 2023-11-14" in out
    assert "replayed and sound" in out
    code, out, _ = run("restore", tmp_path / "kept", "--data", tmp_path / "new", "--verify")
    assert (code, "rebuilt and equal" in out) == (0, True)
    code, out, _ = run("verify", "--data", tmp_path / "new")
    assert code == 0
    assert out.splitlines()[0].startswith("campus: 18 commits, chain unbroken, content ")
    code, out, _ = run("verify", "--data", tmp_path / "kept")
    assert (code, out.splitlines()[0]) == (0, "backup: 5 files as the manifest has them")


def test_json_is_one_document_and_nothing_else(run, data, tmp_path):
    kept, new = tmp_path / "kept", tmp_path / "new"
    code, out, err = run("backup", kept, "--data", data, "--json")
    backed = json.loads(out)
    assert (code, err) == (0, "")
    assert [site["revision"] for site in backed["sites"]] == ["18", "3"]
    code, out, err = run("restore", kept, "--data", new, "--verify", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["sites"] == backed["sites"]
    code, out, err = run("verify", "--data", new, "--json")
    verified = json.loads(out)
    assert (code, err, verified["sound"]) == (0, "", True)
    assert [site["content"] for site in verified["sites"]] == [site["content"] for site in backed["sites"]]
    assert [site["digest"] for site in verified["sites"]] == [site["digest"] for site in backed["sites"]]


def test_what_is_wrong_is_told_with_its_place(run, data, tmp_path):
    kept = tmp_path / "kept"
    run("backup", kept, "--data", data)
    code, out, err = run("backup", kept, "--data", data)
    assert (code, out) == (1, "")
    assert err.splitlines()[-1].startswith(f"error: BACKUP_TARGET: {kept}: ")
    path = kept / "sites" / "plant" / "journal.sqlite"
    raw = bytearray(path.read_bytes())
    raw[5000] ^= 1
    path.write_bytes(raw)
    code, _, err = run("verify", "--data", kept)
    assert code == 1
    assert f"BACKUP_DAMAGED: {path} (bytes 0 to 16384)" in err
    code, out, _ = run("restore", kept, "--data", tmp_path / "new", "--json")
    assert code == 1
    assert json.loads(out)["errors"][0]["code"] == "BACKUP_DAMAGED"
    assert not (tmp_path / "new").exists()
    assert run("verify", "--data", tmp_path)[0] == 1
    assert run("restore", kept)[0] == 2


def test_migrate_looks_ahead_then_does_it_once(run, data):
    code, out, _ = run("migrate", "--check", "--data", data)
    assert code == 0
    assert out.count("can become 2; needs") == 2
    code, out, _ = run("migrate", "--data", data, "--json")
    done = json.loads(out)
    assert (code, [site["site"] for site in done["sites"]]) == (0, ["campus", "plant"])
    assert all(Path(site["kept"], "journal.sqlite").is_file() for site in done["sites"])
    code, out, _ = run("migrate", "--data", data)
    assert (code, out) == (0, "every site has format 2, nothing to do\n")
    code, out, _ = run("migrate", "--check", "--data", data, "--json")
    assert [site["due"] for site in json.loads(out)["sites"]] == [False, False]
