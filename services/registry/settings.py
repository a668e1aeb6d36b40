"""Settings of the registry, read once at start from `PARLEY_REGISTRY_*`."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from services.rpc.settings import ServerSettings


class Settings(ServerSettings):
    """What the registry can be told."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_prefix="parley_registry_")

    database_uri: str = Field(
        description="PostgreSQL, as postgresql+psycopg://...; passwords by passfile=."
    )
    mlflow_address: str = Field(description="MLflow: unix:/path, or http(s)://host:port.")
    mlflow_token_file: Path | None = Field(None, description="File of MLflow's bearer token.")
    s3_endpoint: str = Field(description="Object store, as http(s)://host:port.")
    s3_region: str = Field("us-east-1", description="Its region.")
    s3_bucket: str = Field("parley", description="The bucket, which is Parley's alone.")
    s3_credentials_file: Path = Field(description="Its keys, in the form of AWS's own file.")
    imports_dir: Path = Field(description="Work folder of imports.")
    import_roots: list[Path] = Field(
        [Path("/")], description="Folders below which local_folder may be imported from, as JSON."
    )
    hub_endpoint: str = Field("https://huggingface.co", description="Where hub ids are looked up.")
    store_timeout_s: float = Field(
        1, gt=0, le=60, description="Longest wait for PostgreSQL, and for one answer of MLflow."
    )
    export_timeout_s: float = Field(3600, gt=0, description="Longest export of one model.")
    import_patience_s: float = Field(
        600, gt=0, description="How long a store may be away before an import fails of it."
    )
    fail_at: str = Field("", description="For tests: the point at which the process dies.")
