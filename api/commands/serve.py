"""`serve`: a data folder behind GraphQL and HTTP, with its live sources, until SIGTERM or SIGINT."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import signal
import socket
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx
import uvicorn

from api.app import create_app
from api.commands.console import say, say_json
from api.commands.place import open_to_write
from api.commands.sources import SECTIONS, started
from api.config import load_settings
from ontology.errors import StoreError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from starlette.applications import Starlette

    from api.config import Settings

READY_S_MAX = 120.0
POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class ServeRequest:
    folder: Path
    config: Path | None
    dev: bool
    host: str
    port: int

    @property
    def config_path(self) -> Path | None:
        """The settings file: the one that was named, else twinmesh.toml of the folder where there is one."""
        default = self.folder / "twinmesh.toml"
        return self.config or (default if default.is_file() else None)


def serve_folder(request: ServeRequest, *, as_json: bool) -> None:
    """Serve until a signal comes, then finish what is under way. StoreError STORE_LOCKED, PORT_TAKEN."""
    if request.dev and not _is_loopback(request.host):
        raise UsageError(f"--dev serves loopback only, not {request.host}", code="DEV_OFF_LOOPBACK")
    settings = load_settings(request.config_path, os.environ, foreign=SECTIONS)
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(contextlib.closing(_bind(request.host, request.port)))
        url = url_of(request.host, int(listener.getsockname()[1]))
        mesh = stack.enter_context(open_to_write(request.folder))
        mesh.announce(url)
        sources = stack.enter_context(started(mesh, request.config_path))
        app = create_app(mesh, settings, dev=request.dev, sources=sources.health)
        run_app(app, listener, url, settings, lambda: _announce(url, as_json))


def run_app(
    app: Starlette, listener: socket.socket, url: str, settings: Settings, on_ready: Callable[[], None]
) -> None:
    """Serve an application on a bound socket until a signal; `on_ready` is called once /readyz says 200."""
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            log_level="warning",
            timeout_graceful_shutdown=round(settings.server.drain_s),
            ws="websockets-sansio",
        )
    )
    threading.Thread(target=_when_ready, args=(url, server, on_ready), daemon=True).start()
    with _quiet_signals():
        server.run(sockets=[listener])


def url_of(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise StoreError(
            f"cannot listen on {host}:{port}: {error.strerror}",
            code="PORT_TAKEN",
            hint="--port 0 picks a free one",
        ) from error
    return listener


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@contextlib.contextmanager
def _quiet_signals() -> Iterator[None]:
    """uvicorn raises the signal again once it has drained; we still have sources to stop and a store to close."""
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _when_ready(url: str, server: uvicorn.Server, on_ready: Callable[[], None]) -> None:
    until = time.monotonic() + READY_S_MAX
    while time.monotonic() < until and not server.should_exit:
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(f"{url}/readyz", timeout=5.0).status_code == httpx.codes.OK:
                on_ready()
                return
        time.sleep(POLL_S)


def _announce(url: str, as_json: bool) -> None:
    if as_json:
        say_json({"ready": url})
    else:
        say(f"ready {url}")
