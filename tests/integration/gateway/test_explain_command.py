"""What the command line says of an operation: its cost, its reads, and where a collection is read whole."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from datastores.mongo import Database, Driver
from gateway.cli.errors import CommandError
from gateway.cli.explaining import explain
from gateway.settings import MongoDriver, Settings
from tests.integration.resolvers.people import people

PEOPLE = "query People($one: String!) { user(handle: $one) { handle bio followers(first: 5) { nodes { handle } } } }"


@pytest.fixture
def settings(database: Database, mongodb_uri: str, mongo_driver: Driver, tmp_path: Path) -> Settings:
    """Settings of the database under test."""
    driver = MongoDriver(mongo_driver)
    return Settings(mongodb_uri=mongodb_uri, database=database.name, mongo_driver=driver, data_dir=tmp_path)


@pytest.fixture
async def bob(database: Database) -> str:
    (bob,) = await people(database, "bob")
    return bob


def file(folder: Path, text: str, name: str = "operation.graphql") -> Path:
    path = folder / name
    path.write_text(text)
    return path


async def test_a_query_is_run_and_its_reads_are_shown(
    settings: Settings, bob: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    variables = file(tmp_path, '{"one": "bob"}', "variables.json")

    is_fine = await explain(settings, file(tmp_path, PEOPLE), variables, None, None)

    printed = capsys.readouterr().out
    assert is_fine
    assert printed.startswith("query People\ncost ")
    plan, source = printed.index("plan: 2 calls, one a level"), printed.index("async def run(state):")
    assert plan < printed.index("level 2: User.followers") < source < printed.index("find users filter")
    assert "find users filter: {handle: " in printed
    assert "follows.followee_id_1_created_at_-1_follower_id_-1" in printed
    assert "none of which reads a collection whole" in printed


async def test_a_person_sees_what_is_theirs(
    settings: Settings, bob: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wallets = file(tmp_path, "{ viewer { wallets { currency } } }")

    assert await explain(settings, wallets, None, None, None)
    nobody = capsys.readouterr().out
    assert await explain(settings, wallets, None, None, "@bob")
    somebody = capsys.readouterr().out

    assert "0 reads" in nobody
    assert "accounts" in somebody


async def test_a_scan_is_named(
    settings: Settings,
    bare_database: Database,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def made_by_nobody(_database: Database) -> None:
        """The database of somebody who has not made the indexes yet."""

    monkeypatch.setattr("gateway.cli.databases.create_indexes", made_by_nobody)
    await bare_database.insert_many("users", [{"_id": f"usr_{n}", "handle": f"h{n}"} for n in range(50)])
    variables = file(tmp_path, '{"one": "h7"}', "variables.json")
    query = file(tmp_path, "query One($one: String!) { user(handle: $one) { handle } }")

    is_fine = await explain(replace(settings, database=bare_database.name), query, variables, None, None)

    printed = capsys.readouterr().out
    assert not is_fine
    assert "SCAN of users" in printed
    assert "1 reads; read whole: users" in printed


async def test_what_is_not_compiled_is_explained_too(
    settings: Settings, database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await explain(settings, file(tmp_path, "{ __schema { types { name } } }"), None, None, None)

    printed = capsys.readouterr().out
    assert "not compiled (introspection): graphql-core executes it" in printed
    assert "0 reads" in printed


async def test_a_mutation_is_measured_and_not_run(
    settings: Settings, database: Database, bob: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = 'mutation Say { createPost(input: {text: "hello", clientId: "k"}) { __typename } }'

    assert await explain(settings, file(tmp_path, text), None, None, "bob")

    printed = capsys.readouterr().out
    assert printed.startswith("mutation Say\ncost ")
    assert "level 1: Mutation.createPost" in printed
    assert "is not run to be explained" in printed
    assert await database.count("posts", {}) == 0


@pytest.mark.parametrize(
    ("text", "variables", "operation", "handle", "says"),
    [
        ("{ nothing }", None, None, None, "Cannot query field 'nothing'"),
        ("{", None, None, None, "Syntax Error"),
        (PEOPLE, None, None, None, r"\$one"),
        (PEOPLE, "[1]", None, None, "one JSON object"),
        (PEOPLE, "{", None, None, "is not JSON"),
        (PEOPLE, None, "Others", None, "no operation named 'Others'"),
        ("{ __typename }", None, None, "stranger", "nobody's handle"),
        ("#" * 300_000, None, None, None, "larger than 256 KB"),
    ],
)
async def test_what_cannot_be_explained_is_said(
    settings: Settings,
    bob: str,
    tmp_path: Path,
    text: str,
    variables: str | None,
    operation: str | None,
    handle: str | None,
    says: str,
) -> None:
    given = None if variables is None else file(tmp_path, variables, "variables.json")

    with pytest.raises(CommandError, match=says):
        await explain(settings, file(tmp_path, text), given, operation, handle)


async def test_a_file_that_is_not_there(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="No such file"):
        await explain(settings, tmp_path / "absent.graphql", None, None, None)
