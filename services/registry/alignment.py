"""Makes MLflow follow our rows: its alias "champion" names the version that ours does, what is
recorded of a version is a tag there, and what is deleted here is deleted there.

The row is the truth and is committed first; MLflow has no compare-and-swap. One alignment at a
time, each from the newest row, so that a slow one never undoes a later one.
"""

import asyncio

import structlog

from services.registry import catalog, evaluations
from services.registry.failpoints import Point, reach
from services.registry.mlflow_adapter import Mlflow, evaluation_tag
from services.registry.model import CHAMPION
from services.rpc.errors import FailedPrecondition, ParleyError
from services.rpc.store import Store

log = structlog.get_logger()

ATTEMPTS = 3


class Alignment:
    """Keeps one alias of each model."""

    def __init__(self, store: Store, mlflow: Mlflow) -> None:
        self._store = store
        self._mlflow = mlflow
        self._one = asyncio.Lock()

    async def align(self, name: str) -> bool:
        """Sets a model's alias where it differs; False when it still differs afterwards."""
        async with self._one:
            for _ in range(ATTEMPTS):
                model = await self._store.run(lambda tx: catalog.get_model(tx, name))
                aliases = await self._mlflow.find_aliases(name) or {}
                if aliases.get(CHAMPION, 0) == model.champion or not model.champion:
                    return True
                await self._mlflow.set_alias(name, CHAMPION, model.champion)
                reach(Point.ALIAS_SET)
        return False

    async def check_version(self, name: str, number: int) -> None:
        """Raises FailedPrecondition when MLflow does not have a version."""
        if not await self._mlflow.has_version(name, number):
            raise FailedPrecondition(
                f"MLflow has no version {number} of {name!r} any more. Import it again.",
                reason="VERSION_MISSING",
                metadata={"model": name, "version": str(number)},
            )

    async def align_evaluation(self, name: str, number: int, digest: str) -> None:
        """Tags MLflow's version with what is recorded of it on one dataset."""
        async with self._one:
            metrics = await self._store.run(
                lambda tx: evaluations.find_metrics(tx, name, number, digest)
            )
            if metrics:
                await self._mlflow.set_tag(name, number, *evaluation_tag(digest, metrics))

    async def try_evaluation(self, name: str, number: int, digest: str) -> None:
        """The same after it is committed: a failure is left to the reconciler."""
        try:
            await self.align_evaluation(name, number, digest)
        except ParleyError as error:
            log.warning("evaluation not tagged", model=name, number=number, reason=error.reason)

    async def try_delete(self, name: str, number: int) -> None:
        """Deletes a version in MLflow; a failure is left to the reconciler."""
        try:
            await self._mlflow.delete_version(name, number)
        except ParleyError as error:
            log.warning("version not deleted", model=name, number=number, reason=error.reason)

    async def try_align(self, name: str) -> None:
        """The same after a change that is committed: a failure is left to the reconciler."""
        try:
            aligned = await self.align(name)
        except ParleyError as error:
            log.warning("alias not set", model=name, reason=error.reason)
        else:
            if not aligned:
                log.warning("alias moves by itself", model=name)
