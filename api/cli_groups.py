"""Groups of verbs: `twinmesh tokens|peers|bind|routes ...`. As in `api.cli`, a verb imports what it needs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from api.cli_options import DataDir, Json

tokens = typer.Typer(help="API tokens of a data folder.", no_args_is_help=True, rich_markup_mode=None)
peers = typer.Typer(help="Servers that this one knows.", no_args_is_help=True, rich_markup_mode=None)
bind = typer.Typer(help="Which signals could feed which points.", no_args_is_help=True, rich_markup_mode=None)
routes = typer.Typer(help="Events that go out to others.", no_args_is_help=True, rich_markup_mode=None)


@tokens.command("create")
def tokens_create(
    data: DataDir,
    name: Annotated[str, typer.Option("--name", help="Who it is for.")],
    role: Annotated[str, typer.Option(help="operator, analyst, admin or partner.")] = "analyst",
    days: Annotated[float, typer.Option(help="How long it lives.")] = 90,
    site: Annotated[list[str] | None, typer.Option("--site", help="Only these sites.")] = None,
    kind: Annotated[list[str] | None, typer.Option("--kind", help="Only these kinds.")] = None,
    as_json: Json = False,
) -> None:
    """Make a token; its text is shown once."""
    from api.commands.tokens import run_create

    run_create(data, name, role, days, tuple(site or ()), tuple(kind or ()), as_json=as_json)


@tokens.command("list")
def tokens_list(data: DataDir, as_json: Json = False) -> None:
    """Tokens with their role and state, never their text."""
    from api.commands.tokens import run_list

    run_list(data, as_json=as_json)


@tokens.command("revoke")
def tokens_revoke(
    token: Annotated[str, typer.Argument(help="Id or name.")], data: DataDir, as_json: Json = False
) -> None:
    """End a token at once, on a running server too."""
    from api.commands.tokens import run_revoke

    run_revoke(data, token, as_json=as_json)


@bind.command("propose")
def bind_propose(
    protocol: Annotated[str, typer.Argument(help="opcua, sparkplug, homeassistant or brick.")],
    data: DataDir,
    site: Annotated[str, typer.Option("--site", help="Whose points are to be fed.")],
    where: Annotated[
        str, typer.Argument(metavar="WHERE", help="Its address, e.g. opc.tcp://plc.example:4840.")
    ] = "",
    option: Annotated[
        list[str] | None, typer.Option("--option", metavar="KEY=VALUE", help="As in the source's table.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Print a bindings file of what could be bound, by name or by reference; nothing is bound."""
    from api.commands.binding import ProposeCommand, run_propose

    run_propose(ProposeCommand(protocol, where, data, site, tuple(option or ())), as_json=as_json)


@routes.command("list")
def routes_list(
    data: DataDir,
    route: Annotated[str | None, typer.Option("--route", metavar="NAME", help="Only this one.")] = None,
    as_json: Json = False,
) -> None:
    """How far each route came, and its dead letters: what its target refused."""
    from api.commands.routing import run_list

    run_list(data, route, as_json=as_json)


@routes.command("replay")
def routes_replay(
    data: DataDir,
    route: Annotated[str | None, typer.Option("--route", metavar="NAME", help="Only of this one.")] = None,
    number: Annotated[int | None, typer.Option(min=1, help="Only this dead letter.")] = None,
    start: Annotated[
        int | None, typer.Option("--from", metavar="N", min=1, help="All events of --route from N on.")
    ] = None,
    site: Annotated[str | None, typer.Option("--site", help="With --from: only of this site.")] = None,
    events: Annotated[str | None, typer.Option("--events", help="With --from: only this kind.")] = None,
    as_json: Json = False,
) -> None:
    """Have dead letters, or all events from one on, sent once more by the server of the folder."""
    from api.commands.routing import ReplayCommand, run_replay

    run_replay(data, ReplayCommand(route, number, start, site, events), as_json=as_json)


