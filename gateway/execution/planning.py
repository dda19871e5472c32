"""From a validated operation to its plan; says why where it cannot be compiled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from graphql import (
    DirectiveNode,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLAbstractType,
    GraphQLField,
    GraphQLNamedType,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLString,
    InlineFragmentNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    VariableNode,
    get_named_type,
    is_abstract_type,
    is_leaf_type,
    is_object_type,
)
from graphql.execution.collect_fields import FieldDetailsList, FragmentDetails, collect_fields, collect_subfields
from graphql.execution.values import VariableValues

from schema.composition import Composed, FieldSource
from schema.composition.fields import compilable_source

from .plan import CALLS, Branch, FieldKind, Level, Plan, PlannedField
from .requests import OperationKind

MAX_PLANNED_FIELDS: Final = 2_000
_TYPENAME: Final = GraphQLField(GraphQLNonNull(GraphQLString))
_PLAIN: Final = FieldSource()
_INCREMENTAL: Final = frozenset({"defer", "stream"})
_CONDITIONAL: Final = frozenset({"skip", "include"})


class NotCompiledError(Exception):
    """An operation that graphql-core executes; `reason` is one word for metrics."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def conditions_of(document: DocumentNode, operation: OperationDefinitionNode) -> tuple[str, ...]:
    """The variables that decide what is selected, in the order in which they come.

    Raises NotCompiledError for directives other than `@skip` and `@include`.
    """
    if operation.directives:
        raise NotCompiledError("directive")
    names: dict[str, None] = {}
    for directive in _directives(document, operation):
        name = directive.name.value
        if name in _INCREMENTAL:
            raise NotCompiledError("incremental")
        if name not in _CONDITIONAL:
            raise NotCompiledError("directive")
        for argument in directive.arguments or ():
            if isinstance(argument.value, VariableNode):
                names[argument.value.name.value] = None
    return tuple(names)


def plan_operation(
    graph: Composed, document: DocumentNode, operation: OperationDefinitionNode, conditions: Mapping[str, bool]
) -> Plan:
    """The plan of a validated operation where its directives' variables have these values.

    Raises NotCompiledError where graphql-core is to execute it.
    """
    return _Planner(graph, document, operation, conditions).plan()


