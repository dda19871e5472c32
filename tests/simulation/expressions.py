"""The part of MongoDB's aggregation expressions in which leases are written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

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
        return now if expression == "$$NOW" else document.get(expression[1:])
    if not isinstance(expression, Mapping):
        return expression
    ((operator, operands),) = expression.items()
    if operator == "$literal":
        return operands
    return _OPERATORS[operator]([evaluated(operand, document, now) for operand in operands])


def _add(values: list[Any]) -> Any:
    first, second = values
    return first + (timedelta(milliseconds=second) if isinstance(first, datetime) else second)


def _less_or_equal(values: list[Any]) -> bool:
    first, second = values
    # What is missing sorts before everything.
    return first is None or (second is not None and bool(first <= second))


_OPERATORS: Final[dict[str, Callable[[list[Any]], Any]]] = {
    "$add": _add,
    "$cond": lambda values: values[1] if values[0] else values[2],
    "$eq": lambda values: values[0] == values[1],
    "$ifNull": lambda values: next((value for value in values if value is not None), None),
    "$lte": _less_or_equal,
    "$or": any,
}
