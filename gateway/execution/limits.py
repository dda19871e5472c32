"""Limits on operations, decided on the parsed document before validation: linear in its size, fragments memoised."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    ListValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    ValueNode,
    VariableNode,
    get_named_type,
    get_nullable_type,
    is_list_type,
)

from schema.composition.fields import source_of

from .requests import RequestError

MAX_TOKENS: Final = 5_000
MAX_DEPTH: Final = 20
MAX_ALIASES: Final = 50
MAX_ROOT_FIELDS: Final = 30
MAX_DIRECTIVES: Final = 200
MAX_COST: Final = 100_000
_DEFAULT_PAGE: Final = 20
_MAX_PAGE: Final = 100
_FAR: Final = 10**9

# A value that is asked of a batch takes about eight times as long as one that is read from its document.
_ASKED: Final = 8
# The longest texts fill an answer long before their number does: one unit for every 200 characters.
_LONG_TEXTS: Final = {"Message.text": 50, "Listing.description": 50, "Post.text": 10, "Receipt.body": 10}
# How long lists without a page size are reckoned to be where their declaration does not say it (`most`): what they may
# hold, less where few ever hold so much.
LIST_SIZES: Final = {
    "Application.webhookEndpoints": 20,
    "Conversation.members": 100,
    "Listing.photos": 10,
    "Message.media": 10,
    "Message.reactions": 50,
    "Order.lines": 50,
    "Post.media": 10,
    "Post.mentions": 20,
    "Viewer.wallets": 50,
    "WebhookDelivery.attempts": 20,
    "WebhookEndpoint.secrets": 2,
    "__Schema.directives": 10,
    "__Schema.types": 150,
    "__Type.fields": 4,
    "__Type.possibleTypes": 2,
    "__Type.inputFields": 1,
    "__Type.enumValues": 1,
    "__Field.args": 1,
    "__Directive.args": 1,
}

_SIZING: Final = frozenset({"first", "last", "representations"})
_ABSENT: Final = object()

_Parent = GraphQLObjectType | GraphQLInterfaceType | None


@dataclass(frozen=True, slots=True)
class Size:
    """How large an operation is, fragments written out.

    `objects` is how many it may return, `reads` how many times something may be asked of the database for one of them
    (all that one field asks is one batch, whatever their number). `cost` bounds the work that it can be: one for each
    object and each of its values, and seven more for each read, so that its limit is one on both.
    """

    depth: int = 0
    aliases: int = 0
    root_fields: int = 0
    directives: int = 0
    cost: int = 0
    objects: int = 0
    reads: int = 0

    def beside(self, other: Size) -> Size:
        """Both in one selection set."""
        return Size(
            max(self.depth, other.depth),
            min(self.aliases + other.aliases, _FAR),
            min(self.root_fields + other.root_fields, _FAR),
            min(self.directives + other.directives, _FAR),
            min(self.cost + other.cost, _FAR),
            min(self.objects + other.objects, _FAR),
            min(self.reads + other.reads, _FAR),
        )

    def below(self, field: FieldNode, own: int, times: int) -> Size:
        """As the selection of `field`, which costs `own` itself and returns up to `times` objects.

        What is below it counts once even where there is nothing: it has to be planned.
        """
        is_composite = field.selection_set is not None
        times = max(times, 1)
        return Size(
            self.depth + 1,
            min(self.aliases + (field.alias is not None), _FAR),
            1,
            min(self.directives + len(field.directives or ()), _FAR),
            min(own + times * (1 + self.cost), _FAR) if is_composite else own,
            min(times * (1 + self.objects), _FAR) if is_composite else 0,
            min((own == _ASKED) + times * self.reads, _FAR) if is_composite else int(own == _ASKED),
        )


def weight_of(parent: _Parent, node: FieldNode, field: GraphQLField | None) -> int:
    """The cost of one value of this field, without what is below it."""
    if field is not None and source_of(field).kind not in ("plain", "computed"):
        return _ASKED
    return _LONG_TEXTS.get(f"{parent.name if parent else ''}.{node.name.value}", 1)


def check_limits(
    schema: GraphQLSchema, document: DocumentNode, operation: OperationDefinitionNode, variables: Mapping[str, Any]
) -> Size:
    """The operation's size with these variables; raises RequestError QUERY_TOO_COMPLEX where it is past a limit."""
    size = _size(schema, document, operation, variables)
    _check_shape(size)
    _check("values of objects that it may return", size.cost, MAX_COST)
    return size


def check_shape(schema: GraphQLSchema, document: DocumentNode, operation: OperationDefinitionNode) -> None:
    """Raise RequestError QUERY_TOO_COMPLEX where the operation is past a limit that no variable changes."""
    _check_shape(_size(schema, document, operation, {}))


def sizing_variables(document: DocumentNode) -> tuple[str, ...]:
    """The variables that say how many there are of something: with the same values, the size is the same."""
    names: dict[str, None] = {}
    pending: list[SelectionSetNode] = [
        each.selection_set
        for each in document.definitions
        if isinstance(each, OperationDefinitionNode | FragmentDefinitionNode)
    ]
    while pending:
        for node in pending.pop().selections:
            if isinstance(node, FieldNode):
                for argument in node.arguments or ():
                    if argument.name.value in _SIZING and isinstance(argument.value, VariableNode):
                        names[argument.value.name.value] = None
            if isinstance(node, FieldNode | InlineFragmentNode) and node.selection_set is not None:
                pending.append(node.selection_set)
    return tuple(names)


