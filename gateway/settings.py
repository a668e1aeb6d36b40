"""What the facade can be told, read once from `PARLEY_GATEWAY_*`.

Secrets are files named here; their values are read by `services.rpc.settings.secret`.
"""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class GatewaySettings(BaseSettings):
    """All settings of the facade. Frozen."""

    model_config = SettingsConfigDict(env_prefix="PARLEY_GATEWAY_", frozen=True, extra="ignore")

    address: str = Field(description="Where to listen: unix:/path or host:port.")
    mesh_address: str = Field(description="The mesh listener: host:port or unix:/path.")
    mesh_key_file: Path = Field(description="File of the key that the mesh listener wants.")
    page_key_file: Path = Field(description="File of the key that the page's cookie holds.")
    login_tokens_dir: Path = Field(description="Folder of unused one-time tokens.")
    chat_dir: Path = Field(description="The built page: index.html and assets/.")
    metrics_port: int = Field(
        0, ge=0, le=65535, description="Loopback port of /metrics; 0 for none."
    )
    deadline_s: float = Field(600, ge=1, le=86_400, description="Longest life of one generation.")
    retry_s: float = Field(
        5, ge=0, le=60, description="How long UNAVAILABLE is retried before a generation starts."
    )
    resume_s: float = Field(
        10, ge=0, le=60, description="How long an answer that lost its replica waits for another."
    )
    silence_s: float = Field(
        4.5,
        gt=0,
        le=3600,
        description="Longest silence of a replica between two tokens before another one goes on.",
    )
    affinity_s: float = Field(
        600,
        ge=0,
        le=86_400,
        description="How long the facade knows which replica holds a conversation; 0 for never.",
    )
    affinity_margin: int = Field(
        4,
        ge=0,
        le=1000,
        description="How many calls more than the least busy replica that one may have.",
    )
    first_event_wait_s: float = Field(
        5,
        ge=0,
        le=60,
        description="How long a stream waits for admission before it sends 200 and keep-alives.",
    )
    keepalive_s: float = Field(
        10, gt=0, le=60, description="Longest silence of a stream before a keep-alive comment."
    )
    send_timeout_s: float = Field(
        30, gt=0, le=3600, description="Longest wait for a reader who takes nothing of an answer."
    )
    traces_address: str = Field(
        "", description="MLflow for spans of chats: unix:/path or an http URL; empty for none."
    )
    traces_token_file: Path | None = Field(
        None, description="File of the token that MLflow wants; none by default."
    )
    traces_share: float = Field(
        0.1, ge=0, le=1, description="Share of generations that become spans."
    )
    traces_content: bool = Field(
        False, description="Whether spans hold prompts and answers, which MLflow then keeps."
    )
    drain_s: float = Field(25, ge=0, le=3600, description="Longest wait for answers on SIGTERM.")
    body_bytes_max: int = Field(1 << 20, ge=1 << 10, le=1 << 20, description="Largest body taken.")
    body_s: float = Field(30, gt=0, le=600, description="Longest wait for a whole body.")
    generations_max: int = Field(
        1000, ge=1, le=1000, description="Most generations at a time; the mesh takes 1000 too."
    )
