"""Queries that are sent by a hash instead of a text: Apollo's automatic ones, and trusted documents.

Automatic: a client sends `extensions.persistedQuery` with the SHA-256 of its text; where nobody knows it yet
(PERSISTED_QUERY_NOT_FOUND) it sends both once. What is kept is bounded by entries and bytes, the oldest goes.

Trusted documents are read from a file or folder when the server starts: texts (`*.graphql`), Apollo's
manifest of operations, or a JSON object from ids to texts. `documentId` names them, or their hash as above.
With `trusted_only` no other text runs, at any door.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, cast

import orjson
from graphql import GraphQLSyntaxError, parse

from ontology.errors import AccessError, InputError, LimitError, NotFoundError, Place

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from api.config import Persisted

_FILES_MAX: Final = 10_000
_FILE_BYTES_MAX: Final = 16 << 20
_TEXTS_BYTES_MAX: Final = 64 << 20
_TEXT_SUFFIXES: Final = (".graphql", ".gql")
_SHA256: Final = "sha256:"
_APOLLO: Final = "apollo-persisted-query-manifest"


@dataclass(frozen=True, slots=True)
class Meant:
    """The text that a request means. learn: its hash, where it is to be kept once it has run."""

    text: str
    learn: str | None = None


@dataclass(frozen=True, slots=True)
class Trusted:
    """Trusted documents: texts by id and by the SHA-256 of the text."""

    by_id: Mapping[str, str] = field(default_factory=dict[str, str])
    texts: frozenset[str] = frozenset()


class PersistedQueries:
    """What hashes and ids stand for. Safe from any thread."""

    def __init__(self, settings: Persisted, trusted: Trusted | None = None) -> None:
        self._settings = settings
        self._trusted = trusted or Trusted()
        self._kept: OrderedDict[str, str] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    @property
    def size(self) -> tuple[int, int]:
        """(entries, bytes) of the automatic ones."""
        with self._lock:
            return len(self._kept), self._bytes

    def meant(self, body: Mapping[str, Any]) -> Meant | None:
        """The text that a request states or names; None where it does neither.

        NotFoundError PERSISTED_QUERY_NOT_FOUND, InputError PERSISTED_QUERY_INVALID or _MISMATCH.
        """
        text, named = body.get("query"), body.get("documentId")
        extensions = cast("Mapping[str, object]", body.get("extensions") or {})
        stated = extensions.get("persistedQuery")
        if named is not None:
            return Meant(self._named(named, text))
        if stated is None:
            return Meant(text) if isinstance(text, str) else None
        sha256 = _stated_hash(stated)
        if not isinstance(text, str):
            return Meant(self._found(sha256))
        if _hash(text) != sha256:
            message = "the hash is not that of the query"
            raise InputError(message, code="PERSISTED_QUERY_MISMATCH", hint="SHA-256 of its UTF-8, in hex")
        return Meant(text, sha256 if self._settings.automatic else None)

    def check_trusted(self, text: str) -> None:
        """AccessError DOCUMENT_NOT_TRUSTED where only trusted documents run and this is none."""
        if self._settings.trusted_only and text not in self._trusted.texts:
            raise AccessError(
                "only trusted documents run here",
                code="DOCUMENT_NOT_TRUSTED",
                hint="[persisted] documents of the server's settings",
            )

    def learn(self, sha256: str, text: str) -> None:
        """Keep a text that was found to be good."""
        size = len(text.encode())
        if size > self._settings.bytes_max or not self._settings.entries_max:
            return
        with self._lock:
            if sha256 in self._kept:
                self._kept.move_to_end(sha256)
                return
            self._kept[sha256] = text
            self._bytes += size
            while len(self._kept) > self._settings.entries_max or self._bytes > self._settings.bytes_max:
                _, dropped = self._kept.popitem(last=False)
                self._bytes -= len(dropped.encode())

    def _named(self, named: object, text: object) -> str:
        if not isinstance(named, str) or text is not None:
            message = "`documentId` is a text, and stands instead of `query`"
            raise InputError(message, code="PERSISTED_QUERY_INVALID")
        return self._found(named.removeprefix(_SHA256))

    def _found(self, key: str) -> str:
        trusted = self._trusted.by_id.get(key)
        if trusted is not None:
            return trusted
        if not self._settings.automatic and not self._trusted.by_id:
            raise InputError("PersistedQueryNotSupported", code="PERSISTED_QUERY_NOT_SUPPORTED")
        with self._lock:
            text = self._kept.get(key)
            if text is not None:
                self._kept.move_to_end(key)
                return text
        # Apollo's clients know the message; they send the text along then.
        raise NotFoundError("PersistedQueryNotFound", code="PERSISTED_QUERY_NOT_FOUND")


def _stated_hash(stated: object) -> str:
    fields = cast("dict[str, object]", stated) if isinstance(stated, dict) else {}
    sha256 = fields.get("sha256Hash")
    if fields.get("version") != 1 or not isinstance(sha256, str) or len(sha256) > 200:
        message = "`persistedQuery` needs version 1 and a sha256Hash"
        raise InputError(message, code="PERSISTED_QUERY_INVALID")
    return sha256


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


# Trusted documents


def load_trusted(settings: Persisted, folder: Path) -> Trusted:
    """The trusted documents that the settings name, relative to a folder.

    InputError TRUSTED_DOCUMENT_INVALID, TRUSTED_DOCUMENT_CONFLICT, CONFIG_UNREADABLE; LimitError
    TRUSTED_DOCUMENTS_TOO_LARGE.
    """
    if not settings.documents:
        if settings.trusted_only:
            message = "`trusted_only` needs `documents`"
            raise InputError(message, code="TRUSTED_DOCUMENT_INVALID", place=Place(item="persisted"))
        return Trusted()
    by_id: dict[str, str] = {}
    size = 0
    for path in _files(folder / settings.documents):
        for name, text in _documents(path):
            size += len(text)
            if size > _TEXTS_BYTES_MAX:
                raise LimitError("trusted documents are too large", code="TRUSTED_DOCUMENTS_TOO_LARGE")
            _check_syntax(text, path, name)
            for key in (name.removeprefix(_SHA256), _hash(text)):
                if by_id.setdefault(key, text) != text:
                    message = f"two documents have the id {key}"
                    raise InputError(message, code="TRUSTED_DOCUMENT_CONFLICT", place=Place(str(path)))
    return Trusted(by_id, frozenset(by_id.values()))


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(each for each in path.rglob("*") if each.suffix in (*_TEXT_SUFFIXES, ".json"))
    if len(found) > _FILES_MAX:
        raise LimitError(f"more than {_FILES_MAX:,} files", code="TRUSTED_DOCUMENTS_TOO_LARGE")
    return found


def _documents(path: Path) -> Iterator[tuple[str, str]]:
    """(id, text) of every document of a file."""
    content = _content(path)
    if path.suffix in _TEXT_SUFFIXES:
        yield path.stem, content.decode()
        return
    try:
        manifest: object = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise _invalid(path, f"is not JSON: {error}") from None
    fields = cast("dict[str, object]", manifest) if isinstance(manifest, dict) else {}
    pairs = _apollo_pairs(path, fields) if fields.get("format") == _APOLLO else list(fields.items())
    if not pairs:
        raise _invalid(path, "names no documents")
    for name, text in pairs:
        if not isinstance(text, str):
            raise _invalid(path, f"{name} is no text")
        yield name, text


def _apollo_pairs(path: Path, manifest: Mapping[str, object]) -> list[tuple[str, object]]:
    operations = manifest.get("operations")
    if manifest.get("version") != 1 or not isinstance(operations, list):
        raise _invalid(path, "is no manifest of version 1")
    pairs: list[tuple[str, object]] = []
    for item in cast("list[object]", operations):
        fields = cast("dict[str, object]", item) if isinstance(item, dict) else {}
        pairs.append((str(fields.get("id")), fields.get("body")))
    return pairs


def _content(path: Path) -> bytes:
    try:
        if path.stat().st_size > _FILE_BYTES_MAX:
            raise LimitError(f"{path} is too large", code="TRUSTED_DOCUMENTS_TOO_LARGE")
        content = path.read_bytes()
        content.decode()
    except OSError as error:
        message = f"cannot be read: {error.strerror}"
        raise InputError(message, code="CONFIG_UNREADABLE", place=Place(str(path))) from error
    except UnicodeDecodeError:
        raise _invalid(path, "is not UTF-8") from None
    return content


def _check_syntax(text: str, path: Path, name: str) -> None:
    try:
        parse(text, no_location=True)
    except GraphQLSyntaxError as error:
        raise _invalid(path, f"{name}: {error.message}") from None


def _invalid(path: Path, message: str) -> InputError:
    return InputError(message, code="TRUSTED_DOCUMENT_INVALID", place=Place(str(path)))
