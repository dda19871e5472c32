"""Graphs: all domains in one plain schema, or one domain as a Federation v2 subgraph."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import strawberry
from graphql import (
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
    print_schema,
)
from strawberry.federation.schema_directives import Key
from strawberry.schema.config import StrawberryConfig
from strawberry.tools import merge_types
from strawberry.types.field import StrawberryField

from datastores.errors import ValidationError
from datastores.mongo import Document
from resolvers.context import Context

from .domains import Domain, Load
from .fields import source_of
from .strawberry_hooks import DEFINITION, FederatedSchema, OperationExecutor, PlainSchema

FEDERATION_VERSION: Final = "2.9"
MAX_REPRESENTATIONS: Final = 1_000


class Composed:
    """What both kinds of graph share: merged root types, contributed fields, loaders, types of documents."""

    _schema: GraphQLSchema
    schema_converter: Any

    def __init__(
        self,
        domains: Iterable[Domain],
        *,
        entities: Iterable[type],
        prefixes: Mapping[str, type],
        config: StrawberryConfig,
        **options: Any,
    ) -> None:
        self.domains = list(domains)
        self.prefixes = dict(prefixes)
        self.loaders: dict[type, Load] = {e: load for d in self.domains for e, load in d.loaders.items()}
        self.of_viewers: dict[type, bool] = {e: viewer for d in self.domains for e, viewer in d.of_viewers.items()}
        self.selecting: set[type] = {entity for domain in self.domains for entity in domain.selecting}
        check_keys(self.domains)
        roots = {name.lower(): self._merge(name) for name in ("Query", "Mutation", "Subscription")}
        super().__init__(  # type: ignore[call-arg]  # mixed into a Strawberry schema class
            types=list(entities), config=config, execution_context_class=OperationExecutor, **roots, **options
        )
        for graphql_type in self._schema.type_map.values():
            if isinstance(graphql_type, GraphQLObjectType):
                graphql_type.is_type_of = None  # Strawberry's is isinstance(), which is never true of a document
            elif isinstance(graphql_type, GraphQLInterfaceType | GraphQLUnionType):
                graphql_type.resolve_type = self.type_of
            elif isinstance(graphql_type, GraphQLInputObjectType) and DEFINITION in graphql_type.extensions:
                # Strawberry checks it by itself; graphql-core says it in the SDL and in introspection.
                graphql_type.is_one_of = graphql_type.extensions[DEFINITION].is_one_of
        self.services = services_of(self._schema)

    @property
    def graphql_schema(self) -> GraphQLSchema:
        """graphql-core's schema."""
        return self._schema

    def get_fields(self, type_definition: Any) -> list[StrawberryField]:
        """Strawberry's own hook: a type's fields and those that the domains contribute."""
        out = {field.python_name: field for field in type_definition.fields}
        for domain in self.domains:
            for field in domain.fields.get(type_definition.origin, ()):
                if field.python_name in out:
                    raise TypeError(f"{type_definition.name}.{field.python_name} is declared twice")
                out[field.python_name] = field
        return list(out.values())

    def type_of(self, document: Document, _info: Any, _abstract: Any) -> str:
        """The name of a document's GraphQL type, by its `__typename` or by the prefix of its id."""
        if (name := document.get("__typename")) is not None:
            return str(name)
        entity: Any = self.prefixes[document["_id"].partition("_")[0]]
        return str(entity.__strawberry_definition__.name)

    def load(self, context: Context, entity: type, id: str) -> Any:
        """An awaitable of a document by id, or a stub where nobody here can look it up.

        `entity` may be the interface of several: then the id's prefix says which.
        """
        entity = self.entity_of(entity, id)
        if (read := self.loaders.get(entity)) is None:
            return {"_id": id}
        return context.load(entity, lambda ids: read(context, ids), id, cache=True)

    def entity_of(self, entity: type, id: str) -> type:
        """`entity` itself, or the one that the id's prefix says where it is the interface of several."""
        if entity.__strawberry_definition__.is_interface:  # type: ignore[attr-defined]
            return self.prefixes.get(id.partition("_")[0], entity)
        return entity

    def _merge(self, kind: str) -> type | None:
        parts = tuple(cls for domain in self.domains for cls in domain.roots[kind])
        return merge_types(kind, parts) if parts else None


class Graph(Composed, PlainSchema):
    """All domains in one plain schema: no federation directives, no `_entities`."""

    def as_str(self) -> str:
        """The SDL."""
        return print_schema(self._schema)


