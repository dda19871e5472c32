"""A field's arguments for a compiled operation: constants worked out once, variables put in for each run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from graphql import (
    ArgumentNode,
    GraphQLArgument,
    GraphQLError,
    GraphQLInputType,
    ListValueNode,
    ObjectValueNode,
    Undefined,
    ValueNode,
    VariableNode,
    get_nullable_type,
    is_input_object_type,
    is_leaf_type,
    is_list_type,
    is_required_argument,
)
from graphql.execution.values import VariableValues, coerce_argument

from schema.composition import Composed
from schema.composition.strawberry_hooks import DEFINITION, is_read_as_is, python_arguments

from .plan import PlannedField
from .planning import NotCompiledError

Variables = dict[str, Any]
Arguments = Callable[[Variables], dict[str, Any]]
_ABSENT: Final = object()
_NO_VARIABLES: Final[Variables] = {}


class WrongArgumentsError(Exception):
    """Arguments that graphql-core would refuse, with an error of its own for each parent."""


@dataclass(frozen=True, slots=True)
class _Coerced:
    """An argument as graphql-core and Strawberry read it, anew for each run."""

    planned: PlannedField
    name: str
    definition: GraphQLArgument
    node: ArgumentNode | None
    convert: Callable[[Any], Any]

    def __call__(self, variables: Variables) -> Any:
        found: dict[str, Any] = {}
        values = VariableValues({}, variables)
        try:
            coerce_argument(found, self.planned.nodes[0], self.name, self.definition, self.node, values, None)
        except (GraphQLError, RecursionError):
            raise WrongArgumentsError from None
        return self.convert(found[self.name]) if self.name in found else _ABSENT


@dataclass(frozen=True, slots=True)
class _Variable:
    """An argument that is a variable of a leaf type, which needs no more than to be looked up."""

    variable: str
    is_required: bool
    default: Any

    def __call__(self, variables: Variables) -> Any:
        value = variables.get(self.variable, _ABSENT)
        if value is _ABSENT and not self.is_required:
            return self.default
        if value is _ABSENT or (value is None and self.is_required):
            raise WrongArgumentsError
        return value


def arguments_of(graph: Composed, planned: PlannedField) -> Arguments:
    """A function of the coerced variables that returns the Python arguments of a planned field, in a dict of its own.

    It raises WrongArgumentsError where graphql-core would refuse them. Raises NotCompiledError for variables within the
    literal of a scalar: what such a scalar is given are the variables as they were sent, which a program does not have.
    """
    definition = planned.field.extensions[DEFINITION]
    python = python_arguments(graph, definition)
    nodes = {node.name.value: node for node in planned.nodes[0].arguments or ()}
    constants: dict[str, Any] = {}
    varying: list[tuple[str, Callable[[Variables], Any]]] = []
    for name, argument in planned.field.args.items():
        python_name, convert = python[name]
        node = nodes.get(name)
        if node is None and _has_no_default(argument):
            continue
        if node is not None:
            _check_literal(node.value, argument.type)
        read = _Coerced(planned, name, argument, node, convert)
        is_leaf = is_leaf_type(get_nullable_type(argument.type)) and is_read_as_is(definition, python_name)
        if node is not None and isinstance(node.value, VariableNode) and is_leaf:
            varying.append((python_name, _variable(planned, name, argument, node.value, convert)))
        elif is_leaf and not (node is not None and _has_variables(node.value)):
            _add_constant(constants, varying, python_name, read)
        else:
            varying.append((python_name, read))
    return _together(constants, varying)


def _variable(
    planned: PlannedField, name: str, argument: GraphQLArgument, node: VariableNode, convert: Callable[[Any], Any]
) -> Callable[[Variables], Any]:
    if is_required_argument(argument):
        return _Variable(node.name.value, is_required=True, default=_ABSENT)
    if argument.type is not get_nullable_type(argument.type):
        # A default that no null may replace: graphql-core knows which of the two it is.
        return _Coerced(planned, name, argument, ArgumentNode(name=node.name, value=node), convert)
    default = _Coerced(planned, name, argument, None, convert)(_NO_VARIABLES)
    return _Variable(node.name.value, is_required=False, default=default)


def _add_constant(
    constants: dict[str, Any], varying: list[tuple[str, Callable[[Variables], Any]]], name: str, read: _Coerced
) -> None:
    try:
        value = read(_NO_VARIABLES)
    except WrongArgumentsError:
        varying.append((name, read))
        return
    if value is not _ABSENT:
        constants[name] = value


def _together(constants: dict[str, Any], varying: list[tuple[str, Callable[[Variables], Any]]]) -> Arguments:
    def arguments(variables: Variables) -> dict[str, Any]:
        given = dict(constants)
        for name, read in varying:
            value = read(variables)
            if value is not _ABSENT:
                given[name] = value
        return given

    return arguments


def _has_no_default(argument: GraphQLArgument) -> bool:
    return argument.default is None and argument.default_value is Undefined and not is_required_argument(argument)


def _check_literal(node: ValueNode, type_: GraphQLInputType) -> None:
    named = get_nullable_type(type_)
    if is_leaf_type(named):
        if not isinstance(node, VariableNode) and _has_variables(node):
            raise NotCompiledError("literal")
    elif is_list_type(named):
        for value in node.values if isinstance(node, ListValueNode) else (node,):
            _check_literal(value, named.of_type)
    elif is_input_object_type(named) and isinstance(node, ObjectValueNode):
        for field in node.fields:
            if (known := named.fields.get(field.name.value)) is not None:
                _check_literal(field.value, known.type)


def _has_variables(node: ValueNode) -> bool:
    if isinstance(node, ListValueNode):
        return any(_has_variables(value) for value in node.values)
    if isinstance(node, ObjectValueNode):
        return any(_has_variables(field.value) for field in node.fields)
    return isinstance(node, VariableNode)
