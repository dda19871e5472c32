"""`agora partner`: applications and their keys."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.cli.running import run, settings

partner_app = typer.Typer(help="Partners: applications that follow payments.", no_args_is_help=True)


@partner_app.command("create")
def partner_create(
    name: Annotated[str, typer.Argument(help="The application's name.")],
    merchant: Annotated[list[str], typer.Option(help="A merchant's id, or the handle of a merchant's owner.")],
    scope: Annotated[
        list[str], typer.Option(help="What its key may do: payments:read, webhooks:write, keys:write.")
    ] = ["payments:read", "webhooks:write"],  # noqa: B006  # typer copies it
    sandbox: Annotated[
        bool, typer.Option("--sandbox", help="It is for trying things out, and so are its merchants.")
    ] = False,
) -> None:
    """Make a partner application that follows these merchants, and print its key, which is shown this once."""
    from gateway.cli.partners import create_partner

    typer.echo(run(create_partner(settings(), name, merchant, scope, sandbox=sandbox)))


@partner_app.command("list")
def partner_list() -> None:
    """List all applications."""
    from gateway.cli.partners import list_partners

    for line in run(list_partners(settings())):
        typer.echo(line)


@partner_app.command("keys")
def partner_keys(partner: Annotated[str, typer.Argument(help="The application's id.")]) -> None:
    """List the keys of an application, the newest first, with the time at which each was last used."""
    from gateway.cli.partners import list_keys

    for line in run(list_keys(settings(), partner)):
        typer.echo(line)


@partner_app.command("add-key")
def partner_add_key(
    partner: Annotated[str, typer.Argument(help="The application's id.")],
    name: Annotated[str, typer.Argument(help="What to call the key.")],
    scope: Annotated[list[str], typer.Option(help="What it may do: payments:read, webhooks:write, keys:write.")],
) -> None:
    """Make another key of an application, and print it, this once."""
    from gateway.cli.partners import add_key

    typer.echo(run(add_key(settings(), partner, name, scope)))


@partner_app.command("rotate")
def partner_rotate(
    key: Annotated[str, typer.Argument(help="The key's id, `key_…`.")],
    overlap_hours: Annotated[int, typer.Option(help="How long both keys are valid, 0 to 168.")] = 24,
) -> None:
    """Replace a key by another, and print that one, this once."""
    from gateway.cli.partners import rotate_key

    typer.echo(run(rotate_key(settings(), key, overlap_hours)))


@partner_app.command("revoke")
def partner_revoke(key: Annotated[str, typer.Argument(help="The key's id, `key_…`.")]) -> None:
    """End a key at once, with the streams that it opened."""
    from gateway.cli.partners import revoke_key

    typer.echo(run(revoke_key(settings(), key)))


@partner_app.command("grant")
def partner_grant(
    partner: Annotated[str, typer.Argument(help="The application's id.")],
    merchant: Annotated[list[str], typer.Option(help="A merchant's id, or the handle of a merchant's owner.")],
    withdraw: Annotated[bool, typer.Option("--withdraw", help="Take them away instead.")] = False,
) -> None:
    """Let an application see these merchants' events, from now on and of their whole past."""
    from gateway.cli.partners import grant

    typer.echo(run(grant(settings(), partner, merchant, withdraw=withdraw)))


@partner_app.command("listen")
def partner_listen(
    port: Annotated[int, typer.Option(help="Listen here (0: any free port).")] = 9000,
    graph: Annotated[str | None, typer.Option(help="The graph's URL; that of `agora dev` if absent.")] = None,
    key: Annotated[str | None, typer.Option(help="The application's key; the demo partner's if absent.")] = None,
    type_: Annotated[list[str] | None, typer.Option("--type", help="Only events of this type.")] = None,
) -> None:
    """Receive webhooks on this machine, verify them, and print a line for each event."""
    from gateway.cli.listening import listen
    from gateway.cli.tokens import development_token

    given = settings()
    where = graph or f"http://127.0.0.1:{given.port}/graphql"
    who = key or development_token(given, "pay-watch")
    run(listen(where, who, port=port, types=type_ or [], say=_say))


def _say(line: str) -> None:
    print(line, flush=True)
