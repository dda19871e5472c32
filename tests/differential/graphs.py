"""A graph with every feature that the compiler knows; the database of its contexts is the world that is asked."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from datetime import datetime
from decimal import Decimal
from enum import Enum, StrEnum
from types import SimpleNamespace
from typing import Annotated, Any, Final

import strawberry
from strawberry import UNSET, Info
from strawberry.schema.config import StrawberryConfig

from resolvers.context import Context
from schema.composition import Domain, Graph, batched, computed, load_node, loads, loads_many, plain, root
from schema.composition.fields import read_key
from schema.entities import Node
from schema.errors import ConflictError, InsufficientFunds, NotFoundError
from schema.scalars import SCALARS, BigInt, Cursor
from schema.values import Connection, Money

from .worlds import PEOPLE, THINGS, World


@strawberry.enum(description="A color")
class Color(StrEnum):
    RED = "red"
    GREEN = "green"
    BLUE = "blue"


@strawberry.enum(description="A size")
class Size(Enum):
    SMALL = 1
    LARGE = 2


@strawberry.type(description="Somebody")
class Person(Node):
    pass


@strawberry.type(description="Something")
class Thing(Node):
    pass


PREFIXES: Final[dict[str, type]] = {"person": Person, "thing": Thing, "part": Thing}


@strawberry.type(description="Where somebody lives")
class Address:
    street: str = plain(description="Street")
    zip: str | None = plain(description="Code")
    resident: Person | None = loads(Person, key="resident_id", description="Who lives there")
    line: str = computed(
        lambda address: f"{address['street']}, {address['zip']}", reads=("street", "zip"), description="All of it"
    )


@strawberry.type(description="A text")
class Note:
    text: str = plain(description="What it says")
    by: Person = loads(Person, key="by_id", description="Who wrote it")


Subject = Annotated[Person | Thing | Note, strawberry.union("Subject", description="What one may be about")]


def world_of(context: Context) -> World:
    """The world that a context is about."""
    world: Any = context.database
    return world  # type: ignore[no-any-return]


def context_of(world: World) -> Context:
    """A context about this world."""
    given: Any = world
    nothing: Any = SimpleNamespace()
    return Context(given, nothing, nothing, request_id="r1")


async def people_by_id(context: Context, ids: Sequence[str]) -> list[Any]:
    return world_of(context).read("people", ids)


async def things_by_id(context: Context, ids: Sequence[str]) -> list[Any]:
    return world_of(context).read("things", ids)


async def likes(context: Context, parents: Sequence[Any]) -> list[Any]:
    return world_of(context).answers("likes", parents, lambda person: len(str(person.get("name"))))


async def rank(context: Context, parents: Sequence[Any], *, within: int | None = 10) -> list[Any]:
    return world_of(context).answers(
        "rank", parents, lambda person: (person.get("age") or 0) % within if within else None
    )


async def followers(
    context: Context, parents: Sequence[Any], *, first: int | None = None, after: str | None = None
) -> list[Any]:
    world = world_of(context)

    def page(person: Any) -> Any:
        start = len(str(person.get("name"))) % PEOPLE
        people = [world.document(f"person_{(start + n) % PEOPLE}") for n in range(min(first or 2, PEOPLE))]
        edges = [{"scope": "followers", "place": _place, "read": n, "node": each} for n, each in enumerate(people)]
        info = {"has_next_page": True, "has_previous_page": False, "start_cursor": None, "end_cursor": after}
        return {"edges": edges, "page_info": info}

    return world.answers("followers", parents, page)


def _place(number: Any) -> tuple[int]:
    return (number,)


async def about(context: Context, parents: Sequence[Any], *, most: int = 3) -> list[Any]:
    world = world_of(context)

    def subjects(_person: Any) -> Any:
        note = {"__typename": "Note", "text": "noted", "by_id": "person_3"}
        some = [world.document("person_1"), note, world.document("thing_2"), None, world.document("thing_3")]
        return some[:most]

    return world.answers("about", parents, subjects)


async def home_again(context: Context, parents: Sequence[Any]) -> list[Any]:
    return world_of(context).answers("home_again", parents, lambda person: person.get("home"))


async def circles(context: Context, parents: Sequence[Any]) -> list[Any]:
    world = world_of(context)

    def rings(person: Any) -> Any:
        people = [world.document(f"person_{n}") for n in range(3)]
        return [people, None, [None, person], [], [people[1], people[1]]]

    return world.answers("circles", parents, rings)


async def nearest(context: Context, parents: Sequence[Any], *, kinds: list[str] | None = None) -> list[Any]:
    world = world_of(context)
    wanted = kinds or ["person", "thing"]
    return world.answers("nearest", parents, lambda person: world.document(f"{wanted[-1]}_{len(str(person)) % 5}"))


people, things = Domain("people"), Domain("things")
people.owns(Person, people_by_id)
things.owns(Thing, things_by_id)


@people.extends(Person)
class PersonFields:
    name: str = plain(description="Name")
    nick: str | None = plain(description="Other name")
    age: int = plain(description="Years")
    score: float | None = plain(description="Points")
    born: datetime = plain(description="When")
    seen_at: datetime | None = plain(key="seen", description="When last")
    credit: BigInt = plain(description="Much")
    rate: Decimal | None = plain(description="Exactly")
    color: Color = plain(description="Color")
    size: Size | None = plain(description="Size")
    active: bool = plain(description="Whether")
    tags: list[str] = plain(description="Words")
    grid: list[list[int | None] | None] | None = plain(description="Numbers")
    home: Address = plain(description="Where")
    addresses: list[Address | None] | None = plain(description="Where else")
    friend: Person | None = loads(Person, key="friend_id", description="Friend")
    boss: Person = loads(Person, key="boss_id", description="Boss")
    friends: list[Person | None] = loads_many(Person, key="friend_ids", description="Friends")
    rivals: list[Person] | None = loads_many(Person, key="rival_ids", description="Rivals")
    favourite: Node | None = loads(Node, key="favourite_id", description="Anything")
    liked: list[Node | None] | None = loads_many(Node, key="liked_ids", description="Any things")
    subject: Subject | None = plain(description="A subject")
    initial: str = computed(lambda person: person["name"][0], reads=("name",), description="A letter")
    homes: list[Address] = computed(
        lambda person: [dict(person["home"]), person["home"]], reads=("home",), description="Twice home, once anew"
    )
    likes: int = batched(likes, description="Likes")
    rank: int | None = batched(rank, description="Rank", within="Of how many")
    followers: Connection[Person] | None = batched(followers, description="Followers", first="Most", after="Cursor")
    about: list[Subject | None] = batched(about, description="Subjects", most="Most")
    dates: list[datetime | None] = plain(description="Days")
    shades: list[Color] | None = plain(description="Colors")
    anything: list[Node] = computed(
        lambda person: [person, {"_id": "thing_1", "label": "made", "owner_id": person["_id"]}],
        reads=("_id",),
        description="Oneself, and a thing",
    )
    circles: list[list[Person | None] | None] | None = batched(circles, description="Circles")
    nearest: Node = batched(nearest, description="Something that must be there", kinds="Which, the last counts")
    home_again: Address | None = batched(home_again, description="Home once more")


@things.extends(Thing)
class ThingFields:
    label: str = plain(description="Label")
    owner: Person | None = loads(Person, key="owner_id", description="Owner")
    parts: list[Thing] = plain(description="Parts")
    price: Money | None = plain(description="Price")


@strawberry.input(description="Which people")
class PersonFilter:
    color: Color | None = UNSET
    min_age: int = 0
    names: list[str] | None = UNSET
    born_after: datetime | None = None


@strawberry.type(description="It was renamed")
class Renamed:
    person: Person = loads(Person, key="person_id", description="Who")
    name: str = plain(description="The new name")


RenameResult = Annotated[
    Renamed | NotFoundError | ConflictError | InsufficientFunds, strawberry.union("RenameResult", description="Result")
]


@people.root
class Query:
    @root(Person | None, description="Somebody")
    async def person(self, info: Info, id: strawberry.ID) -> Any:
        world = world_of(info.context)
        world.fail("person")
        return world.given("root person", world.document(id))

    @root(Person, description="Somebody who must be there")
    async def boss(self, info: Info) -> Any:
        world = world_of(info.context)
        world.fail("boss")
        return world.given("root boss", world.document("person_1"))

    @root(list[Person | None], description="People")
    async def people(
        self,
        info: Info,
        first: int = 3,
        colors: list[Color] | None = UNSET,
        filter: PersonFilter | None = None,
    ) -> Any:
        world = world_of(info.context)
        world.fail("people list")
        wanted = None if colors is UNSET or colors is None else {str(color.value) for color in colors}
        least = filter.min_age if filter else 0
        some = [world.document(f"person_{n}") for n in range(max(0, min(first, PEOPLE)))]
        kept = [
            each
            for each in some
            if not isinstance(each, dict)
            or (
                (wanted is None or each["color"] in wanted)
                and (not isinstance(each["age"], int) or each["age"] >= least)
            )
        ]
        return world.given("root people", kept)

    @root(Node | None, description="Anything")
    async def node(self, info: Info, id: strawberry.ID) -> Any:
        return await load_node(info, id)

    @root(list[Subject | None] | None, description="Anything with these words")
    def search(self, info: Info, text: str = "x", limit: int | None = 3) -> Any:
        world = world_of(info.context)
        world.fail("search")
        note = {"__typename": "Note", "text": text, "by_id": "person_2"}
        some = [world.document("person_4"), note, None, *(world.document(f"thing_{n}") for n in range(THINGS))]
        return world.given("root search", some[:limit])


@things.root
class Query:  # type: ignore[no-redef]  # noqa: F811
    @root(str | None, description="What was given")
    async def echo(
        self,
        info: Info,
        filter: PersonFilter,
        at: datetime | None = None,
        amount: Decimal | None = None,
        cursor: Cursor | None = UNSET,
        flags: list[list[bool | None]] | None = UNSET,
        big: BigInt | None = None,
        share: float | None = 0.5,
    ) -> Any:
        world_of(info.context).fail("echo")
        return repr((filter, at, amount, cursor, flags, big, share))

    @root(datetime, description="A moment")
    async def moment(self, info: Info) -> Any:
        return world_of(info.context).given("moment", datetime(2026, 1, 1))


@people.root
class Mutation:
    @root(RenameResult | None, description="Rename somebody")
    async def rename(self, info: Info, id: strawberry.ID, name: str = "Renamed") -> Any:
        world = world_of(info.context)
        world.log.append(("rename", (id, name)))
        world.fail(f"rename {len(world.log)}")
        person = world.document(id)
        if isinstance(person, dict):
            person["name"] = name
        renamed = {"__typename": "Renamed", "person_id": id, "name": name}
        return world.given(f"renamed {len(world.log)}", renamed)

    @root(int, description="Count what was done")
    async def count(self, info: Info) -> Any:
        world = world_of(info.context)
        world.log.append(("count", None))
        world.fail(f"count {len(world.log)}")
        return world.given(f"counted {len(world.log)}", len(world.log))

    @root(Person | None, description="Somebody becomes a year older")
    async def celebrate(self, info: Info, id: strawberry.ID) -> Any:
        world = world_of(info.context)
        world.log.append(("celebrate", id))
        person = world.document(id)
        if isinstance(person, dict) and isinstance(person["age"], int):
            world.change(id, "age", person["age"] + 1)
        return world.given(f"celebrated {len(world.log)}", world.document(id))


@people.root
class Subscription:
    @root(Person | None, subscription=True, description="People, one after another")
    async def passing(self, info: Info, first: int = 3) -> AsyncGenerator[Any, None]:
        world = world_of(info.context)
        for n in range(max(0, min(first, PEOPLE))):
            world.fail(f"passing {n}")
            yield world.given(f"passed {n}", world.document(f"person_{n}"))

    @root(Subject, subscription=True, description="Subjects, one after another")
    async def subjects(self, info: Info) -> AsyncGenerator[Any, None]:
        world = world_of(info.context)
        world.fail("subjects")
        yield {"__typename": "Note", "text": "first", "by_id": "person_1"}
        yield world.given("second subject", world.document("thing_2"))


def whole_graph() -> Graph:
    """The graph."""
    config = StrawberryConfig(default_resolver=read_key, scalar_map=SCALARS)
    return Graph([people, things], entities=[Person, Thing], prefixes=PREFIXES, config=config)
