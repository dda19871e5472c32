"""The page on listening says what is so: its operations run, and every subscription stands in its table."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from graphql import OperationDefinitionNode, parse

from schema.graph import whole_graph
from tests.contract.acts import done, newcomer
from tests.contract.test_semantics_cursors import WITH_A_SERVICE
from tests.contract.town import Town

pytestmark = pytest.mark.asyncio(loop_scope="session")

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "live.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```graphql\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)


def name_of(block: str) -> str:
    (operation,) = parse(block).definitions
    assert isinstance(operation, OperationDefinitionNode)
    assert operation.name is not None
    return operation.name.value


@pytest.mark.parametrize("block", BLOCKS, ids=name_of)
async def test_an_operation_of_the_page_is_heard(town: Town, block: str) -> None:
    one, other = await newcomer(town), await newcomer(town)
    ids = [await town.id_of(other)]
    started = await done(town, one, "startConversation", "conversation { id }", memberIds=ids, title="Live")
    id = started["conversation"]["id"]

    given = {"id": id} if "$id" in block else {}
    async with (
        town.subscribed(one, block, **given) as events,
        town.subscribed(other, "subscription { inbox { cursor } }"),
    ):
        await done(town, other, "sendMessage", conversationId=id, text="Hello")
        (event,) = (await events.next()).values()

    assert event


async def test_every_subscription_stands_in_the_table() -> None:
    subscription: Any = whole_graph().graphql_schema.subscription_type
    cells = re.findall(r"^\| (`.+?) \|", PAGE.partition("## Coming back")[0], flags=re.MULTILINE)
    named = [name for cell in cells for name in re.findall(r"`(\w+)`", cell)]

    assert sorted(named) == sorted({*subscription.fields, *WITH_A_SERVICE})
