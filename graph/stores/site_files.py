"""The side files of a site folder: logs of commands and of alarms, each a hash chain of its own."""

from __future__ import annotations

from typing import Final

from graph.stores.side_file import Format
from graph.stores.state_log import TABLES

COMMANDS: Final = Format("commands", 0x7457_4D43, 1, TABLES, "COMMANDS_FAILED", "COMMANDS_CORRUPT")  # "tWMC"
ALARMS: Final = Format("alarms", 0x7457_4D41, 1, TABLES, "ALARMS_FAILED", "ALARMS_CORRUPT")  # "tWMA"
SIDE_FILES: Final = {"commands.sqlite": COMMANDS, "alarms.sqlite": ALARMS}
"""By name in the folder of a site: what backup copies and verify checks besides journal and history."""
ROUTES_FILE: Final = "routes.sqlite"
"""In the data folder itself: how far events went out to others (`api.route_store`)."""
