"""One engine in a process of its own: reads tasks as lines of JSON, answers each with one line of JSON.

python -m bench.stores.child ENGINE
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from bench.campus_data import Spec
from bench.stores.engine import Nested, digest, digest_of_ids, leaves_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.stores.engine import Engine

# Each child loads its own engine only: the memory of the others must not count.
ENGINES = {
    "twinmesh": ("twinmesh_engine", "TwinmeshEngine"),
    "sqlite": ("sqlite_engine", "SqliteEngine"),
    "sqlite without indexes": ("sqlite_engine", "BareSqliteEngine"),
    "ladybug": ("ladybug_engine", "LadybugEngine"),
    "networkx": ("networkx_engine", "NetworkxEngine"),
}


class Tasks:
    """What a parent may ask for. Arguments and results are JSON; times are seconds."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def load(self, folder: str, shape: str, size: int) -> dict[str, Any]:
        """From lists and arrays in memory to the closed store; making those is not timed."""
        graph = Spec(shape, size).make()
        place = Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        before = memory()["rss_bytes"]
        started = time.perf_counter()
        self._engine.load(place, graph)
        seconds = time.perf_counter() - started
        used = sum(path.stat().st_size for path in place.rglob("*") if path.is_file())
        found = {"seconds": seconds, "rows": graph.rows, "disk_bytes": used}
        del graph
        gc.collect()
        return found | {"data_bytes": before, "peak_bytes": memory()["peak_bytes"]}

    def open(self, folder: str, twin: str) -> dict[str, Any]:
        """Until the first answer."""
        before = memory()["rss_bytes"]
        started = time.perf_counter()
        self._engine.open(Path(folder))
        row = self._engine.look_up(twin)
        return {"seconds": time.perf_counter() - started, "base_bytes": before, "digest": digest(row)}

    def look_up(self, twins: Sequence[str]) -> dict[str, Any]:
        look_up, clock = self._engine.look_up, time.perf_counter
        seconds: list[float] = []
        rows: list[Any] = []
        for twin in twins:
            started = clock()
            row = look_up(twin)
            seconds.append(clock() - started)
            rows.append(row)
        seconds.sort()
        return {
            "seconds": seconds[len(seconds) // 2],
            "p99_s": seconds[len(seconds) * 99 // 100],
            "digest": digest(rows),
        }

    def nested(self, floors: list[str], relations: list[str]) -> dict[str, Any]:
        question = Nested(tuple(floors), *relations)
        started = time.perf_counter()
        found = self._engine.nested(question)
        seconds = time.perf_counter() - started
        leaves = leaves_of(found)
        return {"seconds": seconds, "count": len(leaves), "digest": digest(leaves)}

    def downstream(self, start: str, relation: str) -> dict[str, Any]:
        started = time.perf_counter()
        ids = self._engine.downstream(start, relation)
        seconds = time.perf_counter() - started
        return {"seconds": seconds, "count": len(ids), "digest": digest_of_ids(ids)}

    def write(self, twins: Sequence[str], powers: Sequence[float], threads: int = 1) -> dict[str, Any]:
        """Durable writes, each of its own; in every thread one after the other."""
        write = self._engine.write
        started = time.perf_counter()
        if threads == 1:
            for twin, power in zip(twins, powers, strict=True):
                write(twin, power)
        else:
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(write, twins, powers))
        return {"seconds": time.perf_counter() - started}

    def memory(self) -> dict[str, int]:
        """After giving back what answers had taken."""
        gc.collect()
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
        return memory()

    def close(self) -> dict[str, Any]:
        started = time.perf_counter()
        self._engine.close()
        return {"seconds": time.perf_counter() - started}


def memory() -> dict[str, int]:
    """Bytes of this process: resident now, of these not backed by files, and the most that ever were."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    kilobytes = {line.split(":")[0]: int(line.split()[1]) for line in lines if line.endswith(" kB")}
    wanted = {"rss_bytes": "VmRSS", "anonymous_bytes": "RssAnon", "peak_bytes": "VmHWM"}
    return {name: 1024 * kilobytes[field] for name, field in wanted.items()}


def serve(tasks: Tasks, answers: TextIO) -> None:
    for line in sys.stdin:
        asked: dict[str, Any] = json.loads(line)
        answer: dict[str, Any] = getattr(tasks, asked.pop("do"))(**asked)
        print(json.dumps(answer), file=answers, flush=True)


def main(name: str) -> None:
    # Whatever an engine prints must not be taken for an answer.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    serve(Tasks(new_engine(name)), answers)


def new_engine(name: str) -> Engine:
    module, kind = ENGINES[name]
    return getattr(import_module(f"bench.stores.{module}"), kind)()


if __name__ == "__main__":
    main(sys.argv[1])
