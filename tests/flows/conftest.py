"""The product as its users meet it: the `twinmesh` command and a running server, each its own process."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PROGRAM = str(Path(sys.executable).parent / "twinmesh")
READY_S_MAX = 240


@dataclass
class Done:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def run(*words: object, timeout_s: float = 300, cwd: Path | None = None) -> Done:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TWINMESH_")}
    done = subprocess.run(
        [PROGRAM, *map(str, words)],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        cwd=cwd,
        env=environment,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


class Server:
    """A `twinmesh serve` on a free loopback port."""

    def __init__(self, data: Path, *words: str) -> None:
        command = [PROGRAM, "serve", "--data", str(data), "--port", "0", *words]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.url = self._ready()

    def graphql(self, text: str, **variables: object) -> Any:
        body = {"query": text, "variables": variables}
        answer = httpx.post(f"{self.url}/graphql", json=body, timeout=60).json()
        assert "errors" not in answer, answer
        return answer["data"]

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(30)
        self._close_pipes()

    def stop(self) -> int:
        """SIGTERM; the exit code once it has drained."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        finally:
            self.process.kill()
            self._close_pipes()
        return self.process.returncode

    def _ready(self) -> str:
        assert self.process.stdout is not None
        timer = threading.Timer(READY_S_MAX, self.process.kill)
        timer.start()
        line = self.process.stdout.readline()
        timer.cancel()
        if not line.startswith("ready http"):
            self.process.kill()
            _, errors = self.process.communicate()
            pytest.fail(f"the server did not get ready: {line!r} {errors}")
        return line.split()[1]

    def _close_pipes(self) -> None:
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()


@pytest.fixture(scope="session")
def cli() -> Callable[..., Done]:
    return run


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Start servers; those that still run are stopped at the end."""
    servers: list[Server] = []

    def start(data: Path, *words: str) -> Server:
        servers.append(Server(data, *(words or ("--dev",))))
        return servers[-1]

    yield start
    for server in servers:
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.stop()


SPINE = {
    "assets.csv": """\
id,kind,name,valuePerHour,timeToRepair,repairCost
CH-1,brick:Chiller,Chiller,,12,9000
AHU-3,brick:AHU,Air handler 3,10,,
VAV-12,brick:VAV,Box 12,,,
R-12,rec:Room,Laboratory,80,,
SAT-3,brick:Supply_Air_Temperature_Sensor,Supply air of 3,,,
""",
    "links.csv": """\
source,relation,target,bufferHours
CH-1,brick:feeds,AHU-3,2
AHU-3,brick:feeds,VAV-12,
VAV-12,brick:feeds,R-12,1
SAT-3,brick:isPointOf,AHU-3,
""",
    "suppliers.csv": """\
id,kind,name,valuePerHour
SUP-1,supply:Manufacturer,Parts maker,
PART-1,supply:Component,Part,
DEVICE,supply:Product,Device,500
""",
    "supply.csv": """\
source,relation,target,group,delayHours,bufferHours
SUP-1,supply:produces,PART-1,maker,,
PART-1,tm:supplies,DEVICE,parts,6,24
R-12,tm:supplies,DEVICE,laboratory,,0.5
""",
}


@pytest.fixture(scope="session")
def spine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of files that make a small world: building, points, supply chain. Read only."""
    folder = tmp_path_factory.mktemp("spine")
    for name, text in SPINE.items():
        (folder / name).write_text(text)
    return folder


@pytest.fixture(scope="session")
def spine_imported(spine: Path, tmp_path_factory: pytest.TempPathFactory, cli: Callable[..., Done]) -> Path:
    data = tmp_path_factory.mktemp("imported") / "data"
    done = cli("import", *sorted(spine.glob("*.csv")), "--data", data, "--site", "campus")
    assert done.code == 0, done.err
    return data


@pytest.fixture
def spine_data(spine_imported: Path, tmp_path: Path) -> Path:
    """A data folder of one's own with that world as site `campus`."""
    return shutil.copytree(spine_imported, tmp_path / "data")
