"""The part of MongoDB's aggregation expressions in which leases, updates and sums are written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from bson.decimal128 import Decimal128

from datastores.mongo import Document, Filter


def applied(document: Document, pipeline: Sequence[Filter], now: datetime) -> Document:
    """The document after the `$set` stages of an update; every expression sees the document as it was."""
    for stage in pipeline:
        if set(stage) != {"$set"}:
            raise NotImplementedError(f"a stage {stage}")
        values = {name: evaluated(expression, document, now) for name, expression in stage["$set"].items()}
        document = {**document, **values}
    return document


def evaluated(expression: Any, document: Document, now: datetime) -> Any:
    """The value of an expression over a document; None where a field is missing."""
    if isinstance(expression, str) and expression.startswith("$"):
        return now if expression == "$$NOW" else at_path(document, expression[1:])[0]
    if not isinstance(expression, Mapping):
        return expression
    if not any(name.startswith("$") for name in expression):
        return {name: evaluated(each, document, now) for name, each in expression.items()}
    ((operator, operands),) = expression.items()
    if operator == "$literal":
        return operands
    if not isinstance(operands, list):
        operands = [operands]
    return _OPERATORS[operator]([evaluated(operand, document, now) for operand in operands])


def at_path(document: Document, path: str) -> list[Any]:
    """All values at a dotted path, which may lead through lists; None alone where there is none."""
    found: list[Any] = [document]
    for name in path.split("."):
        parts = [part for value in found for part in (value if isinstance(value, list) else [value])]
        found = [part[name] for part in parts if isinstance(part, Mapping) and name in part]
    return found or [None]


def _add(values: list[Any]) -> Any:
    first, second = values
    return first + (timedelta(milliseconds=second) if isinstance(first, datetime) else second)


def _less_or_equal(values: list[Any]) -> bool:
    first, second = values
    # What is missing sorts before everything.
    return first is None or (second is not None and bool(first <= second))


_OPERATORS: Final[dict[str, Callable[[list[Any]], Any]]] = {
    "$abs": lambda values: abs(values[0]),
    "$add": _add,
    "$cond": lambda values: values[1] if values[0] else values[2],
    "$eq": lambda values: values[0] == values[1],
    "$gt": lambda values: values[0] > values[1],
    "$ifNull": lambda values: next((value for value in values if value is not None), None),
    "$lte": _less_or_equal,
    "$or": any,
    "$toDecimal": lambda values: Decimal128(Decimal(values[0])),
}
