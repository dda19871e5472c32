"""The parameters of a GraphQL request, read from a JSON body, a query string or a socket's message."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl

import orjson

from gateway.transports.refusals import malformed

MAX_JSON_DEPTH: Final = 64
MAX_QUERY_STRING_FIELDS: Final = 20
APQ_VERSION: Final = 1
SHA256_PREFIX: Final = "sha256:"
NAMES: Final = ("query", "documentId", "operationName", "variables", "extensions")
_NESTING: Final = (dict, list)
_NAMES_IN_JSON: Final = tuple(f'"{name}"'.encode() for name in NAMES)


class Parameters(NamedTuple):
    """A well-formed request: a document, or the name of one, or both.

    `document_id` is `sha256:` and lower-case hex where it names a hash; `automatic` is whether it came in the form of
    automatic persisted queries. Whether any document of that name is known is not decided yet.
    """

    query: str | None
    document_id: str | None
    automatic: bool
    operation_name: str | None
    variables: Mapping[str, Any]
    extensions: Mapping[str, Any]


def from_body(body: bytes) -> Parameters:
    """The parameters in a JSON body; raises Refusal (400) and says what is wrong with it."""
    return from_mapping(_json_object(body, "The body", _NAMES_IN_JSON))


def from_query_string(query_string: bytes) -> Parameters:
    """The parameters of a GET; raises Refusal (400)."""
    try:
        pairs = parse_qsl(
            query_string.decode("ascii"),
            keep_blank_values=True,
            max_num_fields=MAX_QUERY_STRING_FIELDS,
            encoding="utf-8",
            errors="strict",
        )
    except ValueError:
        raise malformed("The query string is not URL-encoded UTF-8 with at most 20 fields") from None
    values: dict[str, Any] = {}
    for name, text in pairs:
        if name in values and name in NAMES:
            raise malformed(f"The parameter {name!r} is given twice")
        values[name] = text
    for name in NAMES:
        # A form field cannot be null: the empty text stands for absent.
        if values.get(name) == "":
            del values[name]
    for name in ("variables", "extensions"):
        if name in values:
            values[name] = _json_object(values[name].encode(), f"The parameter {name!r}", (), or_null=True)
    return from_mapping(values)


def from_mapping(values: Mapping[str, Any]) -> Parameters:
    """The parameters among decoded `values`, others ignored; raises Refusal (400) for a wrong type."""
    query = _text(values, "query")
    operation_name = _text(values, "operationName")
    variables = _object(values, "variables")
    extensions = _object(values, "extensions")
    document_id, automatic = _document_id(values, extensions)
    if query is None and document_id is None:
        raise malformed("The parameter 'query' is missing: send the text of a document, or a 'documentId'")
    # Clients that must send a query beside the name of a document send an empty one.
    return Parameters(
        query if query or document_id is None else None,
        document_id,
        automatic,
        operation_name or None,
        variables,
        extensions,
    )


def _document_id(values: Mapping[str, Any], extensions: Mapping[str, Any]) -> tuple[str | None, bool]:
    named = _text(values, "documentId")
    automatic = extensions.get("persistedQuery")
    if automatic is None:
        return named, False
    if not isinstance(automatic, dict) or automatic.get("version") != APQ_VERSION:
        raise malformed("'extensions.persistedQuery' must be an object with version 1")
    digest = automatic.get("sha256Hash")
    if not isinstance(digest, str):
        raise malformed("'extensions.persistedQuery.sha256Hash' must be a string")
    found = SHA256_PREFIX + digest.lower()
    if named is not None and named != found:
        raise malformed("'documentId' and 'extensions.persistedQuery' name different documents")
    return found, True


def _text(values: Mapping[str, Any], name: str) -> str | None:
    value = values.get(name)
    if value is None or isinstance(value, str):
        return value
    raise malformed(f"The parameter {name!r} must be a string, not {_kind(value)}")


def _object(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = values.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise malformed(f"The parameter {name!r} must be an object, not {_kind(value)}")
    if not is_shallow(value):
        raise malformed(f"The parameter {name!r} is nested more than {MAX_JSON_DEPTH} deep")
    return value


def _json_object(
    body: bytes, what: str, must_be_unique: tuple[bytes, ...], *, or_null: bool = False
) -> Mapping[str, Any]:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if not body.strip():
            raise malformed(f"{what} is empty: send a JSON object") from None
        raise malformed(f"{what} is not JSON in UTF-8: {error}") from None
    if value is None and or_null:
        return {}
    if isinstance(value, list):
        raise malformed(f"{what} is an array: arrays of operations are refused, send one operation a request")
    if not isinstance(value, dict):
        raise malformed(f"{what} must be a JSON object, not {_kind(value)}")
    for name in must_be_unique:
        if body.count(name) > 1:
            _refuse_duplicates(body, what)
            break
    return value


def _refuse_duplicates(body: bytes, what: str) -> None:
    # The fast decoder keeps the last of two equal keys; something in front of this server may have read the first.
    try:
        pairs: list[tuple[str, Any]] = json.loads(body, object_pairs_hook=list)
    except RecursionError:
        raise malformed(f"{what} is nested too deeply") from None
    names = [name for name, _ in pairs]
    for name in NAMES:
        if names.count(name) > 1:
            raise malformed(f"{what} gives {name!r} twice")


def is_shallow(value: Mapping[str, Any]) -> bool:
    """Whether a decoded object is nested at most 64 deep: deeper ones can be read, but not be written again."""
    level: list[Any] = [value]
    for _ in range(MAX_JSON_DEPTH):
        level = [
            child
            for parent in level
            for child in (parent.values() if isinstance(parent, dict) else parent)
            if isinstance(child, _NESTING)
        ]
        if not level:
            return True
    return False


def _kind(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case str():
            return "a string"
        case list():
            return "an array"
        case dict():
            return "an object"
        case _:
            return "a number"
