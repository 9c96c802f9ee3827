"""Quality of readings: good, uncertain, bad, and why; judged as columns, with a state for each point."""

from __future__ import annotations

from adapters.quality.detecting import PointStates as PointStates
from adapters.quality.detecting import flag as flag
from adapters.quality.rules import PointRules as PointRules
from adapters.quality.rules import Rules as Rules
from adapters.quality.values import FUTURE_TOLERANCE_NS as FUTURE_TOLERANCE_NS
from adapters.quality.values import flag_times as flag_times
from adapters.quality.values import flag_values as flag_values
