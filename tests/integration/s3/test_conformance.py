"""The examination of S3 servers, run against real ones."""

import json
import subprocess
import sys

import pytest

from tests.integration.s3 import servers, told

KINDS = [
    "rclone",
    pytest.param("minio", marks=pytest.mark.slow),
    pytest.param("versitygw", marks=pytest.mark.slow),
]


def examine(server, *more):
    """Runs the examination as a user does."""
    command = [sys.executable, "-m", "services.registry.conformance"]
    command += ["--endpoint", server.endpoint, "--credentials", str(server.credentials_file)]
    command += ["--bucket", servers.BUCKET, *more]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("kind", KINDS)
def test_each_server_does_what_is_said_of_it(server_of, kind):
    """All that Parley needs is done, the rest is as docs/s3.md shows, and nothing stays behind."""
    server = server_of(kind)
    done = examine(server, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert not [one for one in found if one["needed"] and one["verdict"] == "no"]
    cells = {one["call"]: ": ".join(filter(None, (one["verdict"], one["words"]))) for one in found}
    assert cells == (told.measured(kind) or cells)
    assert not list(server.data.rglob("parley-conformance-*"))


def test_a_table_for_people_names_each_call(server_of):
    """Without --json it is a Markdown table with a verdict for each call."""
    lines = examine(server_of("rclone")).stdout.splitlines()
    assert lines[0].split() == ["|", "call", "|", "verdict", "|", "Parley", "needs", "it", "|"]
    assert len(lines) > 30
    assert all(line.count(" | ") == 2 for line in lines)


def test_a_server_that_is_down_is_said_to_be(own_server):
    """It ends with words, not with a trace, and not as if all were well."""
    own_server.stop()
    done = examine(own_server)
    assert done.returncode == 2
    assert "does not answer" in done.stderr
    assert "Traceback" not in done.stderr


def test_wrong_keys_fail_the_examination(own_server):
    """A server that refuses the keys is told from one that is down."""
    text = own_server.credentials_file.read_text()
    own_server.credentials_file.write_text(text.replace(own_server.keys.secret_key, "0" * 40))
    done = examine(own_server)
    assert done.returncode == 2
    assert "refuses our keys" in done.stderr
