"""A writer on a disk that fails: `fiu-run -x python failing_writer.py FOLDER FAULT SEED CHANGES [DEFECT]`.

Every change carries its name as idempotency key and is repeated until it is acknowledged. Prints JSON.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import sys
import time
from pathlib import Path
from threading import Lock, Thread
from typing import TYPE_CHECKING

import numpy as np

from graph.stores.sqlite import SqliteStore
from graph.twin import Twin
from graph.values import Change, Readings, TwinRecord, Value
from ontology.errors import StoreError
from ontology.schema import load_schema

if TYPE_CHECKING:
    from collections.abc import Sequence

    from graph.stores.protocol import Answer, Entry

ENOSPC, EIO = 28, 5
# Name -> what libfiu shall let fail, with which errno. SQLite writes by pwrite64 and syncs by fdatasync.
FAULTS = {
    "full": [("posix/io/rw/pwrite", ENOSPC), ("posix/io/rw/ftruncate", ENOSPC)],
    "write": [("posix/io/rw/pwrite", EIO)],
    "sync": [("posix/io/sync/fdatasync", EIO), ("posix/io/sync/fsync", EIO)],
    "short": [("posix/io/rw/pwrite/reduce", 0), ("posix/io/rw/pwrite", ENOSPC)],
}
PROBABILITY = 0.02
THREADS = 3
FIU = ctypes.CDLL("libfiu.so.0")
FIU.fiu_enable_random.argtypes = [
    ctypes.c_char_p,
    ctypes.c_int,
    ctypes.c_void_p,
    ctypes.c_uint,
    ctypes.c_float,
]
FIU.fiu_disable.argtypes = [ctypes.c_char_p]


class Faults:
    """Failures of one kind, on or off."""

    def __init__(self, name: str) -> None:
        self.points = FAULTS[name]

    def on(self, probability: float) -> None:
        for point, error in self.points:
            assert FIU.fiu_enable_random(point.encode(), 1, error, 0, probability) == 0

    def off(self) -> None:
        for point, _ in self.points:
            FIU.fiu_disable(point.encode())


class Load:
    """Threads that apply named changes until each is acknowledged."""

    def __init__(self, twin: Twin, changes: int) -> None:
        self.twin = twin
        self.changes = changes
        self.kind = twin.schema.kind("AHU").iri
        self.acknowledged: dict[str, int] = {}
        self.refused: dict[str, int] = {}
        self.lock = Lock()

    def run(self) -> None:
        threads = [Thread(target=self.work, args=(number,)) for number in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def work(self, worker: int) -> None:
        for step in range(worker, self.changes, THREADS):
            name = f"t{step}"
            while (revision := self.attempt(name)) is None:
                time.sleep(0.002)
            with self.lock:
                hold(revision not in self.acknowledged.values(), "a revision was given out twice")
                self.acknowledged[name] = revision

    def attempt(self, name: str) -> int | None:
        record = TwinRecord(f"{self.twin.base}{name}", (self.kind,), attributes={"text1": Value(name * 50)})
        try:
            return self.twin.apply(Change(put_twins=(record,), idempotency_key=name)).revision
        except StoreError as error:
            with self.lock:
                self.refused[error.code] = self.refused.get(error.code, 0) + 1
            return None


def wait_until_writable(twin: Twin) -> None:
    until = time.monotonic() + 60
    while twin.troubles and time.monotonic() < until:
        time.sleep(0.005)
    assert not twin.troubles, twin.troubles


def hold(condition: object, what: str) -> None:
    if not condition:
        raise SystemExit(f"FAILED: {what}")


def total_failure(load: Load, faults: Faults) -> None:
    """Nothing at all can be written for a while: reads go on, nothing is acknowledged, then it heals."""
    twin, before = load.twin, load.twin.snapshot()
    faults.on(1.0)
    for number in range(20):
        hold(load.attempt(f"never{number}") is None, "acknowledged although the disk refuses everything")
        hold(twin.snapshot().revision == before.revision, "a refused change can be seen")
        time.sleep(0.005)
    hold(twin.troubles, "the site does not say that it is in trouble")
    readings = Readings(*(np.array([v], t) for v, t in ((0, "i4"), (10**9, "i8"), (7, "u8"), (0, "u1"))))
    try:
        twin.record(readings)
        hold(False, "readings are acknowledged although the disk refuses everything")
    except StoreError:
        pass
    hold({trouble.part for trouble in twin.troubles} == {"journal", "history"}, "the history is not watched")
    faults.off()
    wait_until_writable(twin)
    hold(twin.record(readings) == 1, "readings are not taken again")


def check(twin: Twin, load: Load, folder: Path) -> None:
    hold(twin.verify() == [], f"verify: {twin.verify()}")
    seen = twin.snapshot()
    commits = twin.commits(limit=1_000_000)
    hold([c.sequence for c in commits] == list(range(1, seen.revision + 1)), "sequences have gaps")
    put = [record.id for commit in commits for record in commit.change.put_twins]
    hold(len(set(put)) == len(put), "a change was done twice")
    for name, revision in load.acknowledged.items():
        made = [record.id for record in commits[revision - 1].change.put_twins]
        hold(made == [twin.base + name], f"{name} was acknowledged at {revision} and is not there")
    never = [iri for iri in put if "never" in iri]
    hold(seen.row(f"{twin.base}t0") >= 0 and int(seen.alive.sum()) == len(put), "memory differs")
    twin.close()
    with Twin.open(folder, load_schema(), site="campus") as again:
        fresh = again.snapshot()
        same = [fresh.record(row) for row in range(fresh.size)] == [seen.record(r) for r in range(seen.size)]
        hold(same, "memory differs from what the journal makes")
    print(json.dumps({**load.refused, "acknowledged": len(load.acknowledged), "unknown": len(never)}))


def plant_defect() -> None:
    """What a careless store would do: believe that a write went well. The checks here must notice."""
    append = SqliteStore.append

    def careless(self: SqliteStore, entries: Sequence[Entry], answers: Sequence[Answer]) -> None:
        with contextlib.suppress(StoreError):
            append(self, entries, answers)

    SqliteStore.append = careless


def main(folder: Path, fault: str, seed: int, changes: int) -> None:
    FIU.fiu_set_prng_seed(seed)
    twin = Twin.open(folder, load_schema(), site="campus")
    load, faults = Load(twin, changes), Faults(fault)
    hold(load.attempt("first") == 1, "the first change")
    total_failure(load, faults)
    faults.on(PROBABILITY)
    load.run()
    faults.off()
    wait_until_writable(twin)
    media = {medium.part: (medium.failures, medium.recoveries) for medium in twin.media}
    hold(media["journal"][0] == media["journal"][1] > 0, f"failures and recoveries: {media}")
    check(twin, load, folder)


if __name__ == "__main__":
    if "defect" in sys.argv[5:]:
        plant_defect()
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
