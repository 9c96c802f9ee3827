"""Following: a process that only reads stays close behind the one that writes the same folder."""

from __future__ import annotations

from dataclasses import dataclass

# Commits that are taken over without letting a reader in between.
TAKEN_AT_ONCE_MAX = 256
# How long a reader waits for the newest commits to be taken over; after that it gets what is there.
FRESH_WAIT_S = 0.05


@dataclass(frozen=True, slots=True)
class Lag:
    """How far a follower may be behind the process that writes.

    commits: on disk and not taken over. age_s: so long ago, at the latest, it had everything.
    """

    commits: int
    age_s: float
