"""Waiting for what a Neo4j, its mirror or a server will show."""

from __future__ import annotations

import time

WAIT_S_MAX = 120.0


def wait_until(holds, what="it", wait_s_max=WAIT_S_MAX):
    """Wait for something that will be true; the deadline is for a machine that is busy."""
    until_s = time.monotonic() + wait_s_max
    while not holds():
        assert time.monotonic() < until_s, f"{what} did not come true in {wait_s_max:.0f} s"
        time.sleep(0.01)


def mirror_of(mesh, site="campus"):
    return mesh._journals.mirror(site)


def wait_shown(mesh, site="campus"):
    """Until the graph shows every commit of a site."""
    mirror, twin = mirror_of(mesh, site), mesh.twin(site)

    def shown():
        assert mirror.medium.trouble is None, mirror.medium.trouble
        return mirror.sequence >= twin.snapshot().revision

    wait_until(shown, "the graph")
