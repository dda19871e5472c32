"""One key, one outcome, for ever: late replays, a hundred at once, refusals, clients that leave before the answer."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from datastores import ledger
from tests.contract.acts import JSON, done, eur, key, newcomer
from tests.contract.ledger.cast import Cast, gather_cast
from tests.contract.ledger.outcomes import MUTATIONS, outcomes_of
from tests.contract.ledger.provocations import PROVOCATIONS
from tests.contract.ledger.trials import Answer, Trial, begin, document
from tests.contract.town import Town

pytestmark = pytest.mark.asyncio(loop_scope="session")

# What can come about after an answer without any change of the input.
LATER = ("payer frozen", "payee frozen", "funds")
STATES = [(mutation, row.name) for mutation in MUTATIONS for row in outcomes_of(mutation) if row.name in LATER]
PEOPLE, TRANSFERS, PURSE = 6, 240, 1_000
AT_ONCE, MAX_TRIES = 40, 5
LEAVING_AFTER_S = (0.0, 0.001, 0.003, 0.005, 0.01, 0.02, 0.03, 0.06, 0.08, 0.1)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def cast(town: Town) -> Cast:
    return await gather_cast(town)


@pytest.mark.parametrize(("mutation", "name"), STATES, ids=[f"{m}-{name}" for m, name in STATES])
async def test_a_success_is_replayed_whatever_has_come_about_since(cast: Cast, mutation: str, name: str) -> None:
    trial, used = await begin(cast, mutation), key()
    first = await trial.answer(used)

    async with PROVOCATIONS[name](trial):
        again = await trial.answer(used)

    assert first.succeeded
    assert not first.replayed
    assert again.succeeded
    assert (again.replayed, again.transfer_id) == (True, first.transfer_id)


@pytest.mark.parametrize("name", ["payer frozen", "payee frozen"])
async def test_a_refusal_is_replayed_when_there_is_a_reason_that_would_come_first(cast: Cast, name: str) -> None:
    trial, used = await begin(cast, "transferFunds"), key()
    async with PROVOCATIONS["funds"](trial):
        first = await trial.answer(used)

    async with PROVOCATIONS[name](trial):
        again = await trial.answer(used)

    assert first.type == "InsufficientFunds"
    assert again == first


async def test_a_tenth_of_all_keys_come_again_late(town: Town) -> None:
    chance = random.Random(2026)
    people = [await newcomer(town, funds=str(ledger.decimal_amount(PURSE, "EUR"))) for _ in range(PEOPLE)]
    wishes = {key(): wish(chance, people) for _ in range(TRANSFERS)}
    first = await answer_all(town, wishes)
    for person in people:
        await top_up(town, person)

    late = dict.fromkeys(chance.sample(sorted(wishes), TRANSFERS // 10))
    again = await answer_all(town, {used: wishes[used] for used in late})

    refused = {used for used, answer in first.items() if not answer.succeeded}
    assert {answer.type for answer in first.values()} == {"TransferFundsSuccess", "InsufficientFunds"}
    assert refused & set(late)
    for used, answer in again.items():
        expected = first[used]
        assert (answer.type, answer.message, answer.transfer_id) == (
            expected.type,
            expected.message,
            expected.transfer_id,
        )
        assert answer.replayed is (None if used in refused else True)
    entries = await town.gateway.database.find("entries", {"key": {"$in": list(wishes)}}, limit=10 * TRANSFERS)
    assert Counter(entry["key"] for entry in entries) == Counter(list(wishes))
    assert {entry["key"] for entry in entries if entry["state"] == "REFUSED"} == refused
    assert await purses(town, people) == expected_purses(people, wishes, refused)


async def test_one_key_a_hundred_times_at_once_is_one_transfer(town: Town) -> None:
    payer, payee = await newcomer(town, funds="60.00"), await newcomer(town)
    wishes = [{"who": payer, "to": {"handle": payee}, "amount": eur("0.60")}] * 100

    answers = await asyncio.gather(*(answer_of(town, "k", one) for one in wishes))

    assert {answer.type for answer in answers} == {"TransferFundsSuccess"}
    assert sum(not answer.replayed for answer in answers) <= 1
    assert len({answer.transfer_id for answer in answers}) == 1
    assert await purses(town, [payer, payee]) == {payer: 5_940, payee: 60}


async def test_one_key_a_hundred_times_at_once_is_one_refusal_though_money_comes_meanwhile(town: Town) -> None:
    payer, payee = await newcomer(town, funds="1.00"), await newcomer(town)
    wish: dict[str, Any] = {"who": payer, "to": {"handle": payee}, "amount": eur("2.00")}
    first = await answer_of(town, "k", wish)

    coming = asyncio.create_task(top_up(town, payer))
    answers = await asyncio.gather(*(answer_of(town, "k", wish) for _ in range(100)))
    await coming

    assert first.type == "InsufficientFunds"
    assert set(answers) == {first}
    assert (await answer_of(town, key(), wish)).succeeded
    assert (await purses(town, [payee]))[payee] == 200


@pytest.mark.parametrize("mutation", MUTATIONS)
async def test_every_mutation_many_times_at_once_happens_once(cast: Cast, mutation: str) -> None:
    trial, used = await begin(cast, mutation), key()

    answers = await asyncio.gather(*(trial.answer(used) for _ in range(20)))

    assert Counter(answer.replayed for answer in answers) == {False: 1, True: 19}
    assert len({answer.transfer_id for answer in answers}) == 1


async def test_a_client_that_leaves_cancels_nothing(cast: Cast) -> None:
    trials = [(await begin(cast, "transferFunds"), key()) for _ in LEAVING_AFTER_S]

    for (trial, used), after_s in zip(trials, LEAVING_AFTER_S, strict=True):
        await leave(trial, used, after_s)

    for _, used in trials:
        async with asyncio.timeout(10):
            while not await cast.is_kept(used):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
    for trial, used in trials:
        answer = await trial.answer(used)
        assert (answer.succeeded, answer.replayed) == (True, True)


async def test_after_all_that_the_ledger_holds(town: Town) -> None:
    assert (await ledger.verify(town.gateway.database)).problems == []


async def answer_of(town: Town, used: str, wish: Mapping[str, Any]) -> Answer:
    """What a transfer under this key is answered; asked again where a busy machine has not answered in time."""
    given = {name: value for name, value in wish.items() if name != "who"}
    trial = Trial(Cast(town, "", "", ""), "transferFunds", wish["who"], given)
    answer = await trial.answer(used)
    for _ in range(MAX_TRIES):
        if answer.code not in ("OUTCOME_UNKNOWN", "DEADLINE_EXCEEDED"):
            break
        answer = await trial.answer(used)
    return answer


async def answer_all(town: Town, wishes: Mapping[str, Mapping[str, Any]]) -> dict[str, Answer]:
    """What each is answered, 40 at once."""
    turns = asyncio.Semaphore(AT_ONCE)

    async def answer(used: str, one: Mapping[str, Any]) -> Answer:
        async with turns:
            return await answer_of(town, used, one)

    answers = await asyncio.gather(*(answer(used, one) for used, one in wishes.items()))
    return dict(zip(wishes, answers, strict=True))


def wish(chance: random.Random, people: Sequence[str]) -> dict[str, Any]:
    """Somebody pays somebody: mostly little, sometimes more than anybody has."""
    who, whom = chance.sample(people, 2)
    units = chance.choice([1, 20, 150, 100 * PURSE])
    return {"who": who, "to": {"handle": whom}, "amount": eur(str(ledger.decimal_amount(units, "EUR")))}


async def top_up(town: Town, who: str) -> None:
    """Ten euros more."""
    answer = await town.ask(who, '{ viewer { wallet(currency: "EUR") { id } } }')
    given = {"walletId": answer["viewer"]["wallet"]["id"], "amount": eur("10.00"), "source": "sandbox:ok"}
    await done(town, who, "topUpWallet", idempotencyKey=key(), **given)


async def purses(town: Town, people: Sequence[str]) -> dict[str, int]:
    """What each has, in cents."""
    query = '{ viewer { wallet(currency: "EUR") { posted { minorUnits } } } }'
    answers = {who: await town.ask(who, query) for who in people}
    return {who: int(answer["viewer"]["wallet"]["posted"]["minorUnits"]) for who, answer in answers.items()}


def expected_purses(people: Sequence[str], wishes: Mapping[str, Any], refused: set[str]) -> dict[str, int]:
    """What each must have when every wish that was not refused was carried out once, and all were topped up once."""
    held = dict.fromkeys(people, PURSE + 1_000)
    for used, one in wishes.items():
        if used not in refused:
            units = int(one["amount"]["amount"].replace(".", ""))
            held[one["who"]] -= units
            held[one["to"]["handle"]] += units
    return held


async def leave(trial: Trial, used: str, after_s: float) -> None:
    """Send the whole request and close the connection so soon afterwards, answered or not."""
    town, address = trial.cast.town, urlsplit(trial.cast.town.url)
    variables = {"input": {"idempotencyKey": used, **trial.input}}
    body = json.dumps({"query": document(trial.mutation), "variables": variables}).encode()
    headers = {**JSON, **town.authorization(trial.who), "Host": address.netloc, "Content-Length": str(len(body))}
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    _, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(f"POST {address.path} HTTP/1.1\r\n{head}\r\n".encode() + body)
    await writer.drain()
    await asyncio.sleep(after_s)
    writer.close()
    await writer.wait_closed()
