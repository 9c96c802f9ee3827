"""Compiling the cascade's kernels aside.

It takes most of a minute, once per version, and holds the interpreter's lock: in the server's own process
every request would wait for it. A child process compiles and leaves the result on disk, for all to load.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

from simulation.warm import are_compiled

if TYPE_CHECKING:
    from collections.abc import Generator

STOP_S_MAX = 5.0
# -P: a folder called `simulation` where the command was called must not be taken for ours.
_COMMAND = (sys.executable, "-P", "-m", "simulation.warm")


@contextlib.contextmanager
def kernels_compiling() -> Generator[threading.Event]:
    """Compile in a child process while the block runs; the event is set when that is over, well or not.

    What fails here fails again, and is told, where a question needs the kernels.
    """
    over = threading.Event()
    if are_compiled():
        over.set()
        yield over
        return
    quiet = subprocess.DEVNULL
    child = subprocess.Popen(_COMMAND, stdin=quiet, stdout=quiet, stderr=quiet)
    threading.Thread(target=_wait, args=(child, over), name="kernels", daemon=True).start()
    try:
        yield over
    finally:
        child.terminate()
        if not over.wait(STOP_S_MAX):
            child.kill()


def _wait(child: subprocess.Popen[bytes], over: threading.Event) -> None:
    child.wait()
    over.set()