def sizing_values(names: tuple[str, ...], variables: Mapping[str, Any]) -> tuple[object, ...]:
    """What is equal where these variables make an operation as large: numbers, lengths of lists, and what is absent."""
    return tuple(_sizing_value(variables.get(name, _ABSENT)) for name in names)


def _sizing_value(value: Any) -> object:
    if isinstance(value, list):
        return (len(value),)
    if value is _ABSENT or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    return None


def _size(
    schema: GraphQLSchema, document: DocumentNode, operation: OperationDefinitionNode, variables: Mapping[str, Any]
) -> Size:
    fragments = {d.name.value: d for d in document.definitions if isinstance(d, FragmentDefinitionNode)}
    measure = _Measure(schema, fragments, _defaults(operation) | dict(variables))
    return measure.selection(operation.selection_set, schema.get_root_type(operation.operation))


def _check_shape(size: Size) -> None:
    _check("deep", size.depth, MAX_DEPTH)
    _check("aliases", size.aliases, MAX_ALIASES)
    _check("fields at its root", size.root_fields, MAX_ROOT_FIELDS)
    _check("directives", size.directives, MAX_DIRECTIVES)


def _check(what: str, is_: int, most: int) -> None:
    if is_ > most:
        shown = f"more than {most}" if is_ >= _FAR else str(is_)
        raise RequestError("QUERY_TOO_COMPLEX", f"The operation is too large: {what} {shown}, at most {most}", 400)


class _Measure:
    def __init__(
        self, schema: GraphQLSchema, fragments: Mapping[str, FragmentDefinitionNode], variables: Mapping[str, Any]
    ) -> None:
        self._schema = schema
        self._fragments = fragments
        self._variables = variables
        self._sizes: dict[str, Size] = {}

    def selection(self, selection_set: SelectionSetNode | None, parent: _Parent) -> Size:
        size = Size()
        for node in selection_set.selections if selection_set else ():
            if isinstance(node, FieldNode):
                size = size.beside(self._field(node, parent))
            elif isinstance(node, InlineFragmentNode):
                inner = self.selection(node.selection_set, self._condition(node) or parent)
                size = size.beside(inner).beside(Size(directives=len(node.directives or ())))
            elif isinstance(node, FragmentSpreadNode):
                size = size.beside(self._fragment(node.name.value)).beside(Size(directives=len(node.directives or ())))
        return size

    def _field(self, node: FieldNode, parent: _Parent) -> Size:
        # A field that is not in the schema is refused by validation; until then it is measured like any other.
        field = self._schema.get_field(parent, node.name.value) if parent is not None else None
        inner = self.selection(node.selection_set, _fields_of(get_named_type(field.type)) if field else None)
        name = f"{parent.name if parent else ''}.{node.name.value}"
        return inner.below(node, weight_of(parent, node, field), self._times(node, name, field))

    def _fragment(self, name: str) -> Size:
        if name not in self._sizes:
            # A fragment that spreads itself is refused by validation; here it must only end.
            self._sizes[name] = Size()
            if (fragment := self._fragments.get(name)) is not None:
                self._sizes[name] = self.selection(fragment.selection_set, self._condition(fragment))
        return self._sizes[name]

    def _condition(self, node: InlineFragmentNode | FragmentDefinitionNode) -> _Parent:
        return _fields_of(self._schema.get_type(node.type_condition.name.value)) if node.type_condition else None

    def _times(self, node: FieldNode, name: str, field: GraphQLField | None) -> int:
        given = {argument.name.value: argument.value for argument in node.arguments or ()}
        if "representations" in given:
            return self._length(given["representations"])
        sizes = [self._page(given[argument]) for argument in ("first", "last") if argument in given]
        if sizes or (field is not None and "first" in field.args):
            return max(sizes, default=_DEFAULT_PAGE)
        # The items of a page are counted where its size is given.
        if field is None or not is_list_type(get_nullable_type(field.type)):
            return 1
        return source_of(field).most or LIST_SIZES.get(name, 1)

    def _page(self, value: ValueNode) -> int:
        given: Any = None
        if isinstance(value, IntValueNode):
            given = int(value.value) if len(value.value) < 12 else _FAR
        elif isinstance(value, VariableNode):
            given = self._variables.get(value.name.value)
        # JSON's 100.0 is an Int of GraphQL too.
        if isinstance(given, int | float) and not isinstance(given, bool):
            return int(max(0, min(given, _MAX_PAGE)))
        return _DEFAULT_PAGE

    def _length(self, value: ValueNode) -> int:
        if isinstance(value, VariableNode):
            given = self._variables.get(value.name.value)
            return len(given) if isinstance(given, list) else 1
        return len(value.values) if isinstance(value, ListValueNode) else 1


def _fields_of(graphql_type: object) -> _Parent:
    return graphql_type if isinstance(graphql_type, GraphQLObjectType | GraphQLInterfaceType) else None


def _defaults(operation: OperationDefinitionNode) -> dict[str, Any]:
    """The numbers among the default values, and of the lists how long they are."""
    defaults: dict[str, Any] = {}
    for definition in operation.variable_definitions or ():
        name, value = definition.variable.name.value, definition.default_value
        if isinstance(value, IntValueNode) and len(value.value) < 12:
            defaults[name] = int(value.value)
        elif isinstance(value, ListValueNode):
            defaults[name] = [None] * len(value.values)
    return defaults
