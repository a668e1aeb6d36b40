"""Puts the parts of the Feedback service together. Who runs the server mounts it and opens it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from parley.registry.v1 import registry_pb2_grpc

from services.jobs.data.announce import Airflow, announcer
from services.jobs.data.checking import Checker
from services.jobs.data.database import open_store
from services.jobs.data.servicer import DATASET_BYTES_MAX, Servicer
from services.objects import s3_credentials
from services.objects.object_store import S3ObjectStore
from services.rpc.store import Store


class Settings(Protocol):
    """What of the process's settings is needed here."""

    database_uri: str
    store_timeout_s: float
    s3_endpoint: str
    s3_region: str
    s3_bucket: str
    s3_credentials_file: Path
    work_dir: Path


@dataclass(frozen=True, slots=True)
class Feedback:
    """What is to be mounted, and the store that is to be opened beside it."""

    servicer: Servicer
    store: Store


@asynccontextmanager
async def prepare(
    chosen: Settings,
    registry: registry_pb2_grpc.RegistryStub,
    airflow: Airflow | None,
    *,
    bytes_max: int = DATASET_BYTES_MAX,
    checker: Checker | None = None,
) -> AsyncIterator[Feedback]:
    """Makes the parts, and closes them afterwards. Without Airflow nobody hears of new datasets.

    Raises ValueError or OSError when the keys of the object store cannot be read.
    """
    keys = s3_credentials.read(chosen.s3_credentials_file)
    objects = S3ObjectStore(
        chosen.s3_endpoint,
        chosen.s3_bucket,
        keys,
        region=chosen.s3_region,
        timeout_s=chosen.store_timeout_s,
    )
    store = open_store(chosen.database_uri, chosen.store_timeout_s)
    servicer = Servicer(
        store,
        registry,
        objects,
        chosen.s3_bucket,
        chosen.work_dir / "datasets",
        announcer(airflow) if airflow else None,
        bytes_max=bytes_max,
        checker=checker,
    )
    try:
        yield Feedback(servicer, store)
    finally:
        objects.close()
        await store.close()
