"""Side files: of a site folder the logs of commands and of alarms; of the data folder itself, two more."""

from __future__ import annotations

from typing import Final

from graph.stores.side_file import Format
from graph.stores.state_log import TABLES, TAIL

COMMANDS: Final = Format("commands", 0x7457_4D43, 1, TABLES, "COMMANDS_FAILED", "COMMANDS_CORRUPT")  # "tWMC"
ALARMS: Final = Format("alarms", 0x7457_4D41, 1, TABLES, "ALARMS_FAILED", "ALARMS_CORRUPT")  # "tWMA"
IMPACTS: Final = Format(
    "impacts", 0x7457_4D49, 1, TABLES + TAIL, "IMPACTS_FAILED", "IMPACTS_CORRUPT"
)  # "tWMI"
SIDE_FILES: Final = {"commands.sqlite": COMMANDS, "alarms.sqlite": ALARMS}
"""By name in the folder of a site: what backup copies and verify checks besides journal and history."""
ROUTES_FILE: Final = "routes.sqlite"
"""In the data folder itself: how far events went out to others (`api.route_store`)."""
IMPACTS_FILE: Final = "impacts.sqlite"
"""In the data folder itself: cascades that were finished, over whichever of its sites (`api.impact_log`)."""
FOLDER_FILES: Final = (ROUTES_FILE, IMPACTS_FILE)
"""Of the data folder, in the order in which a backup copies them: cursors before what they count."""
