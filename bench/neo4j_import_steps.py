"""The steps that `bench.neo4j_import` measures."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.campus_folder import make_campus
from bench.neo4j_admin import admin_command, import_command
from bench.neo4j_server import Server
from graph.content import content_of
from graph.journals import LocalJournals
from graph.mesh import Mesh
from graph.stores.choosing import open_journals
from graph.stores.neo4j import layout
from graph.stores.neo4j.connection import Connection, Neo4jPlace
from graph.stores.neo4j.projection import CONSTRAINTS
from ontology.schema import load_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

PROGRAM = str(Path(sys.executable).parent / "twinmesh")
HEAP_MB, PAGES_MB = 1_024, 512
IMPORT_HEAP = "-Xmx1g"
WAIT_S_MAX = 1_800.0
STORES = (
    "nodestore.db",
    "relationshipstore.db",
    "propertystore.db",
    "propertystore.db.strings",
    "propertystore.db.arrays",
)
MB = 1 << 20


@dataclass(frozen=True, slots=True)
class Used:
    """What a process took. peak_mb: of memory that was resident."""

    s: float
    cpu_s: float
    peak_mb: int
    said: str


def measure(place: Path, buildings: int) -> dict[str, Any]:
    """All figures of one size. RuntimeError with what was said, where a step fails."""
    made = _child("make_campus_in", str(place / "data"), str(buildings))
    rows = made["twins"] + made["relationships"]
    hash = made.pop("hash")
    row: dict[str, Any] = {**made, "rows": rows}
    files = place / "files"
    words = ["export", "--format", "neo4j-import", "--data", str(place / "data"), "--out", str(files)]
    row |= _figures("export", used([PROGRAM, *words]), rows)
    row["files_bytes"] = size_of(files)
    server = Server.make(place / "home", heap_mb=HEAP_MB, pages_mb=PAGES_MB)
    command, environment = import_command(server, files, "neo4j", options=(IMPORT_HEAP,))
    row |= _figures("import", used(command, environment), rows)
    shutil.rmtree(files)
    try:
        row |= _served(server, place, rows, hash)
    finally:
        server.stop()
    row["transaction logs, bytes"] = size_of(server.home / "data" / "transactions" / "neo4j")
    row["index_bytes"] = size_of(server.home / "data" / "databases" / "neo4j" / "schema")
    row["journal_bytes"] = _journal_bytes(place / "data")
    row |= _dumped(server, place, rows)
    try:
        server.start()
        restored = _opened(server, place / "writer", hash)
    finally:
        server.stop()
    return row | {"restored, writer, s": restored["s"]}


def _journal_bytes(folder: Path) -> int:
    with closing(LocalJournals(folder).journal("campus").open_reader()) as reader:
        return sum(len(entry.payload) for entry in reader.entries())


def _served(server: Server, place: Path, rows: int, hash: str) -> dict[str, Any]:
    database = server.home / "data" / "databases" / "neo4j"
    parts = {path.name: path.stat().st_size for path in database.glob("neostore*.db*")}
    row: dict[str, Any] = {"store_bytes": sum(parts.values())}
    row["store, bytes a row"] = round(row["store_bytes"] / rows, 1)
    row |= {f"of it {name}": parts[f"neostore.{name}"] for name in STORES}
    began_s = time.monotonic()
    server.start()
    row["Neo4j starts, s"] = round(time.monotonic() - began_s, 1)
    began_s = time.monotonic()
    with closing(Connection(Neo4jPlace(server.url, password=server.password))) as connection:
        for constraint in (*CONSTRAINTS, *layout.CONSTRAINTS):
            connection.run(constraint)
        row["indexes made, s"] = round(time.monotonic() - began_s, 1)
    fresh = _opened(server, place / "writer", hash)
    again = _opened(server, place / "writer", hash)
    row |= {"writer, empty folder, s": fresh["s"], "writer, its peak, MB": fresh["peak_mb"]}
    row |= {"writer, checkpoint, s": again["s"], "writer, then, MB": again["peak_mb"]}
    first = _pushed(server, place / "pushed")  # makes an index of local ids
    later = _pushed(server, place / "pushed")
    row |= {"push-down, first start, s": first["s"], "push-down, later, s": later["s"]}
    return row | {"push-down, MB": later["peak_mb"]}


def _opened(server: Server, folder: Path, hash: str) -> dict[str, Any]:
    """A writer in a process of its own opens the site and finds its graph as it must be."""
    found = _child("open_writer", str(folder), server.url, password=server.password)
    if found["hash"] != hash:
        raise RuntimeError(f"the content is {found['hash']} and not {hash}")
    return found


def _child(step: str, *words: str, password: str = "") -> dict[str, Any]:
    """A function of this module in a process of its own: this one stays small, because what it has in memory
    counts for every process that it starts."""
    environment = {**os.environ, "TWINMESH_BENCH_PASSWORD": password}
    told = used([sys.executable, "-m", "bench.neo4j_import_steps", step, *words], environment)
    return json.loads(told.said.splitlines()[-1])


def make_campus_in(folder: str, buildings: str) -> dict[str, Any]:
    content, (twins, links), revision = make_campus(Path(folder), load_schema(), int(buildings))
    return {"twins": twins, "relationships": links, "commits": revision, "hash": content.hash}


def open_writer(name: str, url: str) -> dict[str, Any]:
    """Seconds until every commit is shown by columns and graph, and the memory until then."""
    began_s, folder = time.monotonic(), Path(name)
    folder.mkdir(exist_ok=True)
    (folder / "twinmesh.toml").write_text("format = 1\n")
    journals = open_journals(folder, url, password=os.environ["TWINMESH_BENCH_PASSWORD"])
    assert journals is not None
    with Mesh.open(folder, load_schema(), journals=journals) as mesh:
        (site,) = mesh.sites
        twin = mesh.twin(site)
        until_s = time.monotonic() + WAIT_S_MAX
        while _shown(journals, site) < twin.snapshot().revision:
            if twin.troubles or time.monotonic() > until_s:
                raise RuntimeError(f"the graph is not shown: {twin.troubles}")
            time.sleep(0.01)
        took_s, peak_mb = time.monotonic() - began_s, peak_mb_of(os.getpid())
        return {"s": round(took_s, 2), "peak_mb": peak_mb, "hash": content_of(twin.snapshot()).hash}


def _shown(journals: Any, site: str) -> int:
    return journals.mirror(site).sequence


def _pushed(server: Server, folder: Path) -> dict[str, Any]:
    """A server without a graph in memory."""
    folder.mkdir(exist_ok=True)
    settings = f'format = 1\n[store]\nurl = "{server.url}"\nmode = "push-down"\n'
    (folder / "twinmesh.toml").write_text(settings)
    environment = {**os.environ, "TWINMESH_STORE__PASSWORD": server.password}
    began_s = time.monotonic()
    command = [PROGRAM, "serve", "--data", str(folder), "--dev", "--port", "0"]
    with (folder / "said").open("wb") as said:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, env=environment)
    timer = threading.Timer(WAIT_S_MAX, process.kill)
    timer.start()
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        took_s = time.monotonic() - began_s
        if not line.startswith(b"ready"):
            raise RuntimeError(f"the server did not start: {(folder / 'said').read_text()}")
        return {"s": round(took_s, 1), "peak_mb": peak_mb_of(process.pid)}
    finally:
        timer.cancel()
        process.send_signal(signal.SIGTERM)
        process.communicate()


def _dumped(server: Server, place: Path, rows: int) -> dict[str, Any]:
    """A backup of the stopped database, and that backup restored."""
    (place / "dump").mkdir()
    program = admin_command(server, IMPORT_HEAP)
    dump = [*program, "database", "dump", "neo4j", f"--to-path={place / 'dump'}"]
    row = _figures("dump", used(dump, server.environment), rows)
    row["dump_bytes"] = size_of(place / "dump")
    load = [*program, "database", "load", "neo4j", f"--from-path={place / 'dump'}"]
    row |= _figures("load", used([*load, "--overwrite-destination=true"], server.environment), rows)
    return row


def _figures(step: str, told: Used, rows: int) -> dict[str, Any]:
    return {
        f"{step}, s": round(told.s, 1),
        f"{step}, processor s": round(told.cpu_s, 1),
        f"{step}, rows/s": round(rows / told.s),
        f"{step}, peak MB": told.peak_mb,
    }


def used(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Used:
    """Run a command to its end. RuntimeError with what it said, where that is not 0."""
    began_s = time.monotonic()
    process = subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    timer = threading.Timer(WAIT_S_MAX, process.kill)
    timer.start()
    assert process.stdout is not None
    with process.stdout:
        said = process.stdout.read().decode("utf-8", "replace")
    _, status, usage = os.wait4(process.pid, 0)
    timer.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{command[-4:]} failed: {said[-2_000:]}")
    took_s, cpu_s = time.monotonic() - began_s, usage.ru_utime + usage.ru_stime
    return Used(took_s, cpu_s, round(usage.ru_maxrss / 1024), said)


def peak_mb_of(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM"))


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


STEPS: Mapping[str, Callable[..., dict[str, Any]]] = {
    "make_campus_in": make_campus_in,
    "open_writer": open_writer,
}

if __name__ == "__main__":
    print(json.dumps(STEPS[sys.argv[1]](*sys.argv[2:])))
