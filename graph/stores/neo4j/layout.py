"""What a journal in Neo4j consists of: nodes `_Journal`, `_Commit` and `_Answer`, and the statements on them.

The rows are those of `graph.stores.layout`, digests and seal included. Every statement that writes begins by
writing to the node of the journal: so it holds the lock before it looks whether it may.
"""

from __future__ import annotations

from typing import Final

FORMAT_VERSION: Final = 1

CONSTRAINTS: Final = (
    "CREATE CONSTRAINT twinmesh_journal IF NOT EXISTS FOR (j:_Journal) REQUIRE j.site IS UNIQUE",
    """CREATE CONSTRAINT twinmesh_commit IF NOT EXISTS
    FOR (c:_Commit) REQUIRE (c.site, c.sequence) IS UNIQUE""",
    "CREATE CONSTRAINT twinmesh_answer IF NOT EXISTS FOR (a:_Answer) REQUIRE (a.site, a.key) IS UNIQUE",
    "CREATE INDEX twinmesh_commit_time IF NOT EXISTS FOR (c:_Commit) ON (c.site, c.time_ns)",
    "CREATE INDEX twinmesh_answer_number IF NOT EXISTS FOR (a:_Answer) ON (a.site, a.number)",
)

_HEAD: Final = "j.sequence, j.digest, j.epoch, j.answers_first, j.answers_last"

SITES: Final = "MATCH (j:_Journal) RETURN j.site ORDER BY j.site"
OPEN: Final = "MATCH (j:_Journal {site: $site}) RETURN j.base, j.format, j.made"
CREATE: Final = """MERGE (j:_Journal {site: $site})
ON CREATE SET j += $fields, j.turn = 0"""
READ_HEAD: Final = f"MATCH (j:_Journal {{site: $site}}) RETURN {_HEAD}, j.seal"

# Both give no row where somebody else moved the head meanwhile.
MOVE: Final = f"""MATCH (j:_Journal {{site: $site}})
SET j.turn = j.turn + 1
WITH j WHERE j.epoch = $epoch AND j.sequence = $sequence AND ($holder IS NULL OR j.holder = $holder)
SET j += $fields
RETURN {_HEAD}"""
HOLDER: Final = "MATCH (j:_Journal {site: $site}) RETURN j.holder"
APPEND: Final = """MATCH (j:_Journal {site: $site})
SET j.turn = j.turn + 1
WITH j WHERE j.epoch = $epoch AND j.sequence = $sequence
SET j += $fields
FOREACH (row IN $commits | CREATE (c:_Commit) SET c = row)
FOREACH (row IN $answers | CREATE (a:_Answer) SET a = row)
RETURN j.sequence"""
DROP_ANSWERS: Final = """MATCH (a:_Answer) WHERE a.site = $site AND a.number < $first DELETE a"""

_ENTRY: Final = "c.sequence, c.time_ns, c.author, c.message, c.payload, c.digest"
LAST: Final = """MATCH (j:_Journal {site: $site})
MATCH (c:_Commit {site: $site, sequence: j.sequence}) RETURN c.sequence, c.time_ns, c.digest"""
LAST_OF_ALL: Final = """MATCH (c:_Commit {site: $site}) WHERE c.sequence > 0
RETURN c.sequence, c.time_ns, c.digest ORDER BY c.sequence DESC LIMIT 1"""
IDENTITY: Final = """MATCH (j:_Journal {site: $site})
OPTIONAL MATCH (c:_Commit {site: $site, sequence: j.sequence})
RETURN j.made, j.base, j.sequence, c.sequence, c.time_ns, c.digest"""
ENTRIES: Final = f"""MATCH (c:_Commit) WHERE c.site = $site AND c.sequence > $after AND c.sequence <= $until
RETURN {_ENTRY} ORDER BY c.sequence"""
AT_TIME: Final = """MATCH (c:_Commit) WHERE c.site = $site AND c.time_ns <= $time_ns
RETURN max(c.sequence)"""
DIGEST: Final = "MATCH (c:_Commit {site: $site, sequence: $sequence}) RETURN c.digest"
ANSWER: Final = "MATCH (a:_Answer {site: $site, key: $key}) RETURN a.key, a.request, a.revision, a.result"
ANSWERS: Final = """MATCH (a:_Answer {site: $site})
RETURN a.number, a.digest, a.key, a.request, a.revision, a.result ORDER BY a.number"""
