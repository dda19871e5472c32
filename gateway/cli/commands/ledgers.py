"""`agora ledger`: verifying, reconciling, reversing, checkpoints."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.running import run, settings

ledger_app = typer.Typer(help="The ledger and its proofs.", no_args_is_help=True)


@ledger_app.command("verify")
def ledger_verify(
    checkpoint: Annotated[
        Path | None, typer.Option(help="A checkpoint, or a list of them, that was kept outside of the database.")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Write the report here as JSON.")] = None,
) -> None:
    """Replay the ledger: sums, chain, numbers, balances, checkpoints; exit code 1 where something is wrong."""
    from gateway.cli.ledgers import verify

    if not run(verify(settings(), kept=checkpoint, output=output)):
        raise SystemExit(1)


@ledger_app.command("reconcile")
def ledger_reconcile(
    day: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="The UTC day; yesterday if absent.")
    ] = None,
    rail: Annotated[str | None, typer.Option(help="The rail; the only one that is connected if absent.")] = None,
    output: Annotated[Path | None, typer.Option(help="Write the report here, as JSON.")] = None,
) -> None:
    """Compare a day of a rail with the ledger and with what we asked for; exit code 1 where anything differs."""
    from gateway.cli.reconciliations import reconcile

    if not run(reconcile(settings(), rail, day.date() if day else None, output)):
        raise SystemExit(1)


@ledger_app.command("reverse")
def ledger_reverse(
    entry: Annotated[str, typer.Argument(help="The id of an entry, of its transfer, or of one of its legs.")],
    reason: Annotated[str, typer.Option(help="Why; kept in the ledger, and shown to nobody else.")],
) -> None:
    """Undo a posted entry with its fees, as far as it was not sent back; refused where the money is gone."""
    from gateway.cli.reversals import reverse

    typer.echo(run(reverse(settings(), entry, reason)))


@ledger_app.command("checkpoint")
def ledger_checkpoint(
    listed: Annotated[bool, typer.Option("--list", help="List the newest, instead of making one.")] = False,
    export: Annotated[Path | None, typer.Option(help="Write the newest here as JSON, to be kept elsewhere.")] = None,
) -> None:
    """Sign the head of the ledger now, unless nothing came since the last checkpoint, and print it."""
    from gateway.cli.ledgers import checkpoint

    typer.echo(run(checkpoint(settings(), listed=listed, export=export)))
