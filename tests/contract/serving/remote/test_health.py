"""A replica is as well as the server behind it."""

import grpc
import pytest

from tests.contract.serving.remote.conftest import KEY, NOT_SERVING, SERVING, remote_to
from tests.contract.serving.server import until
from tests.contract.serving.test_servicer import refusal_of
from tests.fakes.facade import answering
from tests.fakes.openai_server import MODEL, Reply, refusal


async def test_the_list_says_what_is_served(remote):
    """Under the name that it has here, ready, with the server's own bound of its context."""
    model = await remote.listed()
    assert (model.model, model.state, model.context_tokens_max) == ("tiny", 2, 512)
    assert (model.weight, model.detail) == (100, "")


async def test_a_sick_server_is_not_asked(far, remote):
    """Requests are refused at once, and the list says why; then it is well again."""
    far.listing = refusal(500, {})
    await remote.until_health(NOT_SERVING)
    refused = await refusal_of(remote.generate())
    assert (refused.code, refused.reason) == (
        grpc.StatusCode.UNAVAILABLE,
        "REMOTE_UNAVAILABLE",
    )
    model = await remote.listed()
    assert (model.state, model.detail) == (1, "its server does not answer")
    assert not far.bodies
    far.listing = None
    await remote.until_health(SERVING)
    assert (await remote.listed()).detail == ""


async def test_a_server_that_is_gone_is_noticed_at_once(far, tmp_path):
    """Nobody listens there any more."""
    async with answering(far) as url:
        gone = remote_to(url, tmp_path)
        remote = await gone.__aenter__()
        await remote.until_health(SERVING)
    await remote.until_health(NOT_SERVING)
    assert (await refusal_of(remote.generate())).reason == "REMOTE_UNAVAILABLE"
    await gone.__aexit__(None, None, None)


@pytest.mark.parametrize(
    "listing",
    [
        refusal(401, {"error": {"message": f"wrong {KEY}"}}),
        Reply([b"{"], media="application/json"),
        Reply([b"[]"], media="application/json"),
        refusal(200, {"data": [{"id": "a"}, {"id": "b"}]}),
    ],
)
async def test_a_server_that_cannot_be_used_is_not_served(far, running, listing, caplog, capsys):
    """A wrong key, no list or no such model: the log says so, without the key."""
    far.listing = listing
    async with running() as remote:
        said = []

        def told() -> bool:
            said.append(caplog.text + capsys.readouterr().out)
            return "the server cannot be used" in "".join(said)

        await until(told)
        assert KEY not in "".join(said)
        assert (await refusal_of(remote.generate())).reason == "MODELS_UNKNOWN"


async def test_another_version_takes_over(far, remote):
    """What the server lists next is what answers next."""
    far.models = [{"id": MODEL, "owned_by": "parley", "parley": {"version": "4"}}]
    await until(lambda: [key.version for key in remote.replica.versions] == ["4"])
    call = remote.generate(model="tiny@4")
    assert (await call.read()).started.version == "4"
    call.cancel()


@pytest.mark.parametrize(
    "told",
    [{"model_name": "ours", "remote_model": MODEL, "remote_version": "7",
      "remote_digest": "ab" * 32, "remote_kind": "other"}],
)  # fmt: skip
async def test_names_here_are_the_settings(far, remote, told):
    """Model, version and digest, whatever the server calls them."""
    call = remote.generate(model="ours@7")
    started = (await call.read()).started
    assert (started.model, started.version, started.digest) == ("ours", "7", "ab" * 32)
    call.cancel()
    await until(lambda: far.bodies and far.bodies[0]["model"] == MODEL)
    assert "return_token_ids" not in far.bodies[0]


def test_an_open_key_file_ends_the_start(tmp_path):
    """As any other secret that others can read."""
    from services.serving.remote.keeper import read_keeper
    from services.serving.replica import Replica
    from services.serving.settings import Settings

    key = tmp_path / "key"
    key.write_text(KEY)
    key.chmod(0o644)
    settings = Settings(address="unix:unused", remote_url="http://h", remote_key_file=key)
    with pytest.raises(ValueError, match="chmod 600"):
        read_keeper(settings, Replica())
