"""Ids: what counts as an IRI, how a local id becomes one and comes back (INTERFACE section 1)."""

from __future__ import annotations

import re
from hashlib import blake2b
from urllib.parse import quote, unquote

_SCHEMES_WITHOUT_SLASHES = ("urn:", "dtmi:", "tag:")
# What RFC 3987 (and every RDF syntax) forbids inside an IRI.
_FORBIDDEN_IN_IRI = re.compile(r'[\x00-\x20<>"{}|\\^`]')
FORBIDDEN_IN_IRI = bytes(range(0x21)) + b'<>"{}|\\^`'
_SITE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_DERIVED_RELATIONSHIP = re.compile(r"rel/([0-9a-f]{8})[0-9a-f]{16}([0-9a-f]{8})[0-9a-f]{32}$")
# A path segment of only dots would be eaten when a client normalises the IRI.
_DOT_SEGMENTS = {".": "%2E", "..": "%2E%2E"}


def is_iri(text: str) -> bool:
    """True if a text is an IRI, no local id: it holds `://` or starts with `urn:`, `dtmi:` or `tag:`."""
    return "://" in text or text.startswith(_SCHEMES_WITHOUT_SLASHES)


def is_valid_iri(text: str) -> bool:
    """True if the text is an IRI that every RDF syntax can carry."""
    return is_iri(text) and not _FORBIDDEN_IN_IRI.search(text)


def is_site_name(text: str) -> bool:
    """True if the text may name a site (it names a folder and stands before the colon of `site:localId`)."""
    return bool(_SITE_NAME.fullmatch(text))


def default_base(site: str) -> str:
    """The base IRI of a site for which none was given."""
    return f"https://twinmesh.invalid/{site}/"


def local_iri(base: str, local_id: str) -> str:
    """The IRI of a local id: base + the id percent-encoded as one path segment."""
    return base + (_DOT_SEGMENTS.get(local_id) or quote(local_id, safe=""))


def local_id_of(iri: str, base: str) -> str:
    """The local id from which `local_iri` makes this IRI; the IRI itself where there is none."""
    if not iri.startswith(base):
        return iri
    local_id = unquote(iri[len(base) :], errors="strict") if _decodes(iri[len(base) :]) else iri
    return local_id if local_iri(base, local_id) == iri else iri


def relationship_iri(base: str, source: str, relation: str, target: str, group: str = "") -> str:
    """The id of a relationship without one of its own: derived from its key, so equal in every copy.

    It begins with digests of its ends, so that it is found through them and nothing is kept for each.
    """
    way = blake2b(f"{relation}\0{group}".encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    return f"{base}rel/{_end_digest(source)}{_end_digest(target)}{way}"


def end_key(iri: bytes) -> int:
    """What the digest of an end (its IRI as UTF-8) begins with, 32 bits; see `ends_of_derived`."""
    return int.from_bytes(blake2b(iri, digest_size=12).digest()[:4], "big")


def ends_of_derived(relationship: str) -> tuple[int, int] | None:
    """`end_key` of source and target of a derived relationship id; None if the IRI is none."""
    found = _DERIVED_RELATIONSHIP.search(relationship)
    return (int(found[1], 16), int(found[2], 16)) if found else None


def _end_digest(iri: str) -> str:
    return blake2b(iri.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


def _decodes(segment: str) -> bool:
    try:
        unquote(segment, errors="strict")
    except UnicodeDecodeError:
        return False
    return True
