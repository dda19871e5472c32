"""People sign in, find, follow and describe themselves."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any, cast

import pytest

from datastores import accounts as store
from datastores.errors import NotFoundError, UnauthenticatedError, ValidationError
from datastores.mongo import Database, Document
from datastores.paging import PageDocument
from resolvers import accounts
from resolvers.connections import HasId
from resolvers.context import Viewer
from tests.integration.resolvers.people import Ask, people

START = datetime(2026, 1, 1)
UNKNOWN = "usr_01JD0000000000000000000000"
PARTNER = Viewer("partner", partner_id="ptn_01JD0000000000000000000000")


async def counters(database: Database, user_id: str) -> tuple[int, int]:
    (user,) = await store.by_ids(database, [user_id])
    assert user is not None
    return user["follower_count"], user["following_count"]


def has_ids(ids: list[str]) -> list[HasId]:
    return [{"_id": id} for id in ids]


def handles_of(page: PageDocument | Exception) -> list[str]:
    assert not isinstance(page, Exception), page
    return [edge["node"]["handle"] for edge in page["edges"]]


class TestSignIn:
    async def test_the_first_sign_in_makes_a_user_and_the_next_finds_it(self, database: Database, ask: Ask) -> None:
        claims = {"issuer": "https://id.example", "subject": "1", "name": "Zoë O'Neil"}

        first = await accounts.sign_in(database, preferred_username="Zoë.O'Neil@example.com", **claims)
        second = await accounts.sign_in(database, preferred_username="changed", **claims)

        user = await accounts.user(ask(None), id=first)
        assert second == first
        assert user is not None
        assert user["handle"] == "zoe_o_neil"
        assert user["display_name"] == "Zoë O'Neil"
        assert (user["verified"], user["follower_count"], user["bio"]) == (False, 0, None)
        assert "tokens" not in user

    async def test_subjects_of_different_issuers_are_different_people(self, database: Database) -> None:
        ids = [
            await accounts.sign_in(database, issuer=issuer, subject="1", preferred_username="ann", name=None)
            for issuer in ("https://a.example", "https://b.example")
        ]

        first, second = await store.by_ids(database, ids)

        assert first is not None
        assert second is not None
        assert first["handle"] == "ann"
        assert second["handle"].startswith("ann_")

    @pytest.mark.parametrize(
        "wish", [None, "", "@", "王小明", "___", "\x00\ud800", "a" * 500, "💥", "Ünï çødé", "@bob"]
    )
    async def test_any_wish_gives_a_handle(self, database: Database, wish: str | None) -> None:
        id = await accounts.sign_in(database, issuer="i", subject="s", preferred_username=wish, name=wish)

        (user,) = await store.by_ids(database, [id])

        assert user is not None
        assert accounts.HANDLE.match(user["handle"])
        assert user["handle"] == user["handle"].lower()
        assert 1 <= len(user["display_name"]) <= accounts.MAX_DISPLAY_NAME

    async def test_concurrent_first_sign_ins_make_one_user(self, database: Database) -> None:
        ids = await asyncio.gather(
            *(
                accounts.sign_in(database, issuer="i", subject="s", preferred_username="dora", name="Dora")
                for _ in range(30)
            )
        )

        assert len(set(ids)) == 1
        assert await database.count("users", {}) == 1
        assert await database.count("identities", {}) == 1

    async def test_concurrent_wishes_for_one_handle_all_get_a_handle(self, database: Database) -> None:
        ids = await asyncio.gather(
            *(
                accounts.sign_in(database, issuer="i", subject=str(n), preferred_username="dora", name="Dora")
                for n in range(30)
            )
        )

        users = await store.by_ids(database, ids)
        handles = {user["handle"] for user in users if user is not None}
        assert len(set(ids)) == 30
        assert len(handles) == 30
        assert "dora" in handles

    @pytest.mark.parametrize("issuer", ["", "x" * 256, "a\x00b"])
    async def test_a_token_without_usable_issuer_is_refused(self, database: Database, issuer: str) -> None:
        with pytest.raises(ValidationError):
            await accounts.sign_in(database, issuer=issuer, subject="1", preferred_username="x", name="x")

        assert await database.count("users", {}) == 0


class TestFinding:
    async def test_a_user_by_id_or_by_handle(self, database: Database, ask: Ask) -> None:
        (ann,) = await people(database, "ann")

        by_id = await accounts.user(ask(None), id=ann)
        by_handle = await accounts.user(ask(None), handle="@ANN")

        assert by_id is not None
        assert by_id == by_handle

    @pytest.mark.parametrize("arguments", [{}, {"id": UNKNOWN, "handle": "ann"}])
    async def test_exactly_one_of_id_and_handle(self, ask: Ask, arguments: dict[str, str]) -> None:
        with pytest.raises(ValidationError):
            await accounts.user(ask(None), **arguments)

    @pytest.mark.parametrize("id", [UNKNOWN, "", "x", "post_01JD0000000000000000000000", "\ud800", "\x00", "u" * 9999])
    async def test_an_unknown_or_malformed_id_is_nobody(self, ask: Ask, id: str) -> None:
        assert await accounts.user(ask(None), id=id) is None
        assert await accounts.by_id(ask(None), [id, UNKNOWN]) == [None, None]

    @pytest.mark.parametrize("handle", ["", "@", "nobody", "a b", "\ud800", "a" * 31, "ann\n"])
    async def test_an_unknown_or_malformed_handle_is_nobody(self, database: Database, ask: Ask, handle: str) -> None:
        await people(database, "ann")

        assert await accounts.user(ask(None), handle=handle) is None
        assert await accounts.by_handles(ask(None), [handle, "ANN"]) == [
            None,
            *await store.by_handles(database, ["ann"]),
        ]

    async def test_search_finds_beginnings_of_words_of_handle_and_name(self, database: Database, ask: Ask) -> None:
        await people(database, "anna", "anne_lee", "bob", "joanna")
        await store.insert_users(
            database, [store.user_document(handle="x1", display_name="Straße Ann 王小明", created_at=START)]
        )

        async def found(search: str) -> list[str]:
            return handles_of(await accounts.users(ask(None), search=search))

        assert await found("ann") == ["anna", "anne_lee", "x1"]
        assert await found("ANN le") == ["anne_lee"]
        assert await found("anne_l") == ["anne_lee"]
        assert await found("@bob") == ["bob"]
        assert await found("STRASSE") == ["x1"]
        assert await found("王小") == ["x1"]
        assert await found("ann zzz") == []
        assert await found(".*") == []
        assert await found("") == []
        assert await found("$where") == []

    @pytest.mark.parametrize("search", ["a" * 201, "\x00", "\ud800"])
    async def test_a_search_that_is_no_text_is_refused(self, ask: Ask, search: str) -> None:
        with pytest.raises(ValidationError):
            await accounts.users(ask(None), search=search)

    async def test_search_pages_without_hole_or_duplicate(self, database: Database, ask: Ask) -> None:
        handles = sorted(f"ann{n}" for n in range(13))
        await people(database, *handles)

        for size in range(1, 15):
            walked: list[str] = []
            after = None
            while True:
                page = await accounts.users(ask(None), search="ann", first=size, after=after)
                walked += handles_of(page)
                after = page["page_info"]["end_cursor"]
                if not page["page_info"]["has_next_page"]:
                    break
            assert walked == handles

    async def test_a_cursor_of_another_search_is_refused(self, database: Database, ask: Ask) -> None:
        await people(database, "ann", "anna")
        cursor = (await accounts.users(ask(None), search="ann", first=1))["page_info"]["end_cursor"]

        with pytest.raises(ValidationError):
            await accounts.users(ask(None), search="anna", after=cursor)


class TestProfile:
    async def test_absent_is_unchanged_and_null_is_cleared(self, database: Database, ask: Ask) -> None:
        (ann,) = await people(database, "ann")
        full = {"display_name": "  Ann B.  ", "bio": "Hi", "avatar_url": "https://img.example/a.png"}

        changed = await accounts.update_profile(ask(ann), full)
        cleared = await accounts.update_profile(ask(ann), {"bio": None, "avatar_url": None})
        unchanged = await accounts.update_profile(ask(ann), {})

        assert (changed["display_name"], changed["bio"]) == ("Ann B.", "Hi")
        assert changed["avatar_url"] == "https://img.example/a.png"
        assert (cleared["display_name"], cleared["bio"], cleared["avatar_url"]) == ("Ann B.", None, None)
        assert unchanged["display_name"] == "Ann B."

    async def test_a_new_name_is_found_and_the_old_one_is_not(self, database: Database, ask: Ask) -> None:
        (ann,) = await people(database, "ann")

        await accounts.update_profile(ask(ann), {"display_name": "Beatrix"})

        assert handles_of(await accounts.users(ask(None), search="beat")) == ["ann"]
        await accounts.update_profile(ask(ann), {"display_name": "Clara"})
        assert handles_of(await accounts.users(ask(None), search="beat")) == []

    @pytest.mark.parametrize(
        ("changes", "path"),
        [
            ({"display_name": None}, "displayName"),
            ({"display_name": "   "}, "displayName"),
            ({"display_name": "x" * 51}, "displayName"),
            ({"display_name": "a\x00b"}, "displayName"),
            ({"bio": "x" * 501}, "bio"),
            ({"bio": "\ud800"}, "bio"),
            ({"avatar_url": "ftp://x.example/a"}, "avatarUrl"),
            ({"avatar_url": "javascript:alert(1)"}, "avatarUrl"),
            ({"avatar_url": "https://"}, "avatarUrl"),
            ({"avatar_url": "https://x.example/a b"}, "avatarUrl"),
            ({"avatar_url": "https://x.example:99999/"}, "avatarUrl"),
            ({"avatar_url": "https://x.example/" + "a" * 2048}, "avatarUrl"),
            ({"bio": "fine", "display_name": ""}, "displayName"),
        ],
    )
    async def test_what_is_not_acceptable_changes_nothing(
        self, database: Database, ask: Ask, changes: dict[str, Any], path: str
    ) -> None:
        (ann,) = await people(database, "ann")
        before = await store.by_ids(database, [ann])

        with pytest.raises(ValidationError) as refused:
            await accounts.update_profile(ask(ann), changes)

        assert refused.value.details["path"] == [path]
        assert await store.by_ids(database, [ann]) == before

    async def test_limits_count_characters(self, database: Database, ask: Ask) -> None:
        (ann,) = await people(database, "ann")

        user = await accounts.update_profile(ask(ann), {"bio": "💥" * 500, "display_name": "é" * 50})

        assert len(user["bio"]) == 500

    async def test_nobody_has_no_profile(self, ask: Ask) -> None:
        with pytest.raises(UnauthenticatedError):
            await accounts.update_profile(ask(None), {"bio": "x"})


class TestFollowing:
    async def test_following_twice_is_once_and_so_is_unfollowing(self, database: Database, ask: Ask) -> None:
        ann, bob = await people(database, "ann", "bob")

        await accounts.follow(ask(ann), user_id=bob)
        followed = await accounts.follow(ask(ann), user_id=bob)
        assert followed["follower_count"] == 1
        assert await counters(database, ann) == (0, 1)

        await accounts.unfollow(ask(ann), user_id=bob)
        unfollowed = await accounts.unfollow(ask(ann), user_id=bob)
        assert unfollowed["follower_count"] == 0
        assert await counters(database, ann) == (0, 0)

    async def test_the_followed_is_notified_once(self, database: Database, ask: Ask) -> None:
        ann, bob = await people(database, "ann", "bob")

        await accounts.follow(ask(ann), user_id=bob)
        await accounts.follow(ask(ann), user_id=bob)

        (notice,) = await database.find("notifications", {"user_id": bob}, limit=10)
        assert (notice["kind"], notice["actor_id"]) == ("follow", ann)

    @pytest.mark.parametrize("id", [UNKNOWN, "nonsense", "\ud800", "", "post_01JD0000000000000000000000"])
    async def test_nobody_can_be_followed_who_is_not_there(self, database: Database, ask: Ask, id: str) -> None:
        (ann,) = await people(database, "ann")

        for act in (accounts.follow, accounts.unfollow):
            with pytest.raises(NotFoundError):
                await act(ask(ann), user_id=id)

        assert await counters(database, ann) == (0, 0)
        assert await database.count("follows", {}) == 0

    async def test_oneself_cannot_be_followed(self, database: Database, ask: Ask) -> None:
        (ann,) = await people(database, "ann")

        with pytest.raises(ValidationError) as refused:
            await accounts.follow(ask(ann), user_id=ann)

        assert refused.value.details["path"] == ["userId"]

    async def test_nobody_follows_without_signing_in(self, database: Database, ask: Ask) -> None:
        (ann,) = await people(database, "ann")

        with pytest.raises(UnauthenticatedError):
            await accounts.follow(ask(None), user_id=ann)

    async def test_no_more_than_the_limit(self, database: Database, ask: Ask) -> None:
        ann, bob = await people(database, "ann", "bob")
        await database.update_one("users", {"_id": ann}, {"$set": {"following_count": store.MAX_FOLLOWING}})

        with pytest.raises(ValidationError):
            await accounts.follow(ask(ann), user_id=bob)

        assert await counters(database, bob) == (0, 0)
        assert await database.count("follows", {}) == 0

    async def test_counters_are_right_after_a_crowd(self, database: Database, ask: Ask) -> None:
        star, *crowd = await people(database, "star", *(f"fan{n}" for n in range(40)))

        async def twice_and_one_in_two_back(n: int, fan: str) -> None:
            await asyncio.gather(*(accounts.follow(ask(fan), user_id=star) for _ in range(2)))
            if n % 2:
                await asyncio.gather(*(accounts.unfollow(ask(fan), user_id=star) for _ in range(2)))

        await asyncio.gather(*(twice_and_one_in_two_back(n, fan) for n, fan in enumerate(crowd)))

        assert await counters(database, star) == (20, 0)
        assert await database.count("follows", {}) == 20
        assert [await counters(database, fan) for fan in crowd] == [(0, 1 - n % 2) for n in range(40)]

    async def test_two_people_who_follow_each_other_at_once(self, database: Database, ask: Ask) -> None:
        ann, bob = await people(database, "ann", "bob")

        for _ in range(5):
            await asyncio.gather(accounts.follow(ask(ann), user_id=bob), accounts.follow(ask(bob), user_id=ann))
            assert (await counters(database, ann), await counters(database, bob)) == ((1, 1), (1, 1))
            await asyncio.gather(accounts.unfollow(ask(ann), user_id=bob), accounts.unfollow(ask(bob), user_id=ann))

        assert (await counters(database, ann), await counters(database, bob)) == ((0, 0), (0, 0))

    async def test_flags_of_the_viewer(self, database: Database, ask: Ask) -> None:
        ann, bob, cid = await people(database, "ann", "bob", "cid")
        await accounts.follow(ask(ann), user_id=bob)
        await accounts.follow(ask(cid), user_id=ann)
        everybody = has_ids([ann, bob, cid])

        assert await accounts.viewer_follows(ask(ann), everybody) == [False, True, False]
        assert await accounts.follows_viewer(ask(ann), everybody) == [False, False, True]
        assert await accounts.viewer_follows(ask(None), everybody) == [False] * 3
        assert await accounts.follows_viewer(ask(None), everybody) == [False] * 3


class TestFollowLists:
    @pytest.fixture
    async def town(self, database: Database) -> list[str]:
        """Seven people; everybody follows those who came before, some at the very same moment."""
        ids = await people(database, *(f"p{n}" for n in range(7)))
        follows = [
            store.follow_document(ids[a], ids[b], START + timedelta(milliseconds=(a + b) // 3))
            for a in range(7)
            for b in range(a)
        ]
        await store.insert_follows(database, follows)
        await store.insert_follows(database, follows)
        return ids

    async def test_planted_follows_are_counted_once(self, database: Database, town: list[str]) -> None:
        assert [await counters(database, id) for id in town] == [(6 - n, n) for n in range(7)]

    @pytest.mark.parametrize("size", [1, 2, 3, 6, 7, 100])
    async def test_walks_of_many_people_agree_with_a_plain_model(
        self, database: Database, ask: Ask, town: list[str], size: int
    ) -> None:
        follows = await database.find("follows", {}, limit=100)

        def expected(id: str, own: str, other: str) -> list[str]:
            mine = [f for f in follows if f[own] == id]
            return [f[other] for f in sorted(mine, key=lambda f: (f["created_at"], f[other]), reverse=True)]

        for list_of, own, other in (
            (accounts.followers, "followee_id", "follower_id"),
            (accounts.following, "follower_id", "followee_id"),
        ):
            pages = await list_of(ask(None), has_ids(town), first=size)
            for id, page in zip(town, pages, strict=True):
                walked: list[str] = []
                while True:
                    assert not isinstance(page, Exception)
                    walked += [edge["node"]["_id"] for edge in page["edges"]]
                    if not page["page_info"]["has_next_page"]:
                        break
                    after = page["page_info"]["end_cursor"]
                    (page,) = await list_of(ask(None), [{"_id": id}], first=size, after=after)
                assert walked == expected(id, own, other)

    async def test_a_cursor_belongs_to_one_list(self, database: Database, ask: Ask, town: list[str]) -> None:
        (page,) = await accounts.followers(ask(None), [{"_id": town[0]}], first=1)
        assert not isinstance(page, Exception)
        after = page["page_info"]["end_cursor"]

        own, other = await accounts.followers(ask(None), has_ids(town[:2]), after=after)
        (wrong,) = await accounts.following(ask(None), has_ids(town[:1]), after=after)

        assert len(handles_of(own)) == 5
        assert isinstance(other, ValidationError)
        assert isinstance(wrong, ValidationError)

    @pytest.mark.parametrize(
        "arguments", [{"first": -1}, {"first": 1000}, {"after": "x"}, {"after": "\ud800"}, {"after": ""}]
    )
    async def test_paging_arguments_that_cannot_be_met(
        self, ask: Ask, town: list[str], arguments: dict[str, Any]
    ) -> None:
        pages = await accounts.followers(ask(None), has_ids(town[:3]), **arguments)

        assert [type(page) for page in pages] == [ValidationError] * 3

    async def test_a_page_of_nothing_tells_whether_there_is_more(self, ask: Ask, town: list[str]) -> None:
        some, none = await accounts.followers(ask(None), has_ids([town[0], town[6]]), first=0)

        empty: list[PageDocument | Exception] = [
            {
                "edges": [],
                "page_info": {
                    "has_next_page": has_next,
                    "has_previous_page": False,
                    "start_cursor": None,
                    "end_cursor": None,
                },
            }
            for has_next in (True, False)
        ]
        assert [some, none] == empty

    async def test_nobody_asked_for_is_nothing_read(self, ask: Ask) -> None:
        assert await accounts.followers(ask(None), [], first=3) == []
        assert await accounts.viewer_follows(ask(UNKNOWN), []) == []


class TestViewer:
    async def test_the_viewer_is_the_caller_alone(self, database: Database, ask: Ask) -> None:
        ann, bob = await people(database, "ann", "bob")

        assert await accounts.viewer(ask(ann)) == {"_id": ann}
        assert await accounts.viewer(ask(None)) is None
        assert await accounts.viewers(ask(ann), [ann, bob]) == [{"_id": ann}, None]
        assert await accounts.viewers(ask(None), [ann]) == [None]

    async def test_a_partner_is_nobodys_viewer(self, ask: Ask) -> None:
        ctx = ask(None)
        ctx.viewer = PARTNER

        assert await accounts.viewer(ctx) is None
        assert await accounts.viewer_follows(ctx, cast(list[HasId], [cast(Document, {"_id": UNKNOWN})])) == [False]
