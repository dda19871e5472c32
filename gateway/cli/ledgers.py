"""The ledger's proofs on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import orjson
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from datastores import ledger
from datastores.clock import utc_now
from datastores.sealing import check_master_key, is_master_key
from gateway.master_key import known_master_key, master_key
from gateway.settings import Settings

from .databases import open_database
from .errors import CommandError

MAX_KEPT_BYTES: Final = 4 * 1024 * 1024


async def verify(settings: Settings, *, kept: Path | None = None, output: Path | None = None) -> bool:
    """Whether the whole ledger holds; prints a progress bar, and what is wrong where something is.

    `kept` holds a checkpoint that was kept outside, or a list of them; `output` gets the report as JSON.
    """
    console = Console(stderr=True)
    checkpoints = [] if kept is None else _kept(kept)
    columns = (TextColumn("replaying the ledger"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    async with open_database(settings) as database:
        master = known_master_key(settings)
        # An auditor without it verifies all but whose the keys are.
        if master is not None and not await is_master_key(database, master):
            master = None
        with Progress(*columns, console=console, transient=True) as progress:
            task = progress.add_task("entries", total=None)

            def advance(done: int, total: int) -> None:
                progress.update(task, completed=done, total=total)

            report = await ledger.verify(database, advance, kept=checkpoints, master=master)
    if output is not None:
        _write(output, report.as_json())
    for line in ledger.problem_lines(report.problems):
        console.print(f"agora: {line}", style="red", highlight=False, markup=False)
    if master is None and report.checkpoints:
        console.print("ledger: without the master key: whose the signing keys are was not checked", highlight=False)
    if report.holds:
        counted = f"{report.entries} entries, {report.accounts} accounts, {report.checkpoints} checkpoints"
        console.print(f"ledger: {counted}: all holds", highlight=False)
    return report.holds


async def checkpoint(settings: Settings, *, listed: bool = False, export: Path | None = None) -> str:
    """The newest checkpoint as JSON, made now where entries came since the last; with `listed` a line for each."""
    master = master_key(settings)
    async with open_database(settings) as database:
        if listed:
            found = await ledger.newest_checkpoints(database)
            return "\n".join(f"{c['number']:>8} {c['seq']:>12} {c['hash']} {c['created_at']}Z" for c in found)
        await check_master_key(database, master)
        try:
            made = ledger.published(await ledger.make_checkpoint(database, master, utc_now()))
        except ledger.CheckpointError as error:
            raise CommandError(str(error)) from None
    if export is not None:
        _write(export, made)
    return orjson.dumps(made, option=orjson.OPT_INDENT_2).decode()


def _kept(path: Path) -> list[ledger.Checkpoint]:
    try:
        with path.open("rb") as file:
            document = orjson.loads(file.read(MAX_KEPT_BYTES))
        return [ledger.kept_checkpoint(each) for each in (document if isinstance(document, list) else [document])]
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}") from None
    except (orjson.JSONDecodeError, ledger.CheckpointError):
        raise CommandError(f"{path} holds no checkpoint as it was published") from None


def _write(path: Path, document: object) -> None:
    try:
        path.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}") from None
