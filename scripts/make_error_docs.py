"""Write docs/errors.md from the source: every stable code, what it says and where it comes from.

`--check` writes nothing and exits 1 if the document is not what the source says.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("ontology", "graph", "simulation", "adapters", "federation", "api")
CODE = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)+|USAGE|INTERNAL|FORBIDDEN")
ENVIRONMENT = re.compile(
    r"TWINMESH_|LC_|OMP_|MKL_|OPENBLAS_|NUMBA_|XDG_|SQLITE_|BYTE_STREAM_|DELTA_BINARY_|CACHE_DIR$"
)
TEXTS_SHOWN = 3
HEADER = """# Error codes

Every error carries a stable code. On the command line: `error: CODE: place: message (hint: ...)` on stderr,
exit 1 (2 for wrong usage). In GraphQL: `extensions.code`. Over HTTP: problem+json with the same code.
Warnings of an import use codes too; they do not stop it.

Made by `scripts/make_error_docs.py` from the source; `{...}` stands for what was found.

| code | says | from |
|---|---|---|
"""


# Codes whose message is put together elsewhere than where the code stands.
SPOKEN = {
    "ALARMS_CORRUPT": "the log of alarms is damaged: its hash chain does not hold",
    "ALARMS_FAILED": "the disk or SQLite refuses the log of alarms",
    "ALARM_COMMENT": "the comment of an alarm is too long",
    "ALARM_RULE": "an [[alarms]] table contradicts itself, or says too little",
    "ALARM_SHELVE": "an alarm is shelved for a limited time only",
    "ALARM_STATE": "the alarm was acknowledged before, or is over",
    "AMQP_NOT_CONNECTED": "the AMQP broker cannot be reached: nothing left",
    "AMQP_UNCONFIRMED": "the AMQP broker did not confirm in time: the message may have arrived",
    "ATTRIBUTE_CONFLICT": "two sources state one attribute differently",
    "ATTRIBUTE_INVALID": "an attribute that steers cascades has a value it cannot have",
    "ATTRIBUTE_OVERRIDDEN": "a source states something else than a user set; the user's value stays",
    "BACKUP_DAMAGED": "a file or a site of a backup is not what its manifest says; nothing was restored",
    "BACKUP_FAILED": "the disk refused while a backup was made; nothing is left behind",
    "BACKUP_INCOMPLETE": "a folder without a manifest is no backup, or one that was never finished",
    "BACKUP_SPACE": "the disk has no room for the backup; told before anything is copied",
    "BACKUP_TARGET": "a backup goes into a new or empty folder outside the sites; nothing is overwritten",
    "BLANK_NODE_TWIN": "a blank node with a type of its own is kept as a statement, not made a twin",
    "BODY_TOO_SLOW": "the body of a peer's request took longer than `[federation] deadline_s`",
    "CHANGE_INVALID": "a change breaks the schema; every violation is listed",
    "CHECKPOINT_CORRUPT": "a checkpoint is not what was written; an older one or the journal is read",
    "CHECKPOINT_FOREIGN": "a checkpoint is of another site, journal or vocabulary; it is not used",
    "CHECKPOINT_VERSION": "a newer twinmesh wrote the checkpoint; an older one or the journal is read",
    "COLUMNS_INVALID": "columns of a change do not fit together",
    "COMMANDS_CORRUPT": "the log of commands is damaged: its hash chain does not hold",
    "COMMANDS_FAILED": "the disk or SQLite refuses the log of commands: nothing is sent that is not kept",
    "COMMANDS_NOT_BOUND": "no way to the field is bound to this point",
    "COMMANDS_TOO_MANY": "as many commands of the site are under way as may be",
    "COMMAND_EXPIRED": "the command's time was up unconfirmed; the message says whether it had left",
    "COMMAND_INTERLOCK_UNKNOWN": "an input of an interlock has no good reading, which blocks the command",
    "COMMAND_NOT_CONFIRMED": "the device acknowledged the command, and the point never said so",
    "COMMAND_NOT_SENT": "the gateway could not be reached: nothing left",
    "COMMAND_OWN": "who gave a command cannot approve it",
    "COMMAND_PENDING": "another command to the same point is under way",
    "COMMAND_RATE": "commands to this point come too soon after each other, or change too fast",
    "COMMAND_VALUE": "the point holds another type of value",
    "CONTRACT_AGGREGATES_ONLY": "the contract lets figures out, and no twins",
    "CONTRACT_ATTRIBUTE": "no readings over time leave: the contract has to name `history` and `value`",
    "CONTRACT_CHANGED": "a contract got a new version while a cascade of that partner was under way",
    "CONTRACT_EXPIRED": "the contract with this partner has ended: nothing leaves",
    "CSV_ENCODING": "the file is not UTF-8",
    "CSV_SYNTAX": "a row has too many or too few cells, or a quote is not closed",
    "DISTRIBUTION_INVALID": "hours are a number or a distribution such as weibull(2,500)",
    "DOCUMENT_NOT_TRUSTED": "this server runs trusted documents alone, and the query is none of them",
    "END_EXTERNAL": "a relationship leads to a twin that no site of the folder has; a stub stands for it",
    "END_KIND": "the relation does not take ends of this kind",
    "ENVELOPE_LIFETIME": "an envelope claims to be good for longer than any is, or for no time",
    "EXPORT_INVALID": "a stream of lines needs one root with pages and nothing but `nodes` in it",
    "EXPORT_TRUNCATED": "the walk met its budget: what was streamed is not all there is",
    "EXPORT_UNFIT": "something in the sites cannot be said in the files of the offline import; says what",
    "EXPRESSION_INVALID": "a condition of an interlock or alarm is more than comparisons of points",
    "FEDERATION_FAILED": "the disk or SQLite refuses `federation.sqlite`",
    "FILTER_OPERAND": "an operator of a filter does not take this operand",
    "FILTER_TOO_LARGE": "a filter has more parts than are read",
    "FOLLOWER_LAGGING": "/readyz of a follower: what it shows may be older than `[follow] lag_s_max`",
    "FOLLOWER_STOPPED": "/readyz of a follower: the thread that follows the journals has ended",
    "FORBIDDEN": "the role may not do this",
    "GRAPH_LAGGING": "/readyz: the graph in Neo4j is behind for longer than `[store] graph_lag_s_max`",
    "GRAPHQL_ERROR": "an error of the GraphQL engine itself",
    "GRAPHQL_EXECUTION": "a field of the query could not be answered",
    "GRAPHQL_INVALID": "the query does not fit the schema",
    "GRAPHQL_SYNTAX": "the query is no GraphQL",
    "GROUP_DISAGREES": "rows of one need group state different values",
    "GROUP_INVALID": "the name of a need group cannot be used",
    "HISTORY_CORRUPT": "the file of readings is damaged, or says what cannot be",
    "IDEMPOTENCY_REUSED": "the idempotency key was used for other work",
    "IFC_CONTAINED_TWICE": "an element is contained in two places",
    "IFC_DUPLICATE_GUID": "a GlobalId belongs to two objects",
    "IFC_DUPLICATE_INSTANCE": "an instance number stands twice",
    "IFC_FLOW_CONFLICT": "two sources or two sinks are connected",
    "IFC_GUID_INVALID": "a GlobalId is not 22 digits of base 64",
    "IFC_GUID_MISSING": "an object has no GlobalId",
    "IFC_MEDIUM_CONFLICT": "an element is in systems of different media",
    "IFC_PORT_UNOWNED": "a port belongs to no element",
    "IFC_PROJECTS": "the file holds more than one project",
    "IFC_UNIT_UNKNOWN": "a unit is not known; the value is kept without one",
    "IFC_VALUE_INVALID": "a value is not of the type its schema demands; it is left out",
    "IMPACTS_CORRUPT": "the log of finished cascades is damaged: its hash chain does not hold",
    "IMPACTS_FAILED": "the disk or SQLite refuses `impacts.sqlite`, so a cascade could not be written down",
    "INPUT_INVALID": "a file, a cell, a document or a scenario is wrong",
    "INTROSPECTION_DENIED": "the settings tell the schema to admins only",
    "JOINT_BOUNDARY": "two servers share more boundary twins in a cascade than is allowed",
    "JOINT_BUSY": "a partner sent a message of a cascade while its last one was still being worked on",
    "JOINT_EVENT_DENIED": "an event for a partner's twin that the contract does not name or show",
    "JOINT_LETTER_TOO_LARGE": "what a cascade tells a partner fits no letter; fewer runs at once may",
    "JOINT_PART_FAILED": "a server cannot compute its part of a cascade; a cascade of its own says why",
    "JOINT_PLAN_UNKNOWN": "a kept plan of a cascade that does not hold any more; all make a new one",
    "JOINT_SESSIONS": "too many cascades of partners are under way",
    "JOINT_SESSION_UNKNOWN": "no such cascade is under way here, or its age or a restart ended it",
    "JOINT_UNSETTLED": "a cascade of several servers did not come to rest: bounds are told",
    "JOURNAL_LOG": "a write-ahead log is damaged, or ends in the middle of a transaction",
    "KAFKA_NOT_INSTALLED": "settings ask for Kafka, whose client is an extra; the hint says how to get it",
    "KEY_UNREADABLE": "the private key of the folder is damaged, or the disk refuses it",
    "KIND_DEPRECATED": "the vocabulary has replaced this kind",
    "LIMIT_EXCEEDED": "a stated limit was reached; nothing was done by half",
    "BACKUP_UNSUPPORTED": "the journals are in a database: back that up, or bring the sites into a folder",
    "MIGRATION_FOREIGN": "the target of a transfer holds another journal of that site; nothing was changed",
    "PUSHDOWN_UNSUPPORTED": "the question cannot be answered inside Neo4j as the columns would answer it",
    "STORE_BEHIND": "the graph of a site in Neo4j is still being loaded; whoever writes the site does that",
    "STORE_MODE": "[store] mode is none that there is, or one that needs a Neo4j",
    "STORE_AUTH": "Neo4j refuses the user or the password of [store]",
    "STORE_HALTED": "Neo4j could not write its log and stopped itself: its disk is full, most often",
    "STORE_CONSTRAINT": "a constraint of another program's refuses what is to be written to Neo4j",
    "STORE_FOREIGN_CHANGE": "another program changed the graph of a site in Neo4j",
    "STORE_FOREIGN_NODE": "Neo4j holds nodes with the label Entity that have no id",
    "MIGRATION_BUSY": "another process reads the journal that is to be migrated",
    "MIGRATION_FAILED": "the disk refused, or the copy says something else; the old journal still counts",
    "MIGRATION_SPACE": "the disk has no room for the backup and the new journal; nothing was changed",
    "NAMED_GRAPH": "statements of named graphs are read, their graph names are not kept",
    "NODESET_DUPLICATE": "a node of a NodeSet2 file is stated twice",
    "NODESET_NODE_ID": "a node id of a NodeSet2 file is none, or names a namespace that the file does not",
    "NODESET_SYNTAX": "a NodeSet2 file is no well-formed XML, or nests too deep",
    "NODESET_VALUE": "the value of a property is not of its type",
    "NONCES_FULL": "so many envelopes of this peer could still be replayed that no more are taken",
    "NOT_FOUND": "there is no such thing",
    "OPCUA_LINE": "an OPC UA server could not be browsed",
    "OPERATION_UNKNOWN": "the document has no operation of this name",
    "OVERLOADED": "too many requests wait already (`[limits] waiting_max`); 503 with Retry-After",
    "PART_OF_CYCLE": "something would be a part of itself",
    "PAYLOAD_SYNTAX": "a message is not JSON",
    "PEER_KEY_CHANGED": "a peer shows another key than the one that was pinned",
    "PEER_NAME_TAKEN": "another peer has this name",
    "PEER_TIMEOUT": "a peer did not answer within the deadline",
    "PEER_UNREACHABLE": "no connection to a peer, or its certificate does not hold",
    "PERSISTED_QUERY_INVALID": "the reference to a persisted query is not formed as it must be",
    "PERSISTED_QUERY_MISMATCH": "the hash that was sent is not that of the query beside it",
    "PERSISTED_QUERY_NOT_FOUND": "nobody knows the hash or id; send the text along once",
    "PERSISTED_QUERY_NOT_SUPPORTED": "neither automatic persisted queries nor trusted documents are on",
    "POINTER_MISSING": "a message has nothing where the JSON pointer leads",
    "PORT_TAKEN": "another program listens on this port",
    "PRIVACY_ALLOWANCE": "a contract's budget for private answers is not formed as it must be",
    "PRIVACY_BOUNDS": "the bounds that values are clamped to are no range",
    "PRIVACY_BOUNDS_FROM_DATA": "bounds taken from the data would tell its smallest and largest value",
    "PRIVACY_BUDGET_SPENT": "the partner's epsilon is spent; the message says what is left, and until when",
    "PRIVACY_COLUMNS": "the columns of a private question do not fit together",
    "PRIVACY_EPSILON": "epsilon is out of range",
    "PRIVACY_FIGURE": "that is no figure which is given privately",
    "PRIVACY_FILTER": "that is no condition which a private question may have",
    "PRIVACY_GROUPS": "the groups of a private question are none, too many, too long or twice the same",
    "PRIVACY_LEDGER": "the ledger of private answers is damaged, of another version, or its disk refuses",
    "PRIVACY_NOT_INSTALLED": "OpenDP is not installed here; the hint says how to get it",
    "PRIVACY_NOT_SHARED": "the contract does not share this as private figures, or there is no such thing",
    "PRIVACY_QUANTILE": "the quantile is missing, out of range, or beside another aggregate",
    "PRIVACY_ROWS": "a private question concerns more rows than are looked at",
    "QUERY_FAILED": "the server refused the query, or answered it with errors",
    "QUERY_FORMAT": "a peer speaks another version of federated queries",
    "QUERY_TOO_COSTLY": "the query would cost more than allowed; the numbers stand in the message",
    "QUERY_TOO_LARGE": "the query has more tokens than allowed",
    "RATE_LIMITED": "more requests a minute than are taken",
    "RDF_EMPTY": "the file holds no statement",
    "RDF_REMOTE_CONTEXT": "a JSON-LD context on another server is never fetched",
    "RDF_SYNTAX": "the document is not what its format demands",
    "RDF_UNREADABLE": "the document cannot be read",
    "RELATIONSHIP_DUPLICATE": "the same relationship stands twice",
    "RELATIONSHIP_UNKNOWN": "the graph has no such relationship",
    "REPLICA_FAILED": "a replica is damaged, of another version, or its disk refuses; it can be made anew",
    "REPLICA_FOREIGN": "the replica at this place is of another peer or base",
    "REPLICA_FULL": "a peer sends more twins than a replica may hold",
    "RESTORE_FAILED": "the disk refused while a backup came back; nothing is left behind",
    "RESTORE_SPACE": "the disk has no room for what the backup holds",
    "RESTORE_TARGET": "a backup comes back into a new or empty folder; nothing is overwritten",
    "REVISION_CONFLICT": "the world moved on: the expected revision is not the present one",
    "REVISION_NOT_REACHED": "the asked revision was not reached in time",
    "ROUTES_CORRUPT": "`routes.sqlite` is damaged: cursors and dead letters of routes cannot be read",
    "ROUTES_FAILED": "the disk or SQLite refuses `routes.sqlite`",
    "ROUTE_NAME": "two routes have one name",
    "ROUTE_SECRET": "the secret of a webhook is missing, too short or no base64",
    "ROUTE_URL": "the URL of a webhook is none",
    "SCENARIOS_SPENT": "a partner started as many scenarios today as its contract allows",
    "SEAL_BROKEN": "bytes of a closed site changed since it was closed; the place is named",
    "SITE_BASE_FIXED": "the base IRI of a site is fixed at its first import",
    "SPARQL_MEMORY": "a SPARQL query takes more memory than `sparql.memory_mb`; it was ended",
    "SPARQL_QUERY_MISSING": "a request to `/sparql` has no query, or several",
    "SPARQL_RESULT_TOO_LARGE": "the answer to a SPARQL query has more than `sparql.result_bytes_max` bytes",
    "SPARQL_SERVICE_OFF": "a SPARQL query calls another endpoint by SERVICE; that is off",
    "SPARQL_TIMEOUT": "a SPARQL query takes longer than `sparql.wall_s`; it was ended",
    "SPARQL_TOO_LARGE": "what the asker sees is too much for a store of triples",
    "SERIES_LENGTH": "the lists of a message with many readings differ in length, or are too long",
    "SPARKPLUG_BINDING": "a metric is bound to a point that is not there, or that several twins are called",
    "SPARKPLUG_EDGES": "more Sparkplug edges than a server keeps",
    "SPARKPLUG_LINE": "the broker cannot be listened to for births",
    "SPARKPLUG_METRIC_UNKNOWN": "data of a metric that no birth named; the edge is asked again",
    "SPARKPLUG_POINTS": "births would make more points than `points_max`",
    "SPARKPLUG_UNBORN": "data of an edge or device that bore nothing yet; it is asked for its birth",
    "STATE_UNKNOWN": "a device sent a state that the binding does not name",
    "STORE_FAILED": "the store failed; nothing was acknowledged",
    "STORE_FENCED": "another process became the writer of this site; this one may not write any more",
    "STORE_LOCKED": "another process writes this site; the hint has the URL that it serves",
    "STORE_MEMORY": "Neo4j allows a transaction less memory than one of ours needs, as small as it was made",
    "STORE_TIMED_OUT": "Neo4j ended a transaction after its `db.transaction.timeout`",
    "STORE_READ_ONLY": "the site takes no changes: it is only read here, or its disk refuses",
    "STORE_SITE": "the folder holds another site",
    "SUBGRAPH_NAME": "the name of a subgraph is a small letter, then small letters and digits",
    "SUBSCRIPTION_FAILED": "the server refused a subscription, or ended it with errors",
    "SYNC_BASE_TAKEN": "a peer's site has the base IRI of another site here: whose would a twin be?",
    "SYNC_NOT_SHARED": "the contract does not share this site, or there is none",
    "SYNC_TWIN_TOO_LARGE": "one twin has more relationships than a message between servers can hold",
    "TIME_RANGE": "a time is beyond what can be kept",
    "TIME_SYNTAX": "a text is not an ISO 8601 time",
    "TIME_ZONE_MISSING": "a time has no zone",
    "TOO_MANY_ALIASES": "the query has more aliases than allowed",
    "TOO_MANY_DIRECTIVES": "the query has more directives than allowed",
    "TOO_MANY_REPEATS": "one field or fragment stands more often side by side than allowed",
    "TRUSTED_DOCUMENTS_TOO_LARGE": "trusted documents are more, or larger, than are read",
    "TRUSTED_DOCUMENT_CONFLICT": "two trusted documents have one id",
    "TRUSTED_DOCUMENT_INVALID": "a file of trusted documents cannot be understood; it is named",
    "USAGE": "the command or the request is formed wrongly",
    "VALUE_TWICE": "one single-valued attribute has two values",
    "VARIABLES_TOO_DEEP": "the variables are nested deeper than any query needs",
    "VARIABLES_TOO_MANY": "the variables hold more values than allowed",
    "WORKER_FAILED": "a follower process ended before it was ready; stderr says why",
}


@dataclass(frozen=True, slots=True)
class Use:
    code: str
    text: str
    room: str


def uses_in(path: Path) -> Iterator[Use]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    room = path.relative_to(ROOT).parts[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield from (Use(code, message_of(node, code), room) for code in codes_of(node))
        elif isinstance(node, ast.Tuple | ast.Return):
            yield from (Use(code, "", room) for code in codes_handed_on(node))
        elif isinstance(node, ast.AnnAssign | ast.Assign) and node.value is not None:
            named = ast.unparse(node.targets[0] if isinstance(node, ast.Assign) else node.target)
            if named == "default_code" and is_code(node.value):
                yield Use(ast.literal_eval(node.value), "", room)


def codes_of(call: ast.Call) -> list[str]:
    """Codes among the direct arguments of a call, through `a if b else c`."""
    arguments = [*call.args, *(keyword.value for keyword in call.keywords)]
    spread = [
        part
        for item in arguments
        for part in ([item.body, item.orelse] if isinstance(item, ast.IfExp) else [item])
    ]
    return [ast.literal_eval(item) for item in spread if is_code(item)]


def codes_handed_on(node: ast.Tuple | ast.Return) -> list[str]:
    """Codes that another place makes an error of: in front of a tuple, or returned."""
    first = node.elts[:1] if isinstance(node, ast.Tuple) else [node.value]
    spread = [
        part
        for item in first
        for part in ([item.body, item.orelse] if isinstance(item, ast.IfExp) else [item])
    ]
    return [ast.literal_eval(item) for item in spread if item is not None and is_code(item)]


def is_code(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and bool(CODE.fullmatch(node.value))


def message_of(call: ast.Call, code: str) -> str:
    """The longest text among the arguments that is not the code: by our habit, the message."""
    texts = [text_of(item) for item in call.args]
    texts += [text_of(keyword.value) for keyword in call.keywords if keyword.arg == "message"]
    texts = [text for text in texts if " " in text and text != code]
    return max(texts, key=len, default="")


def text_of(node: ast.AST) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(part) if isinstance(part, ast.Constant) else "{...}" for part in node.values)
    return ""


def sources(package: str) -> list[Path]:
    """The demo writes an IFC file, whose enumerations look like codes; it has no errors of its own."""
    return [path for path in sorted((ROOT / package).rglob("*.py")) if "demo" not in path.parts]


def says(code: str, texts: list[str]) -> str:
    return SPOKEN.get(code) or "; ".join(texts[:TEXTS_SHOWN])


def document() -> str:
    uses = [use for name in PACKAGES for path in sources(name) for use in uses_in(path)]
    texts: dict[str, dict[str, None]] = defaultdict(dict)
    rooms: dict[str, dict[str, None]] = defaultdict(dict)
    for use in uses:
        if ENVIRONMENT.match(use.code):
            continue
        rooms[use.code][use.room] = None
        if use.text:
            texts[use.code][use.text.replace("|", "\\|").replace("\n", " ")] = None
    rows = [
        f"| `{code}` | {says(code, list(texts[code]))} | {', '.join(rooms[code])} |" for code in sorted(rooms)
    ]
    return HEADER + "\n".join(rows) + "\n"


def main(arguments: list[str]) -> int:
    target = ROOT / "docs" / "errors.md"
    made = document()
    if "--check" in arguments:
        return 0 if target.is_file() and target.read_text(encoding="utf-8") == made else 1
    target.write_text(made, encoding="utf-8")
    print(f"docs/errors.md: {made.count(chr(10) + '| `')} codes")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
