"""Towns: which quarters a history has, by its seed or as asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Final

from pymongo import IndexModel

from datastores import conversations, leases, ledger, merchants, posts

from .conversations.quarter import ConversationsQuarter
from .ledger.quarter import LedgerQuarter
from .merchants.quarter import MerchantsQuarter
from .posts.quarter import PostsQuarter
from .quarters import Problems, Quarter
from .shapes import Shape
from .storage import Storage

INDEXES: Final[Mapping[str, Sequence[IndexModel]]] = {
    **ledger.INDEXES,
    **leases.INDEXES,
    **conversations.INDEXES,
    **posts.INDEXES,
    **merchants.INDEXES,
}
Streams = Callable[[str], Random]
Weighted = Sequence[tuple[Quarter, int]]


def _ledger(streams: Streams, shape: Shape, storage: Storage, problems: Problems) -> Weighted:
    return [(LedgerQuarter(streams("ledger"), shape, storage, problems), 1)]


def _conversations(streams: Streams, shape: Shape, storage: Storage, problems: Problems) -> Weighted:
    return [(ConversationsQuarter(streams("conversations"), shape, storage, problems), 1)]


def _posts(streams: Streams, shape: Shape, storage: Storage, problems: Problems) -> Weighted:
    return [(PostsQuarter(streams("posts"), shape, storage, problems), 1)]


def _orders(streams: Streams, shape: Shape, storage: Storage, problems: Problems) -> Weighted:
    money = LedgerQuarter(streams("ledger"), shape, storage, problems)
    return [(money, 1), (MerchantsQuarter(streams("merchants"), shape, storage, problems, money), 3)]


def _mixed(streams: Streams, shape: Shape, storage: Storage, problems: Problems) -> Weighted:
    made = (_orders, _conversations, _posts)
    return [(quarter, 1) for make in made for quarter, _ in make(streams, shape, storage, problems)]


TOWNS: Final[Mapping[str, Callable[[Streams, Shape, Storage, Problems], Weighted]]] = {
    "ledger": _ledger,
    "conversations": _conversations,
    "posts": _posts,
    "orders": _orders,
    "mixed": _mixed,
}
# Money is what most is promised of.
OF_SEEDS: Final = ("ledger", "ledger", "ledger", "orders", "orders", "conversations", "conversations", "posts", "mixed")


def town_of(random: Random) -> str:
    """The town of a seed."""
    return random.choice(OF_SEEDS)
