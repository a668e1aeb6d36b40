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
    mesh_address: str = Field(
        "", description="The mesh, as unix:/path or host:port; without it there are no canaries."
    )
    canary_answers_min: int = Field(
        20, ge=1, description="Fewer answers than this are too few to judge a canary by."
    )
    canary_failures_min: int = Field(
        3, ge=1, description="Fewer failures of a canary than this are taken for accidents."
    )
    canary_error_margin: float = Field(
        0.02, ge=0, le=1, description="How far its error rate may lie above the champion's."
    )
    canary_first_token_ratio: float = Field(
        2.0, ge=1, description="How many times the champion's mean time to the first token it has."
    )
    canary_next_token_ratio: float = Field(
        1.5, ge=1, description="The same of the mean time between two tokens."
    )
    canary_ready_s: float = Field(
        300, gt=0, description="How long no replica may have it ready before it is rolled back."
    )
    canary_idle_s: float = Field(
        600, ge=0, description="How long a step goes on past its end for want of answers."
    )
    canary_blind_s: float = Field(
        120, gt=0, description="How long the mesh may be away before canaries are rolled back."
    )
    fail_at: str = Field("", description="For tests: the point at which the process dies.")
