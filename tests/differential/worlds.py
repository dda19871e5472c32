"""Small worlds of documents that follow from a seed, with all that can be wrong with what resolvers give."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from hashlib import blake2b
from typing import Any, Final

from graphql import GraphQLError

from datastores.errors import ConflictError, InsufficientFundsError, NotFoundError

PEOPLE: Final = 6
THINGS: Final = 5
_BORN: Final = datetime(2001, 2, 3, 4, 5, 6, 789000)


class Items:
    """Something to iterate over that is no list; written always alike."""

    def __init__(self, items: list[Any]) -> None:
        self._items = items

    def __iter__(self) -> Iterator[Any]:
        return iter(self._items)

    def __repr__(self) -> str:
        return "Items"


# What may stand where another value was promised; each is made anew, since some can be read only once.
WRONG: Final[tuple[Callable[[], Any], ...]] = (
    lambda: None,
    lambda: "text",
    lambda: "7",
    lambda: "",
    lambda: 3,
    lambda: 2**31,
    lambda: 2**70,
    lambda: 1.5,
    lambda: float("nan"),
    lambda: float("inf"),
    lambda: True,
    list,
    lambda: [None, None],
    lambda: [[None], 1],
    dict,
    lambda: {"_id": "person_1", "name": "Odd"},
    lambda: {"_id": "thing_1", "__typename": "Nothing"},
    lambda: {"__typename": "Address", "street": "Wrong Way"},
    lambda: ({"_id": "person_2", "name": "In a tuple"},),
    lambda: Items(["item"]),
    lambda: {"red"},
    lambda: object,
    lambda: Decimal("1.10"),
    lambda: ValueError("an exception as a value"),
    lambda: GraphQLError("a GraphQL error as a value"),
)
ERRORS: Final[tuple[Callable[[], Exception], ...]] = (
    lambda: RuntimeError("a secret of the house"),
    lambda: KeyError("missing"),
    lambda: NotFoundError("There is none"),
    lambda: ConflictError("Not now"),
    lambda: InsufficientFundsError("Too little", available={"minor_units": 12, "currency": "EUR"}),
    lambda: GraphQLError("said by the resolver", extensions={"code": "CUSTOM"}),
    TimeoutError,
)


class World:
    """Documents by id, and a log of what was done.

    A fault comes at `rate` of a thousand places; whether it does follows from the seed and the place alone, so that
    two worlds of one seed are alike however they are asked. `calls` counts what would be reads.
    """

    def __init__(self, seed: int, rate: int) -> None:
        self.log: list[tuple[str, object]] = []
        self.calls: list[tuple[str, int]] = []
        self._seed = seed
        self._rate = rate
        self._documents: dict[str, Any] = {}

    def is_faulty(self, place: str) -> bool:
        """Whether something is wrong at this place."""
        return bool(self._rate) and self._dice("fault", place) % 1000 < self._rate

    def wrong(self, place: str) -> Any:
        """Something that should not stand at this place."""
        return WRONG[self._dice("wrong", place) % len(WRONG)]()

    def fail(self, place: str) -> None:
        """Raise, where the place is faulty."""
        if self.is_faulty(f"raise {place}"):
            make = ERRORS[self._dice("error", place) % len(ERRORS)]
            raise make()

    def given(self, place: str, value: Any) -> Any:
        """The value, or something wrong in its place."""
        return self.wrong(place) if self.is_faulty(f"value {place}") else value

    def read(self, name: str, ids: Sequence[Any]) -> list[Any]:
        """The documents of these ids; None for those that are not there. May fail, or give too few."""
        self.calls.append((name, len(ids)))
        self.fail(name)
        found = [self.document(id) for id in ids]
        return found[:-1] if self.is_faulty(f"length {name}") else found

    def document(self, id: Any) -> Any:
        """The document of an id, always the same one; None where there is none."""
        if not isinstance(id, str):
            return None
        if id not in self._documents:
            self._documents[id] = self._make(id)
        return self._documents[id]

    def change(self, id: Any, key: str, value: Any) -> None:
        """Change a key of a document, which is another one from now on, as if it was read again."""
        if isinstance(document := self.document(id), dict):
            self._documents[id] = {**document, key: value}

    def answers(self, name: str, parents: Sequence[Any], answer: Callable[[Any], Any]) -> list[Any]:
        """An answer for each parent. May fail, give too few, or something wrong for one of them."""
        self.calls.append((name, len(parents)))
        self.fail(name)
        found = [self._answer(name, parent, answer) for parent in parents]
        return found[:-1] if self.is_faulty(f"length {name}") else found

    def _dice(self, what: str, place: str) -> int:
        return int.from_bytes(blake2b(f"{self._seed} {what} {place}".encode(), digest_size=8).digest())

    def _answer(self, name: str, parent: Any, answer: Callable[[Any], Any]) -> Any:
        if not isinstance(parent, dict):
            # Which parents are asked for together is not for a fault to show.
            return TypeError(f"{name} of no document")
        try:
            return self.given(f"{name} of {parent.get('_id')}", answer(parent))
        except Exception as error:
            return error

    def _make(self, id: str) -> Any:
        kind, _, number = id.partition("_")
        n = int(number) if number.isdigit() else 99
        if kind == "person" and n < PEOPLE:
            made = self._person(id, n)
        elif kind == "thing" and n < THINGS:
            made = self._thing(id, n)
        else:
            return None
        made = {key: self.given(f"{id}.{key}", value) for key, value in made.items()}
        return self.given(id, made)

    def _person(self, id: str, n: int) -> dict[str, Any]:
        return {
            "_id": id,
            "name": f"Person {n}",
            "nick": None if n % 2 else f"p{n}",
            "age": 20 + n,
            "score": None if n == 3 else n / 4,
            "born": _BORN + timedelta(days=n),
            "seen": None if n % 3 else _BORN,
            "credit": 2**40 + n,
            "rate": Decimal(f"1.{n}0"),
            "dates": [_BORN, None][: n % 3],
            "shades": None if n == 5 else ["red", "blue"][: n % 3],
            "color": ("red", "green", "blue")[n % 3],
            "size": (1, 2, None)[n % 3],
            "active": n % 2 == 0,
            "tags": [f"t{i}" for i in range(n % 3)],
            "grid": None if n == 4 else [[i, None, n] if i % 2 else None for i in range(n % 4)],
            "home": self._address(f"{id}.home", n),
            "addresses": None if n == 2 else [self._address(f"{id}.addresses.{i}", i + n) for i in range(n % 3)],
            "friend_id": None if n == 0 else f"person_{(n * 2) % (PEOPLE + 1)}",
            "boss_id": f"person_{(n + 1) % PEOPLE}",
            "friend_ids": [f"person_{(n + i) % (PEOPLE + 1)}" for i in range(n % 4)],
            "rival_ids": [f"person_{(n + i) % PEOPLE}" for i in range(n % 3)],
            "favourite_id": (None, "thing_1", "person_2", "nobody_1", "thing_9")[n % 5],
            "liked_ids": [f"{('thing', 'person')[i % 2]}_{i}" for i in range(n % 4)],
            "subject": (
                None,
                {"__typename": "Note", "text": "n", "by_id": "person_1"},
                {"_id": "thing_2", "label": "l"},
            )[n % 3],
        }

    def _thing(self, id: str, n: int) -> dict[str, Any]:
        return {
            "_id": id,
            "label": f"Thing {n}",
            "owner_id": None if n == 1 else f"person_{n}",
            "parts": [{"_id": f"part_{n}_{i}", "label": f"part {i}", "owner_id": f"person_{i}"} for i in range(n % 3)],
            "price": {"minor_units": 100 * n, "currency": "EUR"},
        }

    def _address(self, place: str, n: int) -> dict[str, Any]:
        made = {"street": f"Street {n}", "zip": None if n % 2 else "1010", "resident_id": f"person_{n % PEOPLE}"}
        return {key: self.given(f"{place}.{key}", value) for key, value in made.items()}
