"""Uploading datasets."""

import asyncio
import hashlib

import pytest
from parley.jobs.v1 import feedback_pb2 as pb

from services.rpc.errors import Internal, InvalidArgument, ResourceExhausted
from tests.contract.calls import WAIT_S
from tests.contract.feedback.worlds import BYTES_MAX, World, named

DATA = b'{"prompt":"a","completion":"b"}\n' * 3


async def test_an_upload_is_stored_by_its_digest(world: World):
    """However it is cut, and however often it comes."""
    digest = hashlib.sha256(DATA).hexdigest()
    for cut in (1, 7, len(DATA)):
        pieces = [DATA[at : at + cut] for at in range(0, len(DATA), cut)]
        dataset = await world.upload(*named("mine", *pieces))
        assert (dataset.digest, dataset.name, dataset.rows) == (digest, "mine", 3)
        assert dataset.size_bytes == len(DATA)
    assert world.stored(digest) == DATA


async def test_a_bad_line_is_named_and_nothing_is_stored(world: World):
    """The caller hears which line, and why."""
    data = DATA + b"oops\n"
    with pytest.raises(InvalidArgument) as caught:
        await world.upload(*named("mine", data))
    assert caught.value.reason == "DATASET_INVALID"
    assert "line 4" in caught.value.message
    assert caught.value.metadata == {"line": "4"}
    with pytest.raises(FileNotFoundError):
        world.stored(hashlib.sha256(data).hexdigest())


async def test_too_much_is_refused_while_it_comes(world: World):
    """Not a byte more than the bound is kept."""
    with pytest.raises(ResourceExhausted) as caught:
        await world.upload(*named("mine", *[b"x" * (BYTES_MAX // 4)] * 5))
    assert caught.value.reason == "DATASET_TOO_LARGE"


@pytest.mark.parametrize(
    ("messages", "field"),
    [
        ([], "name"),
        ([pb.UploadDatasetRequest(chunk=b"x")], "name"),
        ([pb.UploadDatasetRequest(name="a"), pb.UploadDatasetRequest(name="b")], "chunk"),
        ([pb.UploadDatasetRequest(name="a"), pb.UploadDatasetRequest(chunk=b"")], "chunk"),
        ([pb.UploadDatasetRequest(name="a"), pb.UploadDatasetRequest()], "what"),
    ],
)
async def test_messages_out_of_order_are_refused(
    world: World, messages: list[pb.UploadDatasetRequest], field: str
):
    """First the name, then bytes, and nothing else."""
    with pytest.raises(InvalidArgument) as caught:
        await world.upload(*messages)
    assert caught.value.metadata["field"] == field


async def test_an_empty_dataset_is_refused(world: World):
    """A name alone is no dataset."""
    with pytest.raises(InvalidArgument) as caught:
        await world.upload(*named("mine"))
    assert caught.value.reason == "DATASET_EMPTY"


async def test_a_check_that_dies_tells_nothing_of_the_inside(world: World):
    """It is our fault, and the log has the rest."""
    with pytest.raises(Internal) as caught:
        await world.upload(*named("mine", b"die\n"))
    assert caught.value.reason == "DATASET_CHECK_FAILED"
    assert "it died" not in caught.value.message


async def test_only_so_many_come_at_a_time(world: World):
    """Who comes when all places are taken hears it at once; a caller that leaves frees its own."""
    calls = [world.stub.UploadDataset() for _ in range(4)]
    for call in calls:
        await call.write(pb.UploadDatasetRequest(name="slow"))
        await call.write(pb.UploadDatasetRequest(chunk=b"{"))
    async with asyncio.timeout(WAIT_S):
        while len(list(world.workplace.iterdir())) < len(calls):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        with pytest.raises(ResourceExhausted) as caught:
            await world.upload(*named("mine", DATA))
        assert caught.value.reason == "TOO_MANY_DATASETS"
        for call in calls:
            call.cancel()
        while list(world.workplace.iterdir()):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        await world.upload(*named("mine", DATA))
