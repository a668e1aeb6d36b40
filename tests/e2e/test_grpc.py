"""A gRPC tool that knows nothing of Parley, through the mesh listener."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from stack.up import Running

BUF = Path(sys.executable).with_name("buf")
GENERATE = "parley.serving.v1.ModelServing/Generate"


def buf_curl(running: Running, *arguments: str, key: str = "") -> subprocess.CompletedProcess[str]:
    """Runs `buf curl` over HTTP/2 without TLS; the schema comes by reflection."""
    header = f"authorization: Bearer {key or running.api_key}"
    return subprocess.run(
        [BUF, "curl", "--protocol", "grpc", "--http2-prior-knowledge", "--header", header,
         "--reflect-header", header, *arguments],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_the_service_is_found_by_reflection(stack: Running):
    """The methods of ModelServing are listed by a tool that has no protos."""
    found = buf_curl(stack, "--list-methods", f"http://{stack.mesh_address}")
    assert GENERATE in found.stdout, found.stderr


def test_generate_streams_to_a_foreign_tool(stack: Running):
    """Started comes first and Finished last, with text between."""
    question = {"conversation": {"messages": [
        {"role": "CHAT_ROLE_USER", "content": "What is the capital of France?"}]}}  # fmt: skip
    found = buf_curl(
        stack, "--data", json.dumps(question), f"http://{stack.mesh_address}/{GENERATE}"
    )
    events = list(_json_values(found.stdout))
    assert "started" in events[0], found.stderr
    assert events[-1]["finished"]["reason"] == "FINISH_REASON_STOP"
    assert "Paris" in "".join(e["delta"].get("text", "") for e in events if "delta" in e)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ('{"text": "x", "sampling": {"temperature": 9}}', "sampling.temperature"),
        ('{"text": "x", "model": "other"}', "There is no model"),
    ],
)
def test_a_bad_call_says_what_is_wrong(stack: Running, data: str, words: str):
    """A refused call names the field or the thing that is not there."""
    found = buf_curl(stack, "--data", data, f"http://{stack.mesh_address}/{GENERATE}")
    assert found.returncode != 0
    assert words in found.stderr


def test_a_stranger_is_unauthenticated(stack: Running):
    """Without a right key not even reflection answers."""
    found = buf_curl(stack, "--list-methods", f"http://{stack.mesh_address}", key="wrong")
    assert found.returncode != 0
    assert GENERATE not in found.stdout


def _json_values(text: str):
    decoder, at = json.JSONDecoder(), 0
    while (at := len(text) - len(text[at:].lstrip())) < len(text):
        value, at = decoder.raw_decode(text, at)
        yield value
