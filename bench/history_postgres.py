"""Postgres beside the others in `bench history`: a cluster of its own in a folder, asked through psql.

psql is the only client among what is installed: its texts cost some of the time told for Postgres, about
a microsecond a row. `fsync` and `synchronous_commit` are on, as they are by themselves.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from graph.readings.catalog import HOUR_NS

if TYPE_CHECKING:
    from bench.history import Data

_DEBIAN = Path("/usr/lib/postgresql")
_END = "--end--"
_START_S_MAX = 60.0
_BULK_ROWS = 1_000_000


def program(name: str) -> str | None:
    """Where a program of Postgres is; None: it is not installed."""
    versions = sorted(_DEBIAN.glob(f"*/bin/{name}"), reverse=True)
    return shutil.which(name) or (str(versions[0]) if versions else None)


class Postgres:
    """An engine of `bench.history`."""

    name = "postgres"

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "postgres"
        self._folder.mkdir()
        self._user = "postgres" if os.getuid() == 0 else None  # it does not run as root
        if self._user:
            shutil.chown(self._folder, self._user)
            for parent in (folder, *folder.parents[:1]):
                parent.chmod(parent.stat().st_mode | 0o011)
        self._run("initdb", "-D", "data", "-A", "trust", "-U", "bench", "--no-locale", "-E", "UTF8")
        options = "-c listen_addresses='' -c unix_socket_directories=" + str(self._folder)
        self._server = self._begin("postgres", "-D", "data", *options.replace("'", "").split())
        self._psql = self._connected()
        self.ask("CREATE TABLE readings (point int, time_ns bigint, value float8, quality smallint, "
                 "PRIMARY KEY (point, time_ns));")  # fmt: skip

    def load(self, data: Data) -> None:
        for start in range(0, len(data), _BULK_ROWS):
            self.commit(data, slice(start, start + _BULK_ROWS))
        self.ask("CHECKPOINT;")

    def commit(self, data: Data, rows: slice) -> None:
        columns = (data.points[rows], data.times_ns[rows], data.values[rows], data.quality[rows])
        lines = [f"{p}\t{t}\t{v!r}\t{q}" for p, t, v, q in zip(*(c.tolist() for c in columns), strict=True)]
        self.ask("COPY readings FROM STDIN;\n" + "\n".join(lines) + "\n\\.")

    def size(self) -> int:
        return int(self.ask("SELECT pg_total_relation_size('readings');")[0])

    def day(self, point: int, low: int, high: int) -> tuple[list[int], list[float]]:
        rows = self.ask(f"SELECT time_ns, value FROM readings WHERE point = {point} AND time_ns >= {low} "
                        f"AND time_ns < {high} ORDER BY time_ns;")  # fmt: skip
        pairs = [row.split("|") for row in rows]
        return [int(pair[0]) for pair in pairs], [float(pair[1]) for pair in pairs]

    def hourly(self) -> dict[tuple[int, int], tuple[int, float]]:
        rows = self.ask(f"SELECT point, time_ns / {HOUR_NS}, count(*), sum(value) FROM readings "
                        "WHERE quality < 2 GROUP BY 1, 2 ORDER BY 1, 2;")  # fmt: skip
        return {"rows": [tuple(map(float, row.split("|"))) for row in rows]}  # type: ignore[dict-item]

    def close(self) -> None:
        for process in (self._psql, self._server):
            process.terminate()
            process.wait(60)

    def ask(self, query: str) -> list[str]:
        """Rows of an answer, their columns parted by `|`."""
        if self._psql.stdin is None or self._psql.stdout is None:
            raise RuntimeError("psql has no pipes")
        self._psql.stdin.write(f"{query}\n\\echo {_END}\n")
        self._psql.stdin.flush()
        rows: list[str] = []
        for line in self._psql.stdout:
            if line.rstrip("\n") == _END:
                return rows
            rows.append(line.rstrip("\n"))
        raise RuntimeError("psql ended")

    def _connected(self) -> subprocess.Popen[str]:
        until_s = time.monotonic() + _START_S_MAX
        while not (self._folder / ".s.PGSQL.5432").exists():
            if self._server.poll() is not None or time.monotonic() > until_s:
                raise RuntimeError("postgres did not start")
            time.sleep(0.05)
        command = ("-h", str(self._folder), "-U", "bench", "-d", "postgres", "-qAtX", "-v", "ON_ERROR_STOP=1")
        while True:
            psql = self._begin("psql", *command)
            try:
                self._psql = psql
                self.ask("SELECT 1;")
                return psql
            except (RuntimeError, BrokenPipeError):
                if time.monotonic() > until_s:
                    raise
                time.sleep(0.2)

    def _run(self, name: str, *arguments: str) -> None:
        process = self._begin(name, *arguments)
        if process.communicate() and process.returncode:
            raise RuntimeError(f"{name} failed")

    def _begin(self, name: str, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [program(name) or name, *arguments],
            cwd=self._folder,
            user=self._user,
            group=self._user,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
