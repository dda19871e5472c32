"""Knows how to run a development server of one's own, with a fresh demo town, and how to start Chromium."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from playwright.sync_api import Browser, sync_playwright

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 20.0
LOG_TAIL_CHARS = 2_000
CHROMIUM_ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@contextmanager
def development_server(folder: Path) -> Iterator[str]:
    """Serve a fresh demo town, kept in `folder`, and give its address. Raises RuntimeError where it does not start."""
    port = _free_port()
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
        address = f"http://127.0.0.1:{port}"
        _wait_until_ready(server, address, log)
        yield address
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(STOP_TIMEOUT_S)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start Chromium as the system has it: `CHROMIUM`, else `chromium` on the path. Raises RuntimeError without one."""
    executable = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if not executable:
        raise RuntimeError("Chromium is missing: install it, or say where it is with CHROMIUM=...")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=CHROMIUM_ARGS)
        yield browser
        browser.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_ready(server: subprocess.Popen[bytes], address: str, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise RuntimeError(f"the server ended with {server.returncode}: {log.read_text()[-LOG_TAIL_CHARS:]}")
        try:
            if httpx.get(f"{address}/readyz", timeout=2).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise RuntimeError(f"the server was not ready within {START_TIMEOUT_S} s: {log.read_text()[-LOG_TAIL_CHARS:]}")
