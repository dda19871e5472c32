"""Towns: which quarters a history has, by its seed or as asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Final

from pymongo import IndexModel

from datastores import (
    accounts,
    conversations,
    leases,
    ledger,
    merchants,
    notifications,
    person_keys,
    posts,
    sealing,
    wallets,
)

from .checkpoints.quarter import CheckpointsQuarter
from .conversations.quarter import ConversationsQuarter
from .erasures.quarter import ErasuresQuarter
from .ledger.quarter import LedgerQuarter
from .merchants.quarter import MerchantsQuarter
from .posts.quarter import PostsQuarter
from .quarters import Problems, Quarter
from .rails.quarter import RailsQuarter
from .shapes import Shape
from .storage import Storage
from .usecases import Residents

INDEXES: Final[Mapping[str, Sequence[IndexModel]]] = {
    **ledger.INDEXES,
    **leases.INDEXES,
    **conversations.INDEXES,
    **posts.INDEXES,
    **merchants.INDEXES,
    **accounts.INDEXES,
    **notifications.INDEXES,
    **person_keys.INDEXES,
    **sealing.INDEXES,
    **wallets.INDEXES,
}
Streams = Callable[[str], Random]
Weighted = Sequence[tuple[Quarter, int]]


def _ledger(streams: Streams, shape: Shape, storage: Storage, problems: Problems) -> Weighted:
    money = LedgerQuarter(streams("ledger"), shape, storage, problems)
    return [(money, 12), (CheckpointsQuarter(streams("checkpoints"), shape, storage, problems), 1)]


def _conversations(streams: Streams, shape: Shape, storage: Storage, problems: Problems) -> Weighted:
    return [(ConversationsQuarter(streams("conversations"), shape, storage, problems), 1)]


def _posts(streams: Streams, shape: Shape, storage: Storage, problems: Problems) -> Weighted:
    return [(PostsQuarter(streams("posts"), shape, storage, problems), 1)]


def _orders(streams: Streams, shape: Shape, storage: Storage, problems: Problems) -> Weighted:
    (money, _), (checkpoints, _) = _ledger(streams, shape, storage, problems)
    assert isinstance(money, LedgerQuarter)
    shop = MerchantsQuarter(streams("merchants"), shape, storage, problems, money)
    return [(money, 4), (shop, 12), (checkpoints, 1)]


def _rails(streams: Streams, shape: Shape, storage: Storage, problems: Problems) -> Weighted:
    (money, _), (checkpoints, _) = _ledger(streams, shape, storage, problems)
    assert isinstance(money, LedgerQuarter)
    rails = RailsQuarter(streams("rails"), shape, storage, problems, money, Residents.some())
    return [(money, 2), (checkpoints, 1), (rails, 8)]


def _erasures(streams: Streams, shape: Shape, storage: Storage, problems: Problems) -> Weighted:
    (money, _), (checkpoints, _), (rails, _) = _rails(streams, shape, storage, problems)
    assert isinstance(money, LedgerQuarter)
    erasures = ErasuresQuarter(streams("erasures"), shape, storage, problems, money, Residents.some())
    return [(money, 2), (checkpoints, 1), (rails, 3), (erasures, 8)]


def _mixed(streams: Streams, shape: Shape, storage: Storage, problems: Problems) -> Weighted:
    made = (_orders, _conversations, _posts)
    return [(quarter, 1) for make in made for quarter, _ in make(streams, shape, storage, problems)]


TOWNS: Final[Mapping[str, Callable[[Streams, Shape, Storage, Problems], Weighted]]] = {
    "ledger": _ledger,
    "conversations": _conversations,
    "posts": _posts,
    "orders": _orders,
    "mixed": _mixed,
    "rails": _rails,
    "erasures": _erasures,
}
# What is erased stays so because requests are over sooner than the sweeper is: by clocks that run at the same speed.
IN_TIME: Final = ("erasures",)
# Money is what most is promised of.
OF_SEEDS: Final = (
    *("ledger", "ledger", "ledger", "orders", "orders", "conversations", "conversations", "posts", "mixed"),
    *("rails", "erasures"),
)


def town_of(random: Random) -> str:
    """The town of a seed."""
    return random.choice(OF_SEEDS)
