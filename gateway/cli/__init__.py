"""The `agora` command: which commands there are; each imports what it needs when it runs, so that all start quickly."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from datastores.errors import ExpectedError
from gateway.settings import Environment, Settings, SettingsError

app = typer.Typer(
    name="agora",
    help="One graph for the everything app.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
partner_app = typer.Typer(help="Partners: applications that follow payments.", no_args_is_help=True)
schema_app = typer.Typer(help="The schema in SDL.", no_args_is_help=True)
ledger_app = typer.Typer(help="The ledger and its proofs.", no_args_is_help=True)
wallet_app = typer.Typer(help="People's wallets.", no_args_is_help=True)
person_app = typer.Typer(help="People.", no_args_is_help=True)
receipt_app = typer.Typer(help="Receipts and the keys that sign them.", no_args_is_help=True)
app.add_typer(wallet_app, name="wallet")
app.add_typer(person_app, name="person")
app.add_typer(partner_app, name="partner")
app.add_typer(schema_app, name="schema")
app.add_typer(ledger_app, name="ledger")
app.add_typer(receipt_app, name="receipt")


class CommandError(Exception):
    """A command that cannot be carried out; the message is the one line that is printed."""


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


def settings(default_environment: Environment = Environment.DEVELOPMENT) -> Settings:
    """The settings of the environment; raises SettingsError with all that is wrong."""
    return Settings.of_process(default_environment)


@app.command()
def dev(
    lively: Annotated[bool, typer.Option(help="Let the town's people post, chat, pay and shop.")] = False,
    port: Annotated[int | None, typer.Option(help="Serve here instead of AGORA_PORT (0: any free one).")] = None,
) -> None:
    """Serve the demo town on this machine: local database, demo people, GraphiQL."""
    from gateway.cli.serving import serve_demo

    _run(serve_demo(_with_port(settings(), port), lively=lively))


@app.command()
def serve(
    port: Annotated[int | None, typer.Option(help="Serve here instead of AGORA_PORT.")] = None,
    workers: Annotated[int, typer.Option(help="How many processes serve; SIGHUP exchanges them.", min=1, max=64)] = 1,
    descriptor: Annotated[int | None, typer.Option("--socket", hidden=True, min=3)] = None,
    number: Annotated[int, typer.Option(hidden=True, min=0)] = 0,
    folder: Annotated[Path | None, typer.Option(hidden=True)] = None,
) -> None:
    """Serve the whole graph from MONGODB_URI, for production."""
    from gateway.cli.serving import serve_graph, serve_workers
    from gateway.cli.workers import Place

    given = _with_port(settings(Environment.PRODUCTION), port)
    if descriptor is not None and folder is not None:
        _run(serve_graph(given, place=Place(descriptor, number, folder)))
    elif workers > 1:
        _run(serve_workers(given, workers))
    else:
        _run(serve_graph(given))


@app.command()
def subgraph(
    name: Annotated[str, typer.Argument(help="The domain, such as `posts`.")],
    port: Annotated[int | None, typer.Option(help="Serve here instead of AGORA_PORT.")] = None,
) -> None:
    """Serve one domain as a Federation v2 subgraph from MONGODB_URI."""
    from gateway.cli.serving import serve_graph

    _run(serve_graph(_with_port(settings(Environment.PRODUCTION), port), subgraph=name))


@app.command()
def token(handle: Annotated[str, typer.Argument(help="A person's handle, or the demo partner `pay-watch`.")]) -> None:
    """Print a development token, and nothing else."""
    from gateway.cli.tokens import development_token

    typer.echo(development_token(settings(), handle))


@app.command()
def seed(
    scale: Annotated[int, typer.Option(help="How many posts to plant, up to 1,000,000.", min=1, max=1_000_000)] = 1_000,
) -> None:
    """Plant the demo town and `--scale` further posts with people, follows, likes and messages; the same each time."""
    from gateway.cli.seeding import seed_town

    _run(seed_town(settings(), scale))


@partner_app.command("create")
def partner_create(
    name: Annotated[str, typer.Argument(help="The application's name.")],
    merchant: Annotated[list[str], typer.Option(help="A merchant's id, or the handle of a merchant's owner.")],
    scope: Annotated[
        list[str], typer.Option(help="What its key may do: payments:read, webhooks:write, keys:write.")
    ] = ["payments:read", "webhooks:write"],  # noqa: B006  # typer copies it
    sandbox: Annotated[
        bool, typer.Option("--sandbox", help="It is for trying things out, and so are its merchants.")
    ] = False,
) -> None:
    """Make a partner application that follows these merchants, and print its key, which is shown this once."""
    from gateway.cli.partners import create_partner

    typer.echo(_run(create_partner(settings(), name, merchant, scope, sandbox=sandbox)))


@partner_app.command("list")
def partner_list() -> None:
    """List all applications."""
    from gateway.cli.partners import list_partners

    for line in _run(list_partners(settings())):
        typer.echo(line)


@partner_app.command("keys")
def partner_keys(partner: Annotated[str, typer.Argument(help="The application's id.")]) -> None:
    """List the keys of an application, the newest first, with the time at which each was last used."""
    from gateway.cli.partners import list_keys

    for line in _run(list_keys(settings(), partner)):
        typer.echo(line)


@partner_app.command("add-key")
def partner_add_key(
    partner: Annotated[str, typer.Argument(help="The application's id.")],
    name: Annotated[str, typer.Argument(help="What to call the key.")],
    scope: Annotated[list[str], typer.Option(help="What it may do: payments:read, webhooks:write, keys:write.")],
) -> None:
    """Make another key of an application, and print it, this once."""
    from gateway.cli.partners import add_key

    typer.echo(_run(add_key(settings(), partner, name, scope)))


@partner_app.command("rotate")
def partner_rotate(
    key: Annotated[str, typer.Argument(help="The key's id, `key_…`.")],
    overlap_hours: Annotated[int, typer.Option(help="How long both keys are valid, 0 to 168.")] = 24,
) -> None:
    """Replace a key by another, and print that one, this once."""
    from gateway.cli.partners import rotate_key

    typer.echo(_run(rotate_key(settings(), key, overlap_hours)))


@partner_app.command("revoke")
def partner_revoke(key: Annotated[str, typer.Argument(help="The key's id, `key_…`.")]) -> None:
    """End a key at once, with the streams that it opened."""
    from gateway.cli.partners import revoke_key

    typer.echo(_run(revoke_key(settings(), key)))


@partner_app.command("grant")
def partner_grant(
    partner: Annotated[str, typer.Argument(help="The application's id.")],
    merchant: Annotated[list[str], typer.Option(help="A merchant's id, or the handle of a merchant's owner.")],
    withdraw: Annotated[bool, typer.Option("--withdraw", help="Take them away instead.")] = False,
) -> None:
    """Let an application see these merchants' events, from now on and of their whole past."""
    from gateway.cli.partners import grant

    typer.echo(_run(grant(settings(), partner, merchant, withdraw=withdraw)))


