"""Files in one bucket of any S3 server, each checked against its SHA-256 on the way in and out.

The bucket keeps nothing about an object but its key and bytes: servers lose user metadata, so none
is used. Knows neither models nor what the keys mean.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import urllib3
from minio import Minio
from minio.deleteobjects import DeleteObject

from services.objects import s3_errors
from services.objects.bucket import PRESIGNED_S, StoredObject
from services.objects.s3_credentials import S3Credentials
from services.objects.verified import (
    READ_BYTES,
    Budget,
    VerifiedReader,
    WrongBytes,
    pieces_checked,
    write_checked,
)
from services.rpc import errors

CALL_TIMEOUT_S = 1.0
LISTING_S_MAX = 30.0
TRANSFER_STALL_S = 10.0
TRANSFER_S_MIN = 60.0
TRANSFER_BYTES_PER_S_MIN = 1 << 20
PART_BYTES = 16 << 20
PARTS_MAX = 10_000
SMALL_BYTES_MAX = 4 << 20
CALLS_MAX, TRANSFERS_MAX = 8, 4

T = TypeVar("T")


class S3ObjectStore:
    """An ObjectStore over the `minio` client, which blocks, so that its calls run in threads.

    Small calls and transfers have threads, connections and timeouts of their own: a long upload
    keeps no small call waiting.
    """

    def __init__(
        self,
        endpoint: str,
        bucket: str,
        credentials: S3Credentials,
        *,
        region: str = "us-east-1",
        timeout_s: float = CALL_TIMEOUT_S,
    ) -> None:
        self._bucket = bucket
        self._timeout_s = timeout_s
        self._small = _client(endpoint, region, credentials, timeout_s, CALLS_MAX)
        self._large = _client(endpoint, region, credentials, TRANSFER_STALL_S, TRANSFERS_MAX)
        self._calls = ThreadPoolExecutor(CALLS_MAX, "s3-call")
        self._transfers = ThreadPoolExecutor(TRANSFERS_MAX, "s3-transfer")

    def close(self) -> None:
        """Lets the threads end after what they are doing."""
        self._calls.shutdown(wait=False, cancel_futures=True)
        self._transfers.shutdown(wait=False, cancel_futures=True)

    async def check(self) -> None:
        """Looks whether the bucket is there."""
        found = await self._call(
            self._bucket, self._timeout_s, lambda: self._small.bucket_exists(self._bucket)
        )
        if not found:
            raise s3_errors.bucket_not_found()

    async def put_file(self, key: str, path: Path, sha256: str) -> None:
        """Stores a file, unless the same bytes are there already.

        An object of the same size is read back and compared: that its key names a digest says
        what it should be, not what it is.
        """
        size_bytes = (await asyncio.to_thread(path.stat)).st_size
        there = await self._size(key)
        await self._transfer(
            key,
            size_bytes * (2 if there == size_bytes else 1),
            lambda budget: self._put(key, path, size_bytes, sha256, budget, there),
        )

    async def get_file(self, key: str, path: Path, sha256: str | None = None) -> None:
        """Fetches an object into a file that appears only whole, and with the digest if named."""
        size_bytes = (await self.stat(key)).size_bytes
        await self._transfer(
            key,
            size_bytes,
            lambda budget: write_checked(path, self._pieces(self._large, key), sha256, budget),
        )

    async def get_bytes(self, key: str, sha256: str | None = None) -> bytes:
        """Fetches an object of at most SMALL_BYTES_MAX, and checks it when its digest is known."""
        if (await self.stat(key)).size_bytes > SMALL_BYTES_MAX:
            raise errors.Internal(f"{key} is too large to hold", reason="OBJECT_TOO_LARGE")
        return await self._transfer(
            key, SMALL_BYTES_MAX, lambda budget: self._bytes(key, sha256, budget)
        )

    async def stat(self, key: str) -> StoredObject:
        """Looks at an object."""
        found = await self._call(
            key, self._timeout_s, lambda: self._small.stat_object(self._bucket, key)
        )
        return StoredObject(key, found.size or 0)

    async def list(self, prefix: str) -> Sequence[StoredObject]:
        """Lists all objects whose keys begin with `prefix`."""
        return await self._call(prefix, LISTING_S_MAX, lambda: self._list(prefix))

    async def list_folders(self, prefix: str) -> Sequence[str]:
        """Lists the names right below `prefix`, which ends in a slash."""
        found = await self._call(
            prefix, LISTING_S_MAX, lambda: list(self._small.list_objects(self._bucket, prefix))
        )
        names = [item.object_name.removeprefix(prefix) for item in found if item.object_name]
        return sorted(name.removesuffix("/") for name in names if name)

    async def presign(self, key: str, expires_s: int = PRESIGNED_S) -> str:
        """Makes the address at which whoever has it can fetch the object for a while."""
        # No call to the server: the region is known, and the rest is arithmetic.
        lifetime = timedelta(seconds=expires_s)
        try:
            return self._small.presigned_get_object(self._bucket, key, lifetime)
        except ValueError as error:
            raise s3_errors.translated(error, key) from error

    async def remove(self, key: str) -> None:
        """Removes an object; one that is not there is fine."""
        await self._call(key, self._timeout_s, lambda: self._small.remove_object(self._bucket, key))

    async def remove_folder(self, prefix: str) -> None:
        """Removes every object below `prefix`, which ends in a slash."""
        await self._call(prefix, LISTING_S_MAX, lambda: self._remove_all(prefix))

    async def _size(self, key: str) -> int | None:
        try:
            return (await self.stat(key)).size_bytes
        except errors.NotFound:
            return None

    def _put(
        self, key: str, path: Path, size_bytes: int, sha256: str, budget: Budget, there: int | None
    ) -> None:
        if there == size_bytes and self._holds(key, sha256, budget):
            return
        with path.open("rb") as file:
            self._large.put_object(
                self._bucket,
                key,
                VerifiedReader(file, size_bytes, sha256, budget),
                size_bytes,
                part_size=max(PART_BYTES, -(-size_bytes // PARTS_MAX)),
                # One after another: some servers want parts in order, and none needs more memory.
                num_parallel_uploads=1,
            )

    def _holds(self, key: str, sha256: str, budget: Budget) -> bool:
        try:
            for _ in pieces_checked(self._pieces(self._large, key), sha256, budget):
                pass
        except WrongBytes:
            return False
        return True

    def _bytes(self, key: str, sha256: str | None, budget: Budget) -> bytes:
        return b"".join(pieces_checked(self._pieces(self._small, key), sha256, budget))

    def _pieces(self, client: Minio, key: str) -> Iterator[bytes]:
        with closing(client.get_object(self._bucket, key)) as response:
            yield from response.stream(READ_BYTES)
            response.release_conn()

    def _list(self, prefix: str) -> Sequence[StoredObject]:
        found = self._small.list_objects(self._bucket, prefix, recursive=True)
        return [StoredObject(item.object_name or "", item.size or 0) for item in found]

    def _remove_all(self, prefix: str) -> None:
        doomed = [DeleteObject(item.key) for item in self._list(prefix)]
        for problem in self._small.remove_objects(self._bucket, doomed):
            raise errors.Internal(
                f"the object store kept {problem.name}", reason="OBJECT_STORE_REFUSED"
            )

    async def _transfer(self, key: str, size_bytes: int, work: Callable[[Budget], T]) -> T:
        budget = Budget(TRANSFER_S_MIN + size_bytes / TRANSFER_BYTES_PER_S_MIN)
        try:
            return await _in_thread(self._transfers, key, lambda: work(budget))
        finally:
            budget.stop()

    async def _call(self, key: str, within_s: float, work: Callable[[], T]) -> T:
        try:
            async with asyncio.timeout(within_s):
                return await _in_thread(self._calls, key, work)
        except TimeoutError:
            raise s3_errors.unavailable() from None


async def _in_thread(pool: ThreadPoolExecutor, key: str, work: Callable[[], T]) -> T:
    try:
        return await asyncio.get_running_loop().run_in_executor(pool, work)
    except s3_errors.FAILURES as error:
        raise s3_errors.translated(error, key) from error


def _client(
    endpoint: str, region: str, credentials: S3Credentials, timeout_s: float, connections: int
) -> Minio:
    parts = urlsplit(endpoint)
    return Minio(
        parts.netloc,
        access_key=credentials.access_key,
        secret_key=credentials.secret_key,
        secure=parts.scheme == "https",
        region=region,
        # No retries here: whoever asked knows how long it may take, and can ask again.
        http_client=urllib3.PoolManager(
            timeout=urllib3.Timeout(connect=min(timeout_s, CALL_TIMEOUT_S), read=timeout_s),
            retries=False,
            maxsize=connections,
        ),
    )
