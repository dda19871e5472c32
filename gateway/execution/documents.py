"""The document cache: text → parsed and validated document, bounded in entries and in the memory that they take."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLSchema,
    GraphQLSyntaxError,
    OperationDefinitionNode,
    OperationType,
    parse,
    validate,
)
from graphql.validation.rules import overlapping_fields_can_be_merged
from graphql.validation.validate import ValidationAbortedError

from .limits import MAX_TOKENS, check_limits, check_shape, sizing_values, sizing_variables
from .requests import OperationKind, OperationRequest, PreparedOperation, RequestError

MAX_DOCUMENTS: Final = 2_000
MAX_CACHED_BYTES: Final = 64 * 1024 * 1024
# A parsed document takes about 100 times the memory of its text: nodes, tokens, and where each stands.
BYTES_PER_TOKEN: Final = 600
MAX_DOCUMENT_BYTES: Final = 256 * 1024
MAX_VALIDATION_ERRORS: Final = 20
# What comparing fields that may be merged may cost, in graphql-core's own units of some 1.5 µs; its limit is 500,000.
# Thirty fragments that all select a post with its author and what it replies to need 22,000.
MAX_MERGING_COST: Final = 50_000
overlapping_fields_can_be_merged.MAX_COMPLEXITY_BUDGET = MAX_MERGING_COST
# For how many page sizes the cost of one document is remembered.
MAX_COSTS: Final = 32
_KINDS: Final[dict[OperationType, OperationKind]] = {
    OperationType.QUERY: "query",
    OperationType.MUTATION: "mutation",
    OperationType.SUBSCRIPTION: "subscription",
}


@dataclass(frozen=True, slots=True)
class _Document:
    digest: bytes
    node: DocumentNode
    operations: tuple[OperationDefinitionNode, ...]
    errors: tuple[GraphQLError, ...]
    size: int
    sizing_variables: tuple[str, ...]
    costs: dict[tuple[object, ...], int] = field(default_factory=dict)


class DocumentCache:
    """Parses and validates each text once; least recently used documents are forgotten."""

    def __init__(self, schema: GraphQLSchema) -> None:
        self._schema = schema
        self._documents: OrderedDict[bytes, _Document] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._documents)

    def prepare(self, request: OperationRequest) -> PreparedOperation:
        """The operation that a request asks for; raises RequestError where it is not an acceptable one."""
        document = self._document(request)
        operation = _operation(document, request.operation_name)
        name = operation.name.value if operation.name else None
        cost = self._cost(document, operation, name, request)
        if document.errors:
            raise _invalid(document.errors)
        return PreparedOperation(
            request, document.digest, document.node, operation, _KINDS[operation.operation], name, cost
        )

    def _cost(
        self, document: _Document, operation: OperationDefinitionNode, name: str | None, request: OperationRequest
    ) -> int:
        key = (name, *sizing_values(document.sizing_variables, request.variables))
        known = document.costs.get(key)
        if known is None:
            known = check_limits(self._schema, document.node, operation, request.variables).cost
            if len(document.costs) < MAX_COSTS:
                document.costs[key] = known
        return known

    def _document(self, request: OperationRequest) -> _Document:
        text = request.query.encode("utf-8", "surrogatepass")
        key = hashlib.sha256(text).digest()
        if (known := self._documents.get(key)) is not None:
            self._documents.move_to_end(key)
            return known
        if len(text) > MAX_DOCUMENT_BYTES:
            raise RequestError("QUERY_TOO_COMPLEX", f"The document is longer than {MAX_DOCUMENT_BYTES // 1024} KB")
        made = self._parse(request, key, len(text))
        self._documents[key] = made
        self._bytes += made.size
        while len(self._documents) > MAX_DOCUMENTS or self._bytes > MAX_CACHED_BYTES:
            _, forgotten = self._documents.popitem(last=False)
            self._bytes -= forgotten.size
        return made

    def _parse(self, request: OperationRequest, digest: bytes, size: int) -> _Document:
        try:
            node = parse(request.query, max_tokens=MAX_TOKENS)
            operations = tuple(d for d in node.definitions if isinstance(d, OperationDefinitionNode))
            if not operations:
                raise RequestError("BAD_REQUEST", "The document has no operation")
            for operation in operations:
                # Before validation, which compares every pair of fields that fragments bring together.
                if _is_asked(operation, request.operation_name):
                    check_limits(self._schema, node, operation, request.variables)
                else:
                    check_shape(self._schema, node, operation)
            errors = validate(self._schema, node, max_errors=MAX_VALIDATION_ERRORS)
        except GraphQLSyntaxError as error:
            code = "QUERY_TOO_COMPLEX" if "Parsing aborted" in error.message else "GRAPHQL_PARSE_FAILED"
            raise RequestError(code, error.message, errors=[_formatted(error, code)]) from None
        except RecursionError:
            raise RequestError("QUERY_TOO_COMPLEX", "The document is nested too deeply") from None
        size += BYTES_PER_TOKEN * _tokens(node)
        return _Document(digest, node, operations, tuple(errors), size, sizing_variables(node))


def _is_asked(operation: OperationDefinitionNode, name: str | None) -> bool:
    return not name or (operation.name is not None and operation.name.value == name)


def _operation(document: _Document, name: str | None) -> OperationDefinitionNode:
    if name:
        for operation in document.operations:
            if _is_asked(operation, name):
                return operation
        raise RequestError("BAD_REQUEST", f"The document has no operation named {name[:100]!r}")
    if len(document.operations) > 1:
        raise RequestError("BAD_REQUEST", "The document has several operations: say which with operationName")
    return document.operations[0]


def _invalid(errors: Sequence[GraphQLError]) -> RequestError:
    if isinstance(errors[-1], ValidationAbortedError) and len(errors) <= MAX_VALIDATION_ERRORS:
        # Given up over the work, not over the number of errors: which fields may be merged was too much to compare.
        return RequestError("QUERY_TOO_COMPLEX", "The operation is too large: the same fields are selected too often")
    formatted = [_formatted(error, "GRAPHQL_VALIDATION_FAILED") for error in errors]
    return RequestError("GRAPHQL_VALIDATION_FAILED", errors[0].message, errors=formatted)


def _tokens(document: DocumentNode) -> int:
    """How many tokens the document was parsed from; at most `MAX_TOKENS`."""
    token, count = document.loc.start_token if document.loc else None, 0
    while token is not None:
        token, count = token.next, count + 1
    return count


def _formatted(error: GraphQLError, code: str) -> dict[str, object]:
    return {**error.formatted, "extensions": {"code": code}}
