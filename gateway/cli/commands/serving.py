"""Commands that serve: the demo town, the whole graph, one subgraph."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.running import run, settings
from gateway.settings import Environment, Settings


def dev(
    lively: Annotated[bool, typer.Option(help="Let the town's people post, chat, pay and shop.")] = False,
    port: Annotated[int | None, typer.Option(help="Serve here instead of AGORA_PORT (0: any free one).")] = None,
) -> None:
    """Serve the demo town on this machine: local database, demo people, GraphiQL."""
    from gateway.cli.serving import serve_demo

    run(serve_demo(_with_port(settings(), port), lively=lively))


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
        run(serve_graph(given, place=Place(descriptor, number, folder)))
    elif workers > 1:
        run(serve_workers(given, workers))
    else:
        run(serve_graph(given))


def subgraph(
    name: Annotated[str, typer.Argument(help="The domain, such as `posts`.")],
    port: Annotated[int | None, typer.Option(help="Serve here instead of AGORA_PORT.")] = None,
) -> None:
    """Serve one domain as a Federation v2 subgraph from MONGODB_URI."""
    from gateway.cli.serving import serve_graph

    run(serve_graph(_with_port(settings(Environment.PRODUCTION), port), subgraph=name))


def _with_port(given: Settings, port: int | None) -> Settings:
    return given if port is None else replace(given, port=port)
