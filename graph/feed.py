"""The feed: commits and readings to any number of watchers. The writer never waits for any of them."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from threading import Condition, Lock
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from graph.values import Commit, Readings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    ReadCommits: TypeAlias = Callable[[int, int], list[Commit]]

COMMITS_MAX = 1024
READINGS_ROWS_MAX = 65_536
_RESUME_COMMITS = 256


@dataclass(frozen=True, slots=True)
class Gap:
    """Commits that a slow watcher missed: after < sequence <= until.

    `watch(resume_from=after)` brings them back.
    """

    after: int
    until: int


@dataclass(frozen=True, slots=True, eq=False)
class ReadingsEvent:
    """Readings of one site.

    `conflated`: how many older ones of the same points were left out before these.
    """

    readings: Readings
    conflated: int


Event: TypeAlias = "Commit | Gap | ReadingsEvent"


class Watch:
    """One watcher: a bounded queue. Safe from any thread; a context manager."""

    def __init__(
        self,
        leave: Callable[[Watch], None],
        read_commits: ReadCommits,
        position: int,
        live_from: int,
        notify: Callable[[], None] | None,
    ) -> None:
        self._leave = leave
        self._read_commits = read_commits
        self._position = position  # the last sequence handed out
        self._live_from = live_from  # later ones come from the queue, earlier ones from the journal
        self._notify = notify
        self._condition = Condition(Lock())
        self._old: deque[Commit] = deque()
        self._commits: deque[Commit] = deque()
        self._dropped_until = 0
        self._readings: deque[Readings] = deque()
        self._rows = 0
        self._conflated = 0
        self._closed = False

    @property
    def closed(self) -> bool:
        return self._closed

    def get(self, timeout_s: float | None = None) -> Event | None:
        """The next event; None after the timeout or once closed. With 0 it never waits."""
        old = self._next_old()
        if old is not None:
            return old
        with self._condition:
            self._condition.wait_for(self._ready, timeout_s)
            return None if self._closed else self._next_live()

    def close(self) -> None:
        self._leave(self)
        with self._condition:
            self._closed = True
            self._condition.notify_all()

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def put_commit(self, commit: Commit) -> None:
        with self._condition:
            if len(self._commits) >= COMMITS_MAX:
                self._dropped_until = self._commits[-1].sequence
                self._commits.clear()
            self._commits.append(commit)
            self._condition.notify_all()
        self._call()

    def put_readings(self, readings: Readings) -> None:
        with self._condition:
            self._readings.append(readings)
            self._rows += len(readings)
            if self._rows > READINGS_ROWS_MAX and len(self._readings) > 1:
                merged = newest_readings(self._readings)
                self._conflated += self._rows - len(merged)
                self._readings, self._rows = deque([merged]), len(merged)
            self._condition.notify_all()
        self._call()

    def _call(self) -> None:
        if self._notify is None:
            return
        try:
            self._notify()
        except RuntimeError:
            self.close()  # the event loop it belonged to is gone

    def _ready(self) -> bool:
        return bool(self._closed or self._commits or self._readings)

    def _next_old(self) -> Commit | None:
        """The next commit from before the watch began, read from the journal in batches."""
        if not self._old and self._position < self._live_from:
            found = self._read_commits(self._position, _RESUME_COMMITS)
            self._old.extend(commit for commit in found if commit.sequence <= self._live_from)
            if not self._old:
                self._position = self._live_from
        if not self._old:
            return None
        commit = self._old.popleft()
        self._position = commit.sequence
        return commit

    def _next_live(self) -> Event | None:
        if self._dropped_until > self._position:
            gap = Gap(self._position, self._dropped_until)
            self._position = self._dropped_until
            return gap
        if self._commits:
            commit = self._commits.popleft()
            self._position = commit.sequence
            return commit
        if not self._readings:
            return None
        readings, conflated = self._readings.popleft(), self._conflated
        self._rows -= len(readings)
        self._conflated = 0
        return ReadingsEvent(readings, conflated)


class Feed:
    """Fan-out to watchers. Events are published by the one writer, in order."""

    def __init__(self) -> None:
        self._watches: tuple[Watch, ...] = ()
        self._lock = Lock()

    @property
    def watched(self) -> bool:
        return bool(self._watches)

    def watch(
        self, read_commits: ReadCommits, now: int, resume_from: int | None, notify: Callable[[], None] | None
    ) -> Watch:
        """A watcher from `resume_from` (None: from now); `now` is the last sequence published."""
        position = now if resume_from is None else resume_from
        watch = Watch(self._drop, read_commits, position, now, notify)
        with self._lock:
            self._watches = (*self._watches, watch)
        return watch

    def publish_commits(self, commits: Iterable[Commit]) -> None:
        for commit in commits:
            for watch in self._watches:
                watch.put_commit(commit)

    def publish_readings(self, readings: Readings) -> None:
        for watch in self._watches:
            watch.put_readings(readings)

    def close(self) -> None:
        for watch in self._watches:
            watch.close()

    def _drop(self, watch: Watch) -> None:
        with self._lock:
            self._watches = tuple(other for other in self._watches if other is not watch)


def newest_readings(batches: Iterable[Readings]) -> Readings:
    """The newest reading of each point over several batches, in order of point.

    Of equal times the later one.
    """
    parts = list(batches)
    points = np.concatenate([part.points for part in parts])
    times = np.concatenate([part.times_ns for part in parts])
    order = np.lexsort((times, points))
    last = np.append(points[order][1:] != points[order][:-1], True) if len(order) else np.zeros(0, np.bool_)
    keep = order[last]
    words = np.concatenate([part.words for part in parts])
    quality = np.concatenate([part.quality for part in parts])
    return Readings(points[keep], times[keep], words[keep], quality[keep])
