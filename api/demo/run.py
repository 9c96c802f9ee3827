"""The demo: built in a temporary folder, then told once on the terminal or served live."""

from __future__ import annotations

import contextlib
import os
import socket
import tempfile
import threading
import time
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

from adapters.csv.source import read_csv
from adapters.model import ImportRequest
from adapters.readings import resolve_readings
from adapters.replay.source import VirtualClock, replay, to_readings
from api.commands.console import note, progress, say, say_json
from api.commands.folders import open_to_write
from api.commands.serve import Listening, announce, bind, serve_mesh
from api.commands.service import ask
from api.commands.warming import kernels_compiling
from api.config import load_settings
from api.demo.build import SITES, build
from api.demo.live import Publisher, broker, find_broker
from api.demo.points import readings_csv
from api.demo.story import (
    FAILURE_NS,
    START_NS,
    WALK,
    WALK_FROM,
    cascade,
    lines,
    live_lines,
    measures,
    scenario,
    to_json,
)
from ontology.errors import StoreError
from ontology.units import load_units

if TYPE_CHECKING:
    from collections.abc import Generator

    from api.demo.build import Demo
    from graph.mesh import Mesh

DAY_NS = 24 * 3_600_000_000_000
STEP_NS = 15 * 60_000_000_000
COMPILE_S_MAX = 300.0
HOST, PORT_USUAL = "127.0.0.1", 8000


def run_once(*, as_json: bool) -> None:
    """Build, replay telemetry on a virtual clock up to the failure, fail the chiller, tell the story."""
    with (
        tempfile.TemporaryDirectory(prefix="twinmesh-demo-") as name,
        open_to_write(Path(name) / "data") as mesh,
        progress("building three sites", quiet=as_json) as done,
    ):
        folder = Path(name)
        demo = build(mesh, folder)
        done(0.4)
        recorded = replay_telemetry(demo, mesh, folder, START_NS - DAY_NS, FAILURE_NS)
        done(0.5)
        walked = ask(mesh, WALK, {"room": WALK_FROM})
        impact = cascade(mesh.snapshot(), scenario())
        done(0.7)
        snapshot = mesh.snapshot()
        found = measures(mesh)
        done(1.0)
    if as_json:
        say_json(to_json(walked, impact, found))
    else:
        say("\n".join(lines(demo, snapshot, recorded, walked, impact, found)))


def run_live(port: int | None, *, open_browser: bool, as_json: bool) -> None:
    """Build, serve on loopback without tokens, play live telemetry until a signal comes."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(contextlib.closing(_listener(port)))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="twinmesh-demo-")))
        mesh = stack.enter_context(open_to_write(folder / "data"))
        with progress("building three sites", quiet=as_json):
            demo = build(mesh, folder)
            now_ns = time.time_ns()
            replay_telemetry(demo, mesh, folder, now_ns - DAY_NS, now_ns)
        config = stack.enter_context(_live(demo, folder))
        compiled = stack.enter_context(kernels_compiling())
        settings = load_settings(None, os.environ, foreign=())
        listening = Listening(HOST, listener, dev=True, config=config, settings=settings)

        def ready(url: str) -> None:
            announce(url, as_json)
            if open_browser:
                webbrowser.open(url)
            if not as_json:
                _tell(demo, mesh, url, compiled)

        serve_mesh(mesh, listening, ready)


def _tell(demo: Demo, mesh: Mesh, url: str, compiled: threading.Event) -> None:
    """The story of the world as it is now, once the kernels are there."""
    if not compiled.is_set():
        note("compiling the cascade's kernels; once per version, about a minute")
    compiled.wait(COMPILE_S_MAX)
    walked = ask(mesh, WALK, {"room": WALK_FROM})
    snapshot = mesh.snapshot()
    say("\n".join(live_lines(demo, snapshot, walked, cascade(snapshot, scenario()), url)))


def replay_telemetry(demo: Demo, mesh: Mesh, folder: Path, start_ns: int, end_ns: int) -> int:
    """Record what every point said in a time, through a readings file and the replay; how many readings."""
    units, recorded = load_units(), 0
    for site in SITES:
        path = folder / f"readings-{site}.csv"
        mine = [point for point in demo.points if point.site == site]
        path.write_text(readings_csv(mine, start_ns, end_ns, STEP_NS), "utf-8")
        twin = mesh.twin(site)
        snapshot = twin.snapshot()
        rows = read_csv(path, ImportRequest(site, twin.base, path.stem), twin.schema, units).readings
        if rows is not None:
            typed = resolve_readings(rows, snapshot, path.name)
            readings = to_readings(typed, snapshot, twin, path.name)
            recorded += replay(twin, readings, VirtualClock(start_ns))
    return recorded


@contextlib.contextmanager
def _live(demo: Demo, folder: Path) -> Generator[Path]:
    """Settings of live telemetry: by a broker of the demo's own, where there is none by replaying the day."""
    config = folder / "twinmesh.toml"
    program = find_broker()
    with contextlib.ExitStack() as stack:
        port = stack.enter_context(broker(program, folder)) if program else None
        if port is None:
            note("no mosquitto here: the last day is replayed instead of live telemetry")
            config.write_text("".join(_REPLAY.format(site=site) for site in SITES), "utf-8")
        else:
            config.write_text("".join(_MQTT.format(site=site, port=port) for site in SITES), "utf-8")
            publisher = Publisher(demo.points, port)
            publisher.start()
            stack.callback(publisher.stop)
        yield config


_MQTT = """\
[[mqtt]]
site = "{site}"
host = "127.0.0.1"
port = {port}
bindings = "bindings-{site}.toml"
"""

_REPLAY = """\
[[replay]]
site = "{site}"
readings = "readings-{site}.csv"
speed = 60
repeat = true
rebase = true
"""


def _listener(port: int | None) -> socket.socket:
    """A bound socket: the port that was asked for, else the usual one, else any that is free."""
    if port is not None:
        return bind(HOST, port)
    try:
        return bind(HOST, PORT_USUAL)
    except StoreError:
        return bind(HOST, 0)
