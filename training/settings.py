"""What the tasks of jobs can be told: read once, from the environment.

Secrets never come this way: a setting names the file that holds one.
"""

import sys
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

EXIT_BAD_SETTINGS = 78  # EX_CONFIG of BSD's sysexits.h


class TrainingSettings(BaseSettings):
    """Where the tasks work, and whom they ask."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_prefix="parley_training_")

    work_dir: Path = Field(description="Folder of the tasks' files; one folder in it for each job.")
    jobs_address: str = Field("", description="Jobs, as unix:/path or host:port; empty for none.")
    registry_address: str = Field("", description="The registry, as unix:/path or host:port.")
    mesh_address: str = Field("", description="Who answers Generate, as unix:/path or host:port.")
    mesh_key_file: Path | None = Field(None, description="File with the API key for the mesh.")
    s3_endpoint: str = Field("", description="The object store, as http://host:port.")
    s3_region: str = Field("us-east-1", description="Its region.")
    s3_bucket: str = Field("parley", description="Parley's bucket in it.")
    s3_credentials_file: Path | None = Field(None, description="AWS credentials file, [default].")
    mlflow_url: str = Field("", description="MLflow, as http://host:port; empty for none.")
    mlflow_key_file: Path | None = Field(None, description="File with the API key for MLflow.")
    wandb_mode: Literal["offline", "online", "disabled"] = Field(
        "offline", description="Whether runs are told to W&B, and where they are kept."
    )
    wandb_dir: Path | None = Field(None, description="Folder of all that W&B writes.")
    wandb_base_url: str = Field("", description="A W&B server of one's own; empty for the public.")
    wandb_key_file: Path | None = Field(None, description="File with the API key for W&B.")
    wandb_entity: str = Field("", description="Whose W&B project; empty for the key's owner.")
    wandb_project: str = Field("parley", description="The W&B project.")
    starter: str = Field("parley-starter", description="The model to begin with by default.")
    threads: int = Field(2, ge=1, le=256, description="Threads that a training computes with.")
    checkpoint_s: float = Field(20, gt=0, le=3600, description="Time between two checkpoints.")


def read() -> TrainingSettings:
    """Reads the settings, or ends the process naming what is wrong."""
    try:
        return TrainingSettings()
    except ValidationError as error:
        for problem in error.errors():
            name = "_".join(["parley_training", *(str(part) for part in problem["loc"])]).upper()
            sys.stderr.write(f"parley: {name}: {problem['msg']}\n")
        raise SystemExit(EXIT_BAD_SETTINGS) from None


def secret(path: Path) -> str:
    """Reads a secret from its file. Raises ValueError when others can read it, or it is empty."""
    if path.stat().st_mode & 0o077:
        raise ValueError(f"{path} can be read by others; run: chmod 600 {path}")
    value = path.read_text(encoding="utf-8").strip()
    if not value:
        raise ValueError(f"{path} is empty; delete it and start again to make a new secret")
    return value
