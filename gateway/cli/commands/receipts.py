"""`agora receipt`: checking receipts, and the keys that sign them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.running import run, settings

receipt_app = typer.Typer(help="Receipts and the keys that sign them.", no_args_is_help=True)


@receipt_app.command("check")
def receipt_check(
    file: Annotated[Path, typer.Argument(help="The receipt as the graph returns it, or the whole answer.")],
    keys: Annotated[
        str | None, typer.Option(help="The published keys: a file or a URL; receipt-keys.json beside FILE if absent.")
    ] = None,
) -> None:
    """Say what a receipt proves, without any database; exit code 1 where it does not hold."""
    from gateway.cli.receipts import check

    typer.echo(check(file, keys))


@receipt_app.command("keys")
def receipt_keys() -> None:
    """Print the published keys (JWKS) that receipts and checkpoints are checked with."""
    from gateway.cli.receipts import keys

    typer.echo(run(keys(settings())))


@receipt_app.command("rotate-key")
def receipt_rotate_key() -> None:
    """Sign with a new key from now on, and print its id; what older keys have signed stays good."""
    from gateway.cli.receipts import rotate_key

    typer.echo(run(rotate_key(settings())))
