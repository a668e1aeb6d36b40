"""Compares our rows, MLflow and the object store; mends what is safe to mend, and says the rest.

No webhook tells of an alias that was moved or a version that was deleted in MLflow, so it looks
every minute. Replicas go on serving what our rows say, whatever MLflow has become.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Mapping
from dataclasses import replace

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from services.registry import audit, catalog, evaluations, leftovers
from services.registry.alignment import Alignment
from services.registry.mlflow_adapter import Mlflow, MlflowVersion, evaluation_tag
from services.registry.model import CHAMPION, PARLEY, Act, Drift, Model, VersionState
from services.registry.objects import Objects
from services.rpc.errors import ParleyError, Unavailable
from services.rpc.store import Store

log = structlog.get_logger()

INTERVAL_S = 60.0
MODELS_MAX = 1000


class Reconciler:
    """Compares the stores, one comparison at a time. Each must answer a first question
    `within_s`."""

    def __init__(
        self,
        store: Store,
        mlflow: Mlflow,
        objects: Objects,
        alignment: Alignment,
        within_s: float,
    ) -> None:
        self._within_s = within_s
        self._store = store
        self._mlflow = mlflow
        self._objects = objects
        self._alignment = alignment
        self._one = asyncio.Lock()

    async def run(self) -> None:
        """Compares every minute until cancelled."""
        while True:
            await asyncio.sleep(INTERVAL_S)
            try:
                await self.reconcile()
            except ParleyError as error:
                log.warning("not reconciled", reason=error.reason)
            except Exception:
                log.exception("not reconciled")

    async def reconcile(self) -> list[Drift]:
        """Compares once; returns what differed.

        Raises Unavailable when a store is away: before anything is compared, where it is known.
        """
        await self._check_stores()
        async with self._one:
            drifts = await leftovers.take_back_registrations(self._store, self._mlflow)
            for model in await self._store.run(lambda tx: catalog.list_models(tx, "", MODELS_MAX)):
                found = [drift async for drift in self._compare(model)]
                await self._store.run(lambda tx, m=model, f=found: _write_down(tx, m, f))
                drifts += found
            drifts += await leftovers.remove_objects(self._store, self._objects)
            return drifts

    async def _check_stores(self) -> None:
        """Asks all stores at once, so that one that is away is heard of soon, whichever it is."""
        database = self._store.run(audit.read_revision, self._within_s)
        mlflow = self._in_time(self._mlflow.check(), "MLflow", "MLFLOW_UNAVAILABLE")
        words, reason = "The object store", "OBJECT_STORE_UNAVAILABLE"
        await asyncio.gather(database, mlflow, self._in_time(self._objects.check(), words, reason))

    async def _in_time(self, work: Awaitable[None], words: str, reason: str) -> None:
        try:
            async with asyncio.timeout(self._within_s):
                await work
        except TimeoutError:
            words = f"{words} did not answer in time. Ask again."
            raise Unavailable(words, reason=reason, retry_after_s=1) from None

    async def _compare(self, model: Model) -> AsyncIterator[Drift]:
        name = model.name
        aliases = await self._mlflow.find_aliases(name)
        theirs = {version.number: version for version in await self._mlflow.list_versions(name)}
        # Ours are read last, since what is promoted or deleted meanwhile is committed here first.
        ours, pending = await self._store.run(lambda tx: catalog.list_states(tx, name))
        model = await self._store.run(lambda tx: catalog.get_model(tx, name))
        if aliases is None:
            if VersionState.READY in ours.values():
                yield Drift("MODEL_DELETED", name, f"MLflow has no model {name!r} any more")
            return
        for number, state in sorted(ours.items()):
            there = number in theirs
            # Looked at once more: one that is new here was made there after the list.
            if state is VersionState.READY and not there:
                if not await self._mlflow.has_version(name, number):
                    words = f"MLflow has no version {number} of {name!r} any more"
                    yield Drift("VERSION_DELETED", name, words)
            elif state is VersionState.DELETED and there:
                await self._mlflow.delete_version(name, number)
                words = f"MLflow still had version {number} of {name!r}, deleted here"
                yield Drift("VERSION_LEFT", name, words, mended=True)
        async for drift in self._mend_evaluations(name, theirs):
            yield drift
        for number in sorted(theirs.keys() - ours.keys()):
            if theirs[number].registration not in pending:
                words = f"version {number} of {name!r} was registered past the registry"
                yield Drift("VERSION_UNKNOWN", name, words)
        if aliases.get(CHAMPION, 0) != model.champion and model.champion in {0, *theirs}:
            yield await self._mend_alias(model, aliases.get(CHAMPION, 0))

    async def _mend_evaluations(
        self, name: str, theirs: Mapping[int, MlflowVersion]
    ) -> AsyncIterator[Drift]:
        """Tags versions with what MLflow was away for."""
        recorded = await self._store.run(lambda tx: evaluations.list_recorded(tx, name))
        for number, one in recorded:
            key, value = evaluation_tag(one.evaluation_digest, one.metrics)
            if number in theirs and theirs[number].tags.get(key) != value:
                await self._alignment.align_evaluation(name, number, one.evaluation_digest)
                words = f"MLflow lacked an evaluation of version {number} of {name!r}"
                yield Drift("EVALUATION_MISSING", name, words, mended=True)

    async def _mend_alias(self, model: Model, found: int) -> Drift:
        name = model.name
        if not model.champion:
            words = f"MLflow calls version {found} of {name!r} champion, which was never promoted"
            return Drift("ALIAS_UNKNOWN", name, words)
        mended = await self._alignment.align(name)
        kind = "ALIAS_MOVED" if found else "ALIAS_REMOVED"
        named = f"version {found}" if found else "no version"
        words = f"MLflow called {named} of {name!r} champion instead of {model.champion}"
        return Drift(kind, name, words, mended)


async def _write_down(tx: AsyncConnection, model: Model, drifts: list[Drift]) -> None:
    """Keeps what is not mended with the model, and writes down what is new."""
    # Before the audit, as everybody does: two that take both locks the other way round would wait
    # for each other.
    now = await catalog.get_model(tx, model.name, lock=True)
    drift = "; ".join(one.message for one in drifts if not one.mended)
    for one in drifts:
        if one.mended:
            act = Act(PARLEY, "mend", model.name, after={"kind": one.kind}, reason=one.message)
            await audit.record(tx, act)
    if drift == now.drift:
        return
    await catalog.save_model(tx, replace(now, drift=drift))
    act = Act(PARLEY, "drift", model.name, before={"drift": now.drift}, after={"drift": drift})
    await audit.record(tx, act)
