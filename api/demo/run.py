"""The demo: built in a temporary folder, then told once on the terminal or served live."""

from __future__ import annotations

import contextlib
import os
import socket
import tempfile
import threading
import time
import webbrowser
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapters.csv.source import read_csv
from adapters.model import ImportRequest
from adapters.readings import resolve_readings
from adapters.replay.source import VirtualClock, replay, to_readings
from api.commands.client import Client
from api.commands.console import note, progress, say, say_json
from api.commands.folders import open_to_write
from api.commands.remote_simulation import simulate_on_server
from api.commands.serve import Listening, announce, bind, serve_mesh, url_of
from api.commands.service import ask
from api.commands.sources import SECTIONS
from api.commands.warming import kernels_compiling
from api.config import load_settings
from api.demo.build import SITES, build
from api.demo.live import Publisher, broker, find_broker
from api.demo.points import readings_csv
from api.demo.servers import Vocabulary, apart, introduce, serving
from api.demo.story import (
    FAILURE_NS,
    START_NS,
    WALK,
    WALK_FROM,
    cascade,
    is_walked,
    lines,
    live_lines,
    live_world,
    measures,
    scenario,
    to_json,
)
from ontology.errors import StoreError, TwinmeshError
from ontology.units import load_units

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from api.demo.build import Demo
    from graph.mesh import Mesh

DAY_NS = 24 * 3_600_000_000_000
STEP_NS = 15 * 60_000_000_000
COMPILE_S_MAX = 300.0
PARTNERS_S_MAX, PAUSE_S = 120.0, 1.0
HOST, PORT_USUAL = "127.0.0.1", 8000
HERE = "campus"


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
    """Build, serve each site by a process of its own on loopback without tokens, play live telemetry.

    The campus is served here, until a signal comes; plant and supplier are its partners, under contracts.
    """
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(contextlib.closing(_listener(port)))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="twinmesh-demo-")))
        with progress("building three sites", quiet=as_json):
            built = _built(folder)
        configs = stack.enter_context(_live(built.demo, folder))
        compiled = stack.enter_context(kernels_compiling())
        partners = {site: built.folders[site] for site in SITES if site != HERE}
        own = url_of(HOST, int(listener.getsockname()[1]))
        urls = {HERE: own, **stack.enter_context(serving(partners, configs))}
        introduce(built.folders, urls, built.vocabulary)
        mesh = stack.enter_context(open_to_write(built.folders[HERE]))
        settings = load_settings(configs[HERE], os.environ, foreign=SECTIONS)
        listening = Listening(HOST, listener, dev=True, config=configs[HERE], settings=settings)

        def ready(url: str) -> None:
            announce(url, as_json)
            if open_browser:
                webbrowser.open(url)
            if not as_json:
                _tell(built.world, urls, compiled)

        serve_mesh(mesh, listening, ready)


@dataclass(frozen=True, slots=True, eq=False)
class _Built:
    """folders: a data folder for each site. world: the first lines of the story."""

    demo: Demo
    folders: dict[str, Path]
    vocabulary: Vocabulary
    world: tuple[str, ...]


def _built(folder: Path) -> _Built:
    """The sites, made together and then set apart."""
    with open_to_write(folder / "data") as mesh:
        demo = build(mesh, folder)
        now_ns = time.time_ns()
        replay_telemetry(demo, mesh, folder, now_ns - DAY_NS, now_ns)
        vocabulary, world = Vocabulary.of(mesh), tuple(live_world(demo, mesh.snapshot()))
    return _Built(demo, apart(folder / "data", folder), vocabulary, world)


def _tell(world: tuple[str, ...], urls: Mapping[str, str], compiled: threading.Event) -> None:
    """The story of the world as it is now, asked of the campus, once the kernels are there."""
    if not compiled.is_set():
        note("compiling the cascade's kernels; once per version, about a minute")
    compiled.wait(COMPILE_S_MAX)
    server = Client(urls[HERE], None)
    try:
        walked = _patiently(lambda: server.data(WALK, {"room": WALK_FROM}), is_walked)
        impact = _patiently(lambda: simulate_on_server(server, scenario(), False, lambda _: None), _is_full)
    except TwinmeshError as error:  # this is a thread of its own: nobody else would tell
        note(f"the story could not be told: {error}; the servers go on")
        return
    say("\n".join((*world, *live_lines(walked, impact, urls))))


def _patiently(
    ask: Callable[[], dict[str, Any]], is_whole: Callable[[Mapping[str, Any]], bool]
) -> Mapping[str, Any]:
    """Ask until the partners have answered too: they have just started, perhaps on a busy machine.

    StoreError DEMO_PARTNER where one of them stays away.
    """
    until = time.monotonic() + PARTNERS_S_MAX
    while not is_whole(answer := ask()):
        if time.monotonic() > until:
            raise StoreError("a partner does not answer", code="DEMO_PARTNER")
        time.sleep(PAUSE_S)
    return answer


def _is_full(impact: Mapping[str, Any]) -> bool:
    return impact["completeness"] == "FULL"


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
def _live(demo: Demo, folder: Path) -> Generator[dict[str, Path]]:
    """Settings of live telemetry by site: by a broker of the demo's own, else by replaying the day."""
    configs = {site: folder / f"{site}.toml" for site in SITES}
    program = find_broker()
    with contextlib.ExitStack() as stack:
        port = stack.enter_context(broker(program, folder)) if program else None
        if port is None:
            note("no mosquitto here: the last day is replayed instead of live telemetry")
            for site, config in configs.items():
                config.write_text(_REPLAY.format(site=site, patience=_PATIENCE), "utf-8")
        else:
            for site, config in configs.items():
                config.write_text(_MQTT.format(site=site, port=port, patience=_PATIENCE), "utf-8")
            publisher = Publisher(demo.points, port)
            publisher.start()
            stack.callback(publisher.stop)
        yield configs


# Three servers, a broker and perhaps a compiler share one machine: a slow answer is no dead partner here.
_PATIENCE = """\
[federation]
deadline_s = 30.0
query_deadline_s = 30.0
query_pause_s = 0.5
cascade_message_s = 60.0
"""

_MQTT = """\
{patience}
[[mqtt]]
site = "{site}"
host = "127.0.0.1"
port = {port}
bindings = "bindings-{site}.toml"
"""

_REPLAY = """\
{patience}
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