class Subgraph(Composed, FederatedSchema):
    """One domain as an Apollo Federation 2.9 subgraph; `stubs` are further entities that it can name by id.

    Of an entity that one of the `others` owns it shows the id alone, and only where that domain lets the viewer see it:
    a router does not ask the owner where nothing but the id is selected.
    """

    def __init__(
        self, domain: Domain, *, stubs: Iterable[type] = (), others: Iterable[Domain] = (), **options: Any
    ) -> None:
        entities = dict.fromkeys([*domain.fields, *stubs])
        super().__init__([domain], entities=entities, federation_version=FEDERATION_VERSION, **options)
        for other in others:
            self.of_viewers.update(other.of_viewers)
            self.loaders.update({e: _stubs(load, e in other.selecting) for e, load in other.checked_loaders.items()})
        union = self._schema.get_type("_Entity")
        types = union.types if isinstance(union, GraphQLUnionType) else ()
        self._entities: dict[str, type] = {each.name: each.extensions[DEFINITION].origin for each in types}
        for graphql_type in self._schema.type_map.values():
            definition = graphql_type.extensions.get(DEFINITION)
            if isinstance(graphql_type, GraphQLObjectType) and definition and definition.origin not in domain.fields:
                keys = [replace(d, resolvable=False) if isinstance(d, Key) else d for d in definition.directives or ()]
                graphql_type.extensions = {**graphql_type.extensions, DEFINITION: replace(definition, directives=keys)}

    def resolve_entities(self, context: Context, representations: Sequence[Mapping[str, Any]]) -> list[Any]:
        """Answers `_entities` in batches; an unknown type, or one that the viewer may not see, nulls itself only."""
        if len(representations) > MAX_REPRESENTATIONS:
            raise ValidationError(f"At most {MAX_REPRESENTATIONS} representations at once")

        async def one(representation: Any) -> Any:
            # Any JSON may stand here, and any type's name in it: only entities can be asked for.
            given = representation if isinstance(representation, dict) else {}
            name, id = given.get("__typename"), given.get("id")
            entity = self._entities.get(name) if isinstance(name, str) else None
            if entity is None or not isinstance(id, str):
                return None
            # A representation is not a right: it must be looked at like any other road to the entity.
            if hasattr(entity, "may_reference") and not entity.may_reference(context, id):
                return None
            document = self.load(context, entity, id)
            document = await document if inspect.isawaitable(document) else document
            return document and {"__typename": name, **document}

        return [one(representation) for representation in representations]


def _stubs(load: Any, selects: bool) -> Load:
    """A loader of stubs, of what another domain's loader finds."""

    async def stubs(context: Context, ids: Sequence[str]) -> list[Document | None]:
        found = await (load(context, ids, keys={"_id"}) if selects else load(context, ids))
        return [document and {"_id": id} for id, document in zip(ids, found, strict=True)]

    return stubs


async def load_node(info: strawberry.Info, id: str) -> Document | None:
    """The document of any entity by its id, or None where it is unknown or not the viewer's to see."""
    schema: Any = info.schema
    entity = schema.prefixes.get(id.partition("_")[0])
    if entity is None or len(id) > 100:
        return None
    document = schema.load(info.context, entity, id)
    return await document if inspect.isawaitable(document) else document  # type: ignore[no-any-return]


def services_of(schema: GraphQLSchema) -> frozenset[str]:
    """The names of the services of others that fields ask; raises TypeError for one that cannot be null."""
    found: set[str] = set()
    wrong: list[str] = []
    for graphql_type in schema.type_map.values():
        fields = graphql_type.fields if isinstance(graphql_type, GraphQLObjectType) else {}
        for name, field in fields.items():
            if (service := source_of(field).service) is not None:
                found.add(service)
                if isinstance(field.type, GraphQLNonNull):
                    wrong.append(f"{graphql_type.name}.{name}")
    if wrong:
        raise TypeError(f"what a service of somebody else answers must be nullable: {', '.join(wrong)}")
    return frozenset(found)


def check_keys(domains: Iterable[Domain]) -> None:
    """Raise TypeError where a field reads a key that its entity's documents do not have."""
    domains = list(domains)
    documents = {entity: document for d in domains for entity, document in d.documents.items()}
    wrong: list[str] = []
    for domain in domains:
        for entity, fields in domain.fields.items():
            known = {"_id"}
            if entity in domain.documents:
                known |= set(documents[entity].__annotations__)
            elif entity in domain.loaders:
                continue
            wrong += [
                f"{entity.__name__}.{field.python_name} reads `{key}`"
                for field in fields
                for key in _keys_read(field)
                if key not in known
            ]
    if wrong:
        raise TypeError("fields read keys that their documents do not have: " + ", ".join(wrong))


def _keys_read(field: StrawberryField) -> tuple[str, ...]:
    source = field.metadata.get("source")
    if source is None or source.kind == "plain":
        return ((source.key if source else None) or field.python_name,)
    if source.kind == "computed":
        return tuple(source.reads)
    return (source.key,) if source.key else ()