@partner_app.command("listen")
def partner_listen(
    port: Annotated[int, typer.Option(help="Listen here (0: any free port).")] = 9000,
    graph: Annotated[str | None, typer.Option(help="The graph's URL; that of `agora dev` if absent.")] = None,
    key: Annotated[str | None, typer.Option(help="The application's key; the demo partner's if absent.")] = None,
    type_: Annotated[list[str] | None, typer.Option("--type", help="Only events of this type.")] = None,
) -> None:
    """Receive webhooks on this machine, verify them, and print a line for each event."""
    from gateway.cli.listening import listen
    from gateway.cli.tokens import development_token

    given = settings()
    where = graph or f"http://127.0.0.1:{given.port}/graphql"
    who = key or development_token(given, "pay-watch")
    _run(listen(where, who, port=port, types=type_ or [], say=_say))


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


@app.command()
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


@ledger_app.command("verify")
def ledger_verify(
    checkpoint: Annotated[
        Path | None, typer.Option(help="A checkpoint, or a list of them, that was kept outside of the database.")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Write the report here as JSON.")] = None,
) -> None:
    """Replay the ledger: sums, chain, numbers, balances, checkpoints; exit code 1 where something is wrong."""
    from gateway.cli.ledgers import verify

    if not _run(verify(settings(), kept=checkpoint, output=output)):
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

    if not _run(reconcile(settings(), rail, day.date() if day else None, output)):
        raise SystemExit(1)


@ledger_app.command("reverse")
def ledger_reverse(
    entry: Annotated[str, typer.Argument(help="The id of an entry, of its transfer, or of one of its legs.")],
    reason: Annotated[str, typer.Option(help="Why; kept in the ledger, and shown to nobody else.")],
) -> None:
    """Undo a posted entry with its fees, as far as it was not sent back; refused where the money is gone."""
    from gateway.cli.reversals import reverse

    typer.echo(_run(reverse(settings(), entry, reason)))


@wallet_app.command("freeze")
def wallet_freeze(
    wallet: Annotated[str, typer.Argument(help="A wallet's id, or a person's handle for all their wallets.")],
    reason: Annotated[str, typer.Option(help="Why; kept in the ledger, and shown to nobody else.")],
    currency: Annotated[str | None, typer.Option(help="Only the wallet in this currency.")] = None,
) -> None:
    """Freeze wallets: they neither pay nor are paid until they are unfrozen."""
    from datastores.ledger import WalletStatus
    from gateway.cli.wallets import set_status

    for id in _run(set_status(settings(), wallet, currency, WalletStatus.FROZEN, reason)):
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

    for id in _run(set_status(settings(), wallet, currency, WalletStatus.OPEN, reason)):
        typer.echo(f"unfroze {id}")


@person_app.command("tier")
def person_tier(
    handle: Annotated[str, typer.Argument(help="A person's handle.")],
    tier: Annotated[str, typer.Argument(help="unverified, basic, verified, business, or default.")],
    currency: Annotated[str | None, typer.Option(help="Open their wallet in this currency if they have none.")] = None,
    reason: Annotated[str | None, typer.Option(help="Why; kept in the ledger, and shown to nobody else.")] = None,
) -> None:
    """Give a person's wallets a tier, on which their limits depend."""
    from gateway.cli.wallets import set_tier

    for id in _run(set_tier(settings(), handle, tier, currency, reason)):
        typer.echo(f"{id} is {tier.lower()}")


@person_app.command("erase")
def person_erase(
    name: Annotated[str, typer.Argument(help="A person's handle or id.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Erase a person for ever: profile, posts, memos, sign-in. The ledger keeps their id alone, and still holds."""
    from gateway.cli.people import erase

    typer.echo(_run(erase(settings(), name, None if yes else typer.confirm)))


@ledger_app.command("checkpoint")
def ledger_checkpoint(
    listed: Annotated[bool, typer.Option("--list", help="List the newest, instead of making one.")] = False,
    export: Annotated[Path | None, typer.Option(help="Write the newest here as JSON, to be kept elsewhere.")] = None,
) -> None:
    """Sign the head of the ledger now, unless nothing came since the last checkpoint, and print it."""
    from gateway.cli.ledgers import checkpoint

    typer.echo(_run(checkpoint(settings(), listed=listed, export=export)))


@app.command()
def explain(
    file: Annotated[Path, typer.Argument(help="A document with an operation.")],
    variables: Annotated[Path | None, typer.Option(help="A JSON file with its variables.")] = None,
    operation: Annotated[str | None, typer.Option(help="Which operation, where FILE has several.")] = None,
    person: Annotated[str | None, typer.Option(help="The handle of whoever asks; nobody if absent.")] = None,
) -> None:
    """Say what an operation costs, what it reads and by which indexes; exit code 1 where a collection is read whole."""
    from gateway.cli.explaining import explain as explain_file

    if not _run(explain_file(settings(), file, variables, operation, person)):
        raise SystemExit(1)


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

    typer.echo(_run(keys(settings())))


@receipt_app.command("rotate-key")
def receipt_rotate_key() -> None:
    """Sign with a new key from now on, and print its id; what older keys have signed stays good."""
    from gateway.cli.receipts import rotate_key

    typer.echo(_run(rotate_key(settings())))


def _with_port(given: Settings, port: int | None) -> Settings:
    from dataclasses import replace

    return given if port is None else replace(given, port=port)


def _run(work: Coroutine[Any, Any, Any]) -> Any:
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def _say(line: str) -> None:
    print(line, flush=True)


def _fail(*lines: str) -> None:
    for line in lines:
        print(f"agora: {line}", file=sys.stderr)
    raise SystemExit(1)
