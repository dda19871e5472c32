"""Paging as clients may rely on it: sizes, ends, order, and cursors that belong to one list for ever."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_asyncio

from tests.contract.acts import codes, done, eur, key, newcomer, say, talk
from tests.contract.town import Town

pytestmark = pytest.mark.asyncio(loop_scope="session")

PAGE = "nodes { id } edges { cursor } pageInfo { hasNextPage hasPreviousPage startCursor endCursor }"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def writer(town: Town) -> tuple[str, list[str]]:
    """Somebody with 25 posts, and the ids of these, the newest first."""
    who = await newcomer(town)
    written = [(await done(town, who, "createPost", "post { id }", text=f"Line {n}"))["post"]["id"] for n in range(25)]
    return who, written[::-1]


async def posts_of(town: Town, who: str, arguments: str = "") -> Any:
    document = f"query ($handle: String) {{ user(handle: $handle) {{ posts{arguments} {{ {PAGE} }} }} }}"
    data = await town.ask(None, document, handle=who)
    return data["user"]["posts"]


async def test_without_a_size_a_page_holds_20(town: Town, writer: tuple[str, list[str]]) -> None:
    who, written = writer

    page = await posts_of(town, who)

    assert [node["id"] for node in page["nodes"]] == written[:20]
    assert page["pageInfo"]["hasNextPage"] is True
    assert page["pageInfo"]["hasPreviousPage"] is False
    assert page["pageInfo"]["startCursor"] == page["edges"][0]["cursor"]
    assert page["pageInfo"]["endCursor"] == page["edges"][-1]["cursor"]


async def test_null_is_no_size(town: Town, writer: tuple[str, list[str]]) -> None:
    assert len((await posts_of(town, writer[0], "(first: null, after: null)"))["nodes"]) == 20


async def test_100_is_the_most(town: Town, writer: tuple[str, list[str]]) -> None:
    page = await posts_of(town, writer[0], "(first: 100)")

    assert len(page["nodes"]) == 25
    assert page["pageInfo"]["hasNextPage"] is False


async def test_a_page_of_nothing_says_truly_whether_there_is_more(town: Town, writer: tuple[str, list[str]]) -> None:
    who, _ = writer
    pages = [await posts_of(town, who, "(first: 0)")]
    last = (await posts_of(town, who, "(first: 100)"))["pageInfo"]["endCursor"]
    pages.append(await posts_of(town, who, f'(first: 0, after: "{last}")'))

    assert [page["nodes"] for page in pages] == [[], []]
    assert [page["pageInfo"]["hasNextPage"] for page in pages] == [True, False]
    assert [page["pageInfo"]["hasPreviousPage"] for page in pages] == [False, True]
    assert [page["pageInfo"]["endCursor"] for page in pages] == [None, None]


async def test_a_cursor_stays_where_it_was(town: Town) -> None:
    who = await newcomer(town)
    first, second, third = [
        (await done(town, who, "createPost", "post { id }", text=text))["post"]["id"] for text in "abc"
    ]
    cursor = (await posts_of(town, who, "(first: 2)"))["pageInfo"]["endCursor"]

    await done(town, who, "createPost", text="d")
    await done(town, who, "deletePost", postId=second)
    page = await posts_of(town, who, f'(after: "{cursor}")')

    assert [node["id"] for node in page["nodes"]] == [first]
    assert third not in [node["id"] for node in page["nodes"]]


async def test_messages_page_both_ways(town: Town) -> None:
    one, other = await newcomer(town), await newcomer(town)
    chat = await talk(town, one, other)
    for n in range(1, 26):
        await say(town, one, chat, str(n))

    async def page(arguments: str = "") -> Any:
        document = (
            f"query ($id: ID!) {{ conversation(id: $id) {{ messages{arguments} "
            "{ nodes { text } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } } }"
        )
        return (await town.ask(other, document, id=chat))["conversation"]["messages"]

    newest = await page()
    before = await page(f'(before: "{newest["pageInfo"]["startCursor"]}")')
    after = await page(f'(first: 3, after: "{before["pageInfo"]["endCursor"]}")')

    assert [node["text"] for node in newest["nodes"]] == [str(n) for n in range(6, 26)]
    assert [node["text"] for node in before["nodes"]] == [str(n) for n in range(1, 6)]
    assert (before["pageInfo"]["hasPreviousPage"], before["pageInfo"]["hasNextPage"]) == (False, True)
    assert [node["text"] for node in after["nodes"]] == ["6", "7", "8"]


BOTH = [
    "viewer { conversations(first: 1) { nodes { messages(first: 1, last: 1) { nodes { id } } } } }",
    'viewer { wallet(currency: "EUR") { entries(first: 1, last: 1) { nodes { id } } } }',
    'viewer { wallet(currency: "EUR") { entries(last: -1) { nodes { id } } } }',
    'viewer { wallet(currency: "EUR") { entries(last: 101) { nodes { id } } } }',
    'viewer { wallet(currency: "EUR") { entries(last: 1, before: "nonsense") { nodes { id } } } }',
]


@pytest.mark.parametrize("field", BOTH)
async def test_what_no_page_can_be_fails_its_field_alone(town: Town, field: str) -> None:
    response = await town.post("alice", f"{{ {field} posts(first: 1) {{ nodes {{ id }} }} }}")

    answer = response.json()
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["INVALID_INPUT"]
    assert len(answer["data"]["posts"]["nodes"]) == 1


async def test_lists_of_what_happened_are_newest_first(town: Town) -> None:
    lists = await town.ask(
        "alice",
        """{ viewer {
          homeTimeline { nodes { createdAt } } notifications { nodes { createdAt } } orders { nodes { createdAt } }
          wallet(currency: "EUR") { entries { nodes { createdAt } } }
          paymentRequests { nodes { createdAt } }
        } posts { nodes { createdAt } } }""",
    )
    viewer = lists["viewer"]
    shown = [
        [node["createdAt"] for node in page["nodes"]]
        for page in (
            viewer["notifications"],
            viewer["orders"],
            viewer["wallet"]["entries"],
            viewer["paymentRequests"],
            lists["posts"],
        )
    ]

    assert all(shown)
    assert shown == [sorted(times, reverse=True) for times in shown]


async def test_entries_page_backwards_from_the_oldest(town: Town) -> None:
    who = await newcomer(town, funds="9.00")
    for cents in ("0.01", "0.02", "0.03"):
        pay: dict[str, Any] = {"to": {"handle": "bob"}, "amount": eur(cents)}
        await done(town, who, "transferFunds", idempotencyKey=key(), **pay)

    async def page(arguments: str) -> Any:
        inner = "nodes { amount { amount } } pageInfo { startCursor hasPreviousPage hasNextPage }"
        data = await town.ask(who, f'{{ viewer {{ wallet(currency: "EUR") {{ entries{arguments} {{ {inner} }} }} }} }}')
        return data["viewer"]["wallet"]["entries"]

    oldest = await page("(states: [POSTED], last: 2)")
    newer = await page(f'(states: [POSTED], last: 2, before: "{oldest["pageInfo"]["startCursor"]}")')

    assert [node["amount"]["amount"] for node in oldest["nodes"]] == ["-0.01", "9.00"]
    assert [node["amount"]["amount"] for node in newer["nodes"]] == ["-0.03", "-0.02"]
    assert newer["pageInfo"]["hasPreviousPage"] is False
    assert newer["pageInfo"]["hasNextPage"] is True


async def test_a_cursor_is_of_its_own_list_alone(town: Town) -> None:
    lists = await town.ask(
        "alice",
        """{ viewer { homeTimeline(first: 1) { pageInfo { endCursor } }
             notifications(first: 1) { pageInfo { endCursor } }
             orders(first: 1) { pageInfo { endCursor } } conversations(first: 1) { pageInfo { endCursor } }
             wallet(currency: "EUR") { entries(first: 1) { pageInfo { endCursor } } } } }""",
    )
    pages = {name: page for name, page in lists["viewer"].items() if name != "wallet"}
    cursors = {name: page["pageInfo"]["endCursor"] for name, page in pages.items()}
    cursors["entries"] = lists["viewer"]["wallet"]["entries"]["pageInfo"]["endCursor"]

    for name in pages:
        for other, cursor in cursors.items():
            document = f'{{ viewer {{ {name}(first: 1, after: "{cursor}") {{ nodes {{ id }} }} }} }}'
            assert await codes(town, "alice", document) == ([] if other == name else ["INVALID_INPUT"]), (name, other)


async def test_a_cursor_with_anything_added_is_not_ours(town: Town) -> None:
    page = await town.ask(None, "{ posts(first: 1) { pageInfo { endCursor } } }")
    cursor = page["posts"]["pageInfo"]["endCursor"]

    for changed in (cursor + "!", " " + cursor, cursor[:4] + "\n" + cursor[4:], cursor[:-1], cursor + "A", "🦉"):
        document = "query ($after: Cursor) { posts(after: $after) { nodes { id } } }"
        assert await codes(town, None, document, after=changed) == ["INVALID_INPUT"], changed
