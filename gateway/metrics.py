"""What is counted, under which names, and why no client can make the counts grow without bound."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from threading import Lock
from typing import Final, TypeVar, cast

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import choose_encoder
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .siblings import Siblings

MAX_OPERATION_NAMES: Final = 100
MAX_WORDS: Final = 64
MAX_COMMANDS: Final = 200
OTHER: Final = "other"
ANONYMOUS: Final = "anonymous"
HTTP_METHODS: Final = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
_DURATIONS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_COMMAND_DURATIONS_S: Final = (0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0)
_BATCH_SIZES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
_WORD: Final = re.compile(r"[A-Za-z0-9_.:-]{1,64}")


M = TypeVar("M", Counter, Histogram)


def _child(metric: M, labels: tuple[str, ...]) -> M:
    """`metric.labels(*labels)`, which for labels that are there already would do much to find that out."""
    known = cast("M | None", metric._metrics.get(labels))
    return metric.labels(*labels) if known is None else known


class BoundedNames:
    """At most so many different label values: those known beforehand, and the first others; the rest are `other`."""

    def __init__(self, most: int, known: Collection[str] = ()) -> None:
        self._known = frozenset(known)
        self._most = most
        self._seen: set[str] = set()
        self._lock = Lock()

    def label(self, name: str) -> str:
        """`name` itself, or `other`. May be called from any thread."""
        if name in self._known or name in self._seen:
            return name
        if _WORD.fullmatch(name) is None:
            return OTHER
        with self._lock:
            if name not in self._seen and len(self._seen) >= self._most:
                return OTHER
            self._seen.add(name)
        return name


class Metrics:
    """The counts of one process, in a registry of their own.

    `known_operations` are the names of the persisted documents: they keep their labels whatever else is sent. Of all
    other operation names the first 100 are told apart.
    """

    def __init__(self, known_operations: Collection[str] = ()) -> None:
        self.registry = CollectorRegistry()
        self._operation_names = BoundedNames(MAX_OPERATION_NAMES, known_operations)
        self._words = BoundedNames(MAX_WORDS)
        self._outcomes = BoundedNames(MAX_WORDS)
        self._commands = BoundedNames(MAX_COMMANDS)
        self._loops = BoundedNames(MAX_WORDS)
        self._make_requests()
        self._make_services()
        self._make_live()
        self._make_webhooks()
        self._make_database()
        ProcessCollector(registry=self.registry)
        self._siblings: Siblings | None = None

    @asynccontextmanager
    async def shared(self, folder: Path, number: int) -> AsyncIterator[None]:
        """Until the block ends this process answers for all workers that meet in `folder`, and is asked by them.

        Its samples have its `number` as the label `worker`, and theirs have theirs.
        """
        siblings = Siblings(folder, number, self.registry.collect)
        async with siblings.open():
            self._siblings = siblings
            try:
                yield
            finally:
                self._siblings = None

    def http_request(self, method: str, status: int, duration_s: float) -> None:
        """An HTTP request was answered with `status`, 499 where the client went away."""
        labels = (method if method in HTTP_METHODS else OTHER, str(status))
        _child(self._http_requests, labels).inc()
        self._http_duration.observe(duration_s)

    def operation(self, kind: str | None, name: str | None, transport: str, outcome: str, duration_s: float) -> None:
        """An operation is over: `kind` query, mutation, subscription, or None where it was refused before it was known.

        `outcome` is `ok`, `cancelled`, or the code of the first error.
        """
        operation = ANONYMOUS if name is None else self._operation_names.label(name)
        kind = kind or "unknown"
        _child(self._operations, (operation, kind, transport, self._outcomes.label(outcome))).inc()
        if kind != "subscription":
            _child(self._operation_duration, (operation, kind)).observe(duration_s)

    def execution(self, how: str) -> None:
        """An operation or an event was executed `compiled`, or by graphql-core for the reason that this word says."""
        _child(self._executions, (self._words.label(how),)).inc()

    def socket_opened(self, transport: str) -> None:
        """A WebSocket or an event stream was opened."""
        self._sockets.labels(self._words.label(transport)).inc()

    def socket_closed(self, transport: str) -> None:
        """It was closed."""
        self._sockets.labels(self._words.label(transport)).dec()

    def socket_refused(self, transport: str, limit: str) -> None:
        """One was refused, since this `limit` was reached: that of the `process`, the `client` or the `address`."""
        self._refused_sockets.labels(self._words.label(transport), self._words.label(limit)).inc()

    def subscription_started(self, transport: str) -> None:
        """A subscription began on a socket."""
        self._subscriptions.labels(self._words.label(transport)).inc()

    def subscription_ended(self, transport: str) -> None:
        """It ended."""
        self._subscriptions.labels(self._words.label(transport)).dec()

    def alone(self, change: int) -> None:
        """So many more subscriptions, or fewer, have caught up and are executed for nobody else."""
        self._alone.inc(change)

    def authentication(self, kind: str, outcome: str) -> None:
        """A credential of that kind was `accepted`, `refused`, or its issuer `unavailable`."""
        _child(self._authentications, (self._words.label(kind), self._words.label(outcome))).inc()

    def command(self, command: str, collection: str, duration_s: float, succeeded: bool) -> None:
        """MongoDB answered a command; called from the driver's threads."""
        label = self._commands.label(f"{command}:{collection}")
        command, _, collection = label.partition(":") if label != OTHER else (OTHER, "", OTHER)
        _child(self._command_duration, (command, collection)).observe(duration_s)
        if not succeeded:
            self._command_failures.labels(command, collection).inc()

    def batch(self, loop: str, acts: int, attempts: int, duration_s: float) -> None:
        """A commit loop wrote so many acts in one transaction, at the attempt counted from 1."""
        label = self._loops.label(loop)
        self._batch_size.labels(label).observe(acts)
        self._batch_duration.labels(label).observe(duration_s)
        self._batch_retries.labels(label).inc(attempts - 1)

    def service_call(self, service: str, outcome: str, duration_s: float) -> None:
        """A service of somebody else was asked once: `ok`, `refused`, how it failed, or why it was not asked."""
        label = self._words.label(service)
        self._service_calls.labels(label, self._words.label(outcome)).inc()
        self._service_duration.labels(label).observe(duration_s)

    def webhook(self, outcome: str, duration_s: float, lag_s: float | None) -> None:
        """An attempt to deliver a webhook: `delivered`, `failed`, `dead` or `disabled`; how old the event is."""
        self._webhooks.labels(self._words.label(outcome)).inc()
        self._webhook_duration.observe(duration_s)
        if lag_s is not None:
            self._webhook_lag.observe(lag_s)

    def route(self) -> Route:
        """`GET /metrics`, in the text format of Prometheus or OpenMetrics as the caller accepts it."""
        return Route("/metrics", self._answer, methods=["GET"])

    async def _answer(self, request: Request) -> Response:
        encode, media_type = choose_encoder(request.headers.get("accept", ""))
        shown = self.registry if self._siblings is None else await self._siblings.together()
        # Some thousand lines take milliseconds, which the loop has better use for.
        return Response(await run_in_threadpool(encode, shown), headers={"Content-Type": media_type})

    def _make_requests(self) -> None:
        self._http_requests = self._counter("http_requests", "HTTP requests", ("method", "status"))
        self._http_duration = self._histogram("http_request_duration_seconds", "Time to the end of an answer", ())
        self._operations = self._counter(
            "operations", "GraphQL operations by name and outcome", ("operation", "kind", "transport", "outcome")
        )
        self._operation_duration = self._histogram(
            "operation_duration_seconds", "Time of queries and mutations", ("operation", "kind")
        )
        self._executions = self._counter(
            "executions", "Executions: compiled ones, and those by graphql-core by the reason why", ("how",)
        )
        self._authentications = self._counter("authentications", "Credentials by outcome", ("kind", "outcome"))

    def _make_services(self) -> None:
        self._service_calls = self._counter(
            "service_calls", "Calls of services of others by outcome", ("service", "outcome")
        )
        self._service_duration = self._histogram("service_call_duration_seconds", "Time of one try", ("service",))

    def _make_live(self) -> None:
        self._sockets = self._gauge("open_sockets", "WebSockets and event streams that are open", ("transport",))
        self._refused_sockets = self._counter(
            "refused_sockets", "WebSockets and event streams past a limit", ("transport", "limit")
        )
        self._subscriptions = self._gauge("subscriptions", "Subscriptions that are running", ("transport",))
        self._alone = self._gauge("live_alone", "Who has caught up with a stream that nobody else hears", ())

    def _make_webhooks(self) -> None:
        self._webhooks = self._counter("webhook_attempts", "Attempts to deliver a webhook, by outcome", ("outcome",))
        self._webhook_duration = self._histogram("webhook_attempt_duration_seconds", "Time of an attempt", ())
        self._webhook_lag = self._histogram(
            "webhook_lag_seconds", "From an event to its delivery", (), (*_DURATIONS_S, 60.0, 600.0, 3_600.0, 86_400.0)
        )

    def _make_database(self) -> None:
        self._command_duration = self._histogram(
            "mongodb_command_duration_seconds",
            "Time of a command, on the driver's clock",
            ("command", "collection"),
            _COMMAND_DURATIONS_S,
        )
        self._command_failures = self._counter(
            "mongodb_command_failures", "Commands that failed", ("command", "collection")
        )
        self._batch_size = self._histogram("commit_batch_acts", "Acts in one transaction", ("loop",), _BATCH_SIZES)
        self._batch_duration = self._histogram("commit_batch_duration_seconds", "Time of a transaction", ("loop",))
        self._batch_retries = self._counter("commit_batch_retries", "Transactions tried again", ("loop",))

    def _counter(self, name: str, text: str, labels: Iterable[str]) -> Counter:
        return Counter(f"agora_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, labels: Iterable[str]) -> Gauge:
        return Gauge(f"agora_{name}", text, labels, registry=self.registry)

    def _histogram(
        self, name: str, text: str, labels: Iterable[str], buckets: tuple[float, ...] = _DURATIONS_S
    ) -> Histogram:
        return Histogram(f"agora_{name}", text, labels, registry=self.registry, buckets=buckets)
