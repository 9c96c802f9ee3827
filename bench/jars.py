"""Java programs for tests and benchmarks: their jars come from Maven Central into the user's cache, outside
the checkout, once on a machine. Nothing of them is shipped with twinmesh.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

FETCH_S_MAX = 1_200.0
SAID_CHARACTERS_MAX = 600
HOST = "127.0.0.1"
ARCHIVE = "classes.jsa"
STOP_S_MAX = 60.0


class MissingError(Exception):
    """Java, Maven or the jars are not here; says which and why."""


class ServerError(Exception):
    """A server that did not start, with what it said."""


class JavaServer(Protocol):
    """What can be started with further options of Java, and stopped."""

    def start(self, *options: str) -> None: ...
    def stop(self) -> None: ...


def cache_folder(name: str) -> Path:
    """Where the jars of a program and version are kept, in `jars`."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "twinmesh" / name


def fetch_jars(name: str, pom: Path, *properties: str) -> Path:
    """`cache_folder(name)` with the jars that a pom.xml asks for, filled once. MissingError.

    properties: `-DKEY=VALUE` for Maven.
    """
    folder = cache_folder(name)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            _fetch(folder, pom, properties)
            (folder / "complete").touch()
    return folder


def _fetch(folder: Path, pom: Path, properties: tuple[str, ...]) -> None:
    maven = find_program("mvn")
    shutil.rmtree(folder / "jars", ignore_errors=True)
    shutil.copy(pom, folder / "pom.xml")
    goal = ("dependency:copy-dependencies", "-DoutputDirectory=jars", "-DincludeScope=runtime")
    try:
        done = subprocess.run(
            [maven, "-q", "-B", *properties, *goal],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=FETCH_S_MAX,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise MissingError(f"Maven took more than {FETCH_S_MAX:.0f} s") from error
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip())[-SAID_CHARACTERS_MAX:]
        raise MissingError(f"Maven could not fetch {folder.name}: {said}")


def keep_archive(folder: Path, make: Callable[[Path], JavaServer]) -> None:
    """Start and stop a server once to keep its loaded classes (AppCDS): later ones start much sooner."""
    with (folder / "archive.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (folder / ARCHIVE).exists():
            return
        home = folder / "archiving"
        shutil.rmtree(home, ignore_errors=True)
        server = make(home)
        server.start(f"-XX:ArchiveClassesAtExit={folder / 'draft.jsa'}")
        server.stop()
        shutil.rmtree(home, ignore_errors=True)
        if (folder / "draft.jsa").exists():
            (folder / "draft.jsa").replace(folder / ARCHIVE)


def end_in_order(process: subprocess.Popen[bytes]) -> None:
    """By SIGTERM; killed where that takes too long."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_S_MAX)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class JavaProcess:
    """A server as a process, with what it says in a file."""

    log: Path
    jars: Path
    process: subprocess.Popen[bytes] | None

    def kill(self) -> None:
        """End it as a power loss of its process would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def stop(self) -> None:
        """End it in order."""
        if self.process is not None:
            end_in_order(self.process)

    def said(self) -> str:
        return self.log.read_text("utf-8", "replace").strip()[-SAID_CHARACTERS_MAX:]

    def quick(self, options: Sequence[str]) -> list[str]:
        """Options for a quick start by the kept archive; not beside others."""
        archive = self.jars.parent / ARCHIVE
        return [f"-XX:SharedArchiveFile={archive}"] if archive.exists() and not options else []

    def launch(self, command: Sequence[str], **how: Any) -> subprocess.Popen[bytes]:
        """Start it; nobody waits for it here."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, **how)
        return self.process


def find_program(program: str) -> str:
    """Where a program is. MissingError."""
    found = shutil.which(program)
    if found is None:
        raise MissingError(f"no {program} on this machine")
    return found


def free_port() -> int:
    return free_ports(1)[0]


def free_ports(count: int) -> tuple[int, ...]:
    """As many, none of them twice."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind((HOST, 0))
        return tuple(int(probe.getsockname()[1]) for probe in probes)
