"""Knows the command: `python -m tests.conformance`, with arguments for pytest; `make test-conformance` sets it up."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import pytest

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parents[1]
THEIRS: Final = ROOT / ".venv/share/conformance/graphql_core_tests/execution"


def main(arguments: list[str]) -> int:
    """What pytest says, or 2 where there are no tests to run."""
    if not THEIRS.is_dir():
        print("agora: graphql-core's tests are missing: run `make setup-conformance`", file=sys.stderr)  # noqa: T201
        return 2
    return int(pytest.main(["-c", str(HERE / "pytest.ini"), "--rootdir", str(ROOT), str(THEIRS), *arguments]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
