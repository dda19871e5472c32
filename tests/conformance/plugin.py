"""pytest's part: puts our executor into graphql-core's test modules, and says how much of it was really tried."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from typing import Any, Final, cast

import pytest

from gateway.execution.executor import COMPILED, VIOLATION

from . import executing
from .left_out import AT_ONCE, LEFT_OUT

# How many executions of a whole run go through as compiled, and how many are taken up by graphql-core for an error.
LEAST: Final = {COMPILED: 160, VIOLATION: 100}
REPLACED: Final = {
    "execute": executing.execute,
    "execute_sync": executing.execute_sync,
    "graphql_sync": executing.execute_text_sync,
}
_left_out: Final[dict[str, str]] = {}


def name_of(item: pytest.Item) -> str:
    """The file, the blocks and the name of a test, without parameters."""
    names = [each.name for each in item.listchain()]
    return "::".join(names[names.index(item.path.name) :]).partition("[")[0]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put our executor in, and leave out what does not apply; raises UsageError where an entry names no test."""
    named = {item: name_of(item) for item in items}
    unknown = [each for each in (*LEFT_OUT, *AT_ONCE) if not any(name.startswith(each) for name in named.values())]
    if unknown:
        raise pytest.UsageError(f"no test of graphql-core has these names: {', '.join(unknown)}")
    kept: list[pytest.Item] = []
    for item, name in named.items():
        reason = next((reason for each, reason in LEFT_OUT.items() if name.startswith(each)), None)
        if reason is None:
            kept.append(item)
        else:
            _left_out[item.nodeid] = reason
    config.hook.pytest_deselected(items=[item for item in items if item.nodeid in _left_out])
    items[:] = kept
    for item in items:
        names = cast(pytest.Function, item).function.__globals__
        names.update({name: REPLACED[name] for name in REPLACED.keys() & names.keys()})


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, Any, Any]:
    """Run a test, and fail it where it has not asked our executor anything."""
    before = executing.executions.total()
    token = executing.at_once.set(name_of(pyfuncitem).startswith(AT_ONCE))
    try:
        result = yield
    finally:
        executing.at_once.reset(token)
    if executing.executions.total() == before:
        pytest.fail("it asks nothing of our executor: leave it out by name", pytrace=False)
    return result


def too_few(config: pytest.Config) -> list[str]:
    """In words, what a whole run has tried less of than it should: operations are not compiled, or not asked for."""
    options = config.option
    in_parts = getattr(options, "numprocesses", None) or hasattr(config, "workerinput")
    if options.keyword or options.collectonly or in_parts:
        return []
    return [f"too few {how}: at least {n} are expected" for how, n in LEAST.items() if executing.executions[how] < n]


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a whole run that has tried less than it should."""
    if session.exitstatus == pytest.ExitCode.OK and too_few(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Say how the operations of these tests were executed, and where that is less than it should be."""
    ran = executing.executions
    told = ", ".join(f"{count} {how}" for how, count in ran.most_common())
    terminalreporter.write_line(f"{ran.total()} executions by our executor: {told}")
    for line in too_few(config):
        terminalreporter.write_line(line)
    for reason, count in Counter(_left_out.values()).most_common():
        terminalreporter.write_line(f"{count} tests left out: {reason}")
