"""What goes into an execution and what comes out: requests, prepared operations, errors of requests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple

from graphql import DocumentNode, OperationDefinitionNode

OUR_FAULT: Final = "Something went wrong on our side. Tell us the request id if it goes on."

Result = dict[str, Any]
# Sends an answer, JSON, at once; False, and nothing sent, where the client does not take it now.
Outlet = Callable[[bytes], bool]
_NONE: Final[Mapping[str, Any]] = MappingProxyType({})
OperationKind = Literal["query", "mutation", "subscription"]


class OperationRequest(NamedTuple):
    """A GraphQL request as any transport received it. `persisted`: the document was known before."""

    query: str
    operation_name: str | None = None
    variables: Mapping[str, Any] = _NONE
    extensions: Mapping[str, Any] = _NONE
    persisted: bool = False


class PreparedOperation(NamedTuple):
    """A parsed, validated and limited operation, ready to run. `digest` is the SHA-256 of the document's text."""

    request: OperationRequest
    digest: bytes
    document: DocumentNode
    operation: OperationDefinitionNode
    kind: OperationKind
    name: str | None
    cost: int


class RequestError(Exception):
    """A request that cannot be executed at all; its answer has `errors` and no `data`.

    `status` is the HTTP status for `application/graphql-response+json`; `headers` are for HTTP as well.
    """

    def __init__(
        self,
        code: str,
        message: str,
        status: int = 400,
        *,
        errors: Sequence[Result] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.headers = dict(headers or {})
        self.errors: list[Result] = list(errors or [{"message": message, "extensions": {"code": code}}])

    @property
    def result(self) -> Result:
        """The answer's body."""
        return {"errors": self.errors}
