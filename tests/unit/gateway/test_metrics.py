"""Everything is counted, and nothing that a client sends can make the counts grow without bound."""

from __future__ import annotations

import httpx
import pytest
from prometheus_client import generate_latest
from starlette.applications import Starlette

from gateway.metrics import MAX_COMMANDS, MAX_OPERATION_NAMES, BoundedNames, Metrics


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_operations_are_counted_by_name_and_outcome() -> None:
    metrics = Metrics()

    metrics.operation("query", "Timeline", "http", "ok", 0.02)
    metrics.operation("query", "Timeline", "http", "ok", 0.04)
    metrics.operation("mutation", "Pay", "http", "INSUFFICIENT_FUNDS", 0.2)
    metrics.operation("query", None, "websocket", "INTERNAL", 0.1)
    metrics.operation(None, None, "http", "GRAPHQL_PARSE_FAILED", 0.001)
    metrics.operation("subscription", "Chat", "sse", "ok", 3600)

    labels = {"operation": "Timeline", "kind": "query"}
    counted = "agora_operations_total"
    assert value(metrics, counted, transport="http", outcome="ok", **labels) == 2
    assert value(metrics, "agora_operation_duration_seconds_sum", **labels) == pytest.approx(0.06)
    assert value(metrics, "agora_operation_duration_seconds_count", operation="Chat", kind="subscription") is None
    assert value(metrics, counted, operation="anonymous", kind="query", transport="websocket", outcome="INTERNAL") == 1


def test_executions_are_counted_by_how_they_ran() -> None:
    metrics = Metrics()

    for how in ("compiled", "compiled", "cold", "violation"):
        metrics.execution(how)

    counted = [value(metrics, "agora_executions_total", how=how) for how in ("compiled", "cold", "violation")]
    assert counted == [2, 1, 1]


def test_names_that_clients_make_up_are_bounded() -> None:
    metrics = Metrics(known_operations=["Timeline"])
    for number in range(10_000):
        metrics.operation("query", f"Made_up_{number}", "http", "ok", 0.01)
    size = len(generate_latest(metrics.registry))

    for number in range(10_000, 20_000):
        metrics.operation("query", f"Made_up_{number}", "http", "ok", 0.01)
    metrics.operation("query", "Timeline", "http", "ok", 0.01)

    names = {sample.labels.get("operation") for metric in metrics.registry.collect() for sample in metric.samples}
    names.discard(None)
    # The known one keeps its own label beside the first hundred and the rest.
    assert len(names) == MAX_OPERATION_NAMES + 2
    assert "Timeline" in names
    assert len(generate_latest(metrics.registry)) < size * 1.1
    assert (
        value(metrics, "agora_operations_total", operation="other", kind="query", transport="http", outcome="ok")
        == 20_000 - MAX_OPERATION_NAMES
    )


@pytest.mark.parametrize("name", ["", "x" * 65, 'a"} evil{b="', "a\nb", "\ud800", "名"])
def test_a_name_that_is_no_word_is_other(name: str) -> None:
    metrics = Metrics()

    metrics.operation("query", name, "http", "ok", 0.01)
    metrics.http_request(name, 200, 0.01)
    metrics.authentication("person", name)

    text = generate_latest(metrics.registry).decode()
    assert 'operation="other"' in text
    assert 'method="other"' in text
    assert 'agora_authentications_total{kind="person",outcome="other"}' in text


def test_commands_of_the_database_are_counted_by_collection() -> None:
    metrics = Metrics()

    metrics.command("find", "posts", 0.002, True)
    metrics.command("find", "posts", 0.004, False)
    metrics.command("hello", "", 0.001, True)
    for number in range(1_000):
        metrics.command("find", f"collection_{number}", 0.001, True)

    counted = "agora_mongodb_command_duration_seconds_count"
    assert value(metrics, counted, command="find", collection="posts") == 2
    assert value(metrics, "agora_mongodb_command_failures_total", command="find", collection="posts") == 1
    assert value(metrics, counted, command="hello", collection="") == 1
    assert value(metrics, counted, command="other", collection="other") == 1_002 - MAX_COMMANDS


def test_batches_sockets_subscriptions_and_credentials() -> None:
    metrics = Metrics()

    metrics.batch("ledger", acts=64, attempts=3, duration_s=0.05)
    metrics.batch("ledger", acts=1, attempts=1, duration_s=0.05)
    metrics.socket_opened("websocket")
    metrics.socket_opened("websocket")
    metrics.socket_closed("websocket")
    metrics.socket_refused("sse", "client")
    metrics.subscription_started("sse")
    metrics.subscription_ended("sse")
    metrics.authentication("person", "refused")

    assert value(metrics, "agora_commit_batch_acts_sum", loop="ledger") == 65
    assert value(metrics, "agora_commit_batch_retries_total", loop="ledger") == 2
    assert value(metrics, "agora_open_sockets", transport="websocket") == 1
    assert value(metrics, "agora_refused_sockets_total", transport="sse", limit="client") == 1
    assert value(metrics, "agora_subscriptions", transport="sse") == 0
    assert value(metrics, "agora_authentications_total", kind="person", outcome="refused") == 1


def test_two_sets_of_metrics_do_not_mix() -> None:
    one, other = Metrics(), Metrics()

    one.http_request("GET", 200, 0.01)

    assert value(one, "agora_http_requests_total", method="GET", status="200") == 1
    assert value(other, "agora_http_requests_total", method="GET", status="200") is None


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [(None, "text/plain"), ("application/openmetrics-text; version=1.0.0", "application/openmetrics-text")],
)
async def test_the_page_that_prometheus_reads(accept: str | None, media_type: str) -> None:
    metrics = Metrics()
    metrics.operation("query", "Timeline", "http", "ok", 0.02)
    transport = httpx.ASGITransport(Starlette(routes=[metrics.route()]))

    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        headers = {"Accept": accept} if accept else {}
        answer = await client.get("/metrics", headers=headers)

    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith(media_type)
    assert 'agora_operations_total{kind="query",operation="Timeline"' in answer.text
    assert "process_cpu_seconds_total" in answer.text


def test_known_names_take_none_of_the_places() -> None:
    names = BoundedNames(1, known=["a", "b"])

    assert [names.label(name) for name in ("a", "b", "c", "d", "c")] == ["a", "b", "c", "other", "c"]
