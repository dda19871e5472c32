"""Commands about the graph itself: its schema, its supergraph, and what an operation costs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.running import run, settings

schema_app = typer.Typer(help="The schema in SDL.", no_args_is_help=True)


@schema_app.command("export")
def schema_export(
    output: Annotated[Path | None, typer.Option(help="Write here instead of the checked-in file.")] = None,
) -> None:
    """Write the schema's SDL."""
    from gateway.cli.schema_files import export

    typer.echo(f"wrote {export(output)}")


@schema_app.command("check")
def schema_check(
    against: Annotated[str | None, typer.Option(help="An SDL file, or a git revision, to compare with.")] = None,
) -> None:
    """Fail where the checked-in SDL is not the code's, or a change breaks what clients rely on."""
    from gateway.cli.schema_files import check

    typer.echo(check(against))


def supergraph(
    check: Annotated[bool, typer.Option("--check", help="Only compare with the checked-in file.")] = False,
    output: Annotated[Path | None, typer.Option(help="Write here instead of the checked-in file.")] = None,
    subgraphs: Annotated[Path | None, typer.Option(help="Only write each subgraph's SDL, into this folder.")] = None,
) -> None:
    """Compose all domains' subgraphs into the supergraph that a router is given (needs Node.js and a checkout)."""
    from gateway.cli import supergraphs

    if subgraphs is not None:
        for file in supergraphs.export_subgraphs(subgraphs):
            typer.echo(f"wrote {file}")
    else:
        typer.echo(supergraphs.check() if check else f"wrote {supergraphs.write(output)}")


def explain(
    file: Annotated[Path, typer.Argument(help="A document with an operation.")],
    variables: Annotated[Path | None, typer.Option(help="A JSON file with its variables.")] = None,
    operation: Annotated[str | None, typer.Option(help="Which operation, where FILE has several.")] = None,
    person: Annotated[str | None, typer.Option(help="The handle of whoever asks; nobody if absent.")] = None,
) -> None:
    """Say what an operation costs, what it reads and by which indexes; exit code 1 where a collection is read whole."""
    from gateway.cli.explaining import explain as explain_file

    if not run(explain_file(settings(), file, variables, operation, person)):
        raise SystemExit(1)
