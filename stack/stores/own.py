"""The user's own stores, as `parley.toml` in the state folder names them.

What is named there is used and never started. Knows what the file may say, not what is at the
addresses in it; `./parley doctor` looks there.
"""

import tomllib
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from stack.errors import Exit, StackError
from stack.home import Home, check_private

POSTGRES_SCHEMES = {"postgresql", "postgresql+psycopg", "postgres"}


class _Strict(BaseModel):
    """Unknown names are mistakes; values stay out of what pydantic says, for some are secret."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class OwnPostgres(_Strict):
    """Databases of a PostgreSQL 14 or newer, as URIs. They may hold passwords."""

    uri_parley: str = Field(repr=False)
    uri_mlflow: str = Field("", repr=False)
    uri_airflow: str = Field("", repr=False)

    @field_validator("uri_parley", "uri_mlflow", "uri_airflow")
    @classmethod
    def _postgres_uri(cls, uri: str) -> str:
        try:
            url = make_url(uri)
        except ArgumentError:
            url = None
        if url is None or url.drivername not in POSTGRES_SCHEMES or not url.database:
            raise ValueError("must be postgresql://USER:PASSWORD@HOST:PORT/DATABASE")
        return uri


class OwnS3(_Strict):
    """An S3 server and a bucket in it. The keys are in a file of the AWS form."""

    endpoint: str
    bucket: str = Field(min_length=3, max_length=63)
    credentials_file: Path
    region: str = "us-east-1"

    @field_validator("endpoint")
    @classmethod
    def _http(cls, endpoint: str) -> str:
        return _http_address(endpoint)


class OwnMlflow(_Strict):
    """An MLflow 3.15 or newer. The token is sent as a bearer."""

    uri: str
    token_file: Path | None = None

    @field_validator("uri")
    @classmethod
    def _http(cls, uri: str) -> str:
        return _http_address(uri)


class OwnWandb(_Strict):
    """How jobs use Weights & Biases: by default offline, on this machine alone."""

    mode: Literal["offline", "online", "disabled"] = "offline"
    base_url: str = ""
    key_file: Path | None = None
    entity: str = ""
    project: str = "parley"

    @field_validator("base_url")
    @classmethod
    def _http(cls, base_url: str) -> str:
        return _http_address(base_url) if base_url else ""


class Own(_Strict):
    """All that the user has; None for what Parley starts itself."""

    postgres: OwnPostgres | None = None
    s3: OwnS3 | None = None
    mlflow: OwnMlflow | None = None
    wandb: OwnWandb | None = None


def read(home: Home) -> Own:
    """What `parley.toml` says; nothing of the user's where there is none.

    Raises StackError naming the file, the place in it and the mend.
    """
    path = home.own_stores
    try:
        check_private(path)
        values = tomllib.loads(path.read_text(encoding="utf-8"))
        own = Own.model_validate(values)
    except FileNotFoundError:
        return Own()
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise _wrong(path, f"is not TOML: {error}.") from None
    except ValidationError as error:
        raise _wrong(path, _words(error)) from None
    if own.postgres and not own.postgres.uri_mlflow and not own.mlflow:
        raise _wrong(path, "names no [postgres] uri_mlflow, which Parley's MLflow needs.")
    return own


def _http_address(address: str) -> str:
    parts = urlsplit(address)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must be http://HOST:PORT or https://HOST:PORT")
    if parts.username or parts.password:
        raise ValueError("must not hold a password: name a file instead")
    return address.rstrip("/")


def _words(error: ValidationError) -> str:
    """The first mistake, in the file's own terms."""
    first = error.errors(include_url=False, include_input=False)[0]
    place = [str(part) for part in first["loc"]]
    where = f"[{place[0]}] {'.'.join(place[1:])}".rstrip()
    if first["type"] == "extra_forbidden":
        return f"has an unknown name: {where}."
    if first["type"] == "missing":
        return f"lacks {where}."
    return f"has a wrong value at {where}: {first['msg'].removeprefix('Value error, ')}."


def _wrong(path: Path, what: str) -> StackError:
    return StackError(
        f"{path} {what}",
        mend="It may have [postgres] uri_parley, uri_mlflow, uri_airflow; [s3] endpoint, region,\n"
        "bucket, credentials_file; [mlflow] uri, token_file; [wandb] mode, base_url, key_file,\n"
        "entity, project. Without it Parley starts its own.",
        code=Exit.USAGE,
    )
