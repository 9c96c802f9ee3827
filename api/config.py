"""One TOML file and the environment make the settings; an unknown key is an error.

`[limits] cost_max = 5000` in the file is `TWINMESH_LIMITS__COST_MAX=5000` in the environment, which wins. A
secret may come from a file: `TWINMESH_AUTH__ADMIN_TOKEN_FILE=/run/secrets/token`. Lists there are JSON.
"""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from graph.readings.policy import HistoryPolicy
from ontology.errors import InputError, Place, Problem, suggestion

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PREFIX: Final = "TWINMESH_"
# What a data folder's own twinmesh.toml says about the folder; see `graph.mesh`.
_OF_THE_FOLDER: Final = frozenset({"format"})
_SECRETS: Final = frozenset({("auth", "admin_token"), ("store", "password")})

Plain: TypeAlias = "bool | int | float | str | tuple[str, ...] | None"


@dataclass(frozen=True, slots=True)
class Server:
    hosts: tuple[str, ...] = ()  # further names this server may be called by, besides loopback
    origins: tuple[str, ...] = ()  # further origins whose pages may call, e.g. "https://ops.example"
    drain_s: float = 30.0
    tls_certificate: str = ""  # PEM files, relative to the data folder; with both, https alone is spoken
    tls_key: str = ""
    tls_client_trust: str = ""  # authorities: callers must show a certificate of one of them (mutual TLS)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may cost. See `api.limits` for the cost rule."""

    body_bytes_max: int = 1 << 20
    ingest_bytes_max: int = 8 << 20
    ingest_waiting_bytes_max: int = 64 << 20  # of all bodies that wait to be recorded; further ones: 503
    import_bytes_max: int = 256 << 20
    text_max: int = 65_536  # characters; data belongs into variables
    tokens_max: int = 4_000
    variables_max: int = 100_000  # values in the variables, at any depth
    depth_max: int = 20
    aliases_max: int = 250
    repeats_max: int = 20
    directives_max: int = 100
    cost_max: int = 1_000_000
    nodes_max: int = 200_000
    wall_s: float = 10.0
    waiting_max: int = 200  # requests that run or wait for a thread; further ones are refused
    introspection: bool = True  # False: only admins may ask for the schema


@dataclass(frozen=True, slots=True)
class Persisted:
    """Queries that are sent by their hash. See `api.persisted`."""

    automatic: bool = True  # Apollo's automatic persisted queries
    entries_max: int = 1_000
    bytes_max: int = 8 << 20
    documents: str = ""  # trusted documents: a file or folder, relative to the data folder
    trusted_only: bool = False  # nothing else is run


@dataclass(frozen=True, slots=True)
class Auth:
    admin_token: str | None = None  # a ready admin token for the first start; give it as a file
    tokens_kept_max: int = 1_000


@dataclass(frozen=True, slots=True)
class JobLimits:
    threads: int = 2
    queue_max: int = 32
    kept_max: int = 200
    impacts_kept_max: int = 10_000  # finished cascades in `impacts.sqlite`; see `docs/events.md`
    answer_at_once_s: float = 1.5  # small work is answered in the mutation itself


@dataclass(frozen=True, slots=True)
class Streams:
    open_max: int = 1_000  # sockets and event streams together
    per_socket_max: int = 100
    heartbeat_s: float = 12.0


@dataclass(frozen=True, slots=True)
class Follow:
    """Of `serve --follow`."""

    poll_s: float = 0.02  # how often the journals are looked at for the sake of subscriptions
    lag_s_max: float = 10.0  # /readyz is 503 where what is shown may be older than this


@dataclass(frozen=True, slots=True)
class Federation:
    """What other servers may do here, and how long they are waited for. See `docs/federation.md`."""

    body_bytes_max: int = 1 << 20
    answer_bytes_max: int = 1 << 20
    clock_skew_s_max: float = 30.0  # how far two clocks may be apart
    hops_max: int = 8
    deadline_s: float = 5.0  # for a peer's answer, and for the body of a peer's request
    identity_per_minute: int = 120  # of one address, which needs no key
    calls_per_minute: int = 6_000  # of one address, before anything is verified
    hello_per_minute: int = 60  # of one peer
    private_per_minute: int = 30  # private figures, of one peer; its contract may say less
    sync_per_minute: int = 600  # pages of replicas, to one peer; its contract may say less
    sync_interval_s: float = 0.0  # how often replicas of peers are brought up to date; 0: by hand only
    sync_pages_max: int = 2_000  # of one site in one go
    replica_twins_max: int = 1_000_000
    query_deadline_s: float = 2.0  # for all answers of one peer to one query
    query_pause_s: float = 5.0  # a peer that did not answer is not asked again for so long
    query_per_minute: int = 3_000  # of one peer, whatever its contract says
    query_rounds_max: int = 24  # times that peers are asked for one query, each time about what was learnt
    refresh_s: float = 10.0  # how often peers are asked what their contracts show
    cascade_message_s: float = 15.0  # for a peer's answer within a cascade
    cascade_s: float = 300.0  # for a whole cascade with peers; then bounds
    plain_hosts: tuple[str, ...] = ()  # further hosts, besides loopback, that are called without TLS
    tls_trust: str = ""  # a PEM file of authorities for peers' certificates, besides those of the system
    tls_certificate: str = ""  # shown to peers that ask for one (mutual TLS)
    tls_key: str = ""


