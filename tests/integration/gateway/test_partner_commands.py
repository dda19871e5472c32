"""Partners on the command line: applications and keys beside a running town, and webhooks that are listened to."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import signal
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from gateway.identity.development import DevelopmentIssuer
from gateway.settings import Environment
from tests.integration.gateway.test_command_line import AGORA, Running, dev, environment, run

LISTEN_TIMEOUT_S = 60.0
PAGE = Path(__file__).resolve().parents[3] / "docs" / "partners.md"
PAY = """mutation ($input: TransferFundsInput!) { transferFunds(input: $input) { __typename } }"""


async def ask(town: Running, token: str, document: str, **variables: Any) -> Any:
    """The whole answer."""
    body = {"query": document, "variables": variables}
    async with httpx.AsyncClient(timeout=60) as http:
        response = await http.post(town.address, json=body, headers={"Authorization": f"Bearer {token}"})
    return response.json()


async def pay_carol(town: Running, folder: Path) -> None:
    alice = DevelopmentIssuer.open(folder, Environment.DEVELOPMENT).token("alice")
    amount = {"amount": "0.01", "currency": "EUR"}
    input = {"idempotencyKey": uuid4().hex, "to": {"handle": "carol"}, "amount": amount}
    paid = await ask(town, alice, PAY, input=input)
    assert paid["data"]["transferFunds"]["__typename"] == "TransferFundsSuccess"


async def test_applications_and_their_keys(tmp_path: Path) -> None:
    folder = tmp_path / "data"

    async def partner(*arguments: str) -> tuple[int, str, str]:
        return await run(folder, "partner", *arguments)

    async with dev(folder) as town:
        query = "{ application { id name mode } paymentEvents(first: 1) { nodes { id } } }"
        live = (await partner("create", "Books", "--merchant", "carol"))[1].strip()
        sandbox = await partner("create", "Tries", "--merchant", "dave", "--sandbox", "--scope", "payments:read")
        mixed = await partner("create", "Mixed", "--merchant", "carol", "--sandbox")
        unknown = await partner("create", "X", "--merchant", "carol", "--scope", "everything")
        seen = (await ask(town, live, query))["data"]
        id = seen["application"]["id"]
        listed = (await partner("list"))[1]
        granted = await partner("grant", id, "--merchant", "ivan")
        withdrawn = await partner("grant", id, "--merchant", "ivan", "--withdraw")
        second = (await partner("add-key", id, "second", "--scope", "payments:read"))[1].strip()
        twice = await partner("add-key", id, "second", "--scope", "payments:read")
        key_id = f"key_{live.split('_')[2]}"
        rotated = (await partner("rotate", key_id, "--overlap-hours", "1"))[1].strip()
        again = await partner("rotate", key_id)
        revoked = await partner("revoke", f"key_{second.split('_')[2]}")
        keys = (await partner("keys", id))[1].splitlines()
        answers = [await ask(town, text, "{ application { id } }") for text in (live, rotated, second)]
        nobody = await partner("keys", "ptn_00000000000000000000000000")
        assert await town.stop() == 0

    assert seen["application"]["mode"] == "LIVE"
    assert len(seen["paymentEvents"]["nodes"]) == 1
    assert sandbox[1].startswith("agora_pk_test_")
    assert (mixed[0], "is LIVE" in mixed[2]) == (1, True)
    assert (unknown[0], "Scopes are" in unknown[2]) == (1, True)
    assert f"{id}  LIVE       1 merchants  Books" in listed
    assert "SANDBOX" in listed
    assert (granted[1], withdrawn[1]) == (f"{id} sees 2 merchants now\n", f"{id} sees 1 merchants now\n")
    assert (twice[0], again[0], revoked[0], nobody[0]) == (1, 1, 0, 1)
    states = {line.split()[0]: line for line in keys}
    assert len(states) == 3
    assert "valid until" in states[key_id]
    assert "last used" in states[key_id]
    assert "revoked" in states[f"key_{second.split('_')[2]}"]
    assert [("data" in each and each["data"]["application"]["id"] == id) for each in answers[:2]] == [True, True]
    assert answers[2]["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


@pytest.mark.parametrize("types", [[], ["--type", "transfer.posted"]])
async def test_webhooks_are_listened_to_and_the_endpoint_goes_with_the_listener(
    tmp_path: Path, types: list[str]
) -> None:
    folder = tmp_path / "data"
    endpoints = "{ application { webhookEndpoints { url types } } }"
    async with dev(folder) as town:
        key = (await run(folder, "token", "pay-watch"))[1].strip()
        listener = await asyncio.create_subprocess_exec(
            AGORA, "partner", "listen", "--port", "0", "--graph", town.address, *types,
            env=environment(folder), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert listener.stdout is not None
        async with asyncio.timeout(LISTEN_TIMEOUT_S):
            started = (await listener.stdout.readline()).decode()
            during = await ask(town, key, endpoints)
            await pay_carol(town, folder)
            line = (await listener.stdout.readline()).decode()
        listener.send_signal(signal.SIGINT)
        async with asyncio.timeout(LISTEN_TIMEOUT_S):
            await listener.communicate()
        after = await ask(town, key, endpoints)
        assert await town.stop() == 0

    assert started.startswith("listening at http://127.0.0.1:")
    (endpoint,) = during["data"]["application"]["webhookEndpoints"]
    assert endpoint["types"] == (types[1:] or None)
    assert "transfer.posted  seq " in line
    assert "0.01 EUR" in line
    assert after["data"]["application"]["webhookEndpoints"] == []


@pytest.mark.skipif(shutil.which("curl") is None, reason="the page shows curl")
async def test_the_commands_of_the_page_for_partners_work_as_they_stand(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    create, ask_itself, listen = re.findall(r"^```sh\n(.*?)^```", PAGE.read_text(), flags=re.MULTILINE | re.DOTALL)
    async with dev(folder) as town:

        async def shell(block: str) -> str:
            script = block.replace(".venv/bin/agora", str(AGORA)).replace("http://127.0.0.1:8000/graphql", town.address)
            process = await asyncio.create_subprocess_exec(
                "sh", "-ec", script, env=environment(folder), stdout=asyncio.subprocess.PIPE
            )
            async with asyncio.timeout(LISTEN_TIMEOUT_S):
                output, _ = await process.communicate()
            assert process.returncode == 0, output
            return output.decode()

        key = await shell(create)
        answer = json.loads(await shell(ask_itself))
        assert await town.stop() == 0

    assert key.startswith("agora_pk_")
    application = answer["data"]["application"]
    assert (application["name"], application["mode"]) == ("shop-watch", "LIVE")
    assert application["keys"]["nodes"][0]["scopes"] == ["payments:read", "webhooks:write", "keys:write"]
    assert listen == ".venv/bin/agora partner listen\n"


async def test_a_listener_without_a_graph_says_so(tmp_path: Path) -> None:
    graph = "http://127.0.0.1:1/graphql"

    code, _, said = await run(tmp_path, "partner", "listen", "--port", "0", "--graph", graph)

    assert code == 1
    assert f"the graph at {graph} does not answer" in said
