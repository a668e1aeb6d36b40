"""Makes a dataset of a model's feedback. Knows neither gRPC nor Airflow."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from services.jobs.data import kept
from services.jobs.data.datasets import Dataset, Datasets
from services.jobs.data.entries import Filter
from services.jobs.data.examples import Collection
from services.jobs.data.workplace import Workplace
from services.rpc.errors import NotFound, Unavailable
from services.rpc.store import Store

log = structlog.get_logger()

READ_S_MAX = 60.0


@dataclass(frozen=True, slots=True)
class News:
    """That there is a dataset of a model's feedback."""

    model: str
    digest: str
    submitted_by: str


Announce = Callable[[News], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Export:
    """A dataset, and how many entries are not in it, by the reason."""

    dataset: Dataset
    duplicates: int
    personal: int
    unusable: int


class Exporter:
    """Exports feedback. `announce` is None where there is no one to tell."""

    def __init__(
        self,
        store: Store,
        datasets: Datasets,
        workplace: Workplace,
        announce: Announce | None,
        bytes_max: int,
    ) -> None:
        self._store = store
        self._datasets = datasets
        self._workplace = workplace
        self._announce = announce
        self._bytes_max = bytes_max

    async def export(self, model: str, asked_by: str, *, quiet: bool) -> Export:
        """Makes and stores the dataset, and announces it unless `quiet`; safe to repeat.

        Raises NotFound when no feedback can be used, and Unavailable.
        """
        await self._datasets.check()
        with self._workplace.file() as file:
            rows = await self._store.run(lambda tx: self._collect(tx, model), READ_S_MAX)
            if not rows.rows:
                raise _nothing(model, rows)
            data = await asyncio.to_thread(rows.to_bytes)
            digest = hashlib.sha256(data).hexdigest()
            await asyncio.to_thread(file.write, data)
            await asyncio.to_thread(file.flush)
            dataset = await self._datasets.store(
                Path(file.name), digest, f"feedback-{model}", rows=rows.rows, size_bytes=len(data)
            )
        if not quiet:
            await self._tell(News(model, digest, asked_by))
        return Export(dataset, rows.duplicates, rows.personal, rows.unusable)

    async def _tell(self, news: News) -> None:
        if self._announce is None:
            return
        try:
            await self._announce(news)
        except Unavailable as error:
            raise Unavailable(
                f"The dataset is stored as sha256:{news.digest}, but Airflow could not be told of "
                f"it: {error.message} Ask again, or start a job with the dataset.",
                reason="DATASET_NOT_ANNOUNCED",
                metadata={"dataset_digest": news.digest},
                retry_after_s=error.retry_after_s,
            ) from error

    async def _collect(self, tx: AsyncConnection, model: str) -> Collection:
        rows = Collection(self._bytes_max)
        async with aclosing(kept.walk(tx, Filter(model=model))) as batches:
            async for batch in batches:
                # In a thread: long conversations take a while to be looked through.
                await asyncio.to_thread(rows.add, batch)
                if rows.is_full:
                    log.warning("feedback is left out", model=model, bytes_max=self._bytes_max)
                    break
        return rows


def _nothing(model: str, rows: Collection) -> NotFound:
    counts = {"personal": rows.personal, "unusable": rows.unusable}
    return NotFound(
        f"There is no feedback on {model} that can be used: {rows.personal} entries hold personal "
        f"data, {rows.unusable} have no conversation or no answer to learn. Give some with its "
        "conversation, and bad answers with their correction.",
        reason="NO_FEEDBACK",
        metadata={"model": model} | {name: str(count) for name, count in counts.items()},
    )
