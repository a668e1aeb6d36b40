"""Settings of the mesh, read once at start from `PARLEY_MESH_*`."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from services.rpc.settings import ServerSettings


class Settings(ServerSettings):
    """What the mesh can be told."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_prefix="parley_mesh_")

    registry_address: str = Field(
        "",
        description="The registry, which says how traffic is spread; empty for none.",
    )
    jobs: bool = Field(False, description="Whether proxies know a jobs' service.")
    snapshot_dir: Path = Field(
        description="Where what proxies were told last is kept, for when this process is away."
    )
    interval_s: float = Field(
        1, gt=0, le=60, description="How often replicas report; three times this is silence."
    )
    coalesce_s: float = Field(
        0.03, ge=0, le=1, description="How long what is more waits for more of its kind."
    )
