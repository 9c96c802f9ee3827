# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false
"""What is refused before anything is read: IfcOpenShell opens damaged files without an exception.

A file passes whole or not at all. Checked: size, STEP header, schema, terminator, every statement read, no
reference into nothing, no instance number twice, a project.
"""

from __future__ import annotations

import re
import tempfile
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import ifcopenshell
from ifcopenshell import ifcopenshell_wrapper

from adapters.ifc.config import FILE_BYTES_MAX, PROBLEMS_PER_CODE_MAX, ZIP_RATIO_MAX
from ontology.errors import InputError, Place, Problem

if TYPE_CHECKING:
    from collections.abc import Generator

_HEADER_BYTES = 1 << 16
_CHUNK_BYTES = 1 << 20
_START = re.compile(rb"\s*ISO-10303-21\s*;")
_END = re.compile(rb"END-ISO-10303-21\s*;\s*\0*\Z")
_SCHEMA = re.compile(rb"FILE_SCHEMA\s*\(\s*\(\s*'([^']*)'", re.IGNORECASE)
_STRING_OR_COMMENT = re.compile(rb"'[^']*'|/\*.*?\*/", re.DOTALL)
_DATA = re.compile(rb"\bDATA\s*(?:\([^;]*\)\s*)?;")
_SECTION_ENDS = re.compile(rb"\bENDSEC\s*;|\bDATA\s*(?:\([^;]*\)\s*)?;|END-ISO-10303-21\s*;")
_RAW = re.compile("[^\\x00-\\x7f]+")
_LOG_LINE = re.compile(r"\[(error|warning)\] (?:\[\w+\] )?(?:\[[^\]]*\] )?(.*)")
_OFFSET = re.compile(r" at offset (\d+)$")
_INSTANCE = re.compile(r"(?:instance|name) #(\d+)")

# The log speaks of values that a schema does not know (an item of an enumeration, one value too many): the
# rest of the statement was read, so they are warnings. Everything else that it calls an error is damage.
_ODD_VALUE = ("An enumeration literal", "Expected ")
_OVERWRITTEN = "Overwriting instance"
# GlobalIds used twice or missing: the decoder says so, with both objects.
_SAID_ELSEWHERE = (
    "non-unique GlobalId",
    "Requested type <string> does not match actual type <null> at index 0",
)


@dataclass(frozen=True, slots=True, eq=False)
class Opened:
    """A file that may be read: the model, its text (for line numbers) and what is odd about it."""

    path: str
    model: ifcopenshell.file
    text: bytes
    warnings: tuple[Problem, ...]

    def line(self, step: int) -> int | None:
        """The line on which instance #step is stated."""
        return line_of(self.text, step)


@contextmanager
def opened(path: Path) -> Generator[Opened]:
    """The model in a .ifc or .ifczip file, told apart by content. Raises InputError IFC_..."""
    text = _read(path)
    _check_text(text, path)
    plain, warnings = _ascii(text, path)
    with _on_disk(plain, path, unchanged=plain is text and not _is_zip(path)) as readable:
        ifcopenshell.get_log()  # forget what earlier files left there
        model = _open(readable, path)
    warnings += _read_log(ifcopenshell.get_log(), plain, path)
    _check_complete(model, plain, path)
    yield Opened(str(path), model, plain, (*warnings, *_check_project(model, path)))


def line_of(text: bytes, step: int) -> int | None:
    found = re.search(rb"(?:^|;)\s*#%d\s*=" % step, text, re.MULTILINE)
    return None if found is None else text.count(b"\n", 0, found.end()) + 1


def _refusal(code: str, message: str, path: Path, hint: str, line: int | None = None) -> InputError:
    return InputError(message, code=code, place=Place(str(path), line), hint=hint)


# --- bytes ---


def _read(path: Path) -> bytes:
    try:
        size = path.stat().st_size
    except OSError as error:
        raise _refusal(
            "FILE_UNREADABLE", error.strerror or "cannot be read", path, "check the path"
        ) from error
    if size == 0:
        raise _refusal(
            "IFC_EMPTY", "the file is empty", path, "export it again from the program that wrote it"
        )
    if size > FILE_BYTES_MAX:
        raise _too_large(path)
    return _unzip(path) if _is_zip(path) else path.read_bytes()


