"""The ledger's proofs on the command line."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from datastores import ledger
from gateway.settings import Settings

from .databases import open_database


async def verify(settings: Settings) -> bool:
    """Whether the whole ledger holds; prints a progress bar, and what is wrong where something is."""
    console = Console(stderr=True)
    columns = (TextColumn("replaying the ledger"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    async with open_database(settings) as database:
        with Progress(*columns, console=console, transient=True) as progress:
            task = progress.add_task("entries", total=None)

            def advance(done: int, total: int) -> None:
                progress.update(task, completed=done, total=total)

            report = await ledger.verify(database, advance)
    for line in ledger.problem_lines(report.problems):
        console.print(f"agora: {line}", style="red", highlight=False)
    if not report.problems:
        console.print(f"ledger: {report.entries} entries, {report.accounts} accounts: all holds", highlight=False)
    return not report.problems
