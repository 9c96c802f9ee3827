"""`serve` where `[store] mode` is "push-down": no graph in memory, questions are answered inside Neo4j."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from functools import partial
from typing import TYPE_CHECKING, Final

from api.commands.serve import (
    announce,
    bind,
    check_dev,
    quiet_signals,
    server_of,
    url_of,
    when_ready,
)
from api.commands.sources import SECTIONS
from api.config import load_settings
from api.pushdown.app import create_pushed_app
from api.pushdown.place import Place
from api.tls import server_context
from graph.mesh import Mesh, open_folder
from graph.stores.neo4j.connection import Connection, Neo4jPlace
from ontology.errors import StoreError, UsageError
from ontology.schema import load_schema
from ontology.units import load_units

if TYPE_CHECKING:
    from pathlib import Path

    from api.commands.serve import ServeRequest
    from api.config import StoreSettings

_LOG: Final = logging.getLogger("twinmesh.api")


def serve_pushed(request: ServeRequest, *, as_json: bool) -> None:
    """Serve until a signal comes. StoreError, UsageError STORE_MODE, PORT_TAKEN."""
    check_dev(request)
    with contextlib.closing(bind(request.host, request.port)) as listener, contextlib.ExitStack() as stack:
        settings = load_settings(request.settings_path, os.environ, foreign=SECTIONS)
        place = stack.enter_context(contextlib.closing(open_place(settings.store)))
        mesh = stack.enter_context(empty_mesh(request.folder))
        app = create_pushed_app(mesh, place, settings, dev=request.dev)
        tls = server_context(settings.server, request.folder)
        server = server_of(app, settings, tls)
        port = int(listener.getsockname()[1])
        url = url_of(request.host, port, is_secure=tls is not None)
        on_ready = partial(announce, as_json=as_json)
        threading.Thread(target=when_ready, args=(url, server, on_ready), daemon=True).start()
        with quiet_signals():
            server.run(sockets=[listener])


def open_place(store: StoreSettings) -> Place:
    """The database that the settings name. StoreError where it does not answer."""
    if not store.url:
        hint = '[store] url = "bolt://HOST:7687", or leave mode out'
        raise UsageError('[store] mode = "push-down" needs a Neo4j', code="STORE_MODE", hint=hint)
    where = Neo4jPlace(store.url, store.user, store.password or "", store.database or None)
    with contextlib.ExitStack() as undo:
        connection = undo.enter_context(contextlib.closing(Connection(where)))
        place = Place(connection, load_schema())
        place.refresh()
        try:
            place.prepare()
        except StoreError as error:  # a user that may only read
            _LOG.warning("no index for local ids, so looking one up takes longer: %s", error)
        undo.pop_all()
    return place


def empty_mesh(folder: Path) -> Mesh:
    """A folder with settings and tokens, and no site in memory; made where it is absent."""
    open_folder(folder, read_only=False)
    return Mesh(folder, load_schema(), load_units(), read_only=False, url=None)
