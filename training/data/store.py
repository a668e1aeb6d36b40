"""Parley's bucket: datasets by digest, model folders by digest, files of any key.

Reads are checked against the digest that is asked for. Knows nothing of what the files mean.
"""

import configparser
import hashlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import urllib3
from minio import Minio
from minio.error import InvalidResponseError, S3Error, ServerError

from training.errors import JobFailure, Unavailable
from training.settings import TrainingSettings, secret

DATASETS = "datasets/sha256/"
MODELS = "models/"
"""Where the registry keeps a version's source files, below their digest."""
_READ_BYTES = 1 << 20
_PART_BYTES = 16 << 20
_STALL_S = 10.0
_MISSING = {"NoSuchKey", "NoSuchBucket", "NoSuchObject"}
_NOT_FOUND = "Response code: 404"


class Store:
    """One bucket of any S3 server. Raises Unavailable when it does not answer."""

    def __init__(self, client: Minio, bucket: str) -> None:
        self._client = client
        self.bucket = bucket

    def put(self, key: str, path: Path) -> str:
        """Stores a file and returns its s3:// address; a file of the same size is left alone.

        For keys that name a digest: the same key means the same bytes.
        """
        size_bytes = path.stat().st_size
        with _translated(key):
            if self._size(key) != size_bytes:
                with path.open("rb") as file:
                    self._client.put_object(
                        self.bucket, key, file, size_bytes, part_size=_PART_BYTES
                    )
        return f"s3://{self.bucket}/{key}"

    def replace(self, key: str, path: Path) -> str:
        """Stores a file in place of what was there, and returns its s3:// address."""
        with _translated(key), path.open("rb") as file:
            self._client.put_object(
                self.bucket, key, file, path.stat().st_size, part_size=_PART_BYTES
            )
        return f"s3://{self.bucket}/{key}"

    def get(self, key: str, path: Path, bytes_max: int, bucket: str = "") -> str:
        """Fetches an object into a file, which appears whole, and returns its SHA-256.

        Raises JobFailure when there is none, or when it is larger than `bytes_max`.
        """
        found = hashlib.sha256()
        size_bytes = 0
        part = path.with_name(path.name + ".part")
        with _translated(key), part.open("wb") as file:
            for piece in self._pieces(bucket or self.bucket, key):
                size_bytes += len(piece)
                if size_bytes > bytes_max:
                    raise JobFailure(
                        "OBJECT_TOO_LARGE", f"{key} is larger than {bytes_max >> 20} MiB."
                    )
                found.update(piece)
                file.write(piece)
        part.rename(path)
        return found.hexdigest()

    def has(self, key: str) -> bool:
        """Whether there is an object."""
        with _translated(key):
            return self._size(key) is not None

    def list(self, prefix: str) -> list[str]:
        """The keys that begin with `prefix`, without it."""
        with _translated(prefix):
            items = self._client.list_objects(self.bucket, prefix, recursive=True)
            return sorted((item.object_name or "").removeprefix(prefix) for item in items)

    def _pieces(self, bucket: str, key: str) -> Iterator[bytes]:
        with closing(self._client.get_object(bucket, key)) as response:
            yield from response.stream(_READ_BYTES)
            response.release_conn()

    def _size(self, key: str) -> int | None:
        try:
            return self._client.stat_object(self.bucket, key).size
        except S3Error as error:
            if error.code in _MISSING:
                return None
            raise


def open_store(settings: TrainingSettings) -> Store:
    """The store that the settings name. Raises JobFailure when they name none."""
    if not settings.s3_endpoint or settings.s3_credentials_file is None:
        raise JobFailure(
            "NO_OBJECT_STORE", "this Parley has no object store: start it with one and try again."
        )
    parts = urlsplit(settings.s3_endpoint)
    access_key, secret_key = _keys(settings.s3_credentials_file)
    client = Minio(
        parts.netloc,
        access_key=access_key,
        secret_key=secret_key,
        secure=parts.scheme == "https",
        region=settings.s3_region,
        http_client=urllib3.PoolManager(
            timeout=urllib3.Timeout(connect=2.0, read=_STALL_S), retries=False
        ),
    )
    return Store(client, settings.s3_bucket)


@contextmanager
def _translated(key: str) -> Iterator[None]:
    try:
        yield
    except S3Error as error:
        if error.code in _MISSING:
            raise _missing(key) from error
        raise Unavailable(f"the object store refused {key}: {error.code}") from error
    except InvalidResponseError as error:
        # XML that does not say that it is; the status is in the client's words alone.
        if _NOT_FOUND in str(error):
            raise _missing(key) from error
        raise Unavailable(f"the object store does not speak as S3 does of {key}") from error
    except ServerError as error:
        raise Unavailable(f"the object store failed at {key}: {error.status_code}") from error
    except urllib3.exceptions.HTTPError as error:
        raise Unavailable("the object store does not answer") from error


def _missing(key: str) -> JobFailure:
    words = f"there is no {key} in the object store: check its name."
    return JobFailure("OBJECT_NOT_FOUND", words)


def _keys(path: Path) -> tuple[str, str]:
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(secret(path))
        keys = parser["default"]
        return keys["aws_access_key_id"], keys["aws_secret_access_key"]
    except (configparser.Error, KeyError):
        # The parser's own words would quote the line, which may hold the secret.
        raise ValueError(
            f"{path} must hold aws_access_key_id and aws_secret_access_key under [default]"
        ) from None
