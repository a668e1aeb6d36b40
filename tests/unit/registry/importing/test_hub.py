"""Claims about fetching from a hub, over real HTTP to a small server."""

import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from services.registry.importing.folder import Limits
from services.registry.importing.hub import HubSource
from services.rpc.errors import InvalidArgument, ParleyError
from tests.unit.registry.importing.folders import make_folder
from tests.unit.registry.importing.hub_server import COMMIT, WHOLE, Hub

LIMITS = Limits(files_max=20, text_bytes_max=10_000, folder_bytes_max=100_000)


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Hub]:
    async with Hub().serving() as hub:
        hub.fill(make_folder(tmp_path / "model"))
        yield hub


@pytest.fixture
def into(tmp_path: Path) -> Path:
    path = tmp_path / "into"
    path.mkdir()
    return path


def taken(into: Path) -> dict[str, bytes]:
    """The files that an import would see."""
    return {path.name: path.read_bytes() for path in into.iterdir() if path.name[0] != "."}


async def fetch(hub: Hub, into: Path, source: str = "owner/name") -> None:
    """Fetches without waiting between tries."""
    await HubSource(hub.address, LIMITS, retry_delay_s=0).fetch(source, into, lambda _: None)


async def test_a_models_files_are_fetched(hub: Hub, into: Path):
    """Every byte, at the commit that the revision named when it was listed."""
    await fetch(hub, into)
    assert taken(into) == hub.files
    assert all(COMMIT in path for path, _ in hub.asked[1:])


async def test_progress_grows_within_a_file(hub: Hub, into: Path):
    """Weights of many gigabytes are one file, and a bar moves all the same."""
    hub.files = {"model.safetensors": bytes(2_000_000)}
    told: list[float] = []
    limits = Limits(folder_bytes_max=4_000_000)
    await HubSource(hub.address, limits).fetch("owner/name", into, told.append)
    assert told == sorted(told)
    assert len(told) > 2
    assert told[-1] == 1.0


async def test_files_of_other_kinds_are_not_even_asked_for(hub: Hub, into: Path):
    """Hubs keep the same weights in many forms; pickles and code stay there."""
    good = dict(hub.files)
    more = ["pytorch_model.bin", "modeling.py", "onnx/model.json", ".gitattributes", "flax.msgpack"]
    hub.files |= dict.fromkeys(more, b"x")
    await fetch(hub, into)
    assert taken(into) == good
    assert not [path for path, _ in hub.asked if any(name in path for name in more)]


async def test_a_broken_connection_goes_on_where_it_ended(hub: Hub, into: Path):
    """Large weights need not begin anew."""
    hub.files = {"model.safetensors": bytes(range(256)) * 100}
    hub.cuts = [1000, 5000]
    await fetch(hub, into)
    assert taken(into) == hub.files
    assert [span for _, span in hub.asked[1:]] == ["", "bytes=1000-", "bytes=6000-"]


async def test_an_import_that_was_interrupted_goes_on_where_it_ended(hub: Hub, into: Path):
    """What is whole is not fetched again, and what is not goes on."""
    hub.files = {"config.json": b"{}", "model.safetensors": bytes(1000)}
    hub.cuts = [WHOLE, 100, 10, 10, 10, 10]
    with pytest.raises(ParleyError):
        await fetch(hub, into)
    hub.asked.clear()
    await fetch(hub, into)
    assert taken(into) == hub.files
    assert [span for _, span in hub.asked[1:]] == ["bytes=140-"]


async def test_parts_of_another_commit_are_thrown_away(hub: Hub, into: Path):
    """Two commits never mix."""
    (into / ".commit").write_text("f" * 40)
    (into / ".config.json.part").write_bytes(b"old")
    (into / "tokenizer.json").write_bytes(b"old")
    await fetch(hub, into)
    assert taken(into) == hub.files


async def test_what_was_fetched_before_is_looked_at_again(hub: Hub, into: Path):
    """A file that lost or changed its bytes since does not come in."""
    await fetch(hub, into)
    (into / "config.json").write_bytes(b"{")
    (into / "tokenizer.json").write_bytes(hub.files["tokenizer.json"] + b"more")
    await fetch(hub, into)
    assert taken(into) == hub.files
    spoilt = bytes(len(hub.files["model.safetensors"]))
    (into / "model.safetensors").write_bytes(spoilt)
    with pytest.raises(ParleyError) as failure:
        await fetch(hub, into)
    assert failure.value.reason == "HUB_DIGEST_DIFFERS"
    await fetch(hub, into)
    assert taken(into) == hub.files


async def test_wrong_bytes_are_refused(hub: Hub, into: Path):
    """What the hub lists with a digest must have it."""
    listing = hub._listing()
    listing["siblings"][0]["lfs"] = {"sha256": "0" * 64}
    hub.listing = listing
    with pytest.raises(ParleyError) as failure:
        await fetch(hub, into)
    assert failure.value.reason == "HUB_DIGEST_DIFFERS"
    assert listing["siblings"][0]["rfilename"] not in taken(into)


