"""How a service reads its settings: once, from the environment, into one frozen object.

Secrets never come this way: a setting names the file that holds one. A bad or missing value ends
the process with the variable's name, before any port opens.
"""

import sys
from pathlib import Path
from typing import TypeVar

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

EXIT_BAD_SETTINGS = 78  # EX_CONFIG of BSD's sysexits.h


class ServerSettings(BaseSettings):
    """What every gRPC server can be told."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    address: str = Field(description="Where to listen: unix:/path or 127.0.0.1:port.")
    metrics_port: int = Field(
        0, ge=0, le=65535, description="Loopback port of /metrics; 0 for none."
    )
    drain_s: float = Field(
        25, ge=0, le=3600, description="Longest wait for running RPCs on SIGTERM."
    )
    health_interval_s: float = Field(
        1,
        ge=0,
        le=60,
        description="How often the proxy asks for health; a drain waits this long first.",
    )
    message_bytes_max: int = Field(
        2 << 20, ge=1 << 10, le=64 << 20, description="Largest message taken."
    )
    send_timeout_s: float = Field(
        60, gt=0, le=3600, description="Longest wait for a reader that takes nothing of a stream."
    )
    streams_max: int = Field(1000, ge=1, description="Most RPCs at a time on one connection.")


S = TypeVar("S", bound=BaseSettings)


def read(kind: type[S]) -> S:
    """Reads settings of `kind` from the environment, or ends the process naming what is wrong."""
    try:
        return kind()
    except ValidationError as error:
        prefix = kind.model_config.get("env_prefix", "")
        for problem in error.errors():
            place = "_".join(str(part) for part in problem["loc"])
            name = f"{prefix}{place}".upper().rstrip("_")
            sys.stderr.write(f"parley: {name}: {problem['msg']}\n")
        raise SystemExit(EXIT_BAD_SETTINGS) from None


def secret(path: Path) -> str:
    """Reads a secret from its file, which must hold one and must not be open to others.

    Raises ValueError naming the file and the mend.
    """
    if path.stat().st_mode & 0o077:
        raise ValueError(f"{path} can be read by others; run: chmod 600 {path}")
    value = path.read_text(encoding="utf-8").strip()
    if not value:
        raise ValueError(f"{path} is empty; delete it and start again to make a new secret")
    return value
