"""`neo4j-admin` of the Neo4j that tests and benchmarks start: for the offline import, dump and load."""

from __future__ import annotations

import shlex
import subprocess
from typing import TYPE_CHECKING

from bench.jars import SAID_CHARACTERS_MAX, ServerError, find_program
from bench.neo4j_server import JAVA

if TYPE_CHECKING:
    from pathlib import Path

    from bench.neo4j_server import Server

ADMIN_S_MAX = 1_800.0


def admin_command(server: Server, *options: str) -> list[str]:
    """The command before its own words. options: of Java, its memory for one."""
    java = [find_program(JAVA), "-XX:+UseParallelGC", *options]
    return [*java, "-cp", f"{server.jars}/*", "org.neo4j.cli.AdminTool"]


def import_command(
    server: Server, folder: Path, *words: str, options: tuple[str, ...] = ("-Xmx1g",)
) -> tuple[list[str], dict[str, str]]:
    """The command that runs the import.sh of an export, and its environment."""
    program = server.home / "neo4j-admin"
    program.write_text(f'#!/bin/sh\nexec {shlex.join(admin_command(server, *options))} "$@"\n')
    program.chmod(0o700)
    return ["sh", str(folder / "import.sh"), *words], {**server.environment, "NEO4J_ADMIN": str(program)}


def run_import(server: Server, folder: Path, *words: str, options: tuple[str, ...] = ("-Xmx1g",)) -> str:
    """Run it on a stopped server; what it said. ServerError."""
    return _run(*import_command(server, folder, *words, options=options))


def _run(command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=ADMIN_S_MAX,
        check=False,
    )
    if done.returncode:
        raise ServerError(f"neo4j-admin failed: {done.stdout[-4 * SAID_CHARACTERS_MAX :]}")
    return done.stdout