async def test_more_than_is_listed_is_not_taken(hub: Hub, into: Path):
    """A hub cannot fill the disk by sending more than it says."""
    hub.listing = {"sha": COMMIT, "siblings": [{"rfilename": "config.json", "size": 3}]}
    with pytest.raises(ParleyError) as failure:
        await fetch(hub, into)
    assert failure.value.reason == "HUB_ANSWER_INVALID"
    assert taken(into) == {}


async def test_a_redirect_to_the_hub_itself_is_followed(hub: Hub, into: Path):
    """Hubs keep large files at another address."""
    hub.redirect = "/cdn/"
    await fetch(hub, into)
    assert taken(into) == hub.files


@pytest.mark.parametrize(
    "target", ["http://169.254.169.254/", "http://localhost:1/", "file:///etc/", "ftp://x/"]
)
async def test_a_redirect_leads_to_no_address_without_https(hub: Hub, into: Path, target: str):
    """A hub cannot make the registry ask the inner network."""
    hub.redirect = target
    with pytest.raises(ParleyError) as failure:
        await fetch(hub, into)
    assert failure.value.reason == "HUB_ANSWER_INVALID"


async def test_a_redirect_without_end_ends(hub: Hub, into: Path):
    """A hub cannot keep an import busy for ever."""
    hub.redirect = f"/owner/name/resolve/{COMMIT}/"
    with pytest.raises(ParleyError) as failure:
        await fetch(hub, into)
    assert failure.value.reason == "HUB_ANSWER_INVALID"


LISTINGS: dict[str, tuple[str, Any]] = {
    "no files": ("HUB_ANSWER_INVALID", {"sha": COMMIT}),
    "no commit": ("HUB_ANSWER_INVALID", {"sha": "../x", "siblings": []}),
    "no size": ("HUB_ANSWER_INVALID", {"sha": COMMIT, "siblings": [{"rfilename": "a.json"}]}),
    "a list": ("HUB_ANSWER_INVALID", [1]),
    "a name that leads out": (
        "NAME_ESCAPES", {"sha": COMMIT, "siblings": [{"rfilename": "../a.json", "size": 1}]},
    ),
    "an absolute name": (
        "NAME_ESCAPES", {"sha": COMMIT, "siblings": [{"rfilename": "/a.json", "size": 1}]},
    ),
    "too large a file": (
        "FILE_TOO_LARGE", {"sha": COMMIT, "siblings": [{"rfilename": "a.json", "size": 10_001}]},
    ),
    "too much": (
        "FOLDER_TOO_LARGE",
        {"sha": COMMIT, "siblings": [{"rfilename": "a.safetensors", "size": 100_001}]},
    ),
    "too many": (
        "TOO_MANY_FILES",
        {"sha": COMMIT, "siblings": [{"rfilename": f"{n}.json", "size": 1} for n in range(21)]},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("reason", "listing"), LISTINGS.values(), ids=LISTINGS)
async def test_a_listing_is_not_believed(hub: Hub, into: Path, reason: str, listing: Any):
    """Names and sizes are held to the rules before anything is fetched."""
    hub.listing = listing
    with pytest.raises(ParleyError) as failure:
        await fetch(hub, into)
    assert failure.value.reason == reason
    assert len(hub.asked) == 1


async def test_a_model_that_is_not_there_is_told_as_one(hub: Hub, into: Path):
    """The words say that it may be hidden, too."""
    with pytest.raises(ParleyError) as failure:
        await fetch(hub, into, "owner/other")
    assert failure.value.reason == "HUB_MODEL_NOT_FOUND"


async def test_a_hub_out_of_reach_is_told_with_its_address(into: Path):
    """Who imports learns which address was tried, and what else can be done."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
        source = HubSource(address, LIMITS, retry_delay_s=0)
        with pytest.raises(ParleyError, match=address) as failure:
            await source.fetch("owner/name", into, lambda _: None)
    assert failure.value.reason == "HUB_UNREACHABLE"
    assert "local folder" in failure.value.message


@pytest.mark.parametrize(
    "source",
    ["name", "owner/name/more", "../name", "owner/..", "owner/na me", "o/n@../x", "o/n?x=1"],
)
def test_an_id_names_nothing_but_a_model(source: str):
    """No other route of the hub can be reached by an id."""
    with pytest.raises(InvalidArgument):
        HubSource("http://127.0.0.1:1", LIMITS).check(source)


@pytest.mark.parametrize("source", ["gpt-org/gpt2", "Q/Qwen2.5-0.5B@main", "o/n@" + COMMIT])
def test_ids_of_models_are_taken(source: str):
    """With a revision or without."""
    HubSource("http://127.0.0.1:1", LIMITS).check(source)
