"""The whole contract of a twin against plain dictionaries, and proof that the comparison finds defects."""

from __future__ import annotations

import os
import time
from dataclasses import replace

import numpy as np
import pytest

from graph.feed import Feed
from graph.readings.store import HistoryStore
from graph.state import State
from graph.stores.sqlite import SqliteStore
from graph.twin import Twin
from graph.writer import Writer
from ontology.errors import TwinmeshError
from tests.graph.machine import run_machine

EXAMPLES = 12
LONG_EXAMPLES = 50
DEFECT_EXAMPLES = 60
DEFECT_SEEDS = 8


def test_a_twin_is_what_its_model_says(schema, units):
    fresh = int(os.environ.get("TWINMESH_SEED", int.from_bytes(os.urandom(4))))
    print(f"model: seed {fresh}")
    run_machine(schema, units, first_seed=fresh, examples=EXAMPLES)


@pytest.mark.long
def test_a_twin_is_what_its_model_says_for_long(schema, units):
    """Fresh seeds until the time is up."""
    first = int.from_bytes(os.urandom(4))
    print(f"model: first seed {first}")
    end = time.monotonic() + float(os.environ.get("TWINMESH_LONG_S", "600"))
    rounds = 0
    while time.monotonic() < end:
        run_machine(schema, units, first_seed=first + rounds, examples=LONG_EXAMPLES)
        rounds += 1
    print(f"model: {rounds * LONG_EXAMPLES} histories, 0 differences, seeds {first} to {first + rounds - 1}")


# Planted defects: each is what a hasty edit might do.


def lose_removals(patch):
    """Twins stay though they were removed; their relationships go."""
    patch.setattr(State, "_remove_twins", lambda self, rows, revision: None)


def keep_dead_relationships(patch):
    patch.setattr(State, "_remove_edges", lambda self, edges: None)


def answer_stale_keys(patch):
    """A key used again for other work gets the old answer."""
    whole = Writer._answered

    def stale(self, change, batch):
        key = change.idempotency_key
        known = key and not change.dry_run and (batch.answers.get(key) or self._store.answer(key))
        if known:
            patch.setattr("graph.writer._request_digest", lambda _: known.request)
        return whole(self, change, batch)

    patch.setattr(Writer, "_answered", stale)


def forget_keys(patch):
    """The same key is worked off twice."""
    patch.setattr(Writer, "_answered", lambda self, change, batch: None)


def apply_dry_runs(patch):
    apply = Twin.apply

    def applying(self, change):
        applied = apply(self, replace(change, dry_run=False))
        return replace(applied, revision=None) if change.dry_run else applied

    patch.setattr(Twin, "apply", applying)


def miss_a_commit_in_the_feed_of_followers(patch):
    told = Writer.follow

    def missing(self, *limits):
        commits = told(self, *limits)
        return commits[:-1] if len(commits) > 1 else commits

    patch.setattr(Writer, "follow", missing)


def follow_too_late(patch):
    """A follower does not look at the disk before it answers."""
    patch.setattr(Twin, "_followed", lambda self: self._publish())


def answer_the_wrong_revision(patch):
    """Work that changed nothing is answered with a new revision."""
    apply = Twin.apply

    def answering(self, change):
        before = self.snapshot().revision
        applied = apply(self, change)
        stood_still = applied.revision == before and not applied.replayed
        return replace(applied, revision=before + 1) if stood_still else applied

    patch.setattr(Twin, "apply", answering)


def ignore_the_expected_revision(patch):
    apply = Twin.apply
    patch.setattr(Twin, "apply", lambda self, change: apply(self, replace(change, expected_revision=None)))


def acknowledge_before_the_disk(patch):
    """The last commit reaches the disk only with the next one: lost in a crash."""
    append = SqliteStore.append
    held = []

    def late(self, entries, answers):
        work = (self, entries, answers)
        for known in [one for one in held if one[0] is self]:
            append(*known)
            held.remove(known)
        held.append(work)

    patch.setattr(SqliteStore, "append", late)


def show_what_the_disk_refused(patch):
    """A commit is in the columns before the journal has taken it, and stays when it is refused."""
    write = Writer._write

    def eager(self, tickets, batch):
        append = self._store.append
        self._store.append = lambda *work: None
        try:
            write(self, tickets, batch)
        finally:
            self._store.append = append
        if batch.entries or batch.answers:
            append(batch.entries, list(batch.answers.values()))

    patch.setattr(Writer, "_write", eager)


def lose_a_reading(patch):
    """The second reading of a batch is not kept."""
    append = HistoryStore.append

    def losing(self, points, *columns):
        keep = [place for place in range(len(points)) if place != 1]
        texts, kinds = columns[3:]
        few = [column[keep] for column in columns[:3]]
        append(
            self,
            points[keep] if isinstance(points, np.ndarray) else [points[place] for place in keep],
            *few,
            [texts[place] for place in keep] if texts else texts,
            None if kinds is None else kinds[keep],
        )

    patch.setattr(HistoryStore, "append", losing)


def tell_commits_twice(patch):
    publish = Feed.publish_commits

    def twice(self, commits):
        publish(self, [*commits, *commits[-1:]])

    patch.setattr(Feed, "publish_commits", twice)


DEFECTS = (
    lose_removals,
    keep_dead_relationships,
    answer_stale_keys,
    forget_keys,
    apply_dry_runs,
    miss_a_commit_in_the_feed_of_followers,
    follow_too_late,
    answer_the_wrong_revision,
    ignore_the_expected_revision,
    acknowledge_before_the_disk,
    show_what_the_disk_refused,
    lose_a_reading,
    tell_commits_twice,
)


@pytest.mark.parametrize("plant", DEFECTS, ids=lambda plant: plant.__name__)
def test_a_planted_defect_is_found(schema, units, monkeypatch, plant):
    plant(monkeypatch)
    with pytest.raises((AssertionError, TwinmeshError, BaseExceptionGroup)) as caught:
        # Some defects show in few histories, and which ones are played changes with hypothesis and the code.
        for first_seed in range(DEFECT_SEEDS):
            run_machine(schema, units, first_seed=first_seed, examples=DEFECT_EXAMPLES, shrinks=False)
    print(f"{plant.__name__}: {caught.value!r:.200}")
    assert shows_a_difference(caught.value), caught.value


def shows_a_difference(error):
    """A comparison of the model failed, or the twin refused what the model takes."""
    if isinstance(error, BaseExceptionGroup):
        return any(shows_a_difference(each) for each in error.exceptions)
    return isinstance(error, AssertionError | TwinmeshError)
