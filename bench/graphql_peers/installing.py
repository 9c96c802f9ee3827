"""Peers and the load generator, built once per content of their sources in a folder outside the checkout.

The folder is TWINMESH_BENCH_TOOLS, else `twinmesh-bench` in the user's cache. Nothing of it is committed.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator

HERE = Path(__file__).resolve().parent
BUILD_S_MAX = 1_800.0
MESSAGE_CHARACTERS_MAX = 300
DONE = ".done"


class MissingError(Exception):
    """A program or package that is not here; says which and why."""


@dataclass(frozen=True, slots=True)
class Package:
    """Sources beside this file, and the commands that make something of a copy of them."""

    folder: str
    commands: tuple[tuple[str, ...], ...]

    @property
    def sources(self) -> list[Path]:
        return sorted(path for path in (HERE / self.folder).rglob("*") if path.is_file())

    def install(self) -> Path:
        """The folder with the copy and what was made of it. MissingError."""
        target = tools_folder() / f"{self.folder}-{self._digest()}"
        with locked(target):
            if not (target / DONE).exists():
                self._build(target)
        return target

    def _build(self, target: Path) -> None:
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(HERE / self.folder, target)
        for command in self.commands:
            run(command, target)
        (target / DONE).touch()

    def _digest(self) -> str:
        content = [repr(self.commands).encode()]
        content += [path.name.encode() + path.read_bytes() for path in self.sources]
        return sha256(b"\0".join(content)).hexdigest()[:12]


LOAD = Package("load", (("rustc", "--edition", "2021", "-O", "-o", "load", "main.rs"),))
RUST = Package("rust", (("cargo", "build", "--release", "--quiet"),))
NODE = Package("node", (("npm", "install", "--no-package-lock", "--ignore-scripts", "--loglevel=error"),))


def tools_folder() -> Path:
    stated = os.environ.get("TWINMESH_BENCH_TOOLS")
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(stated) if stated else Path(cache) / "twinmesh-bench"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def run(command: tuple[str, ...], folder: Path) -> str:
    """What a command prints. MissingError where it is not there, fails, or takes too long."""
    program = find(command[0])
    try:
        done = subprocess.run(
            [program, *command[1:]],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=BUILD_S_MAX,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise MissingError(f"{command[0]}: more than {BUILD_S_MAX:.0f} s") from error
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).replace("\n", " ")
        raise MissingError(f"{' '.join(command[:2])}: {said[-MESSAGE_CHARACTERS_MAX:]}")
    return done.stdout


def find(program: str) -> str:
    """Path of a program. MissingError."""
    found = shutil.which(program)
    if found is None:
        raise MissingError(f"no {program} on this machine")
    return found


@contextmanager
def locked(target: Path) -> Generator[None]:
    """One builder at a time, also among processes."""
    with target.with_suffix(".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
