"""The list of domains, and the graphs that are made of them."""

from __future__ import annotations

from typing import Final

from strawberry.schema.config import StrawberryConfig

from .accounts import accounts
from .composition import Domain, Graph, Subgraph
from .composition.fields import read_key
from .conversations import conversations
from .entities import ENTITIES, PREFIXES
from .merchants import merchants
from .notifications import notifications
from .partners import partners
from .posts import posts
from .rides import rides
from .scalars import SCALARS
from .wallets import wallets

DOMAINS: Final[tuple[Domain, ...]] = (
    accounts,
    posts,
    conversations,
    wallets,
    merchants,
    notifications,
    partners,
    rides,
)
_PREFIXES: Final = {**PREFIXES, **{prefix: each for domain in DOMAINS for prefix, each in domain.prefixes.items()}}
_ENTITIES: Final = tuple(dict.fromkeys((*ENTITIES, *_PREFIXES.values())))


def whole_graph() -> Graph:
    """All domains as one plain schema."""
    return Graph(DOMAINS, entities=_ENTITIES, prefixes=_PREFIXES, config=_config())


def subgraph(name: str) -> Subgraph:
    """One domain as a Federation v2 subgraph; raises KeyError for a domain that is not there.

    The subgraphs that answer any `Node` know every entity, as a stub.
    """
    domain = {domain.name: domain for domain in DOMAINS}[name]
    stubs = _ENTITIES if domain in (accounts, notifications) else ()
    others = [other for other in DOMAINS if other is not domain]
    return Subgraph(domain, stubs=stubs, others=others, prefixes=_PREFIXES, config=_config())


def _config() -> StrawberryConfig:
    return StrawberryConfig(default_resolver=read_key, scalar_map=SCALARS)
