"""Settings of a serving replica, read once at start from `PARLEY_SERVING_*`."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from services.rpc.settings import ServerSettings


class Settings(ServerSettings):
    """What a serving replica can be told."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_prefix="parley_serving_")

    model_dir: Path = Field(description="Folder of the model: config, tokenizer, openvino/.")
    model_name: str = Field("", max_length=256, description="Its name; default: the folder's.")
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
    cache_gib: int = Field(1, ge=1, le=1024, description="Memory for the key-value cache, in GiB.")
    threads: int = Field(0, ge=0, le=1024, description="Engine threads; 0 for one per core.")
    prefix_caching: bool = Field(False, description="Keep the cache of shared prompt beginnings.")
    load_timeout_s: float = Field(300, gt=0, description="Longest load of a model.")
    stall_s_min: float = Field(
        4, gt=0, description="Shortest silence of a working engine that counts as stuck."
    )
