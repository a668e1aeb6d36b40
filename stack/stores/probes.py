"""Asks PostgreSQL and the object store whether they take our password and keys, within a bound.

Each gives empty words when all is well, else what is wrong in a few words, which hold no secret.
"""

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from stack.stores import credentials
from stack.stores.where import REGION

if TYPE_CHECKING:
    from minio import Minio

STARTING = "starting"
BAD_PASSWORD = {"28P01", "28000"}
NO_DATABASE = "3D000"
CONNECT_S_MIN = 2  # libpq takes no less
REFUSALS = {
    "AccessDenied": "refuses the keys",
    "InvalidAccessKeyId": "refuses the keys",
    "SignatureDoesNotMatch": "refuses the keys",
}


def ask_postgres(conninfo: str, timeout_s: float) -> str:
    """Whether the server takes a query of that user in that database."""
    import psycopg

    bound = max(CONNECT_S_MIN, int(timeout_s))
    try:
        with psycopg.connect(conninfo, connect_timeout=bound) as connection:
            connection.execute("SELECT 1")
    except psycopg.Error as error:
        return _postgres_words(error)
    return ""


def ask_s3(target: str, key_file: str, timeout_s: float, region: str = REGION) -> str:
    """Whether the server at `target` (endpoint/bucket) takes the keys and has the bucket."""
    import urllib3
    from minio.error import MinioException, S3Error

    endpoint, _, bucket = target.rpartition("/")
    try:
        there = s3_client(endpoint, Path(key_file), timeout_s, region).bucket_exists(bucket)
    except S3Error as error:
        return REFUSALS.get(error.code, f"answers {error.code}")
    except urllib3.exceptions.HTTPError:
        return STARTING
    except (MinioException, ValueError, OSError) as error:
        return f"does not answer as S3 does ({type(error).__name__})"
    return "" if there else f"has no bucket {bucket}"


def s3_client(
    endpoint: str, key_file: Path, timeout_s: float, region: str = "us-east-1"
) -> "Minio":
    """A client that tries once. Raises StackError for a file without keys."""
    import urllib3
    from minio import Minio

    access, secret = credentials.read_s3(key_file)
    parts = urlsplit(endpoint)
    pool = urllib3.PoolManager(timeout=urllib3.Timeout(total=timeout_s), retries=False)
    return Minio(
        parts.netloc,
        access_key=access,
        secret_key=secret,
        secure=parts.scheme == "https",
        region=region,
        http_client=pool,
    )


def _postgres_words(error: "Exception") -> str:
    state = getattr(error, "sqlstate", None)
    said = str(error)
    if state in BAD_PASSWORD or "password authentication failed" in said:
        return "refuses the password"
    if "no password supplied" in said:
        return "asks for a password, and none is named"
    if state == NO_DATABASE or ("database " in said and "does not exist" in said):
        return "has no such database"
    return STARTING
