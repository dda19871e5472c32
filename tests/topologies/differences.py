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

_LIMITS: Final = "each subgraph measures its part of an operation, and refuses that part alone"
_INSIDE: Final = "it counts or stops something inside the one process"
_DOCUMENTS: Final = "documents by their hash are the router's own: ours are sent to it as text"

_ANSWERS: Final = "tests/contract/test_semantics_answers.py::"
_STREAMS: Final = f"{_ANSWERS}TestEventStreams::test_"

# What routers call it that variables do not fit, where their configuration cannot say `INVALID_INPUT`: Grafbase.
WORDS: Final = {"VARIABLE_ERROR": "INVALID_INPUT"}

_NOBODY: Final = "over a WebSocket it asks other domains as nobody, so that what is private in them is null in events"

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
    Difference("test_semantics_requests.py", f"{_ENDPOINT}; documents by their hash, and limits"),
    Difference("test_semantics_answers.py::TestOrigins", _ENDPOINT),
    Difference("test_bad_input.py::test_a_body_that_is_no_request_is_refused", _ENDPOINT),
    Difference("test_bad_input.py::test_headers_that_do_not_fit_are_refused", _ENDPOINT),
    Difference("test_abuse.py::test_a_socket_that_says_strange_things_is_told_so", _ENDPOINT),
    Difference("test_abuse.py::test_a_form_of_another_site_does_nothing", _ENDPOINT),
    Difference("test_abuse.py::test_what_is_private_is_never_stored_on_the_way", _ENDPOINT),
    Difference("ledger/test_refusals.py", _ENDPOINT),
    Difference("test_abuse.py::test_an_operation_that_asks_for_too_much_is_refused_before_it_runs", _LIMITS),
    Difference("test_persisted_documents.py::test_a_screen_is_answered_by_the_id_of_its_document", _DOCUMENTS),
    Difference(
        "ledger/test_amounts.py::test_a_number_in_the_place_of_a_decimal", "its own parser reads numbers in JSON"
    ),
    Difference(
        "ledger/test_keys.py::test_half_of_a_surrogate_pair_is_no_text_on_any_road",
        "it takes half of a surrogate pair for text, which the subgraph refuses: `INTERNAL`",
    ),
    Difference(
        "ledger/test_keys.py::test_a_whole_number_is_the_key_of_its_digits",
        "a whole number is no ID to it: `VARIABLE_ERROR`",
        ("grafbase",),
    ),
    Difference(
        "test_everything_answers.py::test_every_field_has_answered_with_a_value",
        "a field of an abstract type within an event is an error to it: it expects the type's name to be borrowed",
        ("grafbase",),
    ),
    Difference("test_shared_streams.py::test_together_is_as_alone[notificationAdded]", _NOBODY, ("grafbase",)),
    Difference("test_rides.py::test_a_ride_is_booked_followed_and_paid", _NOBODY, ("grafbase",)),
    Difference(
        "test_attacks.py::test_who_is_removed_hears_nothing_more[conversationUpdated { __typename }]",
        "an event of which nothing but the type is asked for is an error to it",
        ("grafbase",),
    ),
    Difference(
        "ledger/test_replays.py::test_a_client_that_leaves_cancels_nothing",
        "a mutation whose client leaves at once does not always reach its subgraph",
        ("grafbase",),
    ),
    Difference(
        "test_webhooks.py::TestKeys::test_a_stream_ends_with_its_key",
        "its event streams have no head before the first event",
        ("grafbase",),
    ),
    Difference("ledger/test_unanswered.py::test_a_full_queue", _INSIDE),
    Difference("ledger/test_unanswered.py::test_a_silent_ledger", _INSIDE),
    Difference("test_shared_streams.py::test_many_operations_of_one_socket_share_too", _INSIDE),
    Difference(
        "test_shared_streams.py::test_variables_beside_the_cursor_split_the_group_and_the_cursor_does_not",
        "it writes an operation with a cursor otherwise than one without, so that those two do not share",
    ),
    Difference("test_webhooks.py::TestKeys::test_a_stream_ends_with_its_key", "it has no subscriptions", ("apollo",)),
    Difference("test_several_processes.py", "a fleet of whole gateways behind a proxy of its own"),
    Difference("test_semantics_who.py::test_a_wrong_token_is_not_nobody", _ENDPOINT),
)


def difference(nodeid: str, topology: str) -> Difference | None:
    """Why a test is not run behind a router; None where it is."""
    return next((each for each in DIFFERENCES if topology in each.routers and each.tests in nodeid), None)
