"""Which contract tests a router does not run, and why: what is the router's own, and where its answers differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from . import ROUTERS


@dataclass(frozen=True, slots=True)
class Difference:
    """Tests whose id has `tests` in it are not run behind `routers`."""

    tests: str
    reason: str
    routers: tuple[str, ...] = ROUTERS


TOWNLESS: Final = "it asks no town: a schema, a server or documents of its own"

_ENDPOINT: Final = "HTTP itself is the router's: methods, media types, origins, statuses"

_ANSWERS: Final = "tests/contract/test_semantics_answers.py::"
_STREAMS: Final = f"{_ANSWERS}TestEventStreams::test_"

DIFFERENCES: Final = (
    Difference(
        "test_an_unforeseen_failure_is_masked",
        "it has no header `X-Request-Id`, the error's `requestId` is the subgraph's",
        ("grafbase", "apollo"),
    ),
    Difference(
        f"{_STREAMS}a_stream_over_http",
        "its event streams write `event:next` without a space, which is the same event",
        ("grafbase",),
    ),
    Difference(
        f"{_STREAMS}nobody_listens_there",
        "its event stream stays open after a refusal, until the client goes",
        ("grafbase",),
    ),
    Difference("TestEventStreams", "it has no subscriptions", ("apollo",)),
    Difference("test_semantics_requests.py", _ENDPOINT),
    Difference("test_semantics_answers.py::TestOrigins", _ENDPOINT),
    Difference("test_semantics_who.py::test_a_wrong_token_is_not_nobody", _ENDPOINT),
)


def difference(nodeid: str, topology: str) -> Difference | None:
    """Why a test is not run behind a router; None where it is."""
    return next((each for each in DIFFERENCES if topology in each.routers and each.tests in nodeid), None)