@peers.command("add")
def peers_add(
    url: Annotated[str, typer.Argument(metavar="URL", help="Where it is, e.g. https://plant.example.")],
    data: DataDir,
    fingerprint: Annotated[
        str | None, typer.Option("--fingerprint", metavar="F", help="Of its key, as its operator told you.")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="Default: the first site it hosts.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Take the key that answers, unseen.")] = False,
    as_json: Json = False,
) -> None:
    """Pin the key of another server; without --fingerprint its key is shown and nothing is done."""
    from api.commands.peers import AddCommand, run_add

    run_add(data, AddCommand(url, fingerprint, name, yes), as_json=as_json)


@peers.command("list")
def peers_list(data: DataDir, as_json: Json = False) -> None:
    """The added servers with their contracts, and the fingerprint of this folder's own key."""
    from api.commands.peers import run_list

    run_list(data, as_json=as_json)


@peers.command("remove")
def peers_remove(
    peer: Annotated[str, typer.Argument(help="Name, URL or fingerprint.")],
    data: DataDir,
    as_json: Json = False,
) -> None:
    """Forget a server's key and end its contract, at once, on a running server too."""
    from api.commands.peers import run_remove

    run_remove(data, peer, as_json=as_json)


@peers.command("contract")
def peers_contract(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The contract as TOML.")],
    data: DataDir,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check and compare, change nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Agree a new version of what a partner may see; tells what it widens and narrows."""
    from api.commands.peers import run_contract

    run_contract(data, file, dry_run=dry_run, as_json=as_json)


@peers.command("ledger")
def peers_ledger(
    data: DataDir,
    peer: Annotated[str | None, typer.Option("--peer", metavar="P", help="Only to this one.")] = None,
    after: Annotated[int, typer.Option(min=0, help="Only entries behind this number.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many entries.")] = 100,
    verify: Annotated[bool, typer.Option("--verify", help="Check every row first.")] = False,
    as_json: Json = False,
) -> None:
    """Every fact that left: to whom, when, what for, under which version of which contract."""
    from api.commands.ledger import LedgerCommand, run_ledger

    raise typer.Exit(run_ledger(data, LedgerCommand(peer, after, limit, verify), as_json=as_json))


@peers.command("private")
def peers_private(
    data: DataDir,
    kind: Annotated[str, typer.Option("--kind", metavar="K", help="Of twins of this kind and those below.")],
    op: Annotated[str, typer.Option("--op", help="COUNT, SUM, MEAN, P05, P50 or P95.")] = "COUNT",
    of: Annotated[str | None, typer.Option("--of", metavar="ATTRIBUTE")] = None,
    epsilon: Annotated[float, typer.Option("--epsilon", help="What each partner is paid.")] = 0.1,
    by: Annotated[str | None, typer.Option("--by", help="kind, site, an attribute or a path.")] = None,
    group: Annotated[list[str] | None, typer.Option("--group", help="A value of it; again for more.")] = None,
    where: Annotated[
        str | None, typer.Option("--where", metavar="JSON", help="A list of conditions.")
    ] = None,
    peer: Annotated[list[str] | None, typer.Option("--peer", metavar="P", help="Default: all.")] = None,
    as_json: Json = False,
) -> None:
    """A noisy figure over the twins of all partners, none of which shows one; costs budget."""
    from api.commands.private import PrivateCommand, run_private

    command = PrivateCommand(kind, op, of, epsilon, by, tuple(group or ()), where, tuple(peer or ()))
    raise typer.Exit(run_private(data, command, as_json=as_json))


@peers.command("sync")
def peers_sync(
    data: DataDir,
    peer: Annotated[str | None, typer.Argument(help="Name, URL or fingerprint; default: all.")] = None,
    site: Annotated[list[str] | None, typer.Option("--site", help="Of its sites only these.")] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Compare hashes afterwards.")] = False,
    as_json: Json = False,
) -> None:
    """Replicate what peers share, for when they are away; goes on where it was."""
    from api.commands.sync import SyncCommand, run_sync

    raise typer.Exit(run_sync(data, SyncCommand(peer, tuple(site or ()), verify), as_json=as_json))
