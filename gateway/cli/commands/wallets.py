"""`agora wallet`: freezing wallets, and opening them again."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.cli.running import run, settings

wallet_app = typer.Typer(help="People's wallets.", no_args_is_help=True)


@wallet_app.command("freeze")
def wallet_freeze(
    wallet: Annotated[str, typer.Argument(help="A wallet's id, or a person's handle for all their wallets.")],
    reason: Annotated[str, typer.Option(help="Why; kept in the ledger, and shown to nobody else.")],
    currency: Annotated[str | None, typer.Option(help="Only the wallet in this currency.")] = None,
) -> None:
    """Freeze wallets: they neither pay nor are paid until they are unfrozen."""
    from datastores.ledger import WalletStatus
    from gateway.cli.wallets import set_status

    for id in run(set_status(settings(), wallet, currency, WalletStatus.FROZEN, reason)):
        typer.echo(f"froze {id}")


@wallet_app.command("unfreeze")
def wallet_unfreeze(
    wallet: Annotated[str, typer.Argument(help="A wallet's id, or a person's handle for all their wallets.")],
    reason: Annotated[str, typer.Option(help="Why; kept in the ledger, and shown to nobody else.")],
    currency: Annotated[str | None, typer.Option(help="Only the wallet in this currency.")] = None,
) -> None:
    """Open frozen wallets again."""
    from datastores.ledger import WalletStatus
    from gateway.cli.wallets import set_status

    for id in run(set_status(settings(), wallet, currency, WalletStatus.OPEN, reason)):
        typer.echo(f"unfroze {id}")
