"""The parent's side of a child process: ask with a time limit, and let it die rather than wait for ever."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import TracebackType

ROOT = Path(__file__).resolve().parents[2]
READ_BYTES = 1 << 16
# Of an engine's complaints, so much is told.
MESSAGE_CHARACTERS_MAX = 200


class ChildError(Exception):
    """An engine that failed or took too long; its process is gone."""


class Child:
    """A context manager: the process ends with it. `started_s`: `time.perf_counter` when it was spawned."""

    def __init__(self, engine: str) -> None:
        self.engine = engine
        self.started_s = time.perf_counter()
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the child
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.stores.child", engine],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints if "TWINMESH_BENCH_VERBOSE" not in os.environ else None,
        )

    def ask(self, do: str, timeout_s: float, **arguments: Any) -> dict[str, Any]:
        """The answer to one task. ChildError where there is none in time."""
        line = json.dumps({"do": do, **arguments}) + "\n"
        try:
            assert self._process.stdin is not None
            self._process.stdin.write(line.encode())
            self._process.stdin.flush()
            answer: dict[str, Any] = json.loads(self._read_line(timeout_s))
        except (BrokenPipeError, ValueError) as error:
            self.kill()
            raise ChildError(f"{do}: {self._last_words()}"[:MESSAGE_CHARACTERS_MAX]) from error
        return answer

    def kill(self) -> None:
        """End it at once, as a crash would."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        self._complaints.close()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            try:
                pipe.close()
            except BrokenPipeError:
                continue

    def _last_words(self) -> str:
        """The last line that the process complained: the error that ended it."""
        self._complaints.seek(0)
        lines = self._complaints.read().decode(errors="replace").split("\n")
        return next((line for line in reversed(lines) if line.strip()), "the process died")

    def _read_line(self, timeout_s: float) -> bytes:
        assert self._process.stdout is not None
        stream, ends_s = self._process.stdout.fileno(), time.monotonic() + timeout_s
        line = b""
        while not line.endswith(b"\n"):
            left_s = ends_s - time.monotonic()
            if left_s <= 0 or not select.select([stream], [], [], left_s)[0]:
                self.kill()
                raise ChildError(f"more than {timeout_s:.0f} s")
            read = os.read(stream, READ_BYTES)
            if not read:
                break
            line += read
        return line
