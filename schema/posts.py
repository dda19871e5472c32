"""Posts in the graph: what people write, like and repost, and the lists it stands in."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import strawberry
from strawberry import UNSET

from datastores.mongo import Document
from datastores.paging import PageDocument, cursor_of
from datastores.posts import PostDocument
from resolvers import posts as use_cases

from .arguments import AFTER, FIRST, Info, or_none
from .composition import Domain, batched, computed, keys_selected, loads, loads_many, plain, root
from .entities import Listing, Post, User, Viewer
from .errors import ForbiddenError, NotFoundError, ValidationError
from .scalars import Cursor
from .values import Media, MediaInput, PageInfo, media_documents, nodes_of

posts = Domain("posts")
posts.owns(Post, use_cases.by_id, document=PostDocument, selects=True, viewer=False)


@strawberry.type(description="A post in a list.")
class PostEdge:
    cursor: Cursor = computed(
        cursor_of, reads=("scope", "place", "read"), description="Where the post stands; pass it as `after`."
    )
    node: Post = plain(description="The post.")
    reposted_by: User | None = loads(
        User, key="reposted_by_id", description="Whose repost put it here; null where the post stands for itself."
    )


@strawberry.type(description="A page of posts.")
class PostConnection:
    edges: list[PostEdge] = plain(description="The posts with their cursors.")
    nodes: list[Post] = computed(nodes_of, reads=("edges",), description="The posts alone.")
    page_info: PageInfo = plain(description="Where the page stands in the list.")


@posts.extends(Post)
class PostFields:
    text: str = plain(description="1–2,000 characters.")
    created_at: datetime = plain(description="When it was written.")
    edited_at: datetime | None = plain(description="When it was changed last; null if never.")
    author: User | None = loads(User, key="author_id", description="Who wrote it.")
    reply_to: Post | None = loads(
        Post,
        key="reply_to_id",
        description="The post that it replies to; null if it replies to none, or to a deleted one.",
    )
    root: Post | None = loads(
        Post, key="root_id", description="The post that began the thread; null if it is no reply, or that was deleted."
    )
    quote_of: Post | None = loads(
        Post, key="quote_of_id", description="The post that it quotes; null if none, or a deleted one."
    )
    like_count: int = plain(description="How many people like it.")
    reply_count: int = plain(description="How many replies there are to it, without replies to those.")
    repost_count: int = plain(description="How many people reposted it.")
    viewer_has_liked: bool = batched(
        use_cases.viewer_has_liked, description="Whether the viewer likes it; false when nobody is signed in."
    )
    viewer_has_reposted: bool = batched(
        use_cases.viewer_has_reposted, description="Whether the viewer reposted it; false when nobody is signed in."
    )
    replies: PostConnection = batched(
        use_cases.replies, description="The replies to it, newest first.", first=FIRST, after=AFTER
    )
    hashtags: list[str] = plain(description="The first 20 hashtags of the text, in lower case and without `#`.")
    mentions: list[User | None] = loads_many(
        User, key="mention_ids", description="The people mentioned by the first 20 `@handle`s of the text."
    )
    media: list[Media] = plain(description="At most 10 pictures, films or sounds.")
    listing: Listing | None = loads(
        Listing, key="listing_id", description="The listing that it shares, with its price and stock as they are now."
    )


@posts.extends(User)
class UserPosts:
    posts: PostConnection | None = batched(
        use_cases.of_authors,
        description="What they wrote, replies too, newest first; without reposts.",
        first=FIRST,
        after=AFTER,
    )


@posts.extends(Viewer)
class ViewerPosts:
    home_timeline: PostConnection | None = batched(
        use_cases.home_timeline,
        description=(
            "The posts and reposts of those whom the viewer follows, and the viewer's own, newest first. "
            "On a page a post stands once, at its newest place there."
        ),
        first=FIRST,
        after=AFTER,
    )


@strawberry.input(description="A new post.")
class CreatePostInput:
    text: str = strawberry.field(
        description="1–2,000 characters without white space around them. `#hashtag` and `@handle` count, 20 of each."
    )
    reply_to_id: strawberry.ID | None = strawberry.field(default=UNSET, description="The post that it replies to.")
    quote_of_id: strawberry.ID | None = strawberry.field(default=UNSET, description="The post that it quotes.")
    listing_id: strawberry.ID | None = strawberry.field(default=UNSET, description="A listing to share.")
    media: list[MediaInput] | None = strawberry.field(default=UNSET, description="At most 10.")
    client_id: strawberry.ID | None = strawberry.field(
        default=UNSET,
        description=(
            "Makes a retry safe: the same id of the same author is the same post. 1–100 printable characters, "
            "such as a UUID."
        ),
    )


@strawberry.input(description="A post to delete.")
class DeletePostInput:
    post_id: strawberry.ID = strawberry.field(description="A post of the viewer's.")


@strawberry.input(description="A post to do something with.")
class PostRefInput:
    post_id: strawberry.ID = strawberry.field(description="The post.")


@strawberry.type(description="The post was written, now or by an earlier try with the same `clientId`.")
class CreatePostSuccess:
    post: Post = plain(description="The post.")


@strawberry.type(description="The post is deleted; replies to it stay.")
class DeletePostSuccess:
    deleted_id: strawberry.ID = plain(description="The id of the post that is gone.")


@strawberry.type(description="It is as was asked.")
class PostActionSuccess:
    post: Post = plain(description="The post, with counts as they are now.")


CreatePostResult = Annotated[
    CreatePostSuccess | NotFoundError | ForbiddenError | ValidationError,
    strawberry.union("CreatePostResult", description="What came of `createPost`."),
]
DeletePostResult = Annotated[
    DeletePostSuccess | NotFoundError | ForbiddenError,
    strawberry.union("DeletePostResult", description="What came of `deletePost`."),
]
PostActionResult = Annotated[
    PostActionSuccess | NotFoundError | ForbiddenError,
    strawberry.union("PostActionResult", description="What came of a like or a repost, or of taking it back."),
]
PostRef = Annotated[PostRefInput, strawberry.argument(description="Which post.")]


@posts.root
class Query:
    @root(Post | None, description="A post by its id; null where there is none or it was deleted.")
    async def post(
        self, info: Info, id: Annotated[strawberry.ID, strawberry.argument(description="The post's id.")]
    ) -> Document | None:
        return await use_cases.post(info.context, id=id)

    @root(
        PostConnection | None,
        description="The posts with all words of `search` and with `hashtag`, newest first; all posts without either.",
    )
    async def posts(
        self,
        info: Info,
        search: Annotated[
            str | None,
            strawberry.argument(description="Whole words and `#hashtags`, the first 8 count; at most 200 characters."),
        ] = UNSET,
        hashtag: Annotated[str | None, strawberry.argument(description="A hashtag, with or without `#`.")] = UNSET,
        first: Annotated[int | None, strawberry.argument(description=FIRST)] = UNSET,
        after: Annotated[Cursor | None, strawberry.argument(description=AFTER)] = UNSET,
    ) -> PageDocument:
        return await use_cases.posts(
            info.context,
            search=or_none(search),
            hashtag=or_none(hashtag),
            first=or_none(first),
            after=or_none(after),
            keys=keys_selected(info, Post),
        )


@posts.root
class Mutation:
    @root(CreatePostResult | None, description="Write a post. Those whom it answers, quotes or mentions are notified.")
    async def create_post(
        self, info: Info, input: Annotated[CreatePostInput, strawberry.argument(description="The post.")]
    ) -> Document:
        made = await use_cases.create_post(
            info.context,
            text=input.text,
            reply_to_id=or_none(input.reply_to_id),
            quote_of_id=or_none(input.quote_of_id),
            listing_id=or_none(input.listing_id),
            media=media_documents(or_none(input.media)),
            client_id=or_none(input.client_id),
        )
        return {"__typename": "CreatePostSuccess", "post": made}

    @root(DeletePostResult | None, description="Delete a post of the viewer's. Replies to it stay.")
    async def delete_post(
        self, info: Info, input: Annotated[DeletePostInput, strawberry.argument(description="Which post.")]
    ) -> Document:
        deleted_id = await use_cases.delete_post(info.context, post_id=input.post_id)
        return {"__typename": "DeletePostSuccess", "deleted_id": deleted_id}

    @root(PostActionResult | None, description="Like a post. Twice is once.")
    async def like_post(self, info: Info, input: PostRef) -> Document:
        return _acted(await use_cases.like_post(info.context, post_id=input.post_id))

    @root(PostActionResult | None, description="Like a post no more. Twice is once.")
    async def unlike_post(self, info: Info, input: PostRef) -> Document:
        return _acted(await use_cases.unlike_post(info.context, post_id=input.post_id))

    @root(PostActionResult | None, description="Show a post to those who follow the viewer. Twice is once.")
    async def repost(self, info: Info, input: PostRef) -> Document:
        return _acted(await use_cases.repost(info.context, post_id=input.post_id))

    @root(PostActionResult | None, description="Take a repost back. Twice is once.")
    async def undo_repost(self, info: Info, input: PostRef) -> Document:
        return _acted(await use_cases.undo_repost(info.context, post_id=input.post_id))


def _acted(post: Document) -> Document:
    return {"__typename": "PostActionSuccess", "post": post}
