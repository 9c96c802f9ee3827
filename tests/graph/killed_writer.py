"""Writers to be killed: for each folder read from stdin a child is forked that writes until it dies.

What it acknowledges goes to stdout, unbuffered, after `apply` returned; `dead` once it is gone. Forking from
one process that has everything loaded makes a thousand kills a matter of minutes.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

from graph.twin import Twin
from graph.values import Change, RelationshipRecord, TwinRecord, Value
from ontology.schema import load_schema
from ontology.units import load_units

THREADS = 2


def change_of(base, schema, name):
    """The change of a name: two twins and their relationship, under the name as idempotency key."""
    kind, feeds = schema.kind("AHU").iri, schema.relation("brick:feeds").iri
    ids = [f"{base}{name}-{part}" for part in "ab"]
    twins = tuple(TwinRecord(iri, (kind,), attributes={"name1": Value(name)}) for iri in ids)
    link = RelationshipRecord(ids[0], feeds, ids[1])
    return Change(put_twins=twins, put_relationships=(link,), idempotency_key=name)


def write(folder, schema, units):
    """Open the site and write from several threads until killed."""
    twin = Twin.open(folder, schema, site="campus", units=units)
    start = twin.snapshot().revision
    os.write(1, f"open {start}\n".encode())

    def work(worker):
        for step in range(100_000):
            name = f"{start}-{worker}-{step}"
            revision = twin.apply(change_of(twin.base, schema, name)).revision
            os.write(1, f"ack {revision} {name}\n".encode())

    for worker in range(THREADS):
        threading.Thread(target=work, args=(worker,)).start()


def main():
    schema, units = load_schema(), load_units()
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            os.write(1, f"pid {os.getpid()}\n".encode())
            write(Path(line.strip()), schema, units)
            return
        os.waitpid(child, 0)
        os.write(1, b"dead\n")


if __name__ == "__main__":
    main()
