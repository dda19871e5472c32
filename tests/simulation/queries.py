"""The part of MongoDB's queries, updates and aggregations in which the simulated code asks; all else raises."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from bson.decimal128 import Decimal128

from datastores.mongo import Document, Filter

from .expressions import applied, at_path, evaluated

Order = Callable[[Any, Any], bool]


def matches(document: Document, filter: Filter, now: datetime | None = None) -> bool:
    """Whether the document matches: equality, also with an element of a list, `$or`, `$nor`, and a few operators.

    An `$expr` is evaluated at `now`, and raises without one.
    """
    for name, wanted in filter.items():
        if name in ("$or", "$nor"):
            if any(matches(document, each, now) for each in wanted) is (name == "$nor"):
                return False
            continue
        if name == "$expr":
            if now is None:
                raise NotImplementedError("an $expr where it is no time")
            if not evaluated(wanted, document, now):
                return False
            continue
        values = at_path(document, name) if "." in name else _elements(document.get(name))
        if isinstance(wanted, Mapping):
            if not all(_holds(operator, values, value) for operator, value in wanted.items()):
                return False
        elif wanted not in values:
            return False
    return True


def sort_key(document: Document, name: str) -> tuple[bool, Any]:
    """What documents are sorted by: what is missing comes before everything."""
    value = at_path(document, name)[0]
    return value is not None, value


def changed(before: Document | None, filter: Filter, update: Filter | Sequence[Filter], now: datetime) -> Document:
    """The document after an update, by operators or a pipeline; a new one of what the filter names for none."""
    document = _new(filter) if before is None else before
    if not isinstance(update, Mapping):
        return applied(document, update, now)
    for operator, values in update.items():
        if any("." in name for name in values) or operator not in ("$set", "$setOnInsert", "$unset"):
            raise NotImplementedError(f"an update {operator} of {list(values)}")
        if operator == "$unset":
            document = {name: value for name, value in document.items() if name not in values}
        elif operator == "$set" or before is None:
            document = {**document, **values}
    return document


def _new(filter: Filter) -> Document:
    if any(name.startswith("$") or "." in name for name in filter):
        raise NotImplementedError(f"a new document of {filter}")
    return {name: value for name, value in filter.items() if not isinstance(value, Mapping)}


def aggregated(documents: Iterable[Document], pipeline: Sequence[Filter], now: datetime) -> list[Document]:
    """What the pipeline of `$match`, `$unwind` and `$group` gives; groups in the order of their first documents."""
    found = list(documents)
    for stage in pipeline:
        ((name, wanted),) = stage.items()
        if name == "$match":
            found = [document for document in found if matches(document, wanted)]
        elif name == "$unwind":
            field = wanted.removeprefix("$")
            found = [{**document, field: each} for document in found for each in document.get(field) or ()]
        elif name == "$group":
            found = _grouped(found, wanted, now)
        else:
            raise NotImplementedError(f"a stage {name}")
    return found


def _grouped(documents: Sequence[Document], wanted: Filter, now: datetime) -> list[Document]:
    groups: dict[str, tuple[Any, list[Document]]] = {}
    for document in documents:
        key = evaluated(wanted["_id"], document, now)
        groups.setdefault(repr(key), (key, []))[1].append(document)
    rows = []
    for key, members in groups.values():
        row: Document = {"_id": key}
        for name, accumulator in wanted.items():
            if name != "_id":
                ((operator, expression),) = accumulator.items()
                row[name] = _ACCUMULATORS[operator]([evaluated(expression, each, now) for each in members])
        rows.append(row)
    return rows


def _sum(values: list[Any]) -> Any:
    if any(isinstance(value, Decimal128) for value in values):
        return Decimal128(sum((value.to_decimal() for value in values), Decimal(0)))
    return sum(values)


_ACCUMULATORS: Final[dict[str, Callable[[list[Any]], Any]]] = {"$sum": _sum, "$first": lambda values: values[0]}


def _elements(value: Any) -> list[Any]:
    """The value, and each element of a list: a condition holds where it holds of one of them."""
    return [value, *value] if isinstance(value, list) else [value]


def _holds(operator: str, values: list[Any], wanted: Any) -> bool:
    if operator == "$not":
        return not all(_holds(each, values, value) for each, value in wanted.items())
    if operator == "$ne":
        return wanted not in values
    if operator == "$type":
        return any(isinstance(value, _TYPES[wanted]) for value in values)
    if operator == "$in":
        return any(value in wanted for value in values)
    compare = _ORDERS[operator]
    # What is of another type is neither less nor more.
    return any(value is not None and type(value) is type(wanted) and compare(value, wanted) for value in values)


_TYPES: Final[Mapping[str, type]] = {"string": str, "date": datetime}
_ORDERS: Final[Mapping[str, Order]] = {
    "$gt": lambda value, wanted: bool(value > wanted),
    "$gte": lambda value, wanted: bool(value >= wanted),
    "$lt": lambda value, wanted: bool(value < wanted),
    "$lte": lambda value, wanted: bool(value <= wanted),
}
