"""A day of a rail on the command line: the three sides side by side, what differs, and the report as a file."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column, Table
from rich.text import Text

from datastores import ledger
from datastores import wallets as store
from datastores.clock import utc_now
from datastores.wallets import Rail, RailSilentError, Reconciliation, Remark, StatementError
from gateway.settings import Settings

from .databases import open_database
from .errors import CommandError

SIDES: Final = ("ledger", "ours", "rail")
MAX_SHOWN: Final = 50
WIDTH: Final = 160


async def reconcile(settings: Settings, rail: str | None, day: date | None, output: Path | None) -> bool:
    """Whether the sides agree; prints what they have and where they differ, and writes the report to `output`.

    Raises CommandError for a rail that is not connected or does not answer, ExpectedError for a day to come.
    """
    async with open_database(settings) as database:
        name, adapter = _rail(store.connected_rails(settings.rails, database, utc_now), rail)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:,}"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task("asking the rail", total=None)

            def advance(what: str, done: int, of: int | None) -> None:
                progress.update(task, description=what, completed=done, total=of)

            try:
                chosen = day or utc_now().date() - timedelta(days=1)
                report = await store.reconcile(database, name, adapter, chosen, utc_now, advance)
            except RailSilentError:
                raise CommandError(f"the rail {name} does not answer: try again later") from None
            except StatementError as error:
                raise CommandError(str(error)) from None
    _print(report)
    _write(report, output)
    return not report["counts"]


def _rail(connected: Mapping[str, Rail], name: str | None) -> tuple[str, Rail]:
    if not connected:
        raise CommandError("no rail is connected here: there is nothing to reconcile")
    if name is None and len(connected) > 1:
        raise CommandError(f"say which rail by --rail: {', '.join(sorted(connected))}")
    chosen = name or next(iter(connected))
    if chosen not in connected:
        raise CommandError(f"the rail {chosen} is not connected here; connected: {', '.join(sorted(connected))}")
    return chosen, connected[chosen]


def _write(report: Reconciliation, output: Path | None) -> None:
    if output is None:
        return
    try:
        output.write_bytes(store.report_json(report) + b"\n")
    except OSError as error:
        raise CommandError(f"the report {report['_id']} is kept, but cannot be written: {error}") from None


def _print(report: Reconciliation) -> None:
    wide = Console()
    # Where nobody looks at a terminal, a table must not be cut.
    console = wide if wide.is_terminal else Console(width=WIDTH)
    so_far = "" if report["is_final"] else ", so far"
    console.print(f"{report['rail']}, {report['day']}{so_far}: {report['agreed']:,} agree", highlight=False)
    if report["totals"]:
        console.print(_sums(report))
    _print_remarks(console, "findings", report["findings"], sum(report["counts"].values()))
    _print_remarks(console, "explained", report["notes"], sum(report["note_counts"].values()))
    count = sum(report["counts"].values())
    verdict = f"{count:,} {'differs' if count == 1 else 'differ'}" if count else "all agrees"
    console.print(f"{verdict}; report {report['_id']}", style="bold red" if count else "green", highlight=False)


def _sums(report: Reconciliation) -> Table:
    table = Table("", *(Column(side, justify="right") for side in SIDES))
    for currency, sides in report["totals"].items():
        for direction in ("in", "out"):
            cells = [_sum(sides[side][direction], currency) for side in SIDES]
            differs = len(set(cells)) > 1
            label = f"{currency} {direction}"
            table.add_row(label, *cells, style="yellow" if differs else "")
    return table


def _sum(part: Mapping[str, Any], currency: str) -> str:
    return f"{ledger.decimal_amount(int(part['minor_units']), currency):,} ({part['count']:,})"


def _print_remarks(console: Console, title: str, remarks: list[Remark], count: int) -> None:
    if not remarks:
        return
    table = Table(title, Column("id, reference", overflow="fold"), *SIDES, show_lines=True)
    for remark in remarks[:MAX_SHOWN]:
        what = f"{remark['kind']}\n{remark['text']}".strip()
        cells = ("\n".join(_movement(each) for each in remark[side]) for side in SIDES)
        table.add_row(
            Text(what), Text("\n".join([remark["id"], *remark["references"]])), *(Text(cell) for cell in cells)
        )
    console.print(table)
    if count > MAX_SHOWN:
        console.print(f"and {count - MAX_SHOWN:,} more: see --output", highlight=False)


def _movement(movement: Mapping[str, Any]) -> str:
    currency = movement["currency"]
    amount = ledger.decimal_amount(int(movement["minor_units"]), currency)
    times = f" in {movement['count']:,} lines" if movement["count"] > 1 else ""
    return f"{movement['direction'].lower()} {amount:,} {currency}{times}, {movement['day']}"
