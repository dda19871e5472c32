"""The documents of the checked-in folder hold what the schema promises, and stay within the limits of any document."""

from __future__ import annotations

from pathlib import Path

import pytest
from graphql import build_schema

from gateway.execution.documents import DocumentCache
from gateway.execution.requests import OperationRequest
from gateway.persisted import FOLDER, PersistedDocument, load_documents

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
