"""Settings of a serving replica, read once at start from `PARLEY_SERVING_*`."""

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator
from pydantic_settings import SettingsConfigDict

from services.rpc.settings import ServerSettings

UNIX = "unix:"


class Settings(ServerSettings):
    """What a serving replica can be told."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_prefix="parley_serving_")

    model_dir: Path | None = Field(
        None, description="Folder of the one model: config, tokenizer, openvino/."
    )
    model_name: str = Field("", max_length=256, description="Its name; default: the folder's.")
    registry_address: str = Field(
        "", description="In place of a folder, the registry that says what to serve: unix:/path."
    )
    cache_dir: Path | None = Field(
        None, description="Where the files of the registry's versions are kept."
    )
    cache_disk_gib: float = Field(20, gt=0, description="Most that these files may take, in GiB.")
    memory_gib: float = Field(
        0, ge=0, description="Most memory for all engines, in GiB; 0 for half of the machine's."
    )
    fetch_timeout_s: float = Field(1800, gt=0, description="Longest fetch of a version's files.")
    unload_s: float = Field(
        300, ge=0, description="Longest wait for the streams of a version that is to go."
    )
    sequences_max: int = Field(64, ge=1, le=1024, description="Most sequences in the engine.")
    queue_sequences_max: int = Field(
        256, ge=1, description="Most sequences in the engine and waiting together."
    )
    queue_tokens_max: int = Field(
        262_144, ge=1, description="Most prompt and answer tokens promised at a time."
    )
    batch_tokens_max: int = Field(
        512, ge=16, description="Most tokens in one engine step; long prompts are split."
    )
    message_interval_s_min: float = Field(
        0.025, ge=0, le=1, description="Shortest time between two messages of one stream."
    )
    messages_per_s_max: float = Field(
        400, gt=0, description="Most messages a second of all streams; tokens wait for each other."
    )
    cache_gib: int = Field(
        1, ge=1, le=1024, description="Memory for each version's key-value cache, in GiB."
    )
    threads: int = Field(0, ge=0, le=1024, description="Engine threads; 0 for one per core.")
    prefix_caching: bool = Field(False, description="Keep the cache of shared prompt beginnings.")
    load_timeout_s: float = Field(300, gt=0, description="Longest load of a model.")
    stall_s_min: float = Field(
        4, gt=0, description="Shortest silence of a working engine that counts as stuck."
    )
    name: str = Field(
        "",
        pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]{0,63})?$",
        description="Its name in the mesh, unique there.",
    )
    mesh_address: str = Field(
        "", description="The mesh to join: unix:/path, or another host's listener; empty for none."
    )
    mesh_key_file: Path | None = Field(
        None, description="File of the key for the mesh, where that is another host's."
    )
    advertise: str = Field(
        "", description="Where proxies reach it; by default its own address, if that is unix:/path."
    )

    @model_validator(mode="after")
    def _has_one_source(self) -> Self:
        if self.registry_address and self.cache_dir is None:
            raise ValueError("PARLEY_SERVING_CACHE_DIR must be set with a registry")
        if (self.model_dir is None) == (not self.registry_address):
            raise ValueError("set PARLEY_SERVING_MODEL_DIR or PARLEY_SERVING_REGISTRY_ADDRESS")
        return self

    @model_validator(mode="after")
    def _can_join(self) -> Self:
        if self.mesh_address and not self.name:
            raise ValueError("PARLEY_SERVING_NAME must be set with a mesh")
        if self.mesh_address and not self.reached_at:
            raise ValueError("PARLEY_SERVING_ADVERTISE must be set: where proxies reach this")
        return self

    @property
    def reached_at(self) -> str:
        """Where proxies reach it; empty where that is not known."""
        return self.advertise or (self.address if self.address.startswith(UNIX) else "")
