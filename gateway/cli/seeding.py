"""Planting demo data from the command line, with a progress bar."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from gateway.demo.scale import amounts, plant_at_scale
from gateway.settings import Settings

from .databases import open_database
from .errors import CommandError


async def seed_town(settings: Settings, scale: int) -> None:
    """Plant a town of `scale` posts; the same number plants nothing twice. Raises CommandError in production."""
    if settings.is_production:
        raise CommandError("demo data is not for production")
    columns = (
        TextColumn("{task.description:>8}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    async with open_database(settings) as database:
        with Progress(*columns, console=console) as progress:
            tasks = {kind: progress.add_task(kind, total=count) for kind, count in amounts(scale).items()}
            await plant_at_scale(database, scale, lambda kind, count: progress.advance(tasks[kind], count))
    console.print(f"planted: {scale:,} posts", highlight=False)
