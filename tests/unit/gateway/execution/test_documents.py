"""The document cache: what is prepared, what is refused, and how little it keeps."""

from __future__ import annotations

import sys

import pytest
from graphql import OperationDefinitionNode, build_schema, get_introspection_query, parse

from gateway.execution import documents
from gateway.execution.documents import DocumentCache
from gateway.execution.limits import check_limits
from gateway.execution.requests import OperationRequest, RequestError
from schema.graph import whole_graph

SCHEMA = build_schema("""
    type Query { me: Person  people(first: Int): People! }
    type Mutation { rename(to: String!): Person }
    type Subscription { renamed: Person }
    type Person { name: String!  friends(first: Int, last: Int): People!  best: Person }
    type People { nodes: [Person!]! }
""")


@pytest.fixture
def cache() -> DocumentCache:
    return DocumentCache(SCHEMA)


def refused(cache: DocumentCache, query: str, **more: str) -> str:
    with pytest.raises(RequestError) as refusal:
        cache.prepare(OperationRequest(query, **more))  # type: ignore[arg-type]
    assert refusal.value.status == 400
    assert all(error["extensions"]["code"] == refusal.value.code for error in refusal.value.errors)
    return refusal.value.code


def test_an_operation_is_prepared_with_its_kind_name_and_cost(cache: DocumentCache) -> None:
    query = 'query A { people(first: 5) { nodes { name } } } mutation B { rename(to: "x") { name } }'

    read = cache.prepare(OperationRequest(query, "A"))
    write = cache.prepare(OperationRequest(query, "B"))
    heard = cache.prepare(OperationRequest("subscription { renamed { name } }"))

    assert (read.kind, read.name, write.kind, write.name) == ("query", "A", "mutation", "B")
    assert (heard.kind, heard.name) == ("subscription", None)
    assert read.document is write.document
    assert read.cost > write.cost


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("", "GRAPHQL_PARSE_FAILED"),
        ("{", "GRAPHQL_PARSE_FAILED"),
        ("{ me { name } } }", "GRAPHQL_PARSE_FAILED"),
        ("fragment F on Person { name }", "BAD_REQUEST"),
        ("{ nothing }", "GRAPHQL_VALIDATION_FAILED"),
        ("{ me }", "GRAPHQL_VALIDATION_FAILED"),
        ("query A { me { name } } query B { me { name } }", "BAD_REQUEST"),
        ("{ me { ...F } } fragment F on Person { best { ...F } }", "GRAPHQL_VALIDATION_FAILED"),
        ("{ me " + "{ best " * 30 + "{ name }" + " }" * 30 + " }", "QUERY_TOO_COMPLEX"),
        ("{ me " + "{ best " * 1200 + "{ name }" + " }" * 1200 + " }", "QUERY_TOO_COMPLEX"),
        ("{" + " ".join(f"a{n}: me {{ name }}" for n in range(31)) + "}", "QUERY_TOO_COMPLEX"),
        ("{ me {" + " ".join(f"a{n}: name" for n in range(51)) + "} }", "QUERY_TOO_COMPLEX"),
        ("{ me { " + "name " * 5_000 + "} }", "QUERY_TOO_COMPLEX"),
        ("{ people(first: 100) { nodes { friends(first: 100) { nodes { friends(last: 100) { nodes { name } } } } } } }",
         "QUERY_TOO_COMPLEX"),
        ("# " + "x" * 300_000 + "\n{ me { name } }", "QUERY_TOO_COMPLEX"),
    ],
    ids=lambda text: text[:40],
)  # fmt: skip
def test_what_cannot_run_is_refused(cache: DocumentCache, query: str, code: str) -> None:
    assert refused(cache, query) == code


def test_an_operation_that_is_not_there_is_refused(cache: DocumentCache) -> None:
    assert refused(cache, "query A { me { name } }", operation_name="B") == "BAD_REQUEST"


def test_fragments_that_double_are_refused_before_they_are_written_out(cache: DocumentCache) -> None:
    levels = 22
    spreads = " ".join(f"fragment F{n} on Person {{ x: best {{ ...F{n + 1} ...F{n + 1} }} }}" for n in range(levels))
    query = f"{{ me {{ ...F0 }} }} {spreads} fragment F{levels} on Person {{ name }}"

    assert refused(cache, query) == "QUERY_TOO_COMPLEX"


def test_a_page_size_in_a_variable_counts(cache: DocumentCache) -> None:
    query = """query ($n: Int = 1) {
        people(first: $n) { nodes { friends(first: $n) { nodes { friends(first: $n) { nodes { name } } } } } }
    }"""

    assert cache.prepare(OperationRequest(query)).cost < 20
    assert cache.prepare(OperationRequest(query, variables={"n": 10})).cost > 1_000
    with pytest.raises(RequestError, match="values"):
        cache.prepare(OperationRequest(query, variables={"n": 100}))


