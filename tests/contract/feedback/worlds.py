"""The Feedback service in this process, with a real registry, database and object store."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parley.jobs.v1 import feedback_pb2 as pb
from parley.jobs.v1 import feedback_pb2_grpc as pb_grpc
from parley.registry.v1 import registry_pb2

from services.jobs.data import process
from services.jobs.data.checking import Checker
from services.jobs.data.servicer import SERVICE
from services.rpc.channel import open_channel
from services.rpc.server import Server
from services.rpc.settings import ServerSettings
from tests.contract.calls import Caller
from tests.contract.registry import worlds as registry_worlds
from tests.fakes.announcements import FakeAnnouncements
from tests.integration.s3 import servers

# Patient: what is tested is what happens, not how fast a shared machine is.
STORE_TIMEOUT_S = 20.0
BYTES_MAX = 1 << 20
CHECK = (sys.executable, "-m", "tests.fakes.check_data", "--rows-min", "1")


class Settings(ServerSettings):
    """What the process of jobs is told, as far as it matters here."""

    database_uri: str
    store_timeout_s: float
    s3_endpoint: str
    s3_region: str = "us-east-1"
    s3_bucket: str = servers.BUCKET
    s3_credentials_file: Path
    work_dir: Path


@dataclass
class World(Caller):
    """A running service and a client of it."""

    registry: registry_worlds.World
    stub: pb_grpc.FeedbackStub
    s3: servers.Server
    airflow: FakeAnnouncements
    # Where datasets on their way are.
    workplace: Path

    @property
    def model(self) -> str:
        """A model of this test's own."""
        return self.registry.model

    async def answer(self, digit: str = "a", **evidence: Any) -> str:
        """Has a new version of the model answer; gives the answer's id."""
        version = await self.registry.register(digit, **evidence)
        model = await self.registry.get()
        promotion = await self.registry.promote(version.number, model.champion)
        return f"chatcmpl-{version.digest[:12]}-{version.number}-{promotion.revision}-1"

    async def run_id(self, number: int) -> str:
        """The run in MLflow of one of the model's versions."""
        request = registry_pb2.GetModelVersionRequest(model=self.model, version=str(number))
        answer = await self.registry.ask("GetModelVersion", request)
        return str(answer.version.evidence.run_id)

    async def give(self, response_id: str, *talk: str, good: bool = True, **more: Any) -> Any:
        """Gives feedback on a conversation, in which user and assistant take turns."""
        roles = ["user", "assistant"] * len(talk)
        turns = [pb.Turn(role=role, content=said) for role, said in zip(roles, talk, strict=False)]
        as_ = more.pop("as_", "ada")
        request = pb.GiveFeedbackRequest(
            response_id=response_id,
            rating=pb.RATING_GOOD if good else pb.RATING_BAD,
            conversation=turns,
            **more,
        )
        return (await self.ask("GiveFeedback", request, as_)).entry

    async def entries(self, **fields: Any) -> list[Any]:
        """Lists one page of feedback."""
        return list((await self.ask("ListFeedback", pb.ListFeedbackRequest(**fields))).entries)

    async def export(self, **fields: Any) -> Any:
        """Exports the model's feedback."""
        request = pb.ExportFeedbackRequest(model=self.model, **fields)
        return await self.ask("ExportFeedback", request, "ada")

    async def upload(self, *messages: pb.UploadDatasetRequest) -> Any:
        """Uploads what the messages bring; gives the dataset."""

        async def sent() -> AsyncIterator[pb.UploadDatasetRequest]:
            for message in messages:
                yield message

        return (await self.ask("UploadDataset", sent())).dataset

    def stored(self, digest: str) -> bytes:
        """A dataset's bytes, as they lie in the object store."""
        return (self.s3.data / servers.BUCKET / "datasets" / "sha256" / digest).read_bytes()

    def rows(self, digest: str) -> list[list[tuple[str, str]]]:
        """A dataset's rows: role and words of each message."""
        rows = [json.loads(line)["messages"] for line in self.stored(digest).splitlines()]
        return [[(message["role"], message["content"]) for message in row] for row in rows]


def named(name: str, *chunks: bytes) -> Iterable[pb.UploadDatasetRequest]:
    """The messages that upload a dataset."""
    yield pb.UploadDatasetRequest(name=name)
    yield from (pb.UploadDatasetRequest(chunk=chunk) for chunk in chunks)


@asynccontextmanager
async def open_world(
    folder: Path,
    database_uri: str,
    registry: registry_worlds.World,
    s3: servers.Server,
    timeout_s: float = STORE_TIMEOUT_S,
) -> AsyncIterator[World]:
    """Runs the service for one test, as soon as its database is ready."""
    chosen = Settings(
        address=f"unix:{folder}/f.sock",
        database_uri=database_uri,
        store_timeout_s=timeout_s,
        s3_endpoint=s3.endpoint,
        s3_credentials_file=s3.credentials_file,
        work_dir=folder / "work",
    )
    airflow = FakeAnnouncements()
    workplace = chosen.work_dir / "datasets"
    server = Server(chosen, [SERVICE])
    more = {"bytes_max": BYTES_MAX, "checker": Checker(CHECK)}
    async with process.prepare(chosen, registry.stub, airflow, **more) as feedback:
        await feedback.store.open()
        pb_grpc.add_FeedbackServicer_to_server(feedback.servicer, server.grpc)
        await server.start()
        async with open_channel(chosen.address) as channel:
            yield World(registry, pb_grpc.FeedbackStub(channel), s3, airflow, workplace)
        await server.grpc.stop(0)
    assert await asyncio.to_thread(lambda: list(workplace.iterdir())) == []
