"""`make simulate` says which seed failed and how to see it again, and ends with 1."""

from __future__ import annotations

import re

import pytest

from datastores.ledger import acts
from tests.simulation.__main__ import main


def test_histories_that_hold_end_well(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["--seeds", "3", "--start", "4", "--jobs", "1"])

    assert code == 0
    assert "3 histories" in capsys.readouterr().out


def test_a_failing_seed_is_one_line_to_play_it_again(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acts, "stored_outcome", lambda work, command: None)

    assert main(["--seeds", "30", "--jobs", "1"]) == 1
    told = re.search(r"^make simulate SEED=(\d+)\n  (.+)$", capsys.readouterr().out, re.MULTILINE)
    assert told
    assert main(["--seed", told[1]]) == 1

    trace = capsys.readouterr().out
    assert f"does not hold: {told[2]}" in trace
    assert re.search(r"^ +\d+\.\d{6} process\d +commit", trace, re.MULTILINE)
