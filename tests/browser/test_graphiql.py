"""GraphiQL in a real Chromium against the real server: people typing, chatting, paying, shopping, watching."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from playwright.sync_api import expect

from tests.browser.window import Window

OpenWindow = Callable[..., Window]
README_BLOCKS = re.findall(r"```graphql\n(.*?)```", Path("README.md").read_text(encoding="utf-8"), re.DOTALL)
WHO = "{ viewer { user { handle } } }"


def available(window: Window, currency: str) -> Decimal:
    wallets = window.run("Pay")["data"]["viewer"]["wallets"]
    return next(Decimal(wallet["available"]["amount"]) for wallet in wallets if wallet["currency"] == currency)


def test_first_visit_shows_what_to_try(open_window: OpenWindow) -> None:
    window = open_window("alice")

    expect(window.page.get_by_role("heading", name="Welcome to Agora")).to_be_visible()
    assert window.page.get_by_role("tab").all_inner_texts() == ["Timeline", "Chat", "Pay", "Shop", "Partner"]


def test_typed_query_is_answered(open_window: OpenWindow) -> None:
    window = open_window("alice")

    window.type_query(WHO)

    assert window.run() == {"data": {"viewer": {"user": {"handle": "alice"}}}}


@pytest.mark.parametrize("block", range(2))
def test_readme_can_be_pasted(open_window: OpenWindow, block: int) -> None:
    window = open_window("alice")
    queries = [text for text in README_BLOCKS if not text.startswith("subscription")]

    window.paste_query(queries[block])
    answer = window.run()

    assert "errors" not in answer
    assert all("code" not in value for value in answer["data"].values())


def test_readme_shows_balances_move(open_window: OpenWindow) -> None:
    watching, paying = open_window("alice"), open_window("alice")
    watching.paste_query(next(text for text in README_BLOCKS if text.startswith("subscription")))
    watching.start()
    watching.wait_for_socket()

    paying.show_tab("Pay")
    paid = paying.run("PaySend")["data"]["transferFunds"]["wallet"]["available"]

    moved = watching.answer(lambda answer: "balanceChanged" in (answer.get("data") or {}))["data"]["balanceChanged"]
    assert moved["wallet"] == {"currency": paid["currency"], "available": {"amount": paid["amount"]}}


@pytest.mark.parametrize(
    ("tab", "operation"),
    [
        ("Timeline", "Timeline"),
        ("Timeline", "TimelineOf"),
        ("Chat", "Chat"),
        ("Chat", "ChatHistory"),
        ("Pay", "Pay"),
        ("Shop", "Shop"),
        ("Shop", "ShopOrders"),
    ],
)
def test_saved_query_answers_with_the_town(open_window: OpenWindow, tab: str, operation: str) -> None:
    window = open_window("alice")

    window.show_tab(tab)
    answer = window.run(operation)

    assert "errors" not in answer
    assert all(answer["data"].values())


def test_post_is_written(open_window: OpenWindow) -> None:
    window = open_window("alice")
    text = f"Written in a browser {uuid4()}"

    window.set_variables(text=text)
    answer = window.run("TimelinePost")

    assert answer["data"]["createPost"]["post"]["text"] == text


def test_message_sent_in_one_window_arrives_in_the_other(open_window: OpenWindow) -> None:
    alice, bob = open_window("alice"), open_window("bob")
    text = f"Are you on the square? {uuid4()}"
    alice.show_tab("Chat")
    alice.start("ChatLive")
    alice.wait_for_socket()

    bob.show_tab("Chat")
    bob.set_variables(text=text)
    sent = bob.run("ChatSend")

    assert sent["data"]["sendMessage"]["node"]["text"] == text
    arrived = alice.answer(lambda answer: "inbox" in (answer.get("data") or {}))
    assert arrived["data"]["inbox"]["message"]["text"] == text
    assert arrived["data"]["inbox"]["message"]["sender"] == {"handle": "bob"}
    expect(alice.page.get_by_text("1 event, last")).to_be_visible()


def test_second_window_opens_by_its_link(open_window: OpenWindow) -> None:
    alice = open_window("alice")
    alice.wait_until(lambda: "carol" in alice.variables())
    bob = alice.open_second()
    bob.wait_until(lambda: "carol" in bob.variables(), showing=bob.variables)
    expect(bob.page.get_by_role("combobox", name="Acting as")).to_have_value("bob")
    alice.page.get_by_role("listitem").get_by_role("button", name="Chat").click()
    alice.start("ChatLive")
    alice.wait_for_socket()

    bob.page.get_by_role("listitem").get_by_role("button", name="Chat").click()
    sent = bob.run("ChatSend")["data"]["sendMessage"]["node"]

    arrived = alice.answer(lambda answer: "inbox" in (answer.get("data") or {}))["data"]["inbox"]["message"]
    assert (arrived["seq"], arrived["sender"]) == (sent["seq"], {"handle": "bob"})


def test_paying_moves_both_balances(open_window: OpenWindow) -> None:
    alice, bob = open_window("alice"), open_window("bob")
    currency = alice.boot()["demo"]["listingPrice"]["currency"]
    for window in (alice, bob):
        window.show_tab("Pay")
        window.show_panel("Live")
        window.watch("Balances")
    alice_before, bob_before = available(alice, currency), available(bob, currency)
    expect(alice.balance(currency)).to_contain_text(str(alice_before))
    expect(bob.balance(currency)).to_contain_text(str(bob_before))

    paid = alice.run("PaySend")

    success = paid["data"]["transferFunds"]
    assert success["replayed"] is False
    assert Decimal(success["wallet"]["available"]["amount"]) == alice_before - 1
    expect(alice.balance(currency)).to_have_text(f"{alice_before - 1} {currency}-1.00 to bob · Coffee")
    expect(bob.balance(currency)).to_have_text(f"{bob_before + 1} {currency}1.00 from alice · Coffee")
    expect(alice.log().first).to_contain_text(f"{alice_before - 1} {currency}")
    expect(bob.log().first).to_contain_text(f"{bob_before + 1} {currency}")
    assert (available(alice, currency), available(bob, currency)) == (alice_before - 1, bob_before + 1)


def test_key_of_ones_own_replays(open_window: OpenWindow) -> None:
    window = open_window("alice")
    window.show_tab("Pay")
    window.set_variables(idempotencyKey=str(uuid4()))

    first, second = window.run("PaySend"), None
    window.start("PaySend")
    second = window.answer(lambda answer: bool(answer) and answer != first)

    assert [answer["data"]["transferFunds"]["replayed"] for answer in (first, second)] == [False, True]
    assert first["data"]["transferFunds"]["transfer"] == second["data"]["transferFunds"]["transfer"]


def test_order_is_placed_and_paid(open_window: OpenWindow) -> None:
    window = open_window("alice")
    window.show_tab("Shop")
    window.show_panel("Live")
    window.watch("Orders")

    placed: dict[str, Any] = window.run("ShopOrder")["data"]["placeOrder"]["order"]
    assert placed["state"] == "PLACED"
    window.start("ShopPay")
    paid = window.answer(lambda answer: "payOrder" in (answer.get("data") or {}))["data"]["payOrder"]["order"]

    assert (paid["id"], paid["state"]) == (placed["id"], "PAID")
    expect(window.log().filter(has_text="PAID").first).to_be_visible()


def test_order_is_paid_by_its_id(open_window: OpenWindow) -> None:
    placing, paying = open_window("alice"), open_window("alice")
    placing.show_tab("Shop")
    placed = placing.run("ShopOrder")["data"]["placeOrder"]["order"]

    paying.show_tab("Shop")
    before = paying.run("ShopPay")["data"]["payOrder"]
    paying.set_variables(orderId=placed["id"])
    paying.start("ShopPay")
    paid = paying.answer(lambda answer: "order" in (answer.get("data") or {}).get("payOrder", {}))

    assert before["code"] == "NOT_FOUND"
    order = paid["data"]["payOrder"]["order"]
    assert (order["id"], order["state"]) == (placed["id"], "PAID")


def test_partner_follows_payment_events(open_window: OpenWindow) -> None:
    window = open_window("pay-watch")
    window.show_tab("Partner")

    events = window.run("Partner")["data"]["paymentEvents"]["nodes"]

    sequences = [int(event["seq"]) for event in events]
    assert sequences == sorted(set(sequences))
    assert [event["previousSeq"] for event in events[1:]] == [event["seq"] for event in events[:-1]]


def test_partner_sees_a_payment_as_it_happens(open_window: OpenWindow) -> None:
    partner, alice = open_window("pay-watch"), open_window("alice")
    partner.show_tab("Partner")
    partner.start("PartnerLive")
    partner.wait_for_socket()

    alice.show_tab("Shop")
    placed = alice.run("ShopOrder")["data"]["placeOrder"]["order"]
    assert placed["state"] == "PLACED"
    alice.start("ShopPay")
    alice.answer(lambda answer: "payOrder" in (answer.get("data") or {}))

    event = partner.answer(lambda answer: "paymentEvents" in (answer.get("data") or {}))
    assert event["data"]["paymentEvents"]["type"]


def test_switch_of_person_changes_who_asks(open_window: OpenWindow) -> None:
    window = open_window("alice")
    window.type_query(WHO)
    asked: list[object] = []

    for choice in ("Alice", "Bob", "Carol", "Nobody"):
        window.act_as(choice)
        asked.append(window.run()["data"]["viewer"])

    assert asked == [{"user": {"handle": "alice"}}, {"user": {"handle": "bob"}}, {"user": {"handle": "carol"}}, None]
    assert window.page.url.endswith("#as=-nobody")


def test_pasted_token_is_used(open_window: OpenWindow) -> None:
    window = open_window("alice")
    token = next(person["token"] for person in window.boot()["people"] if person["handle"] == "carol")
    window.type_query(WHO)

    window.paste_token(token)

    assert window.run() == {"data": {"viewer": {"user": {"handle": "carol"}}}}


def test_switch_of_person_reconnects_a_running_subscription(open_window: OpenWindow) -> None:
    window, bob = open_window("alice"), open_window("bob")
    window.show_tab("Pay")
    window.show_panel("Live")
    window.watch("Balances")
    assert window.sockets_opened == 1

    window.act_as("Bob")
    window.wait_until(lambda: window.sockets_opened == 2)
    window.wait_for_socket()
    bob.show_tab("Pay")
    bob.set_variables(to="alice", memo="For Alice")
    paid = bob.run("PaySend")["data"]["transferFunds"]["wallet"]["available"]

    expect(window.log().first).to_contain_text(f"{paid['amount']} {paid['currency']}")


def test_nobody_is_told_why_a_subscription_ends(open_window: OpenWindow) -> None:
    window = open_window("-nobody")
    window.show_tab("Chat")

    window.start("ChatLive")

    errors = window.answer()["errors"]
    assert errors[0]["message"]


def test_docs_explorer_and_history_stand_ready(open_window: OpenWindow) -> None:
    window = open_window("alice")
    window.run("Timeline")

    window.show_panel("Documentation Explorer")
    window.page.get_by_role("link", name="Query").first.click()
    expect(window.page.get_by_role("link", name="paymentEvents").first).to_be_visible()
    window.show_panel("GraphiQL Explorer")
    expect(window.page.get_by_text("homeTimeline").first).to_be_visible()
    window.show_panel("History")
    expect(window.page.get_by_role("region", name="History").get_by_text("Timeline").first).to_be_visible()


def test_documents_are_tidied_without_complaint(open_window: OpenWindow) -> None:
    window = open_window("alice")
    window.type_query(WHO)

    window.page.get_by_role("button", name="Prettify query").click()

    tidied = "{\n  viewer {\n    user {\n      handle\n    }\n  }\n}\n"
    window.wait_until(lambda: window.document() == tidied, showing=window.document)


def test_first_tab_is_whole_after_a_reload(open_window: OpenWindow) -> None:
    window = open_window("alice")
    variables = window.variables()

    window.page.reload()

    window.wait_until(lambda: "query Timeline" in window.document())
    assert json.loads(window.variables()) == json.loads(variables)
    assert len(window.page.get_by_role("tab").all()) == 5


def test_start_over_brings_fresh_tabs(open_window: OpenWindow) -> None:
    window = open_window("alice")
    window.type_query(WHO)
    window.wait_until(lambda: WHO in window.kept_tabs(), showing=window.kept_tabs)

    with window.page.expect_navigation():
        window.page.get_by_role("button", name="Start over").click()

    window.wait_until(lambda: "query Timeline" in window.document(), showing=window.document)


def test_tabs_are_kept_over_a_reload(open_window: OpenWindow) -> None:
    window = open_window("bob")
    window.show_tab("Pay")
    window.set_variables(memo="Kept over a reload")
    window.wait_until(lambda: "Kept over a reload" in window.kept_tabs(), showing=window.kept_tabs)

    window.page.reload()

    window.wait_until(lambda: "Kept over a reload" in window.variables())
    expect(window.page.get_by_role("combobox", name="Acting as")).to_have_value("bob")
