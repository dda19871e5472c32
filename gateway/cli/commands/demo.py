"""Commands of the demo town: development tokens, and planting it."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.cli.running import run, settings


def token(handle: Annotated[str, typer.Argument(help="A person's handle, or the demo partner `pay-watch`.")]) -> None:
    """Print a development token, and nothing else."""
    from gateway.cli.tokens import development_token

    typer.echo(development_token(settings(), handle))


def seed(
    scale: Annotated[int, typer.Option(help="How many posts to plant, up to 1,000,000.", min=1, max=1_000_000)] = 1_000,
) -> None:
    """Plant the demo town and `--scale` further posts with people, follows, likes and messages; the same each time."""
    from gateway.cli.seeding import seed_town

    run(seed_town(settings(), scale))
