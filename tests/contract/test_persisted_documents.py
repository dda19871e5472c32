"""The documents of the checked-in folder hold what the schema promises, and stay within the limits of any document."""

from __future__ import annotations

from pathlib import Path

import pytest
from graphql import build_schema

from gateway.execution.documents import DocumentCache
from gateway.execution.requests import OperationRequest
from gateway.persisted import FOLDER, PersistedDocument, load_documents
from tests.contract.town import Town

DOCUMENTS = tuple(load_documents().values())
SCHEMA = build_schema((Path(__file__).parents[2] / "schema" / "core.graphql").read_text(encoding="utf-8"))
OF_EACH_PLACE = {
    "timeline": {"HomeTimeline", "PostThread", "CreatePost", "LikePost", "Notifications"},
    "chat": {
        *("Conversations", "ConversationMessages", "SendMessage", "MarkConversationRead"),
        *("Inbox", "ConversationUpdates", "Typing"),
    },
    "pay": {"Wallets", "TransferFunds", "RequestPayment", "AcceptPaymentRequest", "Balances"},
    "shop": {"Listings", "Listing", "PlaceOrder", "PayOrder", "Orders", "OrderUpdates"},
    "partner": {"PaymentEvents", "PaymentEventsLive"},
}


def test_each_place_has_its_documents() -> None:
    assert {document.name for document in DOCUMENTS} == set().union(*OF_EACH_PLACE.values())
    assert len(DOCUMENTS) == len(list(FOLDER.glob("*.graphql")))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_document_is_valid_and_within_the_limits(document: PersistedDocument) -> None:
    prepared = DocumentCache(SCHEMA).prepare(OperationRequest(document.text))

    assert prepared.name == document.name


@pytest.mark.asyncio(loop_scope="session")
async def test_the_served_graph_prepares_every_document(town: Town) -> None:
    for document in DOCUMENTS:
        assert town.gateway.graph.prepare(OperationRequest(document.text)).name == document.name


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize(
    ("who", "name"),
    [
        *(("alice", name) for name in ("HomeTimeline", "Conversations", "Wallets", "Listings", "Orders")),
        ("pay-watch", "PaymentEvents"),
    ],
)
async def test_a_screen_is_answered_by_the_id_of_its_document(town: Town, who: str, name: str) -> None:
    (document,) = (document for document in DOCUMENTS if document.name == name)

    response = await town.http.get(town.url, params={"documentId": document.id}, headers=town.authorization(who))

    answer = response.json()
    assert "errors" not in answer
    assert all(answer["data"].values())
