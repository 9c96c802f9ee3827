"""Hosts of the tests' own: a network namespace each, one switch between them, and what can go wrong there.

Nothing outside the namespaces is touched; the kernel throws away all that is in one when it is deleted.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

from tests.flows.flow_helpers import Outcome, command

T = TypeVar("T")
PROGRAM = str(Path(sys.executable).parent / "twinmesh")
PORT = 8000
TOKEN = "tm_network_" + "n" * 40
READY_S_MAX = 120
_CLONE_NEWNET = 0x40000000


def lacking() -> str | None:
    """What keeps this machine from having hosts; None: nothing."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    for program in ("ip", "nft"):
        if shutil.which(program, path="/usr/sbin:/sbin:/usr/bin:/bin") is None:
            return f"{program} is not installed"
    probe = f"tm{os.getpid()}p"
    made = subprocess.run(["ip", "netns", "add", probe], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        return f"network namespaces cannot be made here: {made.stderr.strip()}"
    subprocess.run(["ip", "netns", "del", probe], check=True)
    return None


def run(*words: object) -> str:
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, (words, done.stderr)
    return done.stdout


@dataclass
class Host:
    """A machine with an address of its own. Its threads and programs see its network and nothing else."""

    name: str
    space: str
    address: str
    data: Path
    process: subprocess.Popen[str] | None = None
    _inside: ThreadPoolExecutor = field(init=False)

    def __post_init__(self) -> None:
        self._inside = ThreadPoolExecutor(4, initializer=_enter, initargs=(self.space,))

    @property
    def url(self) -> str:
        return f"http://{self.address}:{PORT}"

    def here(self, work: Callable[[], T]) -> T:
        """Do something on this host."""
        return self._inside.submit(work).result()

    def twinmesh(self, *words: object) -> Outcome:
        """The command on this host; one at a time, because it takes the streams of this process."""
        return self.here(lambda: command(*words))

    def must(self, *words: object) -> Outcome:
        done = self.twinmesh(*words)
        assert done.code == 0, (words, done.err)
        return done

    def start(self) -> None:
        """Start the server; it is not ready yet."""
        words = ["--data", str(self.data), "--host", "0.0.0.0", "--port", str(PORT)]
        environment = {**os.environ, "TWINMESH_AUTH__ADMIN_TOKEN": TOKEN}
        self.process = subprocess.Popen(
            ["ip", "netns", "exec", self.space, PROGRAM, "serve", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def wait(self) -> None:
        """Until the server is ready."""
        assert self.process is not None
        assert self.process.stdout is not None
        timer = threading.Timer(READY_S_MAX, self.process.kill)
        timer.start()
        line = self.process.stdout.readline()
        timer.cancel()
        if not line.startswith("ready http"):
            self.process.kill()
            _, errors = self.process.communicate()
            pytest.fail(f"{self.name} did not get ready: {line!r} {errors}")

    def graphql(self, text: str, timeout_s: float = 60, **variables: object) -> dict[str, Any]:
        """The whole answer of this host's server, asked from the host itself."""
        body = {"query": text, "variables": variables}
        headers = {"authorization": f"Bearer {TOKEN}"}

        def ask() -> dict[str, Any]:
            with httpx.Client(trust_env=False, timeout=timeout_s, headers=headers) as client:
                return client.post(f"http://127.0.0.1:{PORT}/graphql", json=body).json()

        return self.here(ask)

    def refuse(self, *others: Host, out: bool = False, percent: int = 100) -> None:
        """Drop what comes from other hosts (with `out`: also what goes there), all of it or a share."""
        chance = "" if percent == 100 else f"numgen random mod 100 < {percent} "
        said = [f"ip saddr {other.address} {chance}drop;" for other in others]
        sent = [f"ip daddr {other.address} {chance}drop;" for other in others] if out else []
        rules = f"chain came {{ type filter hook input priority 0; {' '.join(said)} }};"
        rules += f"chain goes {{ type filter hook output priority 0; {' '.join(sent)} }};"
        self.heal()
        run("ip", "netns", "exec", self.space, "nft", f"add table inet trouble {{ {rules} }}")

    def heal(self) -> None:
        """Forget all of that."""
        run("ip", "netns", "exec", self.space, "nft", "flush ruleset")

    def stop(self) -> None:
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(60)
        self.process.kill()
        self.process.communicate()

    def close(self) -> None:
        self.stop()
        self._inside.shutdown()


def _enter(space: str) -> None:
    """The calling thread moves to a namespace; sockets that it makes are of that host."""
    libc = ctypes.CDLL(None, use_errno=True)
    with Path(f"/run/netns/{space}").open("rb") as handle:
        if libc.setns(handle.fileno(), _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")


@contextlib.contextmanager
def hosts(folder: Path, names: Sequence[str]) -> Generator[list[Host]]:
    """Hosts of these names on one switch, without servers yet."""
    switch = f"tm{os.getpid()}s"
    spaces = [f"tm{os.getpid()}{number}" for number in range(len(names))]
    with contextlib.ExitStack() as stack:
        for space in (switch, *spaces):
            run("ip", "netns", "add", space)
            stack.callback(run, "ip", "netns", "del", space)
            run("ip", "-n", space, "link", "set", "lo", "up")
        run("ip", "-n", switch, "link", "add", "bridge", "type", "bridge")
        run("ip", "-n", switch, "link", "set", "bridge", "up")
        made: list[Host] = []
        for number, (name, space) in enumerate(zip(names, spaces, strict=True)):
            _plug_in(switch, space, number)
            host = Host(name, space, _address(number), folder / name)
            stack.callback(host.close)
            made.append(host)
        yield made


def _address(number: int) -> str:
    return f"10.99.0.{number + 1}"


def _plug_in(switch: str, space: str, number: int) -> None:
    """A cable from the host to the switch."""
    plug = f"p{number}"
    peer = ("peer", "name", "eth0", "netns", space)
    run("ip", "-n", switch, "link", "add", plug, "type", "veth", *peer)
    run("ip", "-n", switch, "link", "set", plug, "master", "bridge", "up")
    run("ip", "-n", space, "address", "add", f"{_address(number)}/24", "dev", "eth0")
    run("ip", "-n", space, "link", "set", "eth0", "up")
