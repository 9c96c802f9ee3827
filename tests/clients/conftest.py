"""The demo behind a real server, the queries of the documents, and tools that generate clients."""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from graphql import parse, print_ast

from api.app import create_app
from api.commands.folders import open_to_write
from api.demo.build import build
from api.schema.changes import schema_text
from tests.conftest import missing
from tests.outside.npm import trusting

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / ".tools" / "clients"
DOCUMENTS = ("README.md", "docs/clients.md")
_SHELL = re.compile(r"twinmesh query '([^']+)'")
_FENCED = re.compile(r"```graphql\n(.*?)```", re.DOTALL)
_FIRST = re.compile(r"^(query\b)?\s*(\(|\{)", re.MULTILINE)
INSTALL_S = 400


@dataclass(frozen=True)
class Demo:
    """A server over the demo's three sites, and its schema as a file of the definition language has it."""

    url: str
    sdl: str

    def ask(self, query: str, variables: dict[str, Any]) -> Any:
        """The data, past any client."""
        body = {"query": query, "variables": variables}
        answer = httpx.post(f"{self.url}/graphql", json=body, timeout=120).json()
        assert "errors" not in answer, answer
        return answer["data"]


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Generator[Demo]:
    folder = tmp_path_factory.mktemp("demo")
    with open_to_write(folder / "data") as mesh:
        build(mesh, folder)
        app = create_app(mesh, dev=True)
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", ws="websockets-sansio"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        until = time.monotonic() + 120  # the first start after a change compiles kernels
        while not server.started and time.monotonic() < until:
            time.sleep(0.02)
        assert server.started
        yield Demo(
            f"http://127.0.0.1:{listener.getsockname()[1]}", schema_text(app.state.engine.current_schema())
        )
        server.should_exit = True
        thread.join(20)
        listener.close()


@pytest.fixture(scope="session")
def queries() -> dict[str, str]:
    """Every query of the documents by a name: clients are generated from named operations."""
    found = {}
    for document in DOCUMENTS:
        text = (ROOT / document).read_text("utf-8")
        stem = Path(document).stem.capitalize()
        for number, query in enumerate([*_SHELL.findall(text), *_FENCED.findall(text)], 1):
            if "subscription" in query or "mutation" in query:
                continue
            name = f"{stem}{number}"
            found[name] = print_ast(parse(_FIRST.sub(rf"query {name} \2", query.strip(), count=1)))
    assert len(found) >= 4
    return found


def installed(name: str, install: Any) -> Path:
    """A folder of tools under .tools/clients, made once: `install(folder)` fills it."""
    folder = TOOLS / name
    if folder.is_dir():
        return folder
    TOOLS.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=TOOLS))
    try:
        install(draft)
        with contextlib.suppress(OSError):  # another process was faster
            draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return folder


def done(*words: object, cwd: Path | None = None, **env: str) -> str:
    """Run a program to its end; what it printed."""
    ended = subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env={**trusting(), **env},
        capture_output=True,
        text=True,
        timeout=INSTALL_S,
    )
    assert ended.returncode == 0, ended.stdout[-4000:] + ended.stderr[-4000:]
    return ended.stdout


def program(name: str) -> str:
    """Path of a program; uv is also where `make` puts it."""
    own = Path(__file__).resolve().parents[2] / ".tools" / name / "bin"
    found = shutil.which(name) or shutil.which(name, path=own)
    if not found:
        missing(f"{name} is not installed")
    return found or ""
