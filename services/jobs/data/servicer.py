"""parley.jobs.v1.Feedback: proto to domain and back."""

from collections.abc import AsyncIterator
from pathlib import Path

import grpc
from parley.jobs.v1 import feedback_pb2 as pb
from parley.jobs.v1 import feedback_pb2_grpc as pb_grpc
from parley.registry.v1 import registry_pb2_grpc

from services.jobs.data import kept, messages
from services.jobs.data.checking import Checker
from services.jobs.data.datasets import Datasets, Objects
from services.jobs.data.exporting import Announce, Exporter
from services.jobs.data.lineage import Lineage
from services.jobs.data.uploads import Uploads
from services.jobs.data.workplace import Workplace
from services.rpc import pages
from services.rpc.errors import InvalidArgument
from services.rpc.principal import read_principal
from services.rpc.store import Store

SERVICE = pb.DESCRIPTOR.services_by_name["Feedback"].full_name
PAGE_SIZE_DEFAULT = 50
# What one page may hold beside the last of its entries: a message is at most 2 MiB.
PAGE_BYTES_MAX = 3 << 18
DATASET_BYTES_MAX = 64 << 20
DATASETS_AT_A_TIME = 4

Context = grpc.aio.ServicerContext


class Servicer(pb_grpc.FeedbackServicer):
    """Answers from the table of feedback, the registry and the bucket.

    `folder` is this process's alone, for files on their way. `announce` tells Airflow of a new
    dataset; it is None where there is no Airflow.
    """

    def __init__(
        self,
        store: Store,
        registry: registry_pb2_grpc.RegistryStub,
        objects: Objects,
        bucket: str,
        folder: Path,
        announce: Announce | None = None,
        *,
        bytes_max: int = DATASET_BYTES_MAX,
        checker: Checker | None = None,
    ) -> None:
        datasets = Datasets(objects, bucket)
        workplace = Workplace(folder, DATASETS_AT_A_TIME)
        self._run = store.run
        self._lineage = Lineage(registry)
        self._exporter = Exporter(store, datasets, workplace, announce, bytes_max)
        self._uploads = Uploads(datasets, workplace, checker or Checker(), bytes_max)

    async def GiveFeedback(
        self, request: pb.GiveFeedbackRequest, context: Context
    ) -> pb.GiveFeedbackResponse:
        """Keeps a word."""
        word = messages.to_word(request, read_principal(context.invocation_metadata()))
        origin = await self._lineage.follow(word.response_id)
        entry = await self._run(lambda tx: kept.keep(tx, word, origin))
        return pb.GiveFeedbackResponse(entry=messages.from_entry(entry))

    async def ListFeedback(
        self, request: pb.ListFeedbackRequest, context: Context
    ) -> pb.ListFeedbackResponse:
        """Lists feedback."""
        before, size = pages.read(request, int, PAGE_SIZE_DEFAULT)
        asked = messages.to_filter(request)
        found, fitting = await self._run(
            lambda tx: kept.list_page(tx, asked, before, size, PAGE_BYTES_MAX)
        )
        token = pages.make_token(found[fitting - 1].id) if len(found) > fitting else ""
        entries = [messages.from_entry(entry) for entry in found[:fitting]]
        return pb.ListFeedbackResponse(entries=entries, next_page_token=token)

    async def ExportFeedback(
        self, request: pb.ExportFeedbackRequest, context: Context
    ) -> pb.ExportFeedbackResponse:
        """Makes a dataset of feedback."""
        messages.check_text("model", request.model)
        asked_by = read_principal(context.invocation_metadata())
        export = await self._exporter.export(request.model, asked_by, quiet=request.quiet)
        return pb.ExportFeedbackResponse(
            dataset=messages.from_dataset(export.dataset),
            duplicates=export.duplicates,
            personal=export.personal,
            unusable=export.unusable,
        )

    async def UploadDataset(
        self, requests: AsyncIterator[pb.UploadDatasetRequest], context: Context
    ) -> pb.UploadDatasetResponse:
        """Stores a dataset."""
        first = await anext(requests, None)
        if first is None or not first.HasField("name"):
            raise _out_of_order("name", "The first message must say what the dataset is called.")
        dataset = await self._uploads.take(first.name, _pieces(requests))
        return pb.UploadDatasetResponse(dataset=messages.from_dataset(dataset))


async def _pieces(requests: AsyncIterator[pb.UploadDatasetRequest]) -> AsyncIterator[bytes]:
    async for request in requests:
        if not request.HasField("chunk"):
            raise _out_of_order("chunk", "Only the first message may be a name.")
        yield request.chunk


def _out_of_order(field: str, words: str) -> InvalidArgument:
    return InvalidArgument(words, reason="INVALID_FIELD", metadata={"field": field})
