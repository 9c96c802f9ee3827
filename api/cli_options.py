"""Options that several verbs of the command line have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Data = Annotated[Path | None, typer.Option("--data", metavar="DIR", help="Data folder to work on.")]
DataDir = Annotated[Path, typer.Option("--data", metavar="DIR", help="Data folder to work on.")]
Url = Annotated[str | None, typer.Option("--url", help="Server to ask instead, e.g. http://127.0.0.1:8000.")]
Token = Annotated[str | None, typer.Option("--token", envvar="TWINMESH_TOKEN", help="API token for --url.")]
Site = Annotated[str | None, typer.Option("--site", help="Only this site of the folder.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout and nothing else.")]
