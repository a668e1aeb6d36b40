"""The facade under a real uvicorn, before a real gRPC server that follows a script."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import httpx
import openai
import pytest
import uvicorn

from gateway.app import create_app
from gateway.server import Server
from gateway.settings import GatewaySettings
from services.rpc.channel import open_channel
from tests.fakes import serving as fake

MESH_KEY = "sk-mesh-for-tests"
PAGE_KEY = "page-key-for-tests"


@dataclass
class Facade:
    """A running facade and what is behind it."""

    url: str
    settings: GatewaySettings
    serving: fake.FakeServing
    http: httpx.AsyncClient

    def sdk(self, **options: object) -> openai.AsyncOpenAI:
        """An OpenAI client that does not repeat by itself, unless told otherwise."""
        return openai.AsyncOpenAI(
            **{"base_url": f"{self.url}/v1", "api_key": "any", "max_retries": 0, **options}
        )


def make_settings(folder: Path, **changes: object) -> GatewaySettings:
    """Settings whose files are below `folder`."""
    for name, value in (("mesh_key", MESH_KEY), ("page_key", PAGE_KEY)):
        path = folder / name
        path.write_text(value)
        path.chmod(0o600)
    (folder / "tokens").mkdir(exist_ok=True)
    values = {
        "address": f"unix:{folder}/gateway.sock",
        "mesh_address": f"unix:{folder}/mesh.sock",
        "mesh_key_file": folder / "mesh_key",
        "page_key_file": folder / "page_key",
        "login_tokens_dir": folder / "tokens",
        "chat_dir": folder / "chat",
        "retry_s": 1.0,
    }
    return GatewaySettings(**{**values, **changes})


@contextlib.asynccontextmanager
async def answering(app: object) -> AsyncIterator[str]:
    """Runs an ASGI application on a free port of loopback; gives its address."""
    opened = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        app, ws="none", lifespan="off", log_config=None, timeout_graceful_shutdown=1
    )
    server = Server(config)
    task = asyncio.create_task(server.serve(sockets=[opened]))
    try:
        yield f"http://127.0.0.1:{opened.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task


@contextlib.asynccontextmanager
async def running(settings: GatewaySettings, **parts: object) -> AsyncIterator[Facade]:
    """Runs a fake replica and the facade before it."""
    serving = fake.FakeServing()
    replica = await fake.start(settings.mesh_address, serving)
    try:
        async with (
            open_channel(settings.mesh_address) as channel,
            answering(create_app(settings, channel, **parts)) as url,
            httpx.AsyncClient(base_url=url, timeout=10) as http,
        ):
            yield Facade(url, settings, serving, http)
    finally:
        await replica.grpc.stop(None)


@pytest.fixture
async def facade(tmp_path: Path) -> AsyncIterator[Facade]:
    """A facade with the settings of the tests."""
    async with running(make_settings(tmp_path)) as facade:
        yield facade


@pytest.fixture
def settings_with(tmp_path: Path) -> Callable[..., GatewaySettings]:
    """Makes settings that differ from the tests' in what is named."""
    return lambda **changes: make_settings(tmp_path, **changes)
