"""`twinmesh`: the command line. Heavy work is imported by the verb that needs it: `--help` stays quick."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.cli_groups import bind, peers, routes, tokens
from api.cli_options import Data, DataDir, Json, Site, Token, Url
from ontology.errors import TwinmeshError, UsageError

if TYPE_CHECKING:
    from api.commands.place import Place

app = typer.Typer(
    name="twinmesh",
    help="Knowledge-graph digital twins: import, ask, watch, and see what fails next.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for _group, _name in ((tokens, "tokens"), (peers, "peers"), (bind, "bind"), (routes, "routes")):
    app.add_typer(_group, name=_name)


@app.command()
def demo(
    port: Annotated[
        int | None, typer.Option(min=0, max=65_535, help="0 picks one; default 8000 where it is free.")
    ] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Do not open a browser.")] = False,
    once: Annotated[bool, typer.Option("--once", help="Tell the story on the terminal, then exit.")] = False,
    as_json: Json = False,
) -> None:
    """Three sites in a temporary folder with live telemetry; --once replays and tells what a failure does."""
    from api.demo.run import run_live, run_once

    if once:
        run_once(as_json=as_json)
    else:
        run_live(port, open_browser=not no_browser, as_json=as_json)


@app.command()
def serve(
    data: DataDir,
    config: Annotated[Path | None, typer.Option(help="Settings; default DIR/twinmesh.toml.")] = None,
    dev: Annotated[bool, typer.Option("--dev", help="No token needed on loopback.")] = False,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0 picks a free one.")] = 8000,
    follow: Annotated[
        bool, typer.Option("--follow", help="Read only, beside the process that writes the folder.")
    ] = False,
    workers: Annotated[
        int, typer.Option(min=1, max=64, help="With --follow: processes that share the port.")
    ] = 1,
    take_over: Annotated[
        bool, typer.Option("--take-over", help="Write in a shared Neo4j although another server does.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Serve a data folder by GraphQL and HTTP; prints `ready http://HOST:PORT`."""
    if workers > 1 and not follow:
        hint = "one process writes a folder; add --follow for more that read it"
        raise UsageError("--workers needs --follow", code="WORKERS_WITHOUT_FOLLOW", hint=hint)
    if take_over and follow:
        hint = "a follower reads only; leave one of the two out"
        raise UsageError("--take-over contradicts --follow", code="TAKE_OVER_WITH_FOLLOW", hint=hint)
    from api.commands.serve import ServeRequest, serve_folder

    request = ServeRequest(data, config, dev, host, port, take_over)
    if request.is_pushed:
        from api.commands.pushed import serve_pushed

        serve_pushed(request, as_json=as_json)
    elif not follow:
        serve_folder(request, as_json=as_json)
    else:
        from api.commands.following import follow_folder

        follow_folder(request, workers, as_json=as_json)


@app.command("import")
def import_(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Files; one change for all of them.")
    ],
    site: Annotated[str, typer.Option("--site", help="Site that takes them; created if new.")],
    data: Data = None,
    url: Url = None,
    token: Token = None,
    source: Annotated[str | None, typer.Option(help="Who states it; default: the file's name.")] = None,
    base: Annotated[str | None, typer.Option(help="Base IRI of the site, at its first import.")] = None,
    format: Annotated[
        str | None,
        typer.Option("--format", help="ifc, ttl, jsonld, nq, rdfxml, csv, nodeset2; default by the file."),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Remove what the source no longer says.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check and count, change nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Import files: all of them or none."""
    place = _place(data, url, token)
    from api.commands.importing import ImportCommand, run_import

    command = ImportCommand(tuple(files), site, source, base, format, replace, dry_run)
    raise typer.Exit(run_import(place, command, as_json=as_json))


@app.command()
def export(
    format: Annotated[
        str,
        typer.Option("--format", help="ttl, nq, jsonld, csv, graphml, neo4j-import; readings: csv, parquet."),
    ],
    what: Annotated[str, typer.Argument(metavar="[readings]", help="Readings instead of the graph.")] = "",
    data: Data = None,
    url: Url = None,
    token: Token = None,
    site: Site = None,
    rdf12: Annotated[bool, typer.Option("--rdf12", help="Relationship attributes as triple terms.")] = False,
    out: Annotated[
        Path | None, typer.Option("--out", help="File; a folder for csv and neo4j-import; default stdout.")
    ] = None,
    from_time: Annotated[str | None, typer.Option("--from", help="Readings from this time on.")] = None,
    to_time: Annotated[str | None, typer.Option("--to", help="Readings before this time.")] = None,
    points: Annotated[list[str] | None, typer.Option("--point", help="Readings of this point.")] = None,
    as_json: Json = False,
) -> None:
    """Write out what import reads."""
    if what:
        from api.commands.exporting_readings import ReadingsExport, run_export_readings

        wanted = ReadingsExport(format, site, out, from_time, to_time, tuple(points or ()), what)
        run_export_readings(data, wanted, as_json=as_json)
        return
    place = _place(data, url, token)
    from api.commands.exporting import ExportCommand, run_export

    run_export(place, ExportCommand(format, site, rdf12, out), as_json=as_json)


@app.command()
def query(
    text: Annotated[
        str, typer.Argument(metavar="TEXT|@FILE", help="A GraphQL operation, or @ and its file.")
    ],
    data: Data = None,
    url: Url = None,
    token: Token = None,
    variables: Annotated[str | None, typer.Option(metavar="JSON", help="Variables, or @ and a file.")] = None,
    as_json: Json = False,
) -> None:
    """Ask by GraphQL; prints the response."""
    place = _place(data, url, token)
    from api.commands.asking import run_query

    raise typer.Exit(run_query(place, text, variables))


@app.command()
def simulate(
    data: Data = None,
    url: Url = None,
    token: Token = None,
    scenario: Annotated[Path | None, typer.Option(metavar="FILE", help="Scenario as JSON.")] = None,
    fail: Annotated[
        str | None, typer.Option(metavar="ID", help="Instead: this twin fails at hour 0.")
    ] = None,
    repair_hours: Annotated[float | None, typer.Option(min=0, help="...and is back after this.")] = None,
    horizon_hours: Annotated[float | None, typer.Option(help="How far to look; default 72.")] = None,
    runs: Annotated[int | None, typer.Option(min=1, help="Draws; default 1000.")] = None,
    seed: Annotated[int | None, typer.Option(help="Same seed, same draws; default 0.")] = None,
    against_baseline: Annotated[
        bool, typer.Option("--against-baseline", help="Differences to the world without the events.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Run a cascade: what fails next, when, how likely, at what cost, and why."""
    place = _place(data, url, token)
    from api.commands.simulating import SimulateCommand, run_simulate

    command = SimulateCommand(scenario, fail, repair_hours, horizon_hours, runs, seed, against_baseline)
    run_simulate(place, command, as_json=as_json)


@app.command()
def check(
    data: Data = None, url: Url = None, token: Token = None, site: Site = None, as_json: Json = False
) -> None:
    """SHACL and model report: shadowed names, chosen need groups, unfounded loops, unknown kinds."""
    place = _place(data, url, token)
    from api.commands.checking import run_check

    raise typer.Exit(run_check(place, site, as_json=as_json))


@app.command()
def watch(
    data: Data = None,
    url: Url = None,
    token: Token = None,
    filter: Annotated[str | None, typer.Option("--filter", metavar="JSON", help="A TwinFilter.")] = None,
    as_json: Json = False,
) -> None:
    """Commits and readings as they come, one a line, until interrupted; with --json each line is JSON."""
    place = _place(data, url, token)
    from api.commands.watching import run_watch

    run_watch(place, filter, as_json=as_json)


@app.command()
def schema(
    data: Data = None,
    url: Url = None,
    token: Token = None,
    against: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Tell what breaks clients that were generated from this schema."),
    ] = None,
    as_json: Json = False,
) -> None:
    """The GraphQL schema in its definition language. With --against exit 1 where clients would break."""
    place = _place(data, url, token)
    from api.commands.asking import run_schema

    raise typer.Exit(run_schema(place, against, as_json=as_json))


