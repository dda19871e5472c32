"""The keys that an operation reads of documents: all that its fields need, and none where a call may read more."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from gateway.execution.documents import DocumentCache
from gateway.execution.plan import Plan
from gateway.execution.planning import plan_operation
from gateway.execution.requests import OperationRequest
from gateway.execution.selections import Keys, keys_loaded, keys_read
from schema.composition import Graph
from schema.graph import whole_graph


@pytest.fixture(scope="module")
def graph() -> Graph:
    return whole_graph()


def planned(graph: Graph, query: str) -> Plan:
    prepared = DocumentCache(graph.graphql_schema).prepare(OperationRequest(query))
    return plan_operation(graph, prepared.document, prepared.operation, {})


def of_root(graph: Graph, query: str, name: str) -> Keys | None:
    return keys_read(planned(graph, query).levels[0].branches, [name]).get(name)


def of_references(graph: Graph, query: str) -> Mapping[str, Keys]:
    return keys_loaded(planned(graph, query).levels, ["User", "Post"])


def test_fields_read_their_keys_wherever_the_document_stands(graph: Graph) -> None:
    query = "{ posts { nodes { id text } edges { node { likeCount author { handle } } } } }"

    assert of_root(graph, query, "Post") == frozenset({"_id", "text", "like_count", "author_id"})


def test_a_fragment_reads_no_less_than_what_it_says(graph: Graph) -> None:
    query = "{ post(id: 1) { ...A replyTo { text } } } fragment A on Post { mentions { handle } media { url } }"

    assert of_root(graph, query, "Post") == frozenset({"_id", "mention_ids", "media", "reply_to_id"})


def test_a_field_that_calls_with_the_document_gets_it_whole(graph: Graph) -> None:
    assert of_root(graph, "{ posts { nodes { text viewerHasLiked } } }", "Post") is None


def test_references_are_read_with_what_all_of_them_need(graph: Graph) -> None:
    query = "{ posts { nodes { author { handle } replyTo { text author { displayName } } } } }"

    assert of_references(graph, query) == {
        "User": {"_id", "handle", "display_name"},
        "Post": {"_id", "text", "author_id"},
    }


def test_a_reference_that_calls_gets_its_documents_whole_everywhere(graph: Graph) -> None:
    query = "{ posts { nodes { author { handle } replyTo { author { viewerFollows } } } } }"

    assert "User" not in of_references(graph, query)
