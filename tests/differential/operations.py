"""Operations that follow from a seed: the whole language of executable documents, over any schema."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from graphql import (
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
    get_named_type,
    is_abstract_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
    is_required_argument,
    is_required_input_field,
)

MAX_DEPTH: Final = 5
MAX_FIELDS: Final = 3
MAX_FRAGMENTS: Final = 4

_Composite = GraphQLObjectType | GraphQLInterfaceType | GraphQLUnionType


@dataclass(frozen=True, slots=True)
class Written:
    """An operation as a client would send it."""

    text: str
    variables: dict[str, Any]


@dataclass
class OperationWriter:
    """Writes operations of one schema. `values` are texts of literals for scalars and for arguments of known names."""

    schema: GraphQLSchema
    values: dict[str, list[str]]
    kinds: tuple[str, ...] = ("query", "query", "query", "query", "mutation", "subscription")
    skipped: frozenset[str] = frozenset()
    _random: Random = field(default_factory=lambda: Random(0))
    _variables: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    _given: dict[str, Any] = field(default_factory=dict)
    _fragments: dict[str, tuple[str, str]] = field(default_factory=dict)
    _arguments: dict[tuple[str, str], str] = field(default_factory=dict)
    _left: int = 0

    def write(self, seed: int) -> Written:
        """The operation of a seed; it may be one that validation refuses."""
        self._random = Random(seed)
        self._variables, self._given, self._fragments, self._arguments = {}, {}, {}, {}
        self._left = self._random.choice((2, 4, 8, 12, 20))
        kind = self._random.choice(self.kinds)
        root = {
            "query": self.schema.query_type,
            "mutation": self.schema.mutation_type,
            "subscription": self.schema.subscription_type,
        }[kind]
        assert root is not None
        if kind == "subscription":
            name = self._random.choice(sorted(root.fields))
            selection = f"{{ {self._field(root, name, root.fields[name], MAX_DEPTH)} }}"
        else:
            selection = self._selection(root, MAX_DEPTH)
        fragments = "".join(f"\nfragment {name} on {on} {text}" for name, (on, text) in self._fragments.items())
        name = self._random.choice(("", " Named"))
        return Written(f"{kind}{name}{self._definitions()} {selection}{fragments}", self._given)

    def _definitions(self) -> str:
        if not self._variables:
            return ""
        written = (
            f"${name}: {type_}{f' = {default}' if default else ''}"
            for name, (type_, default) in self._variables.items()
        )
        return f"({', '.join(written)})"

    # Selections

    def _selection(self, type_: _Composite, depth: int) -> str:
        chosen = [self._selected(type_, depth) for _ in range(self._random.randint(1, MAX_FIELDS))]
        return f"{{ {' '.join(chosen)} }}"

    def _selected(self, type_: _Composite, depth: int) -> str:
        dice = self._random.random()
        if (
            dice < 0.12
            or (isinstance(type_, GraphQLUnionType) and dice < 0.7)
            or (is_abstract_type(type_) and dice < 0.4)
        ):
            return self._inline(type_, depth)
        if dice > 0.92 and depth > 1:
            return self._spread(type_, depth)
        if isinstance(type_, GraphQLUnionType) or dice < 0.16:
            return f"{self._random.choice(('', 'kind: '))}__typename{self._directives()}"
        fields = [each for each in sorted(type_.fields) if f"{type_.name}.{each}" not in self.skipped]
        if depth <= 0 or self._left <= 0:
            fields = [each for each in fields if is_leaf_type(get_named_type(type_.fields[each].type))]
        if not fields:
            return "__typename"
        name = self._random.choice(fields)
        return self._field(type_, name, type_.fields[name], depth)

    def _field(self, type_: _Composite, name: str, definition: GraphQLField, depth: int) -> str:
        alias = f"{name}{self._random.choice('AB')}" if self._random.random() < 0.1 else name
        key = (type_.name if not is_abstract_type(type_) else "", alias)
        if key not in self._arguments:
            self._arguments[key] = self._given_arguments(definition.args)
        named = get_named_type(definition.type)
        below = "" if is_leaf_type(named) else " " + self._selection(_composite(named), depth - 1)
        prefix = f"{alias}: " if alias != name else ""
        return f"{prefix}{name}{self._arguments[key]}{self._directives()}{below}"

    def _inline(self, type_: _Composite, depth: int) -> str:
        on = self._condition(type_)
        written = f" on {on.name}" if self._random.random() < 0.85 or on is not type_ else ""
        return f"...{written}{self._directives()} {self._selection(on, depth)}"

    def _spread(self, type_: _Composite, depth: int) -> str:
        for name, (on, _) in self._fragments.items():
            if on == type_.name and self._random.random() < 0.5:
                return f"...{name}{self._directives()}"
        if len(self._fragments) >= MAX_FRAGMENTS:
            return "__typename"
        on_type = self._condition(type_)
        text = self._selection(on_type, min(depth, 2))
        # Named after it was written, so that no fragment can spread itself.
        name = f"F{len(self._fragments)}"
        self._fragments[name] = (on_type.name, text)
        return f"...{name}{self._directives()}"

    def _condition(self, type_: _Composite) -> _Composite:
        if is_abstract_type(type_):
            possible = list(self.schema.get_possible_types(type_))
            return self._random.choice([*possible, *possible, type_])
        wider: list[_Composite] = [type_]
        if isinstance(type_, GraphQLObjectType):
            wider += type_.interfaces
        return self._random.choice(wider)

    def _directives(self) -> str:
        dice = self._random.random()
        if dice > 0.12:
            return ""
        directive = self._random.choice(("skip", "include"))
        if dice > 0.09:
            return f" @{directive}(if: {self._random.choice(('true', 'false'))})"
        name = f"if{self._random.randint(0, 2)}"
        if name not in self._variables:
            default = self._random.choice((None, "true", "false"))
            self._variables[name] = (
                "Boolean!" if default is None or self._random.random() < 0.5 else "Boolean",
                default,
            )
            if default is None or self._random.random() < 0.5:
                self._given[name] = self._random.random() < 0.5
        return f" @{directive}(if: ${name})"

    # Arguments

    def _given_arguments(self, arguments: dict[str, GraphQLArgument]) -> str:
        given = []
        for name, argument in arguments.items():
            if is_required_argument(argument) or self._random.random() < 0.5:
                given.append(f"{name}: {self._value(name, argument.type, argument)}")
        return f"({', '.join(given)})" if given else ""

    def _value(self, name: str, type_: GraphQLInputType, argument: GraphQLArgument | None = None) -> str:
        if self._random.random() < 0.35:
            return self._variable(name, type_, argument)
        return self._literal(name, type_)

    def _variable(self, name: str, type_: GraphQLInputType, argument: GraphQLArgument | None) -> str:
        variable = f"v{len(self._variables)}"
        written, default = str(type_), None
        literal = self._literal(name, type_, constant=True)
        dice = self._random.random()
        if dice < 0.3 and literal != "null":
            default = literal
            written = written.removesuffix("!") if self._random.random() < 0.5 else written
        elif dice < 0.4 and not is_non_null_type(type_):
            written = f"{written}!"
        self._variables[variable] = (written, default)
        required = written.endswith("!") and default is None
        if required or self._random.random() < 0.7:
            value = _as_json(self._literal(name, type_, constant=True))
            if value is not None or not written.endswith("!"):
                self._given[variable] = value
            elif required:
                self._given[variable] = _as_json(self._literal(name, type_, constant=True, present=True))
        return f"${variable}"

    def _literal(self, name: str, type_: GraphQLInputType, *, constant: bool = False, present: bool = False) -> str:
        if is_non_null_type(type_):
            return self._literal(name, type_.of_type, constant=constant, present=True)
        if not present and self._random.random() < 0.08:
            return "null"
        if is_list_type(type_):
            if self._random.random() < 0.1:
                return self._literal(name, type_.of_type, constant=constant)
            items = [self._item(name, type_.of_type, constant) for _ in range(self._random.randint(0, 3))]
            return f"[{', '.join(items)}]"
        if isinstance(type_, GraphQLInputObjectType):
            return self._object(type_, constant)
        if isinstance(type_, GraphQLEnumType):
            return str(self._random.choice(sorted(type_.values)))
        texts = self.values.get(name) or self.values[str(type_)]
        return self._random.choice(texts)

    def _item(self, name: str, type_: GraphQLInputType, constant: bool) -> str:
        return self._literal(name, type_, constant=True) if constant else self._value(name, type_)

    def _object(self, type_: GraphQLInputObjectType, constant: bool) -> str:
        fields = []
        for name, each in type_.fields.items():
            if is_required_input_field(each) or self._random.random() < 0.5:
                fields.append(f"{name}: {self._item(name, each.type, constant)}")
        return f"{{{', '.join(fields)}}}"


def _composite(named: GraphQLNamedType) -> _Composite:
    assert isinstance(named, _Composite)
    return named


def _as_json(literal: str) -> Any:
    """The JSON value of a literal without variables."""
    text, out, index = literal, [], 0
    while index < len(text):
        char = text[index]
        if char == '"':
            end = text.index('"', index + 1)
            out.append(text[index : end + 1])
            index = end + 1
        elif char.isalpha() or char == "_":
            end = index
            while end < len(text) and (text[end].isalnum() or text[end] == "_"):
                end += 1
            word = text[index:end]
            out.append(word if word in ("true", "false", "null") else f'"{word}"')
            index = end
        else:
            out.append(char)
            index += 1
    return json.loads("".join(out))
