"""The image's own start command, from a built wheel and locked packages, as nobody, in a folder not to be written."""

from __future__ import annotations

import asyncio
import base64
import os
import pwd
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from pymongo import MongoClient

ROOT = Path(__file__).resolve().parents[2]
INSTALL_TIMEOUT_S = 900
START_TIMEOUT_S = 120.0
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
COMMAND: list[str] = re.findall(r'"([^"]+)"', re.findall(r"^CMD (\[.*\])$", DOCKERFILE, flags=re.MULTILINE)[-1])
HEALTH: list[str] = re.findall(r'"([^"]+)"', re.findall(r"^    CMD (\[.*\])$", DOCKERFILE, flags=re.MULTILINE)[0])

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or os.getuid() != 0 or shutil.which("setpriv") is None,
    reason="becoming another user needs root and setpriv on Linux",
)


@pytest.fixture(scope="module")
def installed() -> Iterator[Path]:
    """An environment as the image has it, which everybody may read: made of the lock and of the wheel alone."""
    with tempfile.TemporaryDirectory(prefix="agora-image-") as folder:
        place = Path(folder)
        place.chmod(0o755)
        environment = place / "opt"
        subprocess.run([sys.executable, "-m", "venv", environment], check=True, timeout=INSTALL_TIMEOUT_S)
        python = str(environment / "bin" / "python")
        pip = [python, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input"]
        lock = str(ROOT / "requirements.txt")
        run([*pip, "install", "--require-hashes", "--requirement", lock], ROOT)
        sources = copied(place / "build")
        run([*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(place / "wheels"), "."], sources)
        (wheel,) = (place / "wheels").glob("agora-*.whl")
        run([*pip, "install", "--no-deps", "--no-index", str(wheel)], place)
        run([*pip, "uninstall", "--yes", "pip"], place)
        shutil.rmtree(sources)
        yield environment


def run(command: list[str], folder: Path) -> None:
    made = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, check=False)
    assert made.returncode == 0, made.stderr[-2_000:]


def copied(place: Path) -> Path:
    """What the Dockerfile copies into the stage that builds."""
    place.mkdir()
    for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, flags=re.MULTILINE):
        *sources, target = line.split()
        for source in sources:
            if (ROOT / source).is_dir():
                ignored = shutil.ignore_patterns("__pycache__", "node_modules")
                shutil.copytree(ROOT / source, place / target, ignore=ignored)
            else:
                shutil.copy(ROOT / source, place / target)
    return place


@pytest.fixture
async def running(installed: Path, mongodb_uri: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, str, Path]]:
    """The start command as `nobody`, and its address, and its folder of work."""
    nobody = pwd.getpwnam("nobody")
    name = f"agora_test_{uuid4().hex[:12]}"
    with tempfile.TemporaryDirectory(prefix="agora-srv-") as folder:
        place = Path(folder)
        os.chmod(place, 0o555)
        environment = {
            "PATH": f"{installed / 'bin'}:/usr/bin:/bin",
            "PYTHONDONTWRITEBYTECODE": "1",
            "AGORA_HOST": "127.0.0.1",
            "AGORA_PORT": "0",
            "AGORA_DATABASE": name,
            "AGORA_DRAIN_S": "1",
            "MONGODB_URI": mongodb_uri,
            "AGORA_OIDC_ISSUER": "https://login.example.org/",
            "AGORA_OIDC_AUDIENCE": "https://graph.example.org",
            "AGORA_MASTER_KEY": base64.b64encode(b"m" * 32).decode(),
        }
        process = await asyncio.create_subprocess_exec(
            *(str(shutil.which("setpriv")), f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"),
            *("--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"),
            *COMMAND,
            cwd=place,
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            async with asyncio.timeout(START_TIMEOUT_S):
                line = (await process.stdout.readline()).decode()
            assert "serving the graph at" in line, (await process.stderr.read()).decode()[-2_000:]
            yield process, line.split(" at ")[1].split()[0].removesuffix("/graphql"), place
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
            with MongoClient[dict[str, Any]](mongodb_uri) as client:
                client.drop_database(name)


async def test_it_serves_as_nobody_and_writes_nothing(
    running: tuple[asyncio.subprocess.Process, str, Path], installed: Path
) -> None:
    process, address, place = running
    status = status_of(process.pid)

    async with httpx.AsyncClient(timeout=30) as http:
        livez = await http.get(f"{address}/livez")
        readyz = await http.get(f"{address}/readyz")
        listings = await http.post(f"{address}/graphql", json={"query": "{ listings(first: 1) { nodes { id } } }"})
        page = await http.get(f"{address}/graphql", headers={"Accept": "text/html"})

    assert (livez.status_code, readyz.status_code) == (200, 200)
    assert listings.json() == {"data": {"listings": {"nodes": []}}}
    assert page.status_code == 200
    assert f"Uid:\t{pwd.getpwnam('nobody').pw_uid}" in status
    assert re.search(r"^CapEff:\t0+$", status, flags=re.MULTILINE)
    assert os.listdir(place) == []


def status_of(process: int) -> str:
    """What the system says of a process."""
    return Path(f"/proc/{process}/status").read_text()


async def test_its_health_check_says_so(running: tuple[asyncio.subprocess.Process, str, Path], installed: Path) -> None:
    _, address, place = running
    python, *rest = HEALTH
    command = [str(installed / "bin" / python), *rest]

    async def check(port: str) -> int:
        process = await asyncio.create_subprocess_exec(
            *command, cwd=place, env={"AGORA_PORT": port}, stderr=asyncio.subprocess.DEVNULL
        )
        return await process.wait()

    assert await check(address.rpartition(":")[2]) == 0
    assert await check("9") != 0


async def test_it_stops_when_told_to(running: tuple[asyncio.subprocess.Process, str, Path]) -> None:
    process, address, _ = running
    async with httpx.AsyncClient(timeout=30) as http:
        assert (await http.get(f"{address}/livez")).status_code == 200

    process.terminate()
    async with asyncio.timeout(30):
        assert await process.wait() == 0
