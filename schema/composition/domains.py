"""A domain: what one file of `schema/` contributes to the graph."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

import strawberry
from strawberry.types.field import StrawberryField

from datastores.mongo import Document
from resolvers.chores import Chore
from resolvers.context import Context

Load = Callable[[Context, Sequence[str]], Awaitable[Sequence[Document | None]]]
T = TypeVar("T")


class Domain:
    """Fields of entities, root fields, and the loaders of the entities that the domain owns.

    `chores` are done where the domain is served.
    """

    def __init__(self, name: str, *, chores: Sequence[Chore] = ()) -> None:
        self.name = name
        self.chores = tuple(chores)
        self.fields: dict[type, list[StrawberryField]] = {}
        self.roots: dict[str, list[type]] = {"Query": [], "Mutation": [], "Subscription": []}
        self.loaders: dict[type, Load] = {}
        self.documents: dict[type, type[Mapping[str, object]]] = {}
        self.prefixes: dict[str, type] = {}
        self.of_viewers: dict[type, bool] = {}
        self.selecting: set[type] = set()
        self.lasting: set[type] = set()

    @property
    def checked_loaders(self) -> dict[type, Load]:
        """The loaders of entities that can be gone or hidden: a reference from another domain must be looked up."""
        return {entity: load for entity, load in self.loaders.items() if entity not in self.lasting}

    def extends(self, entity: type) -> Callable[[type[T]], type[T]]:
        """`@wallets.extends(User)`: this domain's fields of an entity.

        On an entity that another domain owns, a field may read only `_id`: in a subgraph the parent is a stub.
        """

        def add(cls: type[T]) -> type[T]:
            made: Any = strawberry.type(cls)
            self.fields.setdefault(entity, []).extend(made.__strawberry_definition__.fields)
            return made  # type: ignore[no-any-return]

        return add

    def owns(
        self,
        entity: type,
        load: Any,
        *,
        document: Any = None,
        prefix: str | None = None,
        selects: bool = False,
        viewer: bool = True,
        lasts: bool = False,
    ) -> None:
        """`load(context, ids)` reads the documents of `entity`, None where the viewer may not see one.

        `document` is the TypedDict of those documents: at start every field's keys are compared with it. `prefix` is
        that of the ids of an entity which only this domain names; others stand in `schema/entities.py`. Where it
        `selects`, `load(context, ids, keys=…)` reads these keys alone, and `_id`. `viewer=False` says that all who hear
        of one in a stream get the same document. Where it `lasts`, none is ever removed and everybody may see all of
        them, so that another domain's reference to one is good without a look.
        """
        self.loaders[entity] = load
        self.of_viewers[entity] = viewer
        if prefix is not None:
            self.prefixes[prefix] = entity
        if document is not None:
            self.documents[entity] = document
        if selects:
            self.selecting.add(entity)
        if lasts:
            self.lasting.add(entity)

    def root(self, cls: type[T]) -> type[T]:
        """`@wallets.root class Query`: also Mutation and Subscription."""
        self.roots[cls.__name__].append(strawberry.type(cls))
        return cls
