"""Knows what the browser tests may ask for: a real server, a real Chromium, and windows that were watched."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.browser.server import chromium, development_server
from tests.browser.window import Window

PICTURES = Path("test-results/browser")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--address", help="test the development server at this address instead of starting one")


@pytest.fixture(scope="session")
def address(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a development server with a fresh demo town."""
    given = request.config.getoption("--address")
    if given:
        yield str(given).rstrip("/")
        return
    with development_server(tmp_path_factory.mktemp("agora")) as started:
        yield started


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium as the system has it."""
    with chromium() as started:
        yield started


@pytest.fixture
def open_window(browser: Browser, address: str, request: pytest.FixtureRequest) -> Iterator[Callable[[str], Window]]:
    """Open windows of their own storage; at the end, nothing that must not happen has happened in any."""
    windows: list[Window] = []

    def open_one(person: str = "alice") -> Window:
        windows.append(Window(browser, address))
        return windows[-1].open(person)

    yield open_one
    for number, window in enumerate(windows):
        window.screenshot(PICTURES / f"{request.node.name}-{number}.png")
        window.close()
    assert [problem for window in windows for problem in window.problems] == []
