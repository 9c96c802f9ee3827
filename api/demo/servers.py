"""The demo's sites as companies of their own: a data folder and a server each, peers under contracts."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from importlib.resources import files
from itertools import permutations
from typing import TYPE_CHECKING, Final

from api.commands.nodes import open_node
from api.demo.build import BASE, SITES
from federation.contract_file import Known, parse_contract
from federation.egress import place_of
from federation.node import own_version
from federation.peers import Identity, SiteName
from federation.trust import clock_ms
from ontology.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from pathlib import Path

    from graph.mesh import Mesh
    from ontology.schema import Schema

READY_S_MAX: Final = 120.0
STOP_S_MAX: Final = 40.0
# Where the parent dies without a word, the system ends the server (PR_SET_PDEATHSIG of Linux).
_PROGRAM: Final = """\
import ctypes, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, 15)
from api.cli import main
main()
"""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What contracts are read with."""

    schema: Schema
    attributes: frozenset[str]

    @classmethod
    def of(cls, mesh: Mesh) -> Vocabulary:
        return cls(mesh.schema, frozenset(mesh.snapshot().attribute_names()))


def apart(data: Path, folder: Path) -> dict[str, Path]:
    """Move each site of a closed data folder into a data folder of its own below `folder`."""
    for site in SITES:
        (folder / site / "sites").mkdir(parents=True)
        (data / "sites" / site).rename(folder / site / "sites" / site)
        shutil.copy(data / "twinmesh.toml", folder / site)
    return {site: folder / site for site in SITES}


def introduce(folders: Mapping[str, Path], urls: Mapping[str, str], vocabulary: Vocabulary) -> None:
    """Every site pins the key of every other one and agrees a contract with it.

    The keys are at hand here; between companies an operator compares fingerprints (`twinmesh peers add`).
    """
    identities = {site: _identity(site, folder, vocabulary) for site, folder in folders.items()}
    for owner, partner in permutations(folders, 2):
        with open_node(folders[owner]) as node:
            node.peers.add(partner, place_of(urls[partner]), identities[partner], time.time_ns())
            partners = {partner: identities[partner].fingerprint}
            text = (files("api.demo") / "data" / f"contract-{owner}-{partner}.toml").read_text("utf-8")
            known = Known(vocabulary.schema, vocabulary.attributes, (owner,), partners)
            node.contracts.put(parse_contract(text, known), text, time.time_ns())


def _identity(site: str, folder: Path, vocabulary: Vocabulary) -> Identity:
    with open_node(folder) as node:
        public = node.key.public
    sites = (SiteName(site, BASE.format(site=site)),)
    return Identity(public.x, public.fingerprint, sites, own_version(), vocabulary.schema.version, clock_ms())


@contextlib.contextmanager
def serving(folders: Mapping[str, Path], configs: Mapping[str, Path]) -> Generator[dict[str, str]]:
    """A server for each folder on a free loopback port; their URLs by site.

    StoreError DEMO_SERVER where one does not start.
    """
    with contextlib.ExitStack() as stack:
        processes = {
            site: stack.enter_context(_process(folder, configs[site])) for site, folder in folders.items()
        }
        yield {site: _url(process, site) for site, process in processes.items()}


@contextlib.contextmanager
def _process(folder: Path, config: Path) -> Generator[subprocess.Popen[str]]:
    words = ["serve", "--data", str(folder), "--config", str(config), "--dev", "--port", "0"]
    # -P: a folder called `api` where the demo was called must not be taken for ours.
    command = [sys.executable, "-P", "-c", _PROGRAM, *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        yield process
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_S_MAX)
        process.kill()
        process.communicate()


def _url(process: subprocess.Popen[str], site: str) -> str:
    timer = threading.Timer(READY_S_MAX, process.kill)
    timer.start()
    line = process.stdout.readline() if process.stdout else ""
    timer.cancel()
    if not line.startswith("ready http"):
        raise StoreError(f"the server of {site} did not get ready", code="DEMO_SERVER")
    return line.split()[1]
