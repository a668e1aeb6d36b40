"""What replicas should serve, told to everyone who watches as soon as it changes.

Changes of this process are told at once; those of another are found within `POLL_S` by the
revision. With the database away, watchers keep what they have, and new ones get the last state.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

from sqlalchemy.ext.asyncio import AsyncConnection

from services.registry import audit, catalog
from services.registry.model import Model, Served, ServedModel, ServedVersion, Version
from services.rpc.errors import Unavailable
from services.rpc.store import Store

POLL_S = 1.0
MODELS_MAX = 1000
# An empty registry's is 0.
NO_REVISION = -1


class Watch:
    """The newest state, and those who wait for a newer one."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._served: Served | None = None
        self._changed = asyncio.Event()
        self._told = asyncio.Event()
        self._closed = False
        # So that an older state never comes after a newer one.
        self._one = asyncio.Lock()

    def tell(self) -> None:
        """Says that something was changed; call it after the commit."""
        self._told.set()

    def close(self) -> None:
        """Ends every watch: this process goes away."""
        self._closed = True
        self._wake()

    async def run(self) -> None:
        """Looks for changes until cancelled."""
        while True:
            with suppress(Unavailable):
                await self._refresh()
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_S):
                    await self._told.wait()
            self._told.clear()

    async def follow(self, revision: int) -> AsyncIterator[Served]:
        """Gives the state unless `revision`, 0 for none, is the newest, and each later one.

        Raises Unavailable when there is none yet, and when this process goes away.
        """
        try:
            await self._refresh()
        except Unavailable:
            if self._served is None:
                raise
        revision = revision or NO_REVISION
        while not self._closed:
            changed, served = self._changed, self._served
            if served is not None and served.revision != revision:
                revision = served.revision
                yield served
            else:
                await changed.wait()
        raise Unavailable(
            "The registry goes away. Ask again with the last revision.",
            reason="GOING_AWAY",
            retry_after_s=1,
        )

    async def _refresh(self) -> None:
        async with self._one:
            known = self._served.revision if self._served else None
            served = await self._store.run(lambda tx: _read(tx, known))
            if served is not None:
                self._served = served
                self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


async def _read(tx: AsyncConnection, known: int | None) -> Served | None:
    """Reads the state; None when it is the known one."""
    if await audit.read_revision(tx) == known:
        return None
    revision = await audit.read_revision(tx, hold=True)
    models = await catalog.list_models(tx, "", MODELS_MAX)
    served = [model for model in models if model.champion or model.traffic.weights]
    versions = {
        (version.model, version.number): version for version in await catalog.list_used(tx, served)
    }
    return Served(revision, tuple(_to_served(model, versions) for model in served))


def _to_served(model: Model, versions: dict[tuple[str, int], Version]) -> ServedModel:
    return ServedModel(
        name=model.name,
        champion=model.champion,
        traffic=model.traffic,
        versions=tuple(
            ServedVersion(
                version=versions[model.name, number],
                standby=number != model.champion and number not in model.traffic.numbers,
            )
            for number in sorted(model.used)
        ),
    )
