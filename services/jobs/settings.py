"""Settings of the jobs service, read once at start from `PARLEY_JOBS_*`."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from services.rpc.settings import ServerSettings


class Settings(ServerSettings):
    """What the jobs service can be told."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_prefix="parley_jobs_")

    database_uri: str = Field(
        description="PostgreSQL, as postgresql+psycopg://...; passwords by passfile=."
    )
    airflow_url: str = Field("", description="Airflow's API server, as http://...; empty for none.")
    airflow_user: str = Field("", description="Its user that runs our DAGs.")
    airflow_password_file: Path | None = Field(None, description="File of that user's password.")
    registry_address: str = Field(description="The registry: unix:/path, or host:port.")
    mlflow_address: str = Field(description="MLflow: unix:/path, or http(s)://host:port.")
    mlflow_token_file: Path | None = Field(None, description="File of MLflow's bearer token.")
    s3_endpoint: str = Field(description="Object store, as http(s)://host:port.")
    s3_region: str = Field("us-east-1", description="Its region.")
    s3_bucket: str = Field("parley", description="The bucket, which is Parley's alone.")
    s3_credentials_file: Path = Field(description="Its keys, in the form of AWS's own file.")
    starter: str = Field("parley-starter", description="The model that training begins with.")
    work_dir: Path = Field(description="Where the tasks of a job keep their work.")
    data_roots: list[Path] = Field(
        [Path("/")], description="Folders below which data on this machine may be read, as JSON."
    )
    dataset_bytes_max: int = Field(
        64 << 20, ge=1 << 10, le=256 << 20, description="Largest dataset that is taken or made."
    )
    store_timeout_s: float = Field(
        1, gt=0, le=60, description="Longest wait for PostgreSQL, and for one answer of a peer."
    )
    poll_s: float = Field(1, gt=0, le=60, description="How often Airflow is looked at.")
    idle_poll_s: float = Field(
        5, gt=0, le=60, description="The same while nothing runs; what is submitted ends the wait."
    )
    jobs_max: int = Field(200, ge=1, le=10_000, description="Most jobs that have not ended.")
    fail_at: str = Field("", description="For tests: the point at which the process dies.")