@dataclass(frozen=True, slots=True)
class HistorySettings:
    """How long readings are kept, and roll-ups of them; 0: for ever. See `docs/history.md`."""

    raw_days: float = 0.0
    minute_days: float = 0.0
    hour_days: float = 0.0
    flush_rows: int = 1_000_000  # readings in memory before a segment is made of them
    merge_rows_max: int = 32_000_000

    @property
    def policy(self) -> HistoryPolicy:
        """UsageError HISTORY_POLICY."""
        return HistoryPolicy(
            self.raw_days,
            self.minute_days,
            self.hour_days,
            flush_rows=max(1, self.flush_rows),
            merge_rows_max=max(1, self.merge_rows_max),
        )


@dataclass(frozen=True, slots=True)
class Subgraph:
    """Of supergraphs of Apollo Federation with several twinmesh servers. See `docs/standards.md`."""

    name: str = ""  # stands before the roots and object types at `/subgraph`; empty: no such door
    typed: bool = True  # False: no types and roots by kind, so nothing that follows the data


@dataclass(frozen=True, slots=True)
class Sparql:
    """What `/sparql` may take. See `docs/standards.md`."""

    wall_s: float = 10.0  # of one query; then the kernel ends it
    memory_mb: int = 512  # of one query, beyond the store
    result_bytes_max: int = 16 << 20
    query_bytes_max: int = 65_536
    running_max: int = 2  # queries at a time
    waiting_max: int = 20  # queries that run or wait; further ones are refused
    stores_max: int = 3  # each is a process that holds what one scope sees
    store_mb: int = 4_096
    items_max: int = 500_000  # twins and relationships in a store
    stale_s: float = 0.0  # how old a store may be where there is a newer revision


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """Where journals are kept; see `docs/neo4j.md`."""

    url: str = ""  # of a Neo4j, e.g. "bolt://db.example:7687"; empty: SQLite in the folder
    user: str = "neo4j"
    password: str | None = None  # give it as a file
    database: str = ""  # empty: the user's home database
    mode: str = "memory"  # or "push-down": `serve` holds no graph, questions are answered inside Neo4j


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be set, with its default."""

    server: Server = field(default_factory=Server)
    limits: Limits = field(default_factory=Limits)
    persisted: Persisted = field(default_factory=Persisted)
    auth: Auth = field(default_factory=Auth)
    jobs: JobLimits = field(default_factory=JobLimits)
    streams: Streams = field(default_factory=Streams)
    follow: Follow = field(default_factory=Follow)
    federation: Federation = field(default_factory=Federation)
    subgraph: Subgraph = field(default_factory=Subgraph)
    sparql: Sparql = field(default_factory=Sparql)
    history: HistorySettings = field(default_factory=HistorySettings)
    store: StoreSettings = field(default_factory=StoreSettings)


def load_settings(
    path: Path | None = None, environment: Mapping[str, str] | None = None, *, foreign: Iterable[str] = ()
) -> Settings:
    """Settings from a TOML file (None: none) and the environment.

    `foreign` names sections of the same file that belong to others. InputError names every unknown key
    (CONFIG_UNKNOWN_KEY) and value of a wrong type (CONFIG_WRONG_TYPE).
    """
    tables = _read(path)
    for name in (*foreign, *_OF_THE_FOLDER):
        tables.pop(name, None)
    problems: list[Problem] = []
    overlay = _overlay(environment or {}, set(foreign), problems)
    settings = Settings()
    for section in sorted({*tables, *overlay}):
        settings = _with_section(
            settings, section, tables.get(section, {}), overlay.get(section, {}), path, problems
        )
    if problems:
        raise InputError.of(problems)
    return settings


def load_store(path: Path | None, environment: Mapping[str, str]) -> StoreSettings:
    """Only what says where journals are kept; other sections are not looked at. Raises as `load_settings`."""
    tables = _read(path)
    ours = {name: text for name, text in environment.items() if name.startswith(f"{PREFIX}STORE__")}
    problems: list[Problem] = []
    overlay = _overlay(ours, set(), problems).get("store", {})
    settings = _with_section(Settings(), "store", tables.get("store", {}), overlay, path, problems)
    if problems:
        raise InputError.of(problems)
    return settings.store


def masked(settings: Settings) -> dict[str, dict[str, Plain]]:
    """The effective settings as plain values, secrets hidden."""
    return {
        section.name: {
            item.name: "***" if (section.name, item.name) in _SECRETS and value else value
            for item in fields(part)
            for value in (getattr(part, item.name),)
        }
        for section in fields(settings)
        for part in (getattr(settings, section.name),)
    }


def _read(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"cannot be read: {error.strerror}", code="CONFIG_UNREADABLE", place=Place(str(path))
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"is not TOML: {error}", code="CONFIG_SYNTAX", place=Place(str(path))) from error


def _overlay(
    environment: Mapping[str, str], foreign: set[str], problems: list[Problem]
) -> dict[str, dict[str, str]]:
    overlay: dict[str, dict[str, str]] = {}
    for name, text in sorted(environment.items()):
        if not name.startswith(PREFIX):
            continue
        section, separator, key = name.removeprefix(PREFIX).lower().partition("__")
        if section in foreign:
            continue
        if not separator:
            problems.extend(_misspelt(name, section))
            continue
        secret = key.removesuffix("_file")
        if key.endswith("_file") and (section, secret) in _SECRETS:
            key, text = secret, _secret(Path(text), name, problems)
        overlay.setdefault(section, {})[key] = text
    return overlay


def _misspelt(name: str, rest: str) -> list[Problem]:
    """A setting with one underscore too few. Other names of our prefix are those of scripts."""
    section = rest.partition("_")[0]
    if section not in {item.name for item in fields(Settings)} or rest == section:
        return []
    hint = f"write {PREFIX}{section.upper()}__{rest.removeprefix(section + '_').upper()}"
    return [Problem("CONFIG_UNKNOWN_KEY", f"unknown setting {name}", Place(item=name), hint)]


def _secret(path: Path, name: str, problems: list[Problem]) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        problems.append(
            Problem("CONFIG_UNREADABLE", f"{name}: {error.strerror}", Place(str(path), item=name))
        )
        return ""


def _with_section(
    settings: Settings,
    section: str,
    table: object,
    overlay: Mapping[str, str],
    path: Path | None,
    problems: list[Problem],
) -> Settings:
    place = str(path) if path else None
    known = [item.name for item in fields(settings)]
    if section not in known:
        problems.append(_unknown(section, known, place))
        return settings
    if not isinstance(table, dict):
        problems.append(
            Problem("CONFIG_WRONG_TYPE", f"[{section}] must be a table", Place(place, item=section))
        )
        return settings
    stated: dict[str, object] = {**cast("dict[str, object]", table), **overlay}
    part = getattr(settings, section)
    accepted: dict[str, object] = {}
    for key, value in stated.items():
        fitting = _checked(part, section, key, value, place, from_text=key in overlay)
        if isinstance(fitting, Problem):
            problems.append(fitting)
        else:
            accepted[key] = fitting
    return replace(settings, **{section: replace(part, **accepted)})


def _checked(
    part: Any, section: str, key: str, value: object, place: str | None, *, from_text: bool
) -> object | Problem:
    """The value as its setting wants it, or what is wrong with it."""
    defaults = {item.name: getattr(part, item.name) for item in fields(part)}
    item = f"{section}.{key}"
    if key not in defaults:
        return _unknown(item, [f"{section}.{name}" for name in defaults], place)
    fitting = _fitting(value, defaults[key], from_text=from_text)
    if fitting is not _MISFIT:
        return fitting
    wanted = "str" if defaults[key] is None else type(defaults[key]).__name__
    shown = "the secret" if (section, key) in _SECRETS else repr(value)
    return Problem("CONFIG_WRONG_TYPE", f"{item} = {shown} does not fit {wanted}", Place(place, item=item))


def _unknown(item: str, known: list[str], path: str | None) -> Problem:
    return Problem(
        "CONFIG_UNKNOWN_KEY", f"unknown setting {item}", Place(path, item=item), suggestion(item, known)
    )


_MISFIT: Final = object()
_TRUTHS: Final = {"true": True, "1": True, "false": False, "0": False}


def _fitting(value: object, default: object, *, from_text: bool) -> object:
    """The value as the default's type, or _MISFIT. Texts of the environment are read as that type."""
    if isinstance(default, tuple):
        return _texts(value, from_text)
    if default is None or isinstance(default, str):
        return value if isinstance(value, str) else _MISFIT
    if isinstance(default, bool):
        value = _TRUTHS.get(str(value).lower()) if from_text else value
        return value if isinstance(value, bool) else _MISFIT
    if from_text:
        value = _number(str(value))
    if isinstance(value, bool) or not isinstance(value, int if isinstance(default, int) else int | float):
        return _MISFIT
    if value < 0:
        return _MISFIT
    return float(value) if isinstance(default, float) else value


def _texts(value: object, from_text: bool) -> object:
    if from_text:
        try:
            value = json.loads(str(value))
        except json.JSONDecodeError:
            return _MISFIT
    if not isinstance(value, list):
        return _MISFIT
    items = cast("list[object]", value)
    return tuple(cast("list[str]", items)) if all(isinstance(item, str) for item in items) else _MISFIT


def _number(text: str) -> object:
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return _MISFIT
