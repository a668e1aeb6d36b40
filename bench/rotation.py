"""How many replicas Envoy would call, as Envoy itself says."""

import asyncio
import time
from pathlib import Path
from typing import Self

import httpx

from stack.plan import ENVOY_ADMIN
from stack.up import Running

POLL_S = 0.1
ANSWER_WITHIN_S = 2.0
HEALTHY = "cluster.serving.membership_healthy"


class Envoy:
    """Asks Envoy over its admin socket how many replicas it would call."""

    def __init__(self, admin: Path) -> None:
        """`admin` is its admin socket."""
        transport = httpx.AsyncHTTPTransport(uds=str(admin))
        self._http = httpx.AsyncClient(
            transport=transport, base_url="http://envoy", timeout=ANSWER_WITHIN_S
        )

    @classmethod
    def of(cls, running: Running) -> Self:
        """That of a stack."""
        return cls(running.plan.home.socket(ENVOY_ADMIN))

    async def healthy(self) -> int:
        """How many; 0 when it does not answer."""
        try:
            said = await self._http.get("/stats", params={"filter": f"^{HEALTHY}$"})
        except httpx.HTTPError:
            return 0
        return int(said.text.split(":")[1]) if ":" in said.text else 0

    async def until(self, replicas: int, within_s: float) -> bool:
        """Waits until it would call so many; False past the bound."""
        until_s = time.monotonic() + within_s
        while await self.healthy() != replicas:
            if time.monotonic() > until_s:
                return False
            await asyncio.sleep(POLL_S)
        return True

    async def close(self) -> None:
        """Closes the connection."""
        await self._http.aclose()
