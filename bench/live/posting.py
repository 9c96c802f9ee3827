"""Bodies of readings by HTTP: to us, and to plain servers that keep nothing, from the same sender."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.graphql_peers.serving import HOST, ServerError, free_port
from bench.live.running import POLL_S, READY_S_MAX, ended, sending
from bench.stores.process import ROOT

if TYPE_CHECKING:
    from collections.abc import Generator

PEERS = ("starlette", "raw")
LINES = 100  # of a body
POST_S_MAX = 300.0
NS_PER_S, US_PER_S = 1e9, 1e6
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Posted:
    """Requests a second that were answered, every line accepted; processor time of a request, both sides."""

    per_s: float
    server_us: float
    client_us: float


@contextlib.contextmanager
def peer(name: str) -> Generator[tuple[int, int]]:
    """Port and process id of one of `PEERS` that answers. ServerError."""
    port = free_port()
    command = [sys.executable, "-m", "bench.live.http_peers", name, str(port)]
    with ended(subprocess.Popen(command, cwd=ROOT)) as process:
        ends_s = time.monotonic() + READY_S_MAX
        while True:
            try:
                socket.create_connection((HOST, port), timeout=READY_S_MAX).close()
                break
            except OSError as error:
                if process.poll() is not None or time.monotonic() > ends_s:
                    raise ServerError(f"{name} did not start: {error}") from error
                time.sleep(POLL_S)
        yield port, process.pid


def posted(port: int, pid: int, requests: int) -> Posted:
    """ServerError where not all was accepted."""
    before_s = processor_s(pid)
    text, _ = sending("http", port, requests, LINES).communicate(timeout=POST_S_MAX)
    spent_s = processor_s(pid) - before_s
    first, last = text.splitlines()
    _, ended_ns, accepted, client_s = last.split()
    if int(accepted) != requests * LINES:
        raise ServerError(f"not all was accepted: {last}")
    took_s = (int(ended_ns) - int(first.split()[1])) / NS_PER_S
    return Posted(requests / took_s, spent_s / requests * US_PER_S, float(client_s) / requests * US_PER_S)


def processor_s(pid: int) -> float:
    """Processor time of a process and its threads so far."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S
