"""What HTTP itself refuses, before anything is known of the operation: each with its status, code and headers."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.execution.requests import RequestError


class Refusal(RequestError):
    """A request that is answered with its own status whatever media type the client accepts.

    Any other RequestError is an answer to a well-formed request, and `application/json` says 200 for it.
    """

    def __init__(
        self, status: int, message: str, *, code: str = "BAD_REQUEST", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(code, message, status, headers=headers)


def malformed(message: str) -> Refusal:
    """400: the request is not a GraphQL request."""
    return Refusal(400, message)
