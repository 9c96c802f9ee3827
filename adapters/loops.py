"""Event loops for threads of sources."""

from __future__ import annotations

import asyncio
import importlib
import sys


def new_loop() -> asyncio.AbstractEventLoop:
    """An event loop for a thread of its own; uvloop's where there is one."""
    if sys.platform == "win32":
        return asyncio.new_event_loop()
    return importlib.import_module("uvloop").new_event_loop()
