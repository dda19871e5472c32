"""Which subscriptions may be executed once for several who hear them, told from what their fields declare."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLUnionType,
    SelectionSetNode,
    VariableNode,
    Visitor,
    get_argument_values,
    get_named_type,
    is_abstract_type,
    visit,
)
from graphql.execution.values import VariableValues

from gateway.execution.requests import PreparedOperation
from schema.composition import Composed
from schema.composition.fields import Hearers, compilable_source, source_of

MAX_KNOWN: Final = 2_000
# The argument that says from where on one hearer listens, and the one that says whose members hear the same.
CURSOR: Final = "after"
CONVERSATION: Final = "conversationId"

_Composite = GraphQLObjectType | GraphQLInterfaceType | GraphQLUnionType


@dataclass(frozen=True, slots=True)
class Sharing:
    """Who hears the same events of an operation, whether they are shown alike to all of them, and the variables that
    say only from where on one of them listens.
    """

    hearers: Hearers
    is_shown_alike: bool
    cursors: frozenset[str]
    node: FieldNode
    schema: Any

    def conversation(self, variables: VariableValues) -> str | None:
        """The conversation whose members hear the same, for these coerced variables."""
        field = self.schema.get_field(self.schema.subscription_type, self.node.name.value)
        given = get_argument_values(field, self.node, variables)
        return str(given[CONVERSATION]) if CONVERSATION in given else None


class Sharings:
    """What is known of the subscriptions of one graph; the least recently used are forgotten past 2,000."""

    def __init__(self, graph: Composed) -> None:
        self._graph = graph
        self._known: OrderedDict[tuple[bytes, str | None], Sharing] = OrderedDict()

    def of(self, prepared: PreparedOperation) -> Sharing:
        """How the operation, a subscription, is shared. Everything is taken for its reader's own unless declared."""
        key = (prepared.digest, prepared.name)
        if (known := self._known.get(key)) is not None:
            self._known.move_to_end(key)
            return known
        made = self._known[key] = self._look_at(prepared)
        while len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)
        return made

    def _look_at(self, prepared: PreparedOperation) -> Sharing:
        schema = self._graph.graphql_schema
        fragments = {
            each.name.value: each for each in prepared.document.definitions if isinstance(each, FragmentDefinitionNode)
        }
        looking = _Looking(self._graph, fragments)
        root: Any = schema.subscription_type
        node = next(each for each, _ in looking.fields(prepared.operation.selection_set, root))
        field = schema.get_field(root, node.name.value)
        hearers: Hearers = "one" if field is None else source_of(field).hearers
        is_shown_alike = True
        if hearers == "members" and field is not None and node.selection_set is not None:
            is_shown_alike = not looking.depends(node.selection_set, get_named_type(field.type))
        return Sharing(hearers, is_shown_alike, _cursors(prepared, node), node, schema)


class _Looking:
    """Looks through the selections of one document."""

    def __init__(self, graph: Composed, fragments: dict[str, Any]) -> None:
        self._graph = graph
        self._schema = graph.graphql_schema
        self._fragments = fragments
        # Fragments that spread others twice would double the work at each level.
        self._decided: dict[tuple[int, str], bool] = {}

    def fields(self, selection_set: SelectionSetNode, parent: _Composite) -> Iterator[tuple[FieldNode, _Composite]]:
        """The fields of a selection with the type that each is selected on."""
        pending, spread = [(selection_set, parent)], set[str]()
        while pending:
            selection, on = pending.pop()
            for node in selection.selections:
                if isinstance(node, FieldNode):
                    yield node, on
                    continue
                fragment: Any = node
                if isinstance(node, FragmentSpreadNode):
                    if node.name.value in spread:
                        continue
                    spread.add(node.name.value)
                    fragment = self._fragments[node.name.value]
                condition = fragment.type_condition
                narrowed: Any = self._schema.get_type(condition.name.value) if condition else on
                pending.append((fragment.selection_set, narrowed))

    def depends(self, selection_set: SelectionSetNode, parent: Any) -> bool:
        """Whether anything below depends on who asks."""
        key = (id(selection_set), str(parent.name))
        if key not in self._decided:
            self._decided[key] = self._depends(selection_set, parent)
        return self._decided[key]

    def _depends(self, selection_set: SelectionSetNode, parent: Any) -> bool:
        for node, on in self.fields(selection_set, parent):
            if node.name.value == "__typename":
                continue
            # What an abstract type shows is decided by each of its types.
            types: Any = self._schema.get_possible_types(on) if is_abstract_type(on) else (on,)
            fields = [found for each in types if (found := each.fields.get(node.name.value)) is not None]
            if not fields or any(self._is_ones_own(field) for field in fields):
                return True
            for shown in {get_named_type(field.type) for field in fields}:
                if node.selection_set is not None and self.depends(node.selection_set, shown):
                    return True
        return False

    def _is_ones_own(self, field: Any) -> bool:
        # Any other resolver than those of composition may look at whoever asks.
        source = compilable_source(field)
        if source is None:
            return True
        if source.viewer is None:
            entity: Any = source.entity
            return self._graph.of_viewers.get(entity, True)
        return source.viewer


class _Uses(Visitor):
    """Counts where variables are used."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: dict[str, int] = {}

    def enter_variable(self, node: VariableNode, *_: Any) -> None:
        self.counts[node.name.value] = self.counts.get(node.name.value, 0) + 1


def _cursors(prepared: PreparedOperation, node: FieldNode) -> frozenset[str]:
    """The variables whose one use, beside their definition, is as the cursor to begin after."""
    given = [
        each.value.name.value
        for each in node.arguments or ()
        if each.name.value == CURSOR and isinstance(each.value, VariableNode)
    ]
    uses = _Uses()
    if given:
        visit(prepared.document, uses)
    return frozenset(name for name in given if uses.counts[name] == 2)
