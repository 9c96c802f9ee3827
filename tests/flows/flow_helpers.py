"""The `twinmesh` command in this process: a start costs a second, and these flows need hundreds of commands.

What a command says and how it ends is what a user gets: the entry point of the program is called with the
words in `sys.argv` and both streams replaced.
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
import sqlite3
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import adapters.importing
import api.commands.folders
from api.cli import main
from graph.readings.checking import measure
from ontology.schema import load_schema
from ontology.units import load_units


@dataclass(frozen=True)
class Outcome:
    """What a command left behind."""

    code: int
    out: bytes
    err: str

    @property
    def json(self) -> Any:
        """The one JSON document on stdout; anything more or less raises."""
        return json.loads(self.out)

    @property
    def files(self) -> list[dict[str, Any]]:
        """The report of an import, file by file."""
        return self.json["files"]


def command(*words: object) -> Outcome:
    """Run `twinmesh WORDS...` here. An exception that the program does not catch comes through."""
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    err = io.StringIO()
    before, sys.argv = sys.argv, ["twinmesh", *map(str, words)]
    code: Any = 0
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main()
    except SystemExit as end:
        code = end.code or 0
    finally:
        sys.argv = before
    return Outcome(code, out.buffer.getvalue(), err.getvalue())


one_schema = functools.cache(load_schema)
one_units = functools.cache(load_units)


def stay_in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are decoded here instead of in a child for each, and the vocabulary is compiled once."""
    monkeypatch.setattr(adapters.importing, "run_limited", _read_here)
    monkeypatch.setattr(adapters.importing, "load_units", one_units)
    monkeypatch.setattr(api.commands.folders, "load_schema", one_schema)
    monkeypatch.setattr(api.commands.folders, "load_units", one_units)


def _read_here(function, *args, **_limits):
    return function(*args)


@dataclass(frozen=True)
class Folder:
    """A data folder and one site of it, used by commands."""

    data: Path
    site: str = "s"

    def imports(self, *files: object, **options: object) -> Outcome:
        """`import FILES --json`; options by name, `replace=True` for a flag."""
        flags = [word for name, value in options.items() for word in _flag(name, value)]
        return command("import", *files, "--data", self.data, "--site", self.site, "--json", *flags)

    def export(self, format: str = "nq") -> bytes:
        done = command("export", "--data", self.data, "--format", format)
        assert done.code == 0, done.err
        return done.out

    def head(self) -> tuple[int, bytes]:
        """Number and digest of the last commit, read past the program from the journal itself."""
        (row,) = self._rows("journal", "SELECT sequence, digest FROM head")
        return row

    def readings(self) -> int:
        sizes = measure(self.data / "sites" / self.site)
        return sizes.rows + sizes.log_rows

    def _rows(self, name: str, query: str) -> list[tuple[Any, ...]]:
        path = self.data / "sites" / self.site / f"{name}.sqlite"
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            return connection.execute(query).fetchall()


def _flag(name: str, value: object) -> list[str]:
    word = f"--{name.replace('_', '-')}"
    return [word] if value is True else [word, str(value)]


GOOD = {
    "assets.csv": """\
id,kind,name,ratedPower [kW]
CH-1,brick:Chiller,Chiller,300
AHU-1,brick:AHU,Air handler,
AHU-2,brick:AHU,,
VAV-1,brick:VAV,,
R-1,rec:Room,Room,
SAT,brick:Supply_Air_Temperature_Sensor,,
""",
    "links.csv": """\
source,relation,target,group,need
CH-1,brick:feeds,AHU-1,cooling,2
AHU-1,brick:feeds,VAV-1,,
SAT,brick:isPointOf,AHU-1,,
AHU-1,tm:partOf,AHU-2,,
""",
    "readings.csv": "point,time,value\nSAT,2026-01-01T00:00:00Z,14.5\n",
}


def small_world(place: Path) -> Folder:
    """A data folder in `place` that holds the files above as site `s`."""
    for name, text in GOOD.items():
        (place / name).write_text(text)
    folder = Folder(place / "data")
    done = folder.imports(*(place / name for name in GOOD))
    assert (done.code, [file["created"] for file in done.files]) == (0, [6, 4, 0]), done.err
    assert folder.readings() == 1
    return folder
