"""Composition: field kinds over documents, domains, and the graphs that are made of them."""

from .domains import Domain
from .fields import (
    FieldSource,
    batched,
    computed,
    delegates,
    keys_selected,
    loads,
    loads_many,
    plain,
    root,
    source_of,
)
from .graphs import Composed, Graph, Subgraph, load_node

__all__ = [
    "Composed",
    "Domain",
    "FieldSource",
    "Graph",
    "Subgraph",
    "batched",
    "computed",
    "delegates",
    "keys_selected",
    "load_node",
    "loads",
    "loads_many",
    "plain",
    "root",
    "source_of",
]
