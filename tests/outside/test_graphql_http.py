"""The audits of npm's `graphql-http`: all 61 of GraphQL over HTTP, no warnings; with authentication on."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Callable
from typing import Any

from api.policy import Role
from graph.mesh import Mesh
from tests.outside.npm import ROOT, node, package

VERSION = "1.23.1"
AUDITS = 61
AUDIT_S_MAX = 120


def test_all_audits_are_ok(mesh: Mesh, serve: Callable[..., contextlib.AbstractContextManager[Any]]) -> None:
    module = package("graphql-http", VERSION) / "lib" / "index.mjs"
    with serve(mesh, dev=False) as server:
        token = server.tokens.create("auditor", Role.ANALYST)
        script = ROOT / "tests" / "outside" / "audit.mjs"
        command = [node(), str(script), module.as_uri(), f"{server.url}/graphql", token]
        done = subprocess.run(command, capture_output=True, text=True, timeout=AUDIT_S_MAX)
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    assert [each for each in results if each["status"] != "ok"] == []
    assert len({each["id"] for each in results}) == len(results) == AUDITS
