"""Looks after every canary once a second, until it is champion or rolled back.

All that it knows of a canary is in its row, so that a registry that was killed goes on where it
was, and several registries may run: each look is one transaction that holds the model's row.
"""

import asyncio
import time
from contextlib import suppress
from typing import Protocol

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from services.registry import catalog
from services.registry.alignment import Alignment
from services.registry.canary import acts
from services.registry.canary.judging import Limits
from services.registry.canary.mesh import Reports
from services.registry.canary.steps import Look
from services.registry.model import Promotion, PromotionState
from services.registry.watch import Watch
from services.rpc.errors import ParleyError
from services.rpc.store import Store

log = structlog.get_logger()

INTERVAL_S = 1.0
# While there is no canary; one that begins here wakes the driver, this is for another registry's.
IDLE_S = 5.0


class Mesh(Protocol):
    """Who knows what each replica has done."""

    async def look(self) -> Reports:
        """Gets the reports by model. Raises ParleyError."""


class Driver:
    """Moves canaries. Without a `mesh` those that there are roll back for want of figures."""

    def __init__(
        self, store: Store, mesh: Mesh | None, limits: Limits, watch: Watch, alignment: Alignment
    ) -> None:
        self._store = store
        self._mesh = mesh
        self._limits = limits
        self._watch = watch
        self._alignment = alignment
        self._told = asyncio.Event()
        self._heard_s = time.monotonic()

    @property
    def watches(self) -> bool:
        """Whether a canary can be looked after."""
        return self._mesh is not None

    def wake(self) -> None:
        """Says that a canary may have begun; call it after the commit."""
        self._told.set()

    async def run(self) -> None:
        """Looks every second, or seldom while there is nothing to see, until cancelled."""
        while True:
            interval_s = INTERVAL_S
            try:
                if not await self.look():
                    interval_s = IDLE_S
            except ParleyError as error:
                log.warning("canaries not looked after", reason=error.reason)
            except Exception:
                log.exception("canaries not looked after")
            with suppress(TimeoutError):
                async with asyncio.timeout(interval_s):
                    await self._told.wait()
            self._told.clear()

    async def look(self) -> bool:
        """Looks at each canary once, and says whether there is one. Raises ParleyError when the
        database is away."""
        running = await self._store.run(
            lambda tx: catalog.list_promotions(tx, [PromotionState.CANARY])
        )
        if not running:
            self._heard_s = time.monotonic()
            return False
        reports = await self._ask()
        blind_s = time.monotonic() - self._heard_s
        for promotion in running:
            mine = None if reports is None else reports.get(promotion.model, [])
            try:
                await self._drive(promotion, Look(mine, blind_s=blind_s))
            except ParleyError as error:
                log.warning("canary held", model=promotion.model, reason=error.reason)
        return True

    async def _ask(self) -> Reports | None:
        if self._mesh is None:
            return None
        try:
            reports = await self._mesh.look()
        except ParleyError as error:
            log.warning("mesh not heard", reason=error.reason)
            return None
        self._heard_s = time.monotonic()
        return reports

    async def _drive(self, before: Promotion, look: Look) -> None:
        async def work(tx: AsyncConnection) -> Promotion | None:
            check = self._alignment.check_version
            return await acts.drive(tx, before.id, look, self._limits, check)

        promotion = await self._store.run(work)
        if promotion is None or promotion.revision == before.revision:
            return
        self._watch.tell()
        log.info(
            "canary moved",
            model=promotion.model,
            number=promotion.number,
            state=promotion.state,
            step=promotion.canary and promotion.canary.step,
            verdict=promotion.canary and promotion.canary.verdict,
        )
        if promotion.state is PromotionState.DONE:
            await self._alignment.try_align(promotion.model)
