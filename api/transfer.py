"""Files over HTTP: `POST /import` (multipart) and `GET /export`, for the command line with `--url`."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import anyio.to_thread
from starlette.responses import JSONResponse, Response

from adapters.exporting import export_document
from adapters.importing import import_files
from api.graphql_http import principal_of, read_body
from api.policy import Action
from api.schema.context import visible_rows
from graph.access import Scope
from ontology.errors import AccessError, InputError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from api.policy import Principal
    from api.schema.context import Services
    from graph.snapshot import Snapshot

FILES_MAX: Final = 100
_BOUNDARY: Final = re.compile(r'boundary="?([^";,]{1,70})"?', re.IGNORECASE)
_FILE_NAME: Final = re.compile(rb'filename="([^"]*)"', re.IGNORECASE)
_SAFE: Final = re.compile(r"[^A-Za-z0-9._ -]")
_MEDIA: Final = {
    "ttl": "text/turtle",
    "nq": "application/n-quads",
    "jsonld": "application/ld+json",
    "csv": "text/csv",
    "graphml": "application/xml",
}


@dataclass(frozen=True, slots=True)
class Upload:
    name: str
    content: bytes


async def import_door(request: Request, services: Services) -> Response:
    """Import the files of one request, all or none: 200 with the report, 422 where a file has errors."""
    principal = principal_of(request)
    principal.require(Action.CHANGE)
    site = request.query_params.get("site")
    if not site:
        raise UsageError("name the site: ?site=NAME", code="SITE_MISSING")
    if not principal.sees_all:
        raise AccessError("an import needs sight of the whole graph", code="SCOPE_TOO_NARROW")
    services.mesh.check_writable()
    body = await read_body(request, services.settings.limits.import_bytes_max)
    uploads = read_multipart(request.headers.get("content-type", ""), body)
    report = await anyio.to_thread.run_sync(
        partial(_import, services, principal, site, dict(request.query_params), uploads)
    )
    failed = any(item["errors"] for item in cast("list[dict[str, Any]]", report["files"]))
    return JSONResponse(report, 422 if failed else 200)


def _import(
    services: Services, principal: Principal, site: str, options: Mapping[str, str], uploads: list[Upload]
) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="twinmesh-import-") as folder:
        paths = [_keep(Path(folder), number, upload) for number, upload in enumerate(uploads)]
        report = import_files(
            services.mesh,
            paths,
            site=site,
            units=services.units,
            source=options.get("source"),
            base=options.get("base"),
            format=options.get("format"),
            replace=options.get("replace") == "true",
            dry_run=options.get("dryRun") == "true",
            author=principal.name,
        ).to_json()
    return _with_client_names(cast("dict[str, Any]", report), uploads)


def _keep(folder: Path, number: int, upload: Upload) -> Path:
    """The upload in a folder of its own: the client's name only tells format and source, never a path."""
    place = folder / str(number)
    place.mkdir()
    path = place / (_SAFE.sub("_", Path(upload.name).name).lstrip(".") or "file")
    path.write_bytes(upload.content)
    return path


def _with_client_names(report: dict[str, Any], uploads: list[Upload]) -> dict[str, Any]:
    for item, upload in zip(report["files"], uploads, strict=True):
        item["path"] = upload.name
    return report


def read_multipart(content_type: str, body: bytes) -> list[Upload]:
    """The files of a multipart/form-data body (RFC 7578); InputError BODY_INVALID."""
    boundary = _BOUNDARY.search(content_type)
    if not content_type.lower().startswith("multipart/form-data") or boundary is None:
        raise UsageError("send multipart/form-data", code="UNSUPPORTED_MEDIA_TYPE")
    mark = b"\r\n--" + boundary[1].encode()
    parts = (b"\r\n" + body).split(mark)
    if len(parts) < 3 or not parts[-1].startswith(b"--"):
        raise InputError("the body is cut off, or holds no file", code="BODY_INVALID")
    uploads = [upload for part in parts[1:-1] if (upload := _upload(part)) is not None]
    if not 1 <= len(uploads) <= FILES_MAX:
        raise InputError(f"1 to {FILES_MAX} files at once", code="BODY_INVALID")
    return uploads


def _upload(part: bytes) -> Upload | None:
    header, gap, content = part.partition(b"\r\n\r\n")
    name = _FILE_NAME.search(header)
    if not gap or name is None:
        return None
    return Upload(name[1].decode(errors="replace"), content)


async def export_door(request: Request, services: Services) -> Response:
    """A document of what the principal may see; options as of `twinmesh export`."""
    principal = principal_of(request)
    options = request.query_params
    name = options.get("format", "ttl")
    document = await anyio.to_thread.run_sync(
        partial(
            export_document,
            services.mesh,
            name,
            site=options.get("site"),
            rdf12=options.get("rdf12") == "true",
            scope=partial(_scope, principal),
        )
    )
    return Response(document, media_type=_MEDIA[name])


def _scope(principal: Principal, snapshot: Snapshot) -> Scope:
    visible = visible_rows(snapshot, principal)
    return Scope.everything(snapshot) if visible is None else Scope(visible)
