"""`agora person`: people's tiers, and erasing people."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.cli.running import run, settings

person_app = typer.Typer(help="People.", no_args_is_help=True)


@person_app.command("tier")
def person_tier(
    handle: Annotated[str, typer.Argument(help="A person's handle.")],
    tier: Annotated[str, typer.Argument(help="unverified, basic, verified, business, or default.")],
    currency: Annotated[str | None, typer.Option(help="Open their wallet in this currency if they have none.")] = None,
    reason: Annotated[str | None, typer.Option(help="Why; kept in the ledger, and shown to nobody else.")] = None,
) -> None:
    """Give a person's wallets a tier, on which their limits depend."""
    from gateway.cli.wallets import set_tier

    for id in run(set_tier(settings(), handle, tier, currency, reason)):
        typer.echo(f"{id} is {tier.lower()}")


@person_app.command("erase")
def person_erase(
    name: Annotated[str, typer.Argument(help="A person's handle or id.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Erase a person for ever: profile, posts, memos, sign-in. The ledger keeps their id alone, and still holds."""
    from gateway.cli.people import erase

    typer.echo(run(erase(settings(), name, None if yes else typer.confirm)))
