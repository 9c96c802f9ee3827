"""`serve --follow`: processes that only read, beside the one that writes the folder; they share one port."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from dataclasses import dataclass, replace
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, cast

import uvicorn

from api.app import create_app
from api.commands.console import fail
from api.commands.folders import open_to_read
from api.commands.serve import (
    POLL_S,
    READY_S_MAX,
    ServeRequest,
    announce,
    bind,
    check_dev,
    quiet_signals,
    server_of,
    url_of,
)
from api.commands.sources import SECTIONS
from api.commands.warming import kernels_compiling
from api.config import load_settings
from api.following import Following
from api.impact_log import Impacts
from api.tls import server_context
from ontology.errors import StoreError, TwinmeshError

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection
    from multiprocessing.context import SpawnProcess
    from pathlib import Path
    from socket import socket

    from api.config import Settings

RESTART_FIRST_S = 0.2
RESTART_LONGEST_S = 5.0
# A worker that lived so long is started again at once when it dies.
STEADY_S = 10.0
LOOK_S = 0.2
READY = "ready"


def follow_folder(request: ServeRequest, workers: int, *, as_json: bool) -> None:
    """Serve a folder read-only until a signal comes. StoreError STORE_MISSING, PORT_TAKEN, WORKER_FAILED."""
    check_dev(request)
    settings = load_settings(request.config_path, os.environ, foreign=SECTIONS)
    with (
        contextlib.closing(bind(request.host, request.port, shared=workers > 1)) as listener,
        kernels_compiling(),
    ):
        port, is_secure = int(listener.getsockname()[1]), bool(settings.server.tls_certificate)
        url = url_of(request.host, port, is_secure=is_secure)
        if workers == 1:
            _serve(request, settings, listener, None, lambda _: announce(url, as_json))
        else:
            # This socket never listens: it keeps the port while workers come and go.
            request = replace(request, port=int(listener.getsockname()[1]))
            Workers(request, settings, workers).run(lambda: announce(url, as_json))


def _serve(
    request: ServeRequest,
    settings: Settings,
    listener: socket,
    number: int | None,
    on_ready: Callable[[uvicorn.Server], None],
) -> None:
    """number: of one worker of several at the same port."""
    worker, is_shared = number or 1, number is not None
    with (
        open_to_read(request.folder, request.config_path) as mesh,
        Following(mesh, settings.follow, worker=worker) as following,
        _impacts(request.folder, settings.jobs.impacts_kept_max) as impacts,
    ):
        app = create_app(
            mesh,
            settings,
            dev=request.dev,
            impacts=impacts,
            following=following,
            is_alone=True,
            is_shared=is_shared,
        )
        server = server_of(app, settings, server_context(settings.server, request.folder))
        threading.Thread(target=_when_ready, args=(server, following, on_ready), daemon=True).start()
        with quiet_signals():
            server.run(sockets=[listener])


def _impacts(folder: Path, kept_max: int) -> Impacts:
    """The writer's log of cascades: a follower may be asked for some. Where the folder cannot be written to
    nothing is kept."""
    return Impacts.open(folder, kept_max) if os.access(folder, os.W_OK) else Impacts()


def _when_ready(
    server: uvicorn.Server, following: Following, on_ready: Callable[[uvicorn.Server], None]
) -> None:
    """Asks nobody over the shared port: another worker might answer."""
    until_s = time.monotonic() + READY_S_MAX
    while time.monotonic() < until_s and not server.should_exit:
        if server.started and following.problem() is None:
            on_ready(server)
            return
        time.sleep(POLL_S)


def _work(request: ServeRequest, number: int, line: Connection) -> None:
    """A worker: serves until it is told to stop, or until the process that started it is gone."""

    def ready(server: uvicorn.Server) -> None:
        with contextlib.suppress(EOFError, OSError):  # gone, perhaps before we were ready
            line.send(READY)
            line.recv()
        server.should_exit = True

    try:
        settings = load_settings(request.config_path, os.environ, foreign=SECTIONS)
        with contextlib.closing(bind(request.host, request.port, shared=True)) as listener:
            _serve(request, settings, listener, number, ready)
    except TwinmeshError as error:
        sys.exit(fail(error, as_json=False))


@dataclass(slots=True)
class _Worker:
    number: int
    process: SpawnProcess
    line: Connection
    started_s: float
    is_ready: bool = False

    def look(self) -> None:
        """Take note where it says that it is ready."""
        with contextlib.suppress(EOFError, OSError):
            if not self.is_ready and self.line.poll() and self.line.recv() == READY:
                self.is_ready = True


class Workers:
    """Starts workers on one port, and starts those again that die."""

    def __init__(self, request: ServeRequest, settings: Settings, count: int) -> None:
        self._request = request
        self._stop_s_max = settings.server.drain_s + 5.0
        self._count = count
        self._context = multiprocessing.get_context("spawn")
        self._stopping = threading.Event()
        self._pause_s = RESTART_FIRST_S / 2

    def run(self, on_ready: Callable[[], None]) -> None:
        """Until a signal comes; `on_ready` once all are ready. StoreError WORKER_FAILED if one never is."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        workers = [self._start(number) for number in range(1, self._count + 1)]
        told = False
        try:
            while not self._stopping.is_set():
                wait([worker.process.sentinel for worker in workers], LOOK_S)
                workers = [self._looked_after(worker, may_die=told) for worker in workers]
                if not told and all(worker.is_ready for worker in workers):
                    told = True
                    on_ready()
        finally:
            self._end(workers)

    def _stop(self, _number: int, _frame: object) -> None:
        self._stopping.set()

    def _looked_after(self, worker: _Worker, *, may_die: bool) -> _Worker:
        """The same worker, or the one in its place."""
        worker.look()
        if worker.process.is_alive() or self._stopping.is_set():
            return worker
        if not may_die:
            message = f"worker {worker.number} ended with code {worker.process.exitcode}"
            raise StoreError(message, code="WORKER_FAILED", hint="it said why above")
        lived_s = time.monotonic() - worker.started_s
        self._pause_s = RESTART_FIRST_S if lived_s > STEADY_S else min(2 * self._pause_s, RESTART_LONGEST_S)
        self._stopping.wait(self._pause_s)
        worker.line.close()
        return self._start(worker.number)

    def _start(self, number: int) -> _Worker:
        ours, theirs = cast("tuple[Connection, Connection]", self._context.Pipe())
        process = self._context.Process(
            target=_work, args=(self._request, number, theirs), name=f"twinmesh-follower-{number}"
        )
        process.start()
        theirs.close()
        return _Worker(number, process, ours, time.monotonic())

    def _end(self, workers: list[_Worker]) -> None:
        """Let all finish what is under way; those that do not are ended."""
        for worker in workers:
            if worker.process.is_alive():
                worker.process.terminate()
        until_s = time.monotonic() + self._stop_s_max
        for worker in workers:
            worker.process.join(max(0.0, until_s - time.monotonic()))
            if worker.process.is_alive():
                worker.process.kill()
            worker.line.close()