class _Planner:
    def __init__(
        self,
        graph: Composed,
        document: DocumentNode,
        operation: OperationDefinitionNode,
        conditions: Mapping[str, bool],
    ) -> None:
        self._graph = graph
        self._schema: GraphQLSchema = graph.graphql_schema
        self._operation = operation
        self._conditions = dict(conditions)
        self._variables = VariableValues({}, dict(conditions))
        self._fragments = {
            each.name.value: FragmentDetails(each, None)
            for each in document.definitions
            if isinstance(each, FragmentDefinitionNode)
        }
        if any(each.definition.variable_definitions for each in self._fragments.values()):
            raise NotCompiledError("directive")
        self._levels: dict[int, Level] = {}
        self._planned = 0
        self._calls = 0

    def plan(self) -> Plan:
        kind: OperationKind = self._operation.operation.value
        root = self._schema.get_root_type(self._operation.operation)
        if root is None:
            raise NotCompiledError("resolver")
        collected = collect_fields(self._schema, self._fragments, self._variables, root, self._operation)
        fields = tuple(self._root_field(root, key, found) for key, found in collected.grouped_field_set.items())
        if kind == "subscription" and (len(fields) != 1 or fields[0].kind != "event"):
            raise NotCompiledError("resolver")
        return Plan(
            kind=kind,
            name=self._operation.name.value if self._operation.name else None,
            root=root.name,
            conditions=tuple(self._conditions.items()),
            fields=fields,
            levels=tuple(self._levels[number] for number in sorted(self._levels)),
        )

    def _root_field(self, root: GraphQLObjectType, key: str, found: FieldDetailsList) -> PlannedField:
        planned = self._field(root, key, found)
        if planned.kind not in ("root", "event", "typename"):
            raise NotCompiledError("resolver")
        return planned

    def _field(self, parent: GraphQLObjectType, key: str, found: FieldDetailsList) -> PlannedField:
        self._count()
        nodes = tuple(details.node for details in found)
        name = nodes[0].name.value
        if name == "__typename":
            return PlannedField(key, name, parent.name, "typename", nodes, _TYPENAME, _PLAIN)
        if name.startswith("__"):
            raise NotCompiledError("introspection")
        field = parent.fields[name]
        source = compilable_source(field)
        if source is None:
            raise NotCompiledError("resolver")
        kind: FieldKind = source.kind
        if kind == "root" and self._operation.operation is OperationType.SUBSCRIPTION:
            kind = "event"
        level = None
        if kind in CALLS:
            level = self._calls = self._calls + 1
        branches = self._branches(get_named_type(field.type), found)
        if level is None:
            return PlannedField(key, name, parent.name, kind, nodes, field, source, branches)
        planned = PlannedField(key, name, parent.name, kind, nodes, field, source, (), level)
        self._levels[level] = Level(level, planned, branches)
        return planned

    def _branches(self, named: GraphQLNamedType, found: FieldDetailsList) -> tuple[Branch, ...]:
        if is_leaf_type(named):
            return ()
        if is_object_type(named):
            self._check_object(named)
            return (Branch((named.name,), self._fields(named, found)),)
        if not is_abstract_type(named):
            raise NotCompiledError("resolver")
        return self._possible(named, found)

    def _possible(self, named: GraphQLAbstractType, found: FieldDetailsList) -> tuple[Branch, ...]:
        if named.resolve_type != self._graph.type_of:
            raise NotCompiledError("resolver")
        alike: dict[object, Branch] = {}
        for possible in self._schema.get_possible_types(named):
            self._check_object(possible)
            branch = Branch((possible.name,), self._fields(possible, found))
            like = _alike(branch) or possible.name
            known = alike.get(like)
            alike[like] = branch if known is None else Branch((*known.types, possible.name), known.fields)
        return tuple(alike.values())

    def _fields(self, type_: GraphQLObjectType, found: FieldDetailsList) -> tuple[PlannedField, ...]:
        collected = collect_subfields(
            self._schema, self._fragments, self._variables, self._operation, type_, found
        ).grouped_field_set
        return tuple(self._field(type_, key, below) for key, below in collected.items())

    def _count(self) -> None:
        # Where interfaces are nested in one another, each is written out for every type that may stand there.
        self._planned += 1
        if self._planned > MAX_PLANNED_FIELDS:
            raise NotCompiledError("too_large")

    @staticmethod
    def _check_object(type_: GraphQLObjectType) -> None:
        if type_.is_type_of is not None:
            raise NotCompiledError("resolver")


def _alike(branch: Branch) -> object:
    """Equal for branches that read the same leaves in the same way; None for one that does more."""
    if any(field.branches or field.level is not None for field in branch.fields):
        return None
    return tuple(
        (field.key, field.kind, field.source.key, field.source.function, str(field.type)) for field in branch.fields
    )


def _directives(document: DocumentNode, operation: OperationDefinitionNode) -> Iterator[DirectiveNode]:
    fragments = [each for each in document.definitions if isinstance(each, FragmentDefinitionNode)]
    for fragment in fragments:
        yield from fragment.directives or ()
        yield from _directives_in(fragment.selection_set)
    yield from _directives_in(operation.selection_set)


def _directives_in(selection_set: SelectionSetNode) -> Iterator[DirectiveNode]:
    for node in selection_set.selections:
        yield from node.directives or ()
        if isinstance(node, FieldNode | InlineFragmentNode) and node.selection_set is not None:
            yield from _directives_in(node.selection_set)
        elif isinstance(node, FragmentSpreadNode) and node.arguments:
            raise NotCompiledError("directive")
