"""The facade under a real uvicorn, before a real gRPC server that follows a script.

No fake itself but for what is behind it; tests of the facade's wire share it.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import openai
import uvicorn
from prometheus_client import REGISTRY

from gateway.app import create_app
from gateway.server import Server, listen
from gateway.settings import GatewaySettings
from services.rpc.channel import open_channel
from services.rpc.server import Server as RpcServer
from tests.fakes import serving as fake
from tests.fakes.feedback_service import FakeFeedback
from tests.fakes.jobs_service import FakeJobs
from tests.fakes.registry_service import FakeRegistry

MESH_KEY = "sk-mesh-for-tests"
PAGE_KEY = "page-key-for-tests"
MESSAGES = [{"role": "user", "content": "Say hello."}]
PROMPTS = {
    "/v1/chat/completions": {"messages": MESSAGES},
    "/v1/completions": {"prompt": "Say hello."},
}
# In `post`, stands for a needed parameter that is not sent.
LEFT_OUT = object()


@dataclass
class Facade:
    """A running facade and what is behind it."""

    url: str
    settings: GatewaySettings
    serving: fake.FakeServing
    registry: FakeRegistry
    jobs: FakeJobs
    feedback: FakeFeedback
    replica: RpcServer
    http: httpx.AsyncClient
    parts: contextlib.AsyncExitStack

    async def stop_replica(self) -> None:
        """Takes the replica away, so that nothing listens there."""
        await self.replica.grpc.stop(None)

    async def until_idle(self, wait_s: float = 5.0) -> None:
        """Waits until no generation is open, or fails with TimeoutError."""
        async with asyncio.timeout(wait_s):
            # A gauge tells nobody that it moved.
            while REGISTRY.get_sample_value("parley_gateway_generations_open"):  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    async def post(self, path: str = "/v1/chat/completions", **body: object) -> httpx.Response:
        """Posts a body with what every request needs; LEFT_OUT leaves one out."""
        needed = PROMPTS[path] | {"model": fake.MODEL}
        whole = {name: value for name, value in (needed | body).items() if value is not LEFT_OUT}
        return await self.http.post(path, json=whole)

    def sdk(self, **options: object) -> openai.AsyncOpenAI:
        """An OpenAI client that does not repeat by itself, unless told otherwise."""
        client = openai.AsyncOpenAI(
            **{"base_url": f"{self.url}/v1", "api_key": "any", "max_retries": 0, **options}
        )
        self.parts.push_async_callback(client.close)
        return client


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
    opened = listen("127.0.0.1:0")
    config = uvicorn.Config(
        app, ws="none", lifespan="off", log_config=None, timeout_graceful_shutdown=1
    )
    server = Server(config)
    task = asyncio.create_task(server.serve(sockets=[opened]))
    try:
        yield f"http://127.0.0.1:{opened.getsockname()[1]}"
    finally:
        # No client is left, so there is nothing to wait for.
        server.should_exit = server.force_exit = True
        await task


@contextlib.asynccontextmanager
async def running(settings: GatewaySettings, **parts: object) -> AsyncIterator[Facade]:
    """Runs a fake replica and the facade before it."""
    serving, registry = fake.FakeServing(), FakeRegistry()
    jobs, feedback = FakeJobs(), FakeFeedback()
    replica = await fake.start(settings.mesh_address, serving, registry, jobs, feedback)
    try:
        async with (
            open_channel(settings.mesh_address) as channel,
            answering(create_app(settings, channel, **parts)) as url,
            httpx.AsyncClient(base_url=url, timeout=10) as http,
            contextlib.AsyncExitStack() as parts,
        ):
            yield Facade(url, settings, serving, registry, jobs, feedback, replica, http, parts)
    finally:
        await replica.grpc.stop(None)
