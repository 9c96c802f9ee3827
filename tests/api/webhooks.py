"""A receiver of webhooks on loopback, and waiting with a deadline."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time

import uvicorn
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route as Path

DEADLINE_S = 90.0


def wait_for(happened, timeout_s=DEADLINE_S):
    until = time.monotonic() + timeout_s
    while not (found := happened()):
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.02)
    return found


def bound():
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.bind(("127.0.0.1", 0))
    return listener


class Receiver:
    """A webhook: keeps what it was sent, answers as it is told."""

    def __init__(self):
        self.events = []
        self.headers = []
        self.status = 204

    async def take(self, request):
        body = await request.body()
        if self.status < 300:
            self.events.append(json.loads(body))
            self.headers.append((dict(request.headers), body))
        return Response(status_code=self.status)

    @contextlib.contextmanager
    def open(self, listener=None):
        listener = listener or bound()
        app = Starlette(routes=[Path("/in", self.take, methods=["POST"])])
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        wait_for(lambda: server.started)
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(30)
            listener.close()
