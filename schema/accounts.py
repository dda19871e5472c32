"""Accounts in the graph: people, their profiles, who follows whom, and the roots that everything starts at."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import strawberry
from strawberry import UNSET

from datastores.accounts import UserDocument
from datastores.mongo import Document
from datastores.paging import PageDocument
from resolvers import accounts as use_cases

from .arguments import AFTER, FIRST, Info, or_none, present
from .composition import Domain, batched, keys_selected, load_node, loads, plain, root
from .entities import Node, User, Viewer
from .errors import ForbiddenError, NotFoundError, ValidationError
from .scalars import URL, Cursor
from .values import Connection

accounts = Domain("accounts")
accounts.owns(User, use_cases.by_id, document=UserDocument, selects=True, viewer=False, lasts=True)
accounts.owns(Viewer, use_cases.viewers)


@accounts.extends(User)
class UserFields:
    handle: str = plain(description="Unique, 1–30 of `a–z`, `0–9` and `_`; it never changes.")
    display_name: str = plain(description="The name to show, 1–50 characters.")
    bio: str | None = plain(description="What they say of themselves, at most 500 characters.")
    avatar_url: URL | None = plain(description="A picture of them.")
    created_at: datetime = plain(description="When they first signed in.")
    verified: bool = plain(description="Whether they are known to be who they say they are.")
    follower_count: int = plain(description="How many people follow them.")
    following_count: int = plain(description="How many people they follow, at most 10,000.")
    viewer_follows: bool = batched(
        use_cases.viewer_follows, description="Whether the viewer follows them; false when nobody is signed in."
    )
    follows_viewer: bool = batched(
        use_cases.follows_viewer, description="Whether they follow the viewer; false when nobody is signed in."
    )
    followers: Connection[User] = batched(
        use_cases.followers,
        description="Those who follow them, the latest first.",
        first=FIRST,
        after=AFTER,
    )
    following: Connection[User] = batched(
        use_cases.following,
        description="Those whom they follow, the latest first.",
        first=FIRST,
        after=AFTER,
    )


@accounts.extends(Viewer)
class ViewerFields:
    user: User = loads(User, key="_id", description="The viewer as everybody sees them.")


@strawberry.input(description="What of the viewer's profile to change. Leave out what is to stay as it is.")
class UpdateProfileInput:
    display_name: str | None = strawberry.field(
        default=UNSET, description="1–50 characters without white space around them; it cannot be cleared."
    )
    bio: str | None = strawberry.field(default=UNSET, description="At most 500 characters; null clears it.")
    avatar_url: URL | None = strawberry.field(
        default=UNSET, description="http or https, at most 2,048 characters; null clears it."
    )


@strawberry.input(description="Whom to follow, or not to follow any more.")
class FollowInput:
    user_id: strawberry.ID = strawberry.field(description="The user; not the viewer.")


@strawberry.type(description="The profile was changed.")
class UpdateProfileSuccess:
    user: User = plain(description="The viewer's user as it is now.")


@strawberry.type(description="The viewer follows the user, or does not any more, as was asked.")
class FollowSuccess:
    user: User = plain(description="The user, with counts as they are now.")


UpdateProfileResult = Annotated[
    UpdateProfileSuccess | ValidationError | ForbiddenError,
    strawberry.union("UpdateProfileResult", description="What came of `updateProfile`."),
]
FollowResult = Annotated[
    FollowSuccess | NotFoundError | ForbiddenError | ValidationError,
    strawberry.union("FollowResult", description="What came of `follow` or `unfollow`."),
]


@accounts.root
class Query:
    @root(Viewer | None, description="The signed-in person; null when nobody is signed in, or a partner's key is used.")
    async def viewer(self, info: Info) -> Document | None:
        return await use_cases.viewer(info.context)

    @root(
        Node | None,
        description="Anything by its id; null where it is malformed, unknown, or not the caller's to see.",
    )
    async def node(
        self, info: Info, id: Annotated[strawberry.ID, strawberry.argument(description="The id of an entity.")]
    ) -> Document | None:
        return await load_node(info, id)

    @root(User | None, description="A user by id or by handle; null where there is none. Pass exactly one of the two.")
    async def user(
        self,
        info: Info,
        id: Annotated[strawberry.ID | None, strawberry.argument(description="The user's id.")] = UNSET,
        handle: Annotated[
            str | None, strawberry.argument(description="The handle in any case, with or without `@`.")
        ] = UNSET,
    ) -> Document | None:
        keys = keys_selected(info, User)
        return await use_cases.user(info.context, id=or_none(id), handle=or_none(handle), keys=keys)

    @root(
        Connection[User] | None,
        description="The users whose handle or name has words that begin with all the words of `search`, by handle.",
    )
    async def users(
        self,
        info: Info,
        search: Annotated[
            str, strawberry.argument(description="At most 200 characters; the first 8 words count. Blank finds nobody.")
        ],
        first: Annotated[int | None, strawberry.argument(description=FIRST)] = UNSET,
        after: Annotated[
            Cursor | None, strawberry.argument(description="The cursor of the same search to go on after.")
        ] = UNSET,
    ) -> PageDocument:
        return await use_cases.users(info.context, search=search, first=or_none(first), after=or_none(after))


@accounts.root
class Mutation:
    @root(UpdateProfileResult | None, description="Change the viewer's profile.")
    async def update_profile(
        self,
        info: Info,
        input: Annotated[UpdateProfileInput, strawberry.argument(description="What to change.")],
    ) -> Document:
        changes = present(display_name=input.display_name, bio=input.bio, avatar_url=input.avatar_url)
        user = await use_cases.update_profile(info.context, changes)
        return {"__typename": "UpdateProfileSuccess", "user": user}

    @root(
        FollowResult | None,
        description="Follow a user, whose posts then stand in the viewer's home timeline. Twice is once.",
    )
    async def follow(
        self, info: Info, input: Annotated[FollowInput, strawberry.argument(description="Whom to follow.")]
    ) -> Document:
        return {"__typename": "FollowSuccess", "user": await use_cases.follow(info.context, user_id=input.user_id)}

    @root(FollowResult | None, description="Follow a user no more. Twice is once.")
    async def unfollow(
        self, info: Info, input: Annotated[FollowInput, strawberry.argument(description="Whom not to follow any more.")]
    ) -> Document:
        return {"__typename": "FollowSuccess", "user": await use_cases.unfollow(info.context, user_id=input.user_id)}
