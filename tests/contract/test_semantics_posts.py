"""Posts as readers may rely on them: acts done twice, what deleting keeps, and whose posts a timeline holds."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.contract.acts import done, newcomer, refused
from tests.contract.town import Town

pytestmark = pytest.mark.asyncio(loop_scope="session")

COUNTS = "post { likeCount repostCount viewerHasLiked viewerHasReposted }"


async def write(town: Town, who: str, text: str, **more: Any) -> str:
    return str((await done(town, who, "createPost", "post { id }", text=text, **more))["post"]["id"])


async def timeline(town: Town, who: str) -> list[tuple[str, str | None]]:
    """The text of each post of the home timeline, and whose repost it is."""
    document = "{ viewer { homeTimeline { edges { node { text } repostedBy { handle } } } } }"
    edges = (await town.ask(who, document))["viewer"]["homeTimeline"]["edges"]
    return [(edge["node"]["text"], (edge["repostedBy"] or {}).get("handle")) for edge in edges]


async def test_liking_reposting_and_following_twice_is_once(town: Town) -> None:
    author, reader = await newcomer(town), await newcomer(town)
    post, author_id = await write(town, author, "Once"), await town.id_of(author)

    acts = [done(town, reader, act, postId=post) for act in ("likePost", "repost") * 4]
    follows = [done(town, reader, "follow", userId=author_id) for _ in range(4)]
    await asyncio.gather(*acts, *follows)
    liked = (await done(town, reader, "likePost", COUNTS, postId=post))["post"]
    followed = (await done(town, reader, "follow", "user { followerCount viewerFollows }", userId=author_id))["user"]

    assert liked == {"likeCount": 1, "repostCount": 1, "viewerHasLiked": True, "viewerHasReposted": True}
    assert followed == {"followerCount": 1, "viewerFollows": True}


async def test_taking_back_twice_is_once(town: Town) -> None:
    author, reader = await newcomer(town), await newcomer(town)
    post, author_id = await write(town, author, "Twice"), await town.id_of(author)
    await done(town, reader, "likePost", postId=post)
    await done(town, reader, "repost", postId=post)
    await done(town, reader, "follow", userId=author_id)

    for _ in range(2):
        await done(town, reader, "unlikePost", postId=post)
        undone = (await done(town, reader, "undoRepost", COUNTS, postId=post))["post"]
        left = (await done(town, reader, "unfollow", "user { followerCount viewerFollows }", userId=author_id))["user"]

        assert undone == {"likeCount": 0, "repostCount": 0, "viewerHasLiked": False, "viewerHasReposted": False}
        assert left == {"followerCount": 0, "viewerFollows": False}


async def test_deleting_keeps_the_replies(town: Town) -> None:
    author, reader = await newcomer(town), await newcomer(town)
    post = await write(town, author, "Question")
    reply = await write(town, reader, "Answer", replyToId=post)
    deeper = await write(town, author, "Thanks", replyToId=reply)
    quote = await write(town, reader, "Look", quoteOfId=post)

    assert await refused(town, reader, "deletePost", postId=post) == "ForbiddenError"
    await done(town, author, "deletePost", postId=post)

    document = """query ($post: ID!, $reply: ID!, $deeper: ID!, $quote: ID!) {
      post(id: $post) { id } node(id: $post) { id }
      reply: post(id: $reply) { text replyTo { id } root { id } replies { nodes { text } } }
      deeper: post(id: $deeper) { replyTo { id } root { id } }
      quote: post(id: $quote) { text quoteOf { id } }
    }"""
    shown = await town.ask(None, document, post=post, reply=reply, deeper=deeper, quote=quote)
    assert (shown["post"], shown["node"]) == (None, None)
    kept = {"text": "Answer", "replyTo": None, "root": None, "replies": {"nodes": [{"text": "Thanks"}]}}
    assert shown["reply"] == kept
    assert shown["deeper"] == {"replyTo": {"id": reply}, "root": None}
    assert shown["quote"] == {"text": "Look", "quoteOf": None}
    assert await refused(town, reader, "likePost", postId=post) == "NotFoundError"


async def test_a_timeline_holds_the_posts_and_reposts_of_those_followed_and_ones_own(town: Town) -> None:
    reader, followed, stranger = [await newcomer(town) for _ in range(3)]
    await done(town, reader, "follow", userId=await town.id_of(followed))
    first = await write(town, stranger, "by a stranger")
    await write(town, stranger, "unseen")
    await write(town, followed, "by one followed")
    await write(town, reader, "my own")
    second = await write(town, stranger, "another")
    await done(town, followed, "repost", postId=first)
    await done(town, reader, "repost", postId=second)

    assert await timeline(town, reader) == [
        ("another", reader),
        ("by a stranger", followed),
        ("my own", None),
        ("by one followed", None),
    ]
    await done(town, followed, "undoRepost", postId=first)
    await done(town, reader, "unfollow", userId=await town.id_of(followed))
    assert await timeline(town, reader) == [("another", reader), ("my own", None)]


async def test_a_client_id_makes_a_retried_post_one(town: Town) -> None:
    author = await newcomer(town)

    written = await asyncio.gather(*(write(town, author, "Same", clientId="c1") for _ in range(5)))

    assert len(set(written)) == 1
    assert await write(town, await newcomer(town), "Same", clientId="c1") not in written
