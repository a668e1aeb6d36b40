"""Follows a remote server: whether it answers, and which version of which model it has.

It is asked each second. One that refuses connections is gone at once; one that is slow or not well
must be so twice.
"""

import asyncio
import time
from collections.abc import Callable

import structlog
from httpx import ConnectError

from services.rpc.errors import ParleyError
from services.serving.admission import Admission, Limits
from services.serving.metrics import ModelMetrics, model_metrics
from services.serving.remote.cards import Card, NoSuchModel, derived_version, find_card
from services.serving.remote.dialects import DIALECTS, Dialect, kind_of
from services.serving.remote.generations import RemoteGenerations
from services.serving.remote.standing import FarEngine, FarModel, Standing
from services.serving.remote.wire import Wire
from services.serving.replica import Note, Replica
from services.serving.routing import Phase
from services.serving.settings import Settings
from services.serving.wanted import WEIGHT_ALL, Key, Route, State, Table, Version

log = structlog.get_logger()

PROBE_INTERVAL_S = 1.0
PROBE_TIMEOUT_S = 2.0
MISSES_MAX = 2


class RemoteKeeper:
    """Keeps a replica as its server is.

    `model` is what the server calls the model, empty for its only one; `name` and `version` are
    what it is called here, empty for the server's own.
    """

    def __init__(
        self,
        replica: Replica,
        wire: Wire,
        admission: Admission,
        *,
        kind: str,
        model: str,
        name: str,
        version: str,
        digest: str,
    ) -> None:
        self._replica = replica
        self._wire = wire
        self._admission = admission
        self._kind = kind
        self._model = model
        self._name = name
        self._version = version
        self._digest = digest
        self._well = False
        self._misses = 0
        self._said = ""
        self._metrics: ModelMetrics | None = None
        self._tell: Callable[[], None] = lambda: None
        self._task: asyncio.Task[None] | None = None
        admission.open()

    def start(self, on_change: Callable[[], None]) -> None:
        """Begins; `on_change` is called whenever the replica's `serving` may have changed."""
        self._tell = on_change
        self._task = asyncio.get_running_loop().create_task(self._keep_looking())

    async def close(self) -> None:
        """Ends it, and every connection."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        await self._wire.close()
        if self._metrics is not None:
            self._metrics.forget()

    async def _keep_looking(self) -> None:
        while True:
            try:
                await self._look()
            except Exception:
                log.exception("looking after the server failed")
            await asyncio.sleep(PROBE_INTERVAL_S)

    async def _look(self) -> None:
        try:
            self._wire.read_key()
            dialect = DIALECTS.get(self._kind)
            path = dialect.alive if dialect else DIALECTS["other"].alive
            told = await self._wire.get(path, PROBE_TIMEOUT_S)
            if dialect is None or dialect.lists_model:
                card = find_card(told, self._model)
            elif self._model:
                card = Card(self._model, version=derived_version(self._model))
            else:
                raise NoSuchModel("set PARLEY_SERVING_REMOTE_MODEL: this server does not list it")
        except (NoSuchModel, OSError, ValueError) as error:
            self._miss(str(error), MISSES_MAX)
        except ParleyError as error:
            gone = isinstance(error.__cause__, ConnectError)
            self._miss(error.message, MISSES_MAX if gone else 1)
        else:
            self._hit(card, dialect or DIALECTS[kind_of(card.owner)])

    def _hit(self, card: Card, dialect: Dialect) -> None:
        version = Version(
            Key(self._name or card.short_name, self._version or card.version, self._digest)
        )
        known = self._replica.versions.get(version.key)
        changed = not self._well or known is None
        self._well, self._misses, self._said = True, 0, ""
        if known is None:
            self._adopt(version, card, dialect)
        if changed:
            log.info("the server answers", url=self._wire.url, version=str(version.key))
            self._replica.notes = {}
            self._change()

    def _adopt(self, version: Version, card: Card, dialect: Dialect) -> None:
        """Takes a version in, in the place of the one before; what that has begun goes on."""
        key, admission = version.key, self._admission
        self._wire.model, self._wire.shown = card.name, key.model
        if self._metrics is not None:
            self._metrics.forget()
        self._metrics = model_metrics(key.model, key.version)
        engine = FarEngine(self._is_well, admission)
        self._metrics.follow(lambda: engine.load, lambda: admission.waiting, lambda: 0)
        generations = RemoteGenerations(
            self._wire, admission, self._metrics, self._is_well, time.monotonic
        )
        model = FarModel(card.context_tokens_max)
        standing = Standing(version, dialect, model, engine, admission, generations)
        self._replica.versions = {key: standing}
        route = Route(key.version, WEIGHT_ALL)
        self._replica.want(State(0, (Table(key.model, (version,), (route,)),)))

    def _miss(self, why: str, misses: int) -> None:
        self._misses += misses
        if self._misses < MISSES_MAX:
            return
        if why != self._said:
            log.error("the server cannot be used", url=self._wire.url, why=why)
        self._said = why
        if self._well:
            self._well = False
            self._replica.notes = {
                key: Note(Phase.LOADING, "its server does not answer")
                for key in self._replica.versions
            }
            self._change()

    def _is_well(self) -> bool:
        return self._well

    def _change(self) -> None:
        self._replica.settle()
        self._tell()


def read_keeper(settings: Settings, replica: Replica) -> RemoteKeeper:
    """The keeper that the settings ask for. Raises OSError or ValueError where the key cannot be
    read."""
    wire = Wire(
        # With or without what SDKs call the base.
        settings.remote_url.rstrip("/").removesuffix("/v1"),
        settings.remote_key_file,
        settings.model_name,
        connect_timeout_s=settings.remote_connect_timeout_s,
        read_timeout_s=settings.remote_read_timeout_s,
        silence_s=settings.remote_silence_s,
    )
    limits = Limits(settings.sequences_max, settings.queue_sequences_max, settings.queue_tokens_max)
    return RemoteKeeper(
        replica,
        wire,
        Admission(limits),
        kind=settings.remote_kind,
        model=settings.remote_model,
        name=settings.model_name,
        version=settings.remote_version,
        digest=settings.remote_digest,
    )