def test_the_cache_is_bounded_in_entries_and_bytes(cache: DocumentCache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "MAX_DOCUMENTS", 10)
    for n in range(50):
        cache.prepare(OperationRequest(f"query Q{n} {{ me {{ name }} }}"))
    few = len(cache)
    monkeypatch.setattr(documents, "MAX_CACHED_BYTES", 1_000)
    for n in range(50):
        cache.prepare(OperationRequest(f"query R{n} {{ me {{ name }} }} # {'x' * 300}"))

    assert few == 10
    assert len(cache) <= 3


def test_a_document_that_is_asked_for_again_is_parsed_once(cache: DocumentCache) -> None:
    first = cache.prepare(OperationRequest("{ me { name } }"))
    again = cache.prepare(OperationRequest("{ me { name } }", variables={"unused": 1}))

    assert first.document is again.document


@pytest.mark.parametrize(
    "fragment",
    [
        "fragment F{n} on Person {{ ...F{m} ...F{m} }}",
        "fragment F{n} on Person {{ best {{ ...F{m} ...F{m} }} }}",
        "fragment F{n} on Person {{ best {{ ...F{m} }} x: best {{ ...F{m} }} }}",
        "fragment F{n} on Person {{ ... on Person {{ ...F{m} }} ... {{ ...F{m} }} }}",
    ],
)
def test_the_work_of_refusing_grows_with_the_text_and_not_with_what_it_means(
    cache: DocumentCache, fragment: str
) -> None:
    def steps(levels: int) -> int:
        """How many functions are called to refuse so many levels, each of which doubles the one below."""
        doubled = " ".join(fragment.format(n=n, m=n + 1) for n in range(levels))
        query = f"{{ me {{ ...F0 }} }} {doubled} fragment F{levels} on Person {{ a: name b: name }}"
        count = 0

        def called(_frame: object, event: str, _argument: object) -> None:
            nonlocal count
            count += event == "call"

        sys.setprofile(called)
        try:
            code = refused(cache, query)
        finally:
            sys.setprofile(None)
        assert code == "QUERY_TOO_COMPLEX"
        return count

    few, many, most = steps(22), steps(44), steps(88)

    assert few < 20_000
    assert most - many == pytest.approx(2 * (many - few), rel=0.1)


def test_fields_that_are_selected_over_and_over_are_refused_before_all_are_compared() -> None:
    cache = DocumentCache(whole_graph().graphql_schema)

    def refusal(times: int) -> str:
        return refused(cache, f"{{ posts {{ nodes {{ {'replies(first: 1) { nodes { id } } ' * times} }} }} }}")

    author = "author { id handle displayName }"
    of_each = f"id text likeCount {author} replyTo {{ id text {author} }}"
    fragments = " ".join(f"fragment F{n} on Post {{ {of_each} }}" for n in range(30))
    spreads = " ".join(f"...F{n}" for n in range(30))
    assert cache.prepare(OperationRequest(f"{{ posts {{ nodes {{ {spreads} }} }} }} {fragments}")).kind == "query"
    assert refusal(330) == "QUERY_TOO_COMPLEX"
    assert cache.prepare(OperationRequest(get_introspection_query())).kind == "query"


def test_entities_of_a_default_value_count() -> None:
    schema = whole_graph().graphql_schema
    them = ", ".join(f'{{__typename: "User", id: "usr_{n}"}}' for n in range(50))
    asked = "{ _entities(representations: %s) { ... on User { handle } } }"
    written, default = asked % f"[{them}]", f"query ($them: [_Any!]! = [{them}]) {asked % '$them'}"
    sizes = []
    for text in (written, default):
        document = parse(text)
        (operation,) = document.definitions
        assert isinstance(operation, OperationDefinitionNode)
        sizes.append(check_limits(schema, document, operation, {}).cost)

    assert sizes[0] == sizes[1] > 50


def test_the_size_bounds_objects_and_reads() -> None:
    schema = whole_graph().graphql_schema
    document = parse("""{
        posts(first: 30) { nodes { text author { handle } likeCount replies(first: 10) { nodes { author { id } } } } }
    }""")
    (operation,) = document.definitions
    assert isinstance(operation, OperationDefinitionNode)

    size = check_limits(schema, document, operation, {})

    # Posts, their authors, up to ten replies each, and the authors of those; pages count with what is on them.
    assert size.objects >= 30 + 30 + 300 + 300
    # The root, then for each post its author and its replies, and for each of those its author.
    assert size.reads >= 1 + 30 + 30 + 300
    assert size.reads <= 1 + 3 * 30 + 300
    assert size.cost >= size.objects + 8 * size.reads
