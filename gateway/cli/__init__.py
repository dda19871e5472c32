"""The `agora` command, put together; each command imports what it needs when it runs, so that all start quickly."""

from __future__ import annotations

import sys

import typer

from datastores.errors import ExpectedError
from gateway.settings import SettingsError

from .commands.demo import seed, token
from .commands.graph import explain, schema_app, supergraph
from .commands.ledgers import ledger_app
from .commands.partners import partner_app
from .commands.people import person_app
from .commands.receipts import receipt_app
from .commands.serving import dev, serve, subgraph
from .commands.wallets import wallet_app
from .errors import CommandError

app = typer.Typer(
    name="agora",
    help="One graph for the everything app.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (dev, serve, subgraph, token, seed, supergraph, explain):
    app.command()(command)
app.add_typer(wallet_app, name="wallet")
app.add_typer(person_app, name="person")
app.add_typer(partner_app, name="partner")
app.add_typer(schema_app, name="schema")
app.add_typer(ledger_app, name="ledger")
app.add_typer(receipt_app, name="receipt")


def main() -> None:
    """Run the command line; a failure that was foreseen is one line on stderr and exit code 1."""
    try:
        app()
    except SettingsError as error:
        _fail(*error.problems)
    except (CommandError, ExpectedError) as error:
        _fail(str(error))
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def _fail(*lines: str) -> None:
    for line in lines:
        print(f"agora: {line}", file=sys.stderr)
    raise SystemExit(1)
