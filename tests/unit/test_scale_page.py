"""The page on scale has a shard key for every collection, and its figures are those of the benchmarks' files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench import scale
from datastores.declarations import declared

PAGE = Path(__file__).resolve().parents[2] / "docs" / "scale.md"
TEXT = PAGE.read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `(\w+)` \| (.+?) \| (.+?) \|$", TEXT.partition("## Shard keys")[2], flags=re.MULTILINE)


@pytest.mark.parametrize("collection", sorted(declared("INDEXES")))
def test_every_collection_has_a_shard_key_and_a_reason(collection: str) -> None:
    found = [(key, why) for name, key, why in ROWS if name == collection]

    assert len(found) == 1, f"add a row for {collection} to the table of shard keys in docs/scale.md"


def test_what_the_ledger_commits_together_is_never_sharded() -> None:
    keys = {name: key for name, key, _ in ROWS}

    assert {keys[name] for name in ("accounts", "entries", "transfers", "follow_ups")} == {"never"}


def test_the_figures_can_be_made_anew() -> None:
    text = scale.replaced(TEXT, "sums", scale.sums())

    assert "processes of one core each" in text
    assert scale.replaced(text, "topologies", scale.NONE_YET).count(scale.NONE_YET) >= 1
    with pytest.raises(ValueError, match="marks"):
        scale.replaced(TEXT, "nothing", "")
