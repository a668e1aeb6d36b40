"""The facade as the process that a supervisor runs."""

import asyncio
import contextlib
import json
import os
import signal
import stat
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import httpx
import pytest

from gateway.settings import GatewaySettings
from tests.fakes import serving as fake
from tests.fakes.facade import MESH_KEY, MESSAGES, PAGE_KEY, make_settings
from tests.fakes.jobs_service import FakeJobs

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[3]


def _environment(settings: GatewaySettings) -> dict[str, str]:
    values = settings.model_dump(exclude_defaults=True)
    named = {f"PARLEY_GATEWAY_{name.upper()}": str(value) for name, value in values.items()}
    return {"PATH": os.environ["PATH"], **named}


@contextlib.asynccontextmanager
async def _process(environment: Mapping[str, str]) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", cwd=ROOT, env=environment,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _until_listening(process: asyncio.subprocess.Process) -> None:
    async with asyncio.timeout(30):
        while b'"listening"' not in (line := await process.stdout.readline()):
            assert line, "the process ended"


def _socket_of(settings: GatewaySettings) -> Path:
    return Path(settings.address.removeprefix("unix:"))


def _client(settings: GatewaySettings) -> httpx.AsyncClient:
    transport = httpx.AsyncHTTPTransport(uds=str(_socket_of(settings)))
    return httpx.AsyncClient(transport=transport, base_url="http://parley", timeout=10)


async def test_sigterm_lets_a_stream_end_and_exits_with_0(tmp_path: Path) -> None:
    """On a socket that only its owner may use; secrets are in neither logs nor arguments."""
    settings = make_settings(tmp_path)
    serving = fake.FakeServing()
    serving.script.resume, serving.script.resume_at = asyncio.Event(), 3
    replica = await fake.start(settings.mesh_address, serving)
    async with _process(_environment(settings)) as process, _client(settings) as http:
        await _until_listening(process)
        assert stat.S_IMODE(_socket_of(settings).lstat().st_mode) == 0o600
        await http.get("/login", params={"token": "secret-token"})
        body = {"model": fake.MODEL, "messages": MESSAGES, "stream": True}
        async with http.stream("POST", "/v1/chat/completions", json=body) as reply:
            lines = reply.aiter_lines()
            await anext(lines)
            process.send_signal(signal.SIGTERM)
            logged = await process.stdout.readline()
            assert json.loads(logged)["event"] == "draining"
            serving.script.resume.set()
            rest = [line async for line in lines if line]
        assert rest[-1] == "data: [DONE]"
        logged += (await process.communicate())[0]
        assert process.returncode == 0
    for secret in (MESH_KEY, PAGE_KEY, "secret-token"):
        assert secret.encode() not in logged
    await replica.grpc.stop(None)


async def test_stream_that_outlives_the_drain_ends_with_an_error(tmp_path: Path) -> None:
    """Its client learns that it is cut, and the process still ends with 0."""
    settings = make_settings(tmp_path, drain_s=0)
    serving = fake.FakeServing()
    serving.script.resume, serving.script.resume_at = asyncio.Event(), 3
    replica = await fake.start(settings.mesh_address, serving)
    async with _process(_environment(settings)) as process, _client(settings) as http:
        await _until_listening(process)
        body = {"model": fake.MODEL, "messages": MESSAGES, "stream": True}
        async with http.stream("POST", "/v1/chat/completions", json=body) as reply:
            lines = reply.aiter_lines()
            await anext(lines)
            process.send_signal(signal.SIGTERM)
            rest = [line async for line in lines if line]
        assert json.loads(rest[-1].removeprefix("data: "))["error"]["code"] == "service_unavailable"
        await process.communicate()
        assert process.returncode == 0
    await replica.grpc.stop(None)


async def test_watch_of_a_job_does_not_hold_the_drain_up(tmp_path: Path) -> None:
    """It ends whole and without `end`, long before the drain would be over; its reader comes
    back."""
    settings, jobs = make_settings(tmp_path, drain_s=600), FakeJobs()
    jobs.add("one")
    replica = await fake.start(settings.mesh_address, fake.FakeServing(), jobs)
    async with _process(_environment(settings)) as process, _client(settings) as http:
        await _until_listening(process)
        async with http.stream("GET", "/api/v1/jobs/one/events") as reply:
            lines = reply.aiter_lines()
            await anext(lines)
            process.send_signal(signal.SIGTERM)
            rest = [line async for line in lines if line.startswith("event:")]
        assert rest == ["event: job"]
        async with asyncio.timeout(30):
            await process.communicate()
        assert process.returncode == 0
    await replica.grpc.stop(None)


async def test_reader_that_takes_nothing_is_cut_off(tmp_path: Path) -> None:
    """Its call ends, and those who read are answered."""
    settings, serving = make_settings(tmp_path, send_timeout_s=0.5), fake.FakeServing()
    replica = await fake.start(settings.mesh_address, serving)
    async with _process(_environment(settings)) as process, _client(settings) as http:
        await _until_listening(process)
        # More than sockets' buffers and gRPC's windows take in for a reader who does not read.
        serving.script.tokens = [b"x" * (1 << 15)] * 900
        body = {"model": fake.MODEL, "messages": MESSAGES, "stream": True}
        async with http.stream("POST", "/v1/chat/completions", json=body) as slow:
            pieces = slow.aiter_raw()
            await anext(pieces)
            async with asyncio.timeout(20):
                assert b"reader too slow" in await process.stdout.readline()
            assert serving.seen.sent < 900
            serving.script.tokens = fake.HELLO
            async with http.stream("POST", "/v1/chat/completions", json=body) as quick:
                lines = [line async for line in quick.aiter_lines() if line]
            assert lines[-1] == "data: [DONE]"
            with pytest.raises(httpx.TransportError):
                while True:
                    await anext(pieces)
    await replica.grpc.stop(None)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"PARLEY_GATEWAY_DEADLINE_S": "soon"}, b"PARLEY_GATEWAY_DEADLINE_S"),
        ({"PARLEY_GATEWAY_MESH_KEY_FILE": "/nowhere/key"}, b"/nowhere/key"),
        ({"PARLEY_GATEWAY_ADDRESS": "127.0.0.1:port"}, b"parley: gateway"),
    ],
)
async def test_wrong_setting_ends_the_process_with_its_name(
    tmp_path: Path, change: dict[str, str], words: bytes
) -> None:
    """One line and exit code 78, no traceback."""
    async with _process(_environment(make_settings(tmp_path)) | change) as process:
        async with asyncio.timeout(30):
            output, _ = await process.communicate()
        assert process.returncode == 78
        assert words in output
        assert b"Traceback" not in output