def _too_large(path: Path) -> InputError:
    return _refusal("IFC_TOO_LARGE", f"more than {FILE_BYTES_MAX >> 20} MiB of IFC", path, "split the model")


def _is_zip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"


def _unzip(path: Path) -> bytes:
    try:
        with zipfile.ZipFile(path) as archive:
            return _member(archive, path)
    except zipfile.BadZipFile as error:
        raise _refusal("IFC_ZIP_BROKEN", f"the archive is damaged: {error}", path, "zip it again") from error


def _member(archive: zipfile.ZipFile, path: Path) -> bytes:
    members = [member for member in archive.infolist() if member.filename.lower().endswith(".ifc")]
    if len(members) != 1:
        raise _refusal(
            "IFC_ZIP_CONTENT",
            f"the archive holds {len(members)} .ifc files",
            path,
            "an .ifczip holds exactly one .ifc file (ifcXML is not read)",
        )
    member = members[0]
    if member.flag_bits & 1:
        raise _refusal("IFC_ZIP_CONTENT", "the archive is encrypted", path, "unpack it first")
    if member.file_size > ZIP_RATIO_MAX * max(member.compress_size, 1):
        ratio = member.file_size / max(member.compress_size, 1)
        raise _refusal(
            "IFC_ZIP_RATIO", f"unpacks to {ratio:.0f} times its size", path, "import the .ifc itself"
        )
    return _inflate(archive, member, path)


