"""`serve`: a data folder behind GraphQL and HTTP, with its live sources, until SIGTERM or SIGINT."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import signal
import socket
import threading
import time
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, cast

import httpx
import uvicorn

from api.app import create_app
from api.commands.console import say, say_json
from api.commands.folders import open_to_write
from api.commands.opcua_face import opcua_face
from api.commands.outward import alarming, commanding, routing
from api.commands.publishing import publishing
from api.commands.sources import SECTIONS, started
from api.commands.warming import kernels_compiling
from api.config import load_settings, load_store
from api.impact_log import Impacts
from api.ingest_protocol import IngestProtocol
from api.routes import Logs
from api.tls import server_context
from ontology.errors import StoreError, UsageError

if TYPE_CHECKING:
    import ssl
    from asyncio import Protocol
    from collections.abc import Callable, Generator
    from pathlib import Path

    from starlette.applications import Starlette

    from api.config import Settings
    from api.ingest_protocol import Direct
    from graph.mesh import Mesh

READY_S_MAX = 120.0
POLL_S = 0.05
MODES = ("memory", "push-down")  # of [store]


@dataclass(frozen=True, slots=True)
class ServeRequest:
    folder: Path
    config: Path | None
    dev: bool
    host: str
    port: int
    take_over: bool = False  # in a shared database, although another server writes

    @property
    def config_path(self) -> Path:
        """The settings file: the one that was named, else twinmesh.toml of the folder."""
        return self.config or self.folder / "twinmesh.toml"

    @property
    def settings_path(self) -> Path | None:
        """That file, None where none was named and there is none."""
        return self.config_path if self.config or self.config_path.exists() else None

    @property
    def is_pushed(self) -> bool:
        """Whether questions are answered inside Neo4j. UsageError STORE_MODE."""
        mode = load_store(self.settings_path, os.environ).mode
        if mode not in MODES:
            hint = " or ".join(f'mode = "{name}"' for name in MODES)
            raise UsageError(f"[store] mode {mode!r} is none", code="STORE_MODE", hint=hint)
        return mode != MODES[0]


@dataclass(frozen=True, slots=True)
class Listening:
    """A bound socket and how to answer on it."""

    host: str
    listener: socket.socket
    dev: bool
    config: Path
    settings: Settings

    @property
    def url(self) -> str:
        port = int(self.listener.getsockname()[1])
        return url_of(self.host, port, is_secure=bool(self.settings.server.tls_certificate))


def serve_folder(request: ServeRequest, *, as_json: bool) -> None:
    """Serve until a signal comes, then finish what is under way. StoreError STORE_LOCKED, PORT_TAKEN."""
    check_dev(request)
    with contextlib.closing(bind(request.host, request.port)) as listener, contextlib.ExitStack() as stack:
        # A folder that is new gets its configuration when it is opened.
        settings = load_settings(request.settings_path, os.environ, foreign=SECTIONS)
        policy, forced = settings.history.policy, request.take_over
        opened = open_to_write(request.folder, request.config_path, policy, take_over=forced)
        mesh = stack.enter_context(opened)
        stack.enter_context(kernels_compiling())
        listening = Listening(request.host, listener, request.dev, request.config_path, settings)
        serve_mesh(mesh, listening, lambda url: announce(url, as_json))


def check_dev(request: ServeRequest) -> None:
    """Raises UsageError DEV_OFF_LOOPBACK."""
    if request.dev and not _is_loopback(request.host):
        raise UsageError(f"--dev serves loopback only, not {request.host}", code="DEV_OFF_LOOPBACK")


def serve_mesh(mesh: Mesh, listening: Listening, on_ready: Callable[[str], None]) -> None:
    """Serve an open mesh with its live sources until a signal; `on_ready` gets the URL once that is ready."""
    url = listening.url
    mesh.announce(url)
    config, settings = listening.config, listening.settings
    with (
        alarming(mesh, config) as alarms,
        started(mesh, config) as sources,
        commanding(mesh, config, settings) as commands,
        Impacts.open(mesh.folder, settings.jobs.impacts_kept_max) as impacts,
        routing(mesh, config, settings, Logs(commands.logs, alarms.logs, impacts.log)) as routes,
        opcua_face(mesh, config, commands) as face,
        publishing(mesh, config) as published,
    ):

        def health() -> dict[str, dict[str, object]]:
            shown = {"opcua_server": asdict(face.health())} if face is not None else {}
            return {**sources.health(), **shown, **published()}

        app = create_app(
            mesh,
            settings,
            dev=listening.dev,
            sources=health,
            commands=commands,
            alarms=alarms,
            impacts=impacts,
            routes=routes,
            is_alone=True,
        )
        server = server_of(app, settings, server_context(settings.server, mesh.folder))
        threading.Thread(target=when_ready, args=(url, server, on_ready), daemon=True).start()
        with quiet_signals():
            server.run(sockets=[listening.listener])


def server_of(app: Starlette, settings: Settings, tls: ssl.SSLContext | None = None) -> uvicorn.Server:
    """The HTTP server around an application; with TLS it speaks nothing else."""
    direct: Direct | None = getattr(app.state, "direct", None)
    protocol = "auto" if direct is None else cast("type[Protocol]", partial(IngestProtocol, direct))
    return uvicorn.Server(
        uvicorn.Config(
            app,
            http=protocol,
            log_level="warning",
            timeout_graceful_shutdown=round(settings.server.drain_s),
            ws="websockets-sansio",
            ws_max_size=settings.limits.body_bytes_max,
            # Both cost time in every request, and nothing here asks for what they give.
            access_log=False,
            proxy_headers=False,
            ssl_context_factory=_always(tls) if tls is not None else None,
        )
    )


def _always(tls: ssl.SSLContext) -> Callable[[uvicorn.Config, Callable[[], ssl.SSLContext]], ssl.SSLContext]:
    return lambda _config, _default: tls


def announce(url: str, as_json: bool) -> None:
    """Say where the server is."""
    if as_json:
        say_json({"ready": url})
    else:
        say(f"ready {url}")


def bind(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """A socket bound to an address; port 0 is any free one. StoreError PORT_TAKEN.

    shared: other processes of this user may bind the same port; the system deals out the connections.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio switches Nagle's algorithm off; without, answers may wait 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        message = f"cannot listen on {host}:{port}: {error.strerror}"
        raise StoreError(message, code="PORT_TAKEN", hint="--port 0 picks a free one") from error
    return listener


def url_of(host: str, port: int, *, is_secure: bool = False) -> str:
    scheme = "https" if is_secure else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@contextlib.contextmanager
def quiet_signals() -> Generator[None]:
    """uvicorn raises the signal again once it has drained; sources and stores must still be closed."""
    before = {number: signal.signal(number, _ignore) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ignore(_number: int, _frame: object) -> None:
    """A handler that does nothing; SIG_IGN would be inherited by child processes."""


def when_ready(url: str, server: uvicorn.Server, on_ready: Callable[[str], None]) -> None:
    """Tell once the server at a URL says that it is ready."""
    until = time.monotonic() + READY_S_MAX
    while time.monotonic() < until and not server.should_exit:
        if url.startswith("https:") and server.started:  # we are not whom our own certificate is for
            on_ready(url)
            return
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(f"{url}/readyz", timeout=5.0).is_success:
                on_ready(url)
                return
        time.sleep(POLL_S)
