"""The page for partners says what is so: its commands run, its operations answer, its table is the schedule."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import WebhookVerificationError
from typer.testing import CliRunner

from gateway.cli import app as commands
from gateway.webhooks.sending import signed_headers
from resolvers.webhooks import SCHEDULE
from tests.contract.apps import App, open_app
from tests.contract.town import Town
from tests.integration.gateway.webhooks.receivers import receiving

pytestmark = pytest.mark.asyncio(loop_scope="session")

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "partners.md").read_text(encoding="utf-8")
SECRET = "whsec_" + "c2VjcmV0" * 4


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)


def operation(name: str) -> str:
    return next(block for block in blocks("graphql") if re.search(rf"\b{name}\b", block.splitlines()[0]))


async def answer(app: App, name: str, **variables: Any) -> Any:
    (data,) = (await app.ask(operation(name), **variables)).values()
    return data


async def test_its_operations_lead_from_a_key_to_a_verified_webhook(town: Town) -> None:
    app = await open_app(town)
    async with receiving() as receiver:
        create = operation("Create").replace("http://127.0.0.1:9001/webhooks", receiver.url)
        create = create.replace('types: ["payment.completed", "payment.refunded"], ', "")
        (made,) = (await app.ask(create)).values()
        again = (await app.ask(create))["createWebhookEndpoint"]
        id = made["endpoint"]["id"]
        sent = await answer(app, "Test", endpointId=id)
        await receiver.has(1)
        await app.happen(3)
        await receiver.has(4)
        feed = await answer(app, "Feed", after=None)
        replayed = await answer(app, "Replay", endpointId=id, after=feed["nodes"][2]["cursor"])
        rotated = await answer(app, "Rotate", endpointId=id)
        log = await answer(app, "Log", endpointId=id)

    namespace: dict[str, Any] = {}
    exec(next(iter(blocks("python"))), namespace)
    for webhook in receiver.got:
        assert namespace["event_of"](made["secret"], webhook.headers, webhook.body.encode()) == webhook.payload
    assert again == made
    assert sent["delivery"]["id"] == receiver.got[0].id
    assert [event["seq"] for event in feed["nodes"]] == [str(seq) for seq in receiver.seqs[:3]]
    assert "code" not in replayed or replayed["code"] == "INVALID_INPUT"
    assert len(rotated["endpoint"]["secrets"]) == 2
    assert (log["enabled"], log["disabledReason"]) == (True, None)


async def test_its_python_refuses_what_it_should(town: Town) -> None:
    namespace: dict[str, Any] = {}
    exec(next(iter(blocks("python"))), namespace)
    now = datetime.now(UTC).replace(tzinfo=None)
    headers = signed_headers("whd_1", "{}", [SECRET], now)

    assert namespace["event_of"](SECRET, headers, b"{}") == {}
    for wrong in (
        signed_headers("whd_1", "{ }", [SECRET], now),
        signed_headers("whd_1", "{}", ["whsec_" + "b3RoZXI9" * 4], now),
        signed_headers("whd_1", "{}", [SECRET], datetime(2026, 1, 1)),
    ):
        with pytest.raises(WebhookVerificationError):
            namespace["event_of"](SECRET, wrong, b"{}")


async def test_its_table_is_the_schedule() -> None:
    seconds = {"s": 1, "min": 60, "h": 3_600}
    rows = re.findall(r"^\| (?:\d+|9 and later) \| (\d+) (s|min|h) \|$", PAGE, flags=re.MULTILINE)

    assert tuple(int(number) * seconds[unit] for number, unit in rows) == SCHEDULE.delays_s


async def test_its_commands_are_there() -> None:
    named = set(re.findall(r"agora ((?:partner )[a-z-]+)", PAGE))
    runner = CliRunner()

    assert {"partner create", "partner rotate", "partner listen"} <= named
    for command in named:
        assert runner.invoke(commands, [*command.split(" "), "--help"]).exit_code == 0, command
