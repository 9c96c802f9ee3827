"""A broker, and `twinmesh serve` on a site of 10,000 points, each in a process of its own."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.graphql_peers.serving import HOST, ServerError, free_port
from bench.live.sending import POINTS, connect
from bench.stores.process import ROOT

if TYPE_CHECKING:
    from collections.abc import Generator

READY_S_MAX = 180.0
DONE_S_MAX = 300.0
POLL_S = 0.02
FIGURES_S = 0.25  # to tell figures costs the server some milliseconds: it looks at every point
# Queues are large: what is measured is speed.
FAST = "queue_rows_max = 10000000\nqueue_bytes_max = 4294967296\nbatch_rows_max = 50000\n"
BINDINGS = """
[[binding]]
topic = "one/{point}"
point = "{point}"
pointer = "/value"
time_pointer = "/time"
time_unit = "ns"
qos = 0

[[binding]]
topic = "many/{point}"
point = "{point}"
pointer = "/v"
time_pointer = "/t"
time_unit = "ns"
series = true
qos = 0

[[binding]]
topic = "alarm/{point}"
point = "{point}"
pointer = "/value"
time_pointer = "/time"
time_unit = "ns"
qos = 0
keep = true
"""


@dataclass(frozen=True, slots=True)
class Live:
    """A running server with its source."""

    url: str
    pid: int

    def figure(self, name: str) -> float:
        """What /metrics tells of the one source."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=60) as answer:
            text = answer.read().decode()
        found = re.search(rf"^twinmesh_source_{name}\{{[^}}]*\}} (\S+)$", text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    def wait(self, name: str, least: float) -> None:
        ends_s = time.monotonic() + DONE_S_MAX
        while self.figure(name) < least:
            if time.monotonic() > ends_s:
                raise ServerError(f"{name} did not get to {least:,.0f}, but to {self.figure(name):,.0f}")
            time.sleep(FIGURES_S)


@contextlib.contextmanager
def broker(folder: Path) -> Generator[int]:
    """The port of a mosquitto that answers."""
    program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
    if not program:
        raise ServerError("mosquitto is not installed")
    port = free_port()
    config = folder / "mosquitto.conf"
    config.write_text(
        f"listener {port} {HOST}\nallow_anonymous true\nlog_dest none\nmax_queued_messages 0\n"
        "max_inflight_messages 1000\npersistence false\n"
    )
    with ended(subprocess.Popen([program, "-c", str(config)])) as process:
        ends_s = time.monotonic() + READY_S_MAX
        while True:
            try:
                connect(port, b"probe").close()
                break
            except OSError as error:
                if process.poll() is not None or time.monotonic() > ends_s:
                    raise ServerError(f"mosquitto did not start: {error}") from error
                time.sleep(POLL_S)
        yield port


def make_site(folder: Path) -> Path:
    """A data folder with the points."""
    data = folder / "data"
    import_rows(folder, data, "points", [f"p-{number},brick:Temperature_Sensor" for number in range(POINTS)])
    (data / "bindings.toml").write_text(BINDINGS)
    return data


def import_rows(folder: Path, data: Path, name: str, rows: list[str]) -> None:
    """Twins of the site, each as `id,kind`."""
    path = folder / f"{name}.csv"
    path.write_text("\n".join(["id,kind", *rows, ""]))
    command = ["import", str(path), "--data", str(data), "--site", "campus"]
    subprocess.run([_program(), *command], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


@contextlib.contextmanager
def served(data: Path, port: int, client: str, flow: str = FAST) -> Generator[Live]:
    """The server, once its source has heard something. flow: settings of its queue and its batches."""
    settings = (
        f'[[mqtt]]\nsite = "campus"\nhost = "{HOST}"\nport = {port}\nbindings = "bindings.toml"\n'
        f'client = "{client}"\nsession_expiry_s = 0\nclient_id = "bench-{client}"\n{flow}'
    )
    first = data / "twinmesh.first"
    if not first.exists():
        shutil.copy(data / "twinmesh.toml", first)
    (data / "twinmesh.toml").write_text(first.read_text() + settings)
    command = [_program(), "serve", "--data", str(data), "--port", "0", "--dev"]
    with ended(subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)) as process:
        line = process.stdout.readline() if process.stdout else ""
        if not line.startswith("ready http"):
            raise ServerError(f"the server did not get ready: {line!r}")
        live = Live(line.split()[1], process.pid)
        live.wait("connected", 1)
        yield live


def sending(way: str, *numbers: int) -> subprocess.Popen[str]:
    """A load in a process of its own; it says when it began and when it ended, in Unix ns."""
    command = [sys.executable, "-m", "bench.live.sending", way, *map(str, numbers)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


@contextlib.contextmanager
def ended(process: subprocess.Popen[str] | subprocess.Popen[bytes]) -> Generator[subprocess.Popen[str]]:
    """A process that ends with the block."""
    try:
        yield process  # pyright: ignore[reportReturnType]
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _program() -> str:
    return str(Path(sys.executable).parent / "twinmesh")
