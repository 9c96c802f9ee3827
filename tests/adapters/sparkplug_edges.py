"""Edges of npm's sparkplug-client as child processes: ordered about by JSON lines, killed at will."""

from __future__ import annotations

import json
import queue
import subprocess
import threading
import time

import pytest

from tests.outside.npm import node, trusting

CLIENT = ("sparkplug-client", "3.2.4")
WAIT_S = 60.0


def metric(name, value, kind="Double", **more):
    return {"name": name, "value": value, "type": kind, **more}


class Edge:
    """The edge of sparkplug_edge.cjs: tells what happened to it until it ends."""

    def __init__(self, port, modules, program, name="press", secure=None):
        """secure: (CA file, user, password)."""
        scheme = "mqtts" if secure else "mqtt"
        command = [node(), str(program), str(modules), f"{scheme}://127.0.0.1:{port}", "line", name]
        environment = trusting()
        if secure:
            names = ("NODE_EXTRA_CA_CERTS", "EDGE_USER", "EDGE_PASSWORD")
            environment |= dict(zip(names, map(str, secure), strict=True))
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        self._process = subprocess.Popen(command, text=True, env=environment, **pipes)
        self._events = queue.Queue()
        self._errors = []
        self._threads = [threading.Thread(target=self._listen), threading.Thread(target=self._keep_errors)]
        for thread in self._threads:
            thread.start()
        self.expect("connect")

    def tell(self, do, **more):
        self._process.stdin.write(json.dumps({"do": do, **more}) + "\n")
        self._process.stdin.flush()
        self.expect("did")

    def expect(self, event):
        """Wait for an event; others before it are passed over. An edge that ended fails the test."""
        until = time.monotonic() + WAIT_S
        while True:
            try:
                found = self._events.get(timeout=max(until - time.monotonic(), 0.01))
            except queue.Empty:
                pytest.fail(f"the edge did not tell {event!r} in time: {''.join(self._errors)}")
            if found is None or found["event"] == "error":
                pytest.fail(f"the edge ended or failed: {found} {''.join(self._errors)}")
            if found["event"] == event:
                return found

    def kill(self):
        self._process.kill()
        self._process.wait(30)
        for thread in self._threads:
            thread.join(30)
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            pipe.close()

    def _listen(self):
        for line in self._process.stdout:
            if line.startswith("{"):
                self._events.put(json.loads(line))
        self._events.put(None)

    def _keep_errors(self):
        self._errors.extend(self._process.stderr)
