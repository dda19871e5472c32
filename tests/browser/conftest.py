"""Knows how the browser tests get a real server and a real Chromium."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.browser.window import Window

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 20.0
PICTURES = Path("test-results/browser")
CHROMIUM_ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--address", help="test the development server at this address instead of starting one")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def address(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a development server with a fresh demo town."""
    given = request.config.getoption("--address")
    if given:
        yield str(given).rstrip("/")
        return
    folder = tmp_path_factory.mktemp("agora")
    port = free_port()
    log = folder / "server.log"
    environment = {
        **os.environ,
        "AGORA_HOST": "127.0.0.1",
        "AGORA_PORT": str(port),
        "AGORA_DATA_DIR": str(folder / "data"),
    }
    with log.open("wb") as output:
        server = subprocess.Popen(
            [str(Path(sys.executable).parent / "agora"), "dev"],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
        )
    try:
        found = f"http://127.0.0.1:{port}"
        wait_until_ready(server, found, log)
        yield found
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(STOP_TIMEOUT_S)


def wait_until_ready(server: subprocess.Popen[bytes], address: str, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if server.poll() is not None:
            pytest.fail(f"the server ended with {server.returncode}: {log.read_text()[-2000:]}", pytrace=False)
        try:
            if httpx.get(f"{address}/readyz", timeout=2).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    pytest.fail(f"the server was not ready within {START_TIMEOUT_S} s: {log.read_text()[-2000:]}", pytrace=False)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium as the system has it: `CHROMIUM`, else `chromium` on the path."""
    executable = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if not executable:
        pytest.fail("Chromium is missing: install it, or say where it is with CHROMIUM=...", pytrace=False)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=CHROMIUM_ARGS)
        yield chromium
        chromium.close()


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
