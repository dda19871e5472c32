"""A server of a small graph, and tokens for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from gateway.identity.development import DevelopmentIssuer
from gateway.settings import Environment
from tests.unit.gateway.belfry import Server


@pytest.fixture
def development_issuer(tmp_path: Path) -> DevelopmentIssuer:
    return DevelopmentIssuer.open(tmp_path, Environment.DEVELOPMENT)


@pytest.fixture
async def server(development_issuer: DevelopmentIssuer) -> Server:
    return Server(development_issuer)


@pytest.fixture
async def client(server: Server) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(server.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://agora.test") as client:
        yield client
