"""Settings of a serving replica, read once at start from `PARLEY_SERVING_*`."""

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator
from pydantic_settings import SettingsConfigDict

from services.rpc.settings import ServerSettings
from services.serving.cores import machine_cores
from services.serving.remote.dialects import Kind

UNIX = "unix:"
# A message costs all processes of the mesh together 0.6 ms of a core, so these cost 6 % of it
# (`./parley bench`, 32 million parameters, 16 streams).
MESSAGES_PER_CORE_S = 100


class Settings(ServerSettings):
    """What a serving replica can be told."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_prefix="parley_serving_")

    model_dir: Path | None = Field(
        None, description="Folder of the one model: config, tokenizer, openvino/."
    )
    model_name: str = Field("", max_length=256, description="Its name; default: the folder's.")
    registry_address: str = Field(
        "",
        description="In place of a folder, the registry that says what to serve: unix:/path, or "
        "another host's mesh.",
    )
    remote_url: str = Field(
        "",
        pattern=r"^(https?://[^\s/?#@]+(/[^\s?#]*)?)?$",
        description="In place of both, a server with OpenAI's HTTP interface.",
    )
    remote_key_file: Path | None = Field(None, description="File of that server's key.")
    remote_model: str = Field(
        "", max_length=256, description="What it calls the model; default: its only one."
    )
    remote_kind: Kind = Field(
        "auto", description="What it is, which says what it can take; default: by its models."
    )
    remote_version: str = Field(
        "",
        pattern=r"^[A-Za-z0-9._-]{0,64}$",
        description="Version to name in answers; default: the server's, or of its model's name.",
    )
    remote_digest: str = Field(
        "", pattern=r"^([0-9a-f]{64})?$", description="Digest of its files, where it is known."
    )
    remote_connect_timeout_s: float = Field(
        5, gt=0, le=60, description="Longest wait for a connection to that server."
    )
    remote_read_timeout_s: float = Field(
        120, gt=0, le=3600, description="Longest wait for that server's first words."
    )
    remote_silence_s: float = Field(
        30, gt=0, le=3600, description="Longest silence of that server behind its first words."
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
    queue_wait_s_max: float = Field(
        5, gt=0, le=3600, description="Longest wait for the engine that a request is taken on for."
    )
    batch_tokens_max: int = Field(
        512, ge=16, description="Most tokens in one engine step; long prompts are split."
    )
    message_interval_s_min: float = Field(
        0.025, ge=0, le=1, description="Shortest time between two messages of one stream."
    )
    cores: float = Field(
        0,
        ge=0,
        le=1024,
        description="How many of the machine's cores it counts on; 0 for all.",
    )
    messages_per_s_max: float = Field(
        0,
        ge=0,
        description="Most messages a second of all streams; tokens wait for each other. 0 for "
        f"{MESSAGES_PER_CORE_S} for each core.",
    )
    cache_gib: int = Field(
        1, ge=1, le=1024, description="Memory for each version's key-value cache, in GiB."
    )
    threads: int = Field(0, ge=0, le=1024, description="Engine threads; 0 for one for each core.")
    prefix_caching: bool = Field(
        True,
        description="Whether what was computed of a prompt is kept for others that begin alike.",
    )
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
        None, description="File of the mesh's own key, where the mesh is another host's."
    )
    advertise: str = Field(
        "", description="Where proxies reach it; by default its own address, if that is unix:/path."
    )

    @model_validator(mode="after")
    def _has_one_source(self) -> Self:
        if self.registry_address and self.cache_dir is None:
            raise ValueError("PARLEY_SERVING_CACHE_DIR must be set with a registry")
        sources = (self.model_dir is not None, self.registry_address, self.remote_url)
        if sum(map(bool, sources)) != 1:
            raise ValueError(
                "set exactly one of PARLEY_SERVING_MODEL_DIR, PARLEY_SERVING_REGISTRY_ADDRESS and "
                "PARLEY_SERVING_REMOTE_URL"
            )
        return self

    @model_validator(mode="after")
    def _can_join(self) -> Self:
        if self.mesh_address and not self.name:
            raise ValueError("PARLEY_SERVING_NAME must be set with a mesh")
        if self.mesh_address and not self.reached_at:
            raise ValueError("PARLEY_SERVING_ADVERTISE must be set: where proxies reach this")
        return self

    @property
    def engine_threads(self) -> int:
        """Threads of each engine; 0 leaves them to it, which takes the whole machine's cores."""
        return self.threads or (max(1, round(self.cores)) if self.cores else 0)

    @property
    def message_rate_max(self) -> float:
        """Most messages a second of each engine."""
        return self.messages_per_s_max or MESSAGES_PER_CORE_S * (self.cores or machine_cores())

    @property
    def reached_at(self) -> str:
        """Where proxies reach it; empty where that is not known."""
        return self.advertise or (self.address if self.address.startswith(UNIX) else "")
