"""NodeSet2 XML read safely: no document type, no entities, bounded size and depth, lines for messages."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from xml.parsers import expat

from ontology.errors import InputError, Place

if TYPE_CHECKING:
    from pathlib import Path

FILE_BYTES_MAX = 512 << 20
DEPTH_MAX = 100
CHUNK_BYTES = 1 << 20
SPACE = "http://opcfoundation.org/UA/2011/03/UANodeSet.xsd"


@dataclass(slots=True)
class Element:
    """One element: its name without namespace, where it starts, and what it holds."""

    name: str
    line: int
    attributes: dict[str, str]
    children: list[Element] = field(default_factory=list["Element"])
    parts: list[str] = field(default_factory=list[str])

    @property
    def text(self) -> str:
        return "".join(self.parts).strip()

    def child(self, name: str) -> Element | None:
        return next((one for one in self.children if one.name == name), None)

    def all(self, name: str) -> list[Element]:
        return [one for one in self.children if one.name == name]


def read_xml(path: Path) -> Element:
    """The root of a file. Raises InputError FILE_UNREADABLE, NODESET_SIZE, NODESET_SYNTAX, NODESET_ENTITY,
    NODESET_ROOT with line and column."""
    reader = _Reader(str(path))
    try:
        with path.open("rb") as stream:
            taken = 0
            while chunk := stream.read(CHUNK_BYTES):
                taken += len(chunk)
                if taken > FILE_BYTES_MAX:
                    raise InputError("is too large", code="NODESET_SIZE", place=Place(str(path)))
                reader.feed(chunk)
    except OSError as error:
        told = f"cannot be read: {error.strerror}"
        raise InputError(told, code="FILE_UNREADABLE", place=Place(str(path))) from error
    return reader.finish()


class _Reader:
    def __init__(self, path: str) -> None:
        self._path = path
        self._root: Element | None = None
        self._open: list[Element] = []
        self._parser = expat.ParserCreate(namespace_separator=" ")
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text
        self._parser.StartDoctypeDeclHandler = self._doctype

    def feed(self, chunk: bytes) -> None:
        self._parse(chunk, last=False)

    def finish(self) -> Element:
        self._parse(b"", last=True)
        root = self._root
        if root is None or root.name != "UANodeSet":
            hint = "the root element of NodeSet2 is UANodeSet"
            raise InputError("is no NodeSet2", code="NODESET_ROOT", place=Place(self._path, 1), hint=hint)
        return root

    def _parse(self, chunk: bytes, *, last: bool) -> None:
        try:
            self._parser.Parse(chunk, last)
        except expat.ExpatError as error:
            told = f"is no well-formed XML: {expat.ErrorString(error.code)}"
            place = Place(self._path, error.lineno, error.offset + 1)
            raise InputError(told, code="NODESET_SYNTAX", place=place) from error

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        line = self._parser.CurrentLineNumber
        if len(self._open) >= DEPTH_MAX:
            told = f"nests deeper than {DEPTH_MAX} elements"
            raise InputError(told, code="NODESET_SYNTAX", place=Place(self._path, line))
        space, _, local = name.rpartition(" ")
        # Elements of other vocabularies keep their namespace, so that nobody takes them for ours.
        element = Element(local if space in (SPACE, "") or self._open else name, line, attributes)
        if self._open:
            self._open[-1].children.append(element)
        else:
            self._root = element
        self._open.append(element)

    def _end(self, _name: str) -> None:
        self._open.pop()

    def _text(self, text: str) -> None:
        if self._open:
            self._open[-1].parts.append(text)

    def _doctype(self, *_: object) -> None:
        place = Place(self._path, self._parser.CurrentLineNumber)
        hint = "NodeSet2 needs none; entities could make a small file read others or grow without end"
        raise InputError("has a document type", code="NODESET_ENTITY", place=place, hint=hint)
