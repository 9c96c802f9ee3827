"""RDF files -> quads, without a network, with the place of what is wrong."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from pyoxigraph import BlankNode, NamedNode, Quad, parse

from adapters.rdf.config import FORMATS, TYPE
from ontology.errors import InputError, Place
from ontology.naming import PREFIXES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

Subject: TypeAlias = "NamedNode | BlankNode"
_PREFIX = re.compile(r"[Tt]he prefix ([^ ]*): has not been declared")
_WHERE = re.compile(r"^Parser error (?:at|between) [a-z0-9 ]*: ")


@dataclass(slots=True)
class Document:
    """The quads of a file, in its order, and (once `indexed`) how to find them."""

    quads: list[Quad]
    prefixes: Mapping[str, str]
    about: dict[Subject, list[Quad]] = field(default_factory=dict["Subject", "list[Quad]"])
    uses: Counter[BlankNode] = field(default_factory=Counter["BlankNode"])  # how often each is an object

    def predicates(self, subject: Subject) -> dict[str, list[Quad]]:
        """What is said of a subject, by predicate."""
        found: dict[str, list[Quad]] = defaultdict(list)
        for quad in self.about.get(subject, ()):
            found[quad.predicate.value].append(quad)
        return found


def read_document(path: Path, format_name: str, base: str) -> Document:
    """Reads a file; relative IRIs are resolved against `base`.

    Raises InputError RDF_SYNTAX, RDF_PREFIX (undeclared) or RDF_REMOTE_CONTEXT, with line and column, and
    RDF_EMPTY: an empty file is valid RDF, but never what somebody meant to import.
    """
    try:
        parser = parse(path=path, format=FORMATS[format_name], base_iri=base)
        quads = [quad for quad in parser if isinstance(quad, Quad)]
    except SyntaxError as error:
        raise _input_error(error, path, format_name) from error
    except (OSError, ValueError) as error:
        raise InputError(str(error), code="RDF_UNREADABLE", place=Place(str(path))) from error
    if not quads:
        hint = f"the file is read as {format_name}: write it again from the program that made it"
        told = "the file states nothing"
        raise InputError(told, code="RDF_EMPTY", place=Place(str(path), 1), hint=hint)
    _check_prefixes(quads, path)
    return Document(quads, parser.prefixes)


def _check_prefixes(quads: Iterable[Quad], path: Path) -> None:
    """JSON-LD takes `brick:AHU` for an IRI where no context declares the prefix; nothing would be known."""
    names = {quad.predicate.value for quad in quads}
    names |= {
        quad.object.value
        for quad in quads
        if quad.predicate.value == TYPE and isinstance(quad.object, NamedNode)
    }
    for name in sorted(names):
        prefix, _, rest = name.partition(":")
        if prefix in PREFIXES and not rest.startswith("//"):
            raise _undeclared(prefix, Place(str(path), item=name))


def indexed(quads: list[Quad], prefixes: Mapping[str, str]) -> Document:
    """A document over quads. A file may say a thing twice; a graph holds it once."""
    document = Document(list(dict.fromkeys(quads)), prefixes)
    for quad in document.quads:
        if isinstance(quad.subject, NamedNode | BlankNode):
            document.about.setdefault(quad.subject, []).append(quad)
        if isinstance(quad.object, BlankNode):
            document.uses[quad.object] += 1
    return document


def _input_error(error: SyntaxError, path: Path, format_name: str) -> InputError:
    message = _WHERE.sub("", error.msg or str(error))
    message = re.sub(r" \(line \d+\)$", "", message)
    place = Place(str(path), error.lineno, error.offset)
    prefix = _PREFIX.search(message)
    if prefix:
        return _undeclared(prefix[1], place)
    if "LoadDocumentCallback" in message:
        hint = "put the context into the file: twinmesh fetches nothing from the network"
        told = "the file names a remote @context"
        return InputError(told, code="RDF_REMOTE_CONTEXT", place=place, hint=hint)
    hint = f"the file is read as {format_name}; --format reads it as another" if format_name else None
    return InputError(message, code="RDF_SYNTAX", place=place, hint=hint)


def _undeclared(prefix: str, place: Place) -> InputError:
    hint = f"declare it as {PREFIXES.get(prefix, '<...>')}: by @prefix in Turtle, in the @context of JSON-LD"
    return InputError(f"the prefix {prefix!r} is not declared", code="RDF_PREFIX", place=place, hint=hint)