@app.command()
def doctor(data: Data = None, url: Url = None, token: Token = None, as_json: Json = False) -> None:
    """Whether Python, packages and services are fit; --data: also peers, bindings, histories."""
    from api.commands.doctor import run_checkup

    raise typer.Exit(run_checkup(data, url, token, as_json=as_json))


@app.command()
def verify(data: DataDir, as_json: Json = False) -> None:
    """Check every byte and record of a data folder or backup: seals, hash chains, columns, manifests."""
    from api.commands.verifying import run_verify

    raise typer.Exit(run_verify(data, as_json=as_json))


@app.command()
def backup(
    target: Annotated[Path, typer.Argument(metavar="DIR", help="New or empty folder for the backup.")],
    data: DataDir,
    as_json: Json = False,
) -> None:
    """Copy a data folder while it is served; the copy is replayed and its content hash kept with it."""
    from api.commands.backing import run_backup

    run_backup(data, target, as_json=as_json)


@app.command()
def restore(
    backup: Annotated[Path, typer.Argument(metavar="DIR", help="The backup.")],
    data: Annotated[Path, typer.Option("--data", metavar="DIR", help="New or empty data folder to make.")],
    verify: Annotated[
        bool, typer.Option("--verify", help="Rebuild every site and compare it to what was kept.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Make a data folder from a backup; every file is held against the backup's manifest."""
    from api.commands.backing import run_restore

    run_restore(backup, data, verify=verify, as_json=as_json)


@app.command()
def migrate(
    data: Data = None,
    check: Annotated[bool, typer.Option("--check", help="Only tell what would be done and needed.")] = False,
    source: Annotated[
        str | None,
        typer.Option("--from", metavar="URL", help="Instead: bring sites from here, DIR or bolt://"),
    ] = None,
    target: Annotated[str | None, typer.Option("--to", metavar="URL", help="...to here.")] = None,
    site: Site = None,
    as_json: Json = False,
) -> None:
    """Bring sites of an older disk format to this one, or with --from and --to to another store."""
    if source and target and data is None and not check:
        from api.commands.transferring import TransferCommand, run_transfer

        raise typer.Exit(run_transfer(TransferCommand(source, target, site), as_json=as_json))
    if source or target or site or data is None:
        hint = "migrate --data DIR [--check], or migrate --from URL --to URL [--site NAME]"
        raise UsageError("what is to be migrated?", code="USAGE", hint=hint)
    from api.commands.migrating import run_migrate

    raise typer.Exit(run_migrate(data, check=check, as_json=as_json))


@app.command()
def bench(name: Annotated[str, typer.Argument(help="cascade, import, ...")], as_json: Json = False) -> None:
    """Run a benchmark beside its peers (from a checkout)."""
    from api.commands.benching import run_bench

    raise typer.Exit(run_bench(name, as_json=as_json))


def _place(data: Path | None, url: str | None, token: str | None) -> Place:
    """Where to work; wrong usage is told before anything heavy is imported."""
    from api.commands.place import Place

    return Place.of(data, url, token)


def main() -> None:
    """Entry point of the command; exit code 0 done, 1 a problem in the work or the data, 2 wrong usage."""
    try:
        app()
    except TwinmeshError as error:
        from api.commands.console import fail

        sys.exit(fail(error, as_json="--json" in sys.argv[1:]))
