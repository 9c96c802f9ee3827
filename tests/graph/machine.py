"""A state machine over the whole contract of a twin, against plain dictionaries.

What it does to a twin: changes of records and of columns, dry runs, idempotency keys, expected revisions,
readings, watches that resume, looks at the past, reopening, checkpoints, crashes at the worst moments, a disk
that refuses, and a follower beside it. After every step the twin, and the follower where one is open, must
show what the dictionaries hold.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from graph.bulk_records import columns_of
from graph.feed import Gap, ReadingsEvent
from graph.twin import Twin
from graph.values import (
    Applied,
    Change,
    ItemStatus,
    Readings,
    RelationshipKey,
    RelationshipRecord,
    TwinRecord,
)
from graph.values import Value as Stated
from ontology.errors import ChangeError, ConflictError, StoreError
from tests.graph.plain_model import Model, expected, follow, seen

IDS, STEPS, PAST_LOOKS = 7, 25, 2
RECOVERS_S_MAX = 20.0
KINDS = ("AHU", "VAV", "tm:Party")
RELATIONS = ("brick:feeds", "supplies", "tm:controls")
PLAIN = (1, 2.5, True, False, "red", "", [1, {"a": None}], {"k": "v"}, 2**60, -3)
NAMES = ("rotation", "colour", "x:weird", "ratedPower")
ORIGINS = (None, "ifc", "brick")
KEYS = ("k1", "k2", "k3")

numbers = st.integers(0, IDS - 1)
names = st.sampled_from((None, "a", "b"))
values = st.dictionaries(st.sampled_from(NAMES), st.sampled_from(PLAIN), max_size=3)


@dataclass(frozen=True)
class Moment:
    """What a model holds at one revision."""

    content: tuple[dict, dict]
    time_ns: int


@dataclass
class Told:
    """A watch and how far it has told."""

    watch: object
    position: int


def stated(plain):
    """Values as a change states them; `ratedPower` is declared to be a number."""
    return {name: Stated(7.5 if name == "ratedPower" else value) for name, value in plain.items()}


class TwinMachine(RuleBasedStateMachine):
    """Subclassed with a schema and units by `machine`."""

    schema = units = None

    def __init__(self):
        super().__init__()
        self.place = Path(tempfile.mkdtemp(prefix="twinmesh-model-"))
        self.folder = self.place / "0" / "campus"
        self.copies = 0
        self.model = Model()
        self.revision = 0
        self.last: dict[str, tuple[int, int, int]] = {}
        self.history: dict[str, dict[int, tuple[int, int]]] = {}
        self.answers: dict[str, tuple[Change, Applied]] = {}
        self.follower, self.naps = None, False
        self.twin = self.open()
        self.past = {0: Moment(expected(self.model), 0)}
        self.told = self.watch(self.twin, 0)
        self.followed: Told | None = None

    def open(self, *, read_only=False):
        return Twin.open(self.folder, self.schema, site="campus", units=self.units, read_only=read_only)

    def watch(self, twin, resume_from):
        return Told(twin.watch(resume_from), resume_from)

    # Changes

    @rule(data=st.data(), columns=st.booleans())
    def apply(self, data, columns):
        change = self.draw_change(data)
        if columns:
            records = by_origin(replace(change, merge_twins=(), remove_twins=(), remove_relationships=()))
            there = {*self.model.twins, *(record.id for record in records.put_twins)}
            sound = [one for one in records.put_relationships if {one.source, one.target} <= there]
            records = replace(records, put_relationships=tuple(sound))
            self.carry_out(records, as_columns(records))
        else:
            self.carry_out(change)

    @rule(data=st.data(), right=st.booleans(), off=st.sampled_from((-1, 1, 7)))
    def apply_with_expected_revision(self, data, right, off):
        change = replace(self.draw_change(data), expected_revision=self.revision + (0 if right else off))
        if right:
            self.carry_out(change)
        else:
            self.refused(change, ConflictError, "REVISION_CONFLICT")

    @rule(data=st.data())
    def dry_run(self, data):
        change = replace(self.draw_change(data), dry_run=True)
        trial = self.copy_of_model()
        if follow(trial, change):
            assert self.twin.apply(change).revision is None
        else:
            self.refused(change, ChangeError, None)

    @rule(data=st.data(), key=st.sampled_from(KEYS))
    def apply_with_key(self, data, key):
        change = replace(self.draw_change(data), idempotency_key=key)
        known = self.answers.get(key)
        if known is None:
            applied = self.carry_out(change)
            if applied is not None:
                self.answers[key] = (change, applied)
        elif known[0] != change:
            self.refused(change, ConflictError, "IDEMPOTENCY_REUSED")

    @precondition(lambda self: self.answers)
    @rule(data=st.data())
    def repeat_with_key(self, data):
        change, first = self.answers[data.draw(st.sampled_from(sorted(self.answers)))]
        again = self.twin.apply(change)
        assert (again.replayed, again.revision, again.items) == (True, first.revision, first.items)

    # Readings

    @rule(
        rows=st.lists(
            st.tuples(numbers, st.integers(1, 9), st.integers(0, 99), st.integers(0, 2)), max_size=4
        )
    )
    def record(self, rows):
        snapshot = self.twin.snapshot()
        kept = [(snapshot.row(self.iri(number)), self.iri(number), *rest) for number, *rest in rows]
        living = [row for row in kept if row[0] >= 0]
        points = [place if place >= 0 else snapshot.size + 5 for place, *_ in kept]
        columns = [np.array(column, kind) for column, kind in zip(
            (points, *([row[n] for row in kept] for n in (2, 3, 4))),
            (np.int32, np.int64, np.uint64, np.uint8), strict=True)]  # fmt: skip
        assert self.twin.record(Readings(*columns)) == len(living)
        for _, iri, time_ns, word, quality in living:
            self.history.setdefault(iri, {})[time_ns] = (word, quality)
            if time_ns >= self.last.get(iri, (0,))[0]:
                self.last[iri] = (time_ns, word, quality)

    # Time

    @rule(data=st.data())
    def look_at_the_past(self, data):
        for revision in data.draw(st.lists(st.sampled_from(sorted(self.past)), max_size=PAST_LOOKS)):
            moment = self.past[revision]
            assert seen(self.twin.snapshot_at(revision=revision)) == moment.content
            assert seen(self.twin.snapshot_at(time_ns=moment.time_ns)) == moment.content

    @rule()
    def reopen(self):
        self.twin.close()
        self.begin_again()

    @rule()
    def checkpoint(self):
        self.twin.checkpoint()

    @rule(data=st.data())
    def resume_a_watch(self, data):
        self.told.watch.close()
        self.told = self.watch(self.twin, data.draw(st.sampled_from(sorted(self.past))))

    # Trouble

    @rule()
    def crash(self):
        """The power is gone between two changes."""
        copied = self.copy()
        self.twin.close()
        self.drop_follower()
        self.folder = copied
        self.begin_again()

    @rule(data=st.data(), written=st.booleans())
    def crash_in_the_middle(self, data, written):
        """The process dies just before or just after a commit is on disk, before it is acknowledged."""
        change = self.draw_change(data)
        copies = []
        store, append = self.twin._store, self.twin._store.append

        def copying(*work):
            if not written:
                copies.append(self.copy())
            append(*work)
            if written:
                copies.append(self.copy())

        store.append = copying
        trial = self.copy_of_model()
        try:
            applied = self.twin.apply(change) if follow(trial, change) else None
        finally:
            del store.append
        if not copies:
            if applied is not None:
                self.acknowledge(trial, applied)
            return
        self.twin.close()
        self.drop_follower()
        self.folder = copies[0]
        if written:
            self.acknowledge(trial, applied, taken_from_disk=False)
        self.begin_again()

    @rule(data=st.data(), written=st.booleans())
    def disk_refuses(self, data, written):
        """An append that fails is not acknowledged; reading goes on, and writing once it is well."""
        change = self.draw_change(data)
        trial = self.copy_of_model()
        if not follow(trial, change):
            return
        is_ill, failed = [True], []
        store, append, recover = self.twin._store, self.twin._store.append, self.twin._store.recover

        def refusing(*work):
            if written:
                append(*work)
            failed.append(True)
            raise StoreError("no space left on device")

        def recovering():
            if is_ill[0]:
                raise StoreError("still no space left on device")
            recover()

        store.append, store.recover = refusing, recovering
        try:
            self.twin.apply(change)
            assert not failed, "acknowledged though the disk refused"
        except StoreError:
            assert failed
            assert seen(self.twin.snapshot()) == expected(self.model), "shown, though not acknowledged"
            self.refused(change, StoreError, "STORE_READ_ONLY")
        finally:
            store.append = append
            is_ill[0] = False
        until = time.monotonic() + RECOVERS_S_MAX
        while self.twin.troubles and time.monotonic() < until:
            time.sleep(0.005)
        store.recover = recover
        assert self.twin.troubles == ()
        if self.twin.snapshot().revision > self.revision:
            assert written, "what was refused came back"
            self.acknowledge(trial, None)
        assert not (failed and written) or self.twin.snapshot().revision == self.revision

    # A follower

    @precondition(lambda self: self.follower is None)
    @rule(resumes=st.booleans(), naps=st.booleans())
    def open_follower(self, resumes, naps):
        """naps: it is not asked after every step, and has several commits to take over when it is."""
        self.follower, self.naps = self.open(read_only=True), naps
        self.followed = self.watch(self.follower, 0 if resumes else self.revision)

    @precondition(lambda self: self.follower is not None)
    @rule(data=st.data())
    def follower_refuses(self, data):
        for change in (Change(), self.draw_change(data)):
            try:
                self.follower.apply(change)
            except StoreError as error:
                assert error.code == "STORE_LOCKED"
            else:
                raise AssertionError("a follower wrote")

    @precondition(lambda self: self.follower is not None)
    @rule()
    def look_at_the_follower(self):
        self.check_snapshot(self.follower.snapshot())
        self.check_watch(self.followed)

    @precondition(lambda self: self.follower is not None)
    @rule()
    def drop_follower(self):
        if self.follower is not None:
            self.follower.close()
            self.follower = self.followed = None

    # What must hold

    @invariant()
    def the_twin_shows_what_was_acknowledged(self):
        self.check_snapshot(self.twin.snapshot())

    @invariant()
    def the_follower_shows_it_too(self):
        if self.follower is not None and not self.naps:
            self.look_at_the_follower()

    @invariant()
    def watches_tell_every_commit_once_and_in_order(self):
        self.check_watch(self.told)

    @invariant()
    def history_holds_every_reading(self):
        for iri, times in self.history.items():
            samples = self.twin.history.range(iri, 0, 1_000)
            found = zip(
                samples.times_ns.tolist(), samples.words.tolist(), samples.quality.tolist(), strict=True
            )
            assert list(found) == [(time_ns, *times[time_ns]) for time_ns in sorted(times)]

    def teardown(self):
        try:
            assert self.twin.verify() == []
            if self.follower is not None:
                self.check_snapshot(self.follower.snapshot())
                self.check_watch(self.followed)
        finally:
            self.drop_follower()
            self.twin.close()
            shutil.rmtree(self.place)

    # Inside

    def iri(self, number):
        return f"https://twinmesh.invalid/campus/t{number}"

    def draw_change(self, data):
        """A change that is sound but for conflicts between origins."""
        rng = random.Random(data.draw(st.integers(0, 2**32 - 1)))
        put, merge, gone = (data.draw(st.lists(numbers, max_size=2, unique=True)) for _ in range(3))
        touched = {*put, *merge}
        removed = [self.iri(n) for n in gone if n not in touched and self.iri(n) in self.model.twins]
        known = {*self.model.twins, *map(self.iri, touched)} - set(removed)
        edges = [
            self.draw_edge(data, sorted(known)) for _ in range(data.draw(st.integers(0, 2)) if known else 0)
        ]
        keyed = {(e.source, e.relation, e.target, e.group): e for e in edges}
        there = [key for key in self.model.edges if key not in keyed and rng.random() < 0.15]
        return Change(
            put_twins=tuple(self.draw_twin(data, self.iri(number)) for number in put),
            merge_twins=tuple(self.draw_twin(data, self.iri(number)) for number in merge),
            remove_twins=tuple(removed),
            put_relationships=tuple(keyed.values()),
            remove_relationships=tuple(RelationshipKey(*key) for key in there),
        )

    def draw_twin(self, data, iri):
        kinds = data.draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=2, unique=True))
        iris = tuple(self.schema.kind(name).iri for name in kinds)
        origin = data.draw(st.sampled_from(ORIGINS))
        return TwinRecord(iri, iris, data.draw(names), attributes=stated(data.draw(values)), origin=origin)

    def draw_edge(self, data, known):
        source, target = data.draw(st.sampled_from(known)), data.draw(st.sampled_from(known))
        relation = self.schema.relation(data.draw(st.sampled_from(RELATIONS))).iri
        attributes, origin = stated(data.draw(values)), data.draw(st.sampled_from(ORIGINS))
        group = data.draw(st.sampled_from(("", "g")))
        return RelationshipRecord(source, relation, target, group, attributes=attributes, origin=origin)

    def carry_out(self, change, columns=None):
        """Apply a change to both sides, here perhaps as columns; the answer, None where both refuse it."""
        trial = self.copy_of_model()
        if not follow(trial, change):
            self.refused(columns or change, ChangeError, None)
            return None
        before = set(self.model.twins)
        applied = self.twin.apply(columns or change)
        statuses = {} if columns else {item.id: item.status for item in applied.items}
        for record in () if columns else change.put_twins:
            if not any(record.id == other.id for other in change.merge_twins):
                assert (statuses[record.id] == ItemStatus.CREATED) == (record.id not in before)
        self.acknowledge(trial, applied)
        return applied

    def acknowledge(self, trial, applied, *, taken_from_disk=True):
        """From now on the twin must show `trial`."""
        changed = expected(trial) != expected(self.model)
        revision = applied.revision if applied is not None else self.twin.snapshot().revision
        assert revision in ((self.revision + 1,) if changed else (self.revision, self.revision + 1))
        self.model, self.revision = trial, revision
        if taken_from_disk:
            self.past[revision] = Moment(expected(trial), self.twin.snapshot().time_ns)

    def refused(self, change, kind, code):
        try:
            self.twin.apply(change)
        except kind as error:
            assert code in (None, error.code), error
        else:
            raise AssertionError(f"not refused: {code}")

    def copy_of_model(self):
        trial = Model()
        trial.twins = {iri: own_copy(twin) for iri, twin in self.model.twins.items()}
        trial.edges = {key: own_copy(edge) for key, edge in self.model.edges.items()}
        return trial

    def copy(self):
        """The folder as a process that dies now leaves it. By another process: closing a file that SQLite
        has open in this one would give up its locks."""
        self.copies += 1
        target = self.place / str(self.copies) / "campus"
        target.parent.mkdir()
        subprocess.run(["cp", "-r", self.folder, target], check=True)
        (target / "journal.sqlite-shm").unlink(missing_ok=True)  # memory that is shared, not a file
        return target

    def begin_again(self):
        """Open again; what was remembered of the past, of keys and of readings must be there still."""
        self.twin = self.open()
        self.told = self.watch(self.twin, self.told.position)
        self.past.setdefault(self.revision, Moment(expected(self.model), self.twin.snapshot().time_ns))

    def check_snapshot(self, snapshot):
        assert snapshot.revision == self.revision
        assert seen(snapshot) == expected(self.model)
        for iri in self.model.twins:
            row = snapshot.row(iri)
            found = tuple(int(column[row]) for column in (
                snapshot.point_time_ns, snapshot.point_word, snapshot.point_quality))  # fmt: skip
            assert found == self.last.get(iri, (0, 0, 0)), iri

    def check_watch(self, told):
        while (event := told.watch.get(0)) is not None:
            if isinstance(event, ReadingsEvent):
                continue
            assert not isinstance(event, Gap)
            assert event.sequence == told.position + 1
            told.position = event.sequence
        assert told.position == self.revision


def own_copy(item):
    """A copy that shares nothing that a model writes to."""
    fresh = {name: value.copy() for name, value in vars(item).items() if isinstance(value, list | dict)}
    return replace(item, **fresh)


def by_origin(change):
    """A change whose records stand in the order that their blocks would have."""
    order = {origin: place for place, origin in enumerate(ORIGINS)}
    twins = sorted(change.put_twins, key=lambda record: order[record.origin])
    links = sorted(change.put_relationships, key=lambda record: order[record.origin])
    return replace(change, put_twins=tuple(twins), put_relationships=tuple(links))


def as_columns(change):
    """The same change with its records as columns, a block for each origin."""
    twins = [[one for one in change.put_twins if one.origin == origin] for origin in ORIGINS]
    links = [[one for one in change.put_relationships if one.origin == origin] for origin in ORIGINS]
    columns = columns_of([part for part in twins if part], [part for part in links if part])
    return replace(change, put_twins=(), put_relationships=(), columns=columns)


def run_machine(schema, units, *, first_seed, examples, steps=STEPS, shrinks=True):
    """Play random histories; raises where a twin and its model differ."""
    place = {"schema": schema, "units": units}
    machine = seed(first_seed)(type("Machine", (TwinMachine,), place))
    chosen = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, *([Phase.shrink] if shrinks else [])],
    )
    run_state_machine_as_test(machine, settings=chosen)