def _inflate(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> bytes:
    """All of a member, but never more than the limit, whatever its directory entry says."""
    text = bytearray()
    with archive.open(member) as file:
        while chunk := file.read(_CHUNK_BYTES):
            text += chunk
            if len(text) > FILE_BYTES_MAX:
                raise _too_large(path)
    return bytes(text)


def _check_text(text: bytes, path: Path) -> None:
    if not _START.match(text.removeprefix(b"\xef\xbb\xbf")):
        hint = (
            "ifcXML and ifcJSON are not read: export as STEP (.ifc)" if text.lstrip()[:1] in b"<{" else None
        )
        raise _refusal(
            "IFC_NOT_STEP",
            "the file does not begin with ISO-10303-21;",
            path,
            hint or "this is no IFC file: export it as STEP (.ifc)",
            1,
        )
    if not _END.search(text[-_HEADER_BYTES:].rstrip()):
        raise _refusal(
            "IFC_TRUNCATED",
            "the file ends without END-ISO-10303-21;",
            path,
            "it was cut off: copy or export it again",
            text.count(b"\n") + 1,
        )
    _check_schema(text, path)


def _check_schema(text: bytes, path: Path) -> None:
    known = sorted(name for name in ifcopenshell_wrapper.schema_names() if name.startswith("IFC"))
    found = _SCHEMA.search(text[:_HEADER_BYTES])
    name = found.group(1).decode("ascii", "replace").upper() if found else ""
    if name not in known:
        message = f"unknown schema {name}" if name else "the header names no schema"
        line = text.count(b"\n", 0, found.start()) + 1 if found else 1
        raise _refusal(
            "IFC_SCHEMA_UNKNOWN", message, path, f"schemas that are read: {', '.join(known)}", line
        )


def _ascii(text: bytes, path: Path) -> tuple[bytes, list[Problem]]:
    """The text with raw letters beyond ASCII spelled as STEP wants them: IfcOpenShell drops them silently."""
    if text.isascii():
        return text, []
    encoding = _encoding(text)
    letters = text.decode(encoding).removeprefix("\ufeff")
    problem = Problem(
        "IFC_ENCODING",
        f"letters beyond ASCII stand unescaped; they were read as {encoding}",
        Place(str(path)),
        "STEP files spell them as \\X2\\...\\X0\\",
    )
    return _RAW.sub(_escape, letters).encode("ascii"), [problem]


def _encoding(text: bytes) -> str:
    try:
        text.decode("utf-8")
    except UnicodeDecodeError:
        return "latin-1"
    return "utf-8"


def _escape(found: re.Match[str]) -> str:
    units = found.group().encode("utf-32-be").hex().upper()
    return f"\\X4\\{units}\\X0\\"


@contextmanager
def _on_disk(text: bytes, path: Path, *, unchanged: bool) -> Generator[Path]:
    """Where IfcOpenShell, which only reads files, finds the text."""
    if unchanged:
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "model.ifc"
        copy.write_bytes(text)
        yield copy


# --- the opened model ---


def _open(readable: Path, path: Path) -> ifcopenshell.file:
    try:
        # The format is given: by its ending alone a file could choose another reader (SQLite, for one).
        return ifcopenshell.open(str(readable), ".ifc")
    except (ifcopenshell.Error, OSError, RuntimeError) as error:
        raise _refusal("IFC_DAMAGED", f"IfcOpenShell cannot read it: {error}", path, _EXPORT_AGAIN) from error


_EXPORT_AGAIN = "the file is damaged: export it again"


def _read_log(log: str, text: bytes, path: Path) -> list[Problem]:
    """The reader's log as warnings; InputError with all of them where it tells of damage."""
    damage: list[tuple[str, str]] = []
    odd: list[tuple[str, str]] = []
    for level, message in _LOG_LINE.findall(log):
        if any(sign in message for sign in _SAID_ELSEWHERE):
            continue
        if _OVERWRITTEN in message:
            damage.append(("IFC_DUPLICATE_INSTANCE", message))
        elif level == "warning" or message.startswith(_ODD_VALUE):
            odd.append(("IFC_VALUE_INVALID", message))
        else:
            damage.append(("IFC_DAMAGED", message))
    if damage:
        raise InputError.of(_shown(damage, text, path))
    return _shown(odd, text, path)


def _shown(found: list[tuple[str, str]], text: bytes, path: Path) -> list[Problem]:
    """The first of many with their lines, then how many more there are."""
    shown = [_logged(code, message, text, path) for code, message in found[:PROBLEMS_PER_CODE_MAX]]
    rest = len(found) - len(shown)
    return [*shown, Problem(found[0][0], f"{rest} more of this kind", Place(str(path)))] if rest else shown


def _logged(code: str, message: str, text: bytes, path: Path) -> Problem:
    offset, instance = _OFFSET.search(message), _INSTANCE.search(message)
    line = text.count(b"\n", 0, int(offset.group(1))) + 1 if offset else None
    if line is None and instance:
        line = line_of(text, int(instance.group(1)))
    item = f"#{instance.group(1)}" if instance else None
    hint = None if code == "IFC_VALUE_INVALID" else _EXPORT_AGAIN
    return Problem(code, _OFFSET.sub("", message), Place(str(path), line, item=item), hint)


def _check_complete(model: ifcopenshell.file, text: bytes, path: Path) -> None:
    """Every statement of the data section became an instance: some damage does not even reach the log."""
    read = len(model.entity_names())
    if _statements(text) <= read:  # semicolons inside strings only make this count larger
        return
    stated = _statements(_STRING_OR_COMMENT.sub(b"''", text))
    if stated > read:
        message = f"{stated - read} of {stated} statements cannot be read"
        raise _refusal("IFC_DAMAGED", message, path, _EXPORT_AGAIN)


def _statements(text: bytes) -> int:
    """Semicolons after the start of the data section but those that end a section or the file."""
    start = _DATA.search(text)
    if start is None:
        return 0
    ends = 2 if text.count(b"ENDSEC", start.end()) == 1 else len(_SECTION_ENDS.findall(text, start.end()))
    return text.count(b";", start.end()) - ends


def _check_project(model: ifcopenshell.file, path: Path) -> list[Problem]:
    projects = model.by_type("IfcProject")
    if not projects:
        raise _refusal(
            "IFC_NO_PROJECT", "the file holds no IfcProject", path, "export the whole model, not a part"
        )
    if len(projects) == 1:
        return []
    steps = ", ".join(f"#{project.id()}" for project in projects)
    message = f"more than one IfcProject ({steps}): units are taken from the first"
    return [Problem("IFC_PROJECTS", message, Place(str(path)))]
