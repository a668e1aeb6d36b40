"""Requests to another server, from their admission to the end of their last answer.

Pure asyncio: knows no gRPC and no HTTP; chunks come from a `Wire`.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing

from services.rpc.errors import Internal, Unavailable
from services.rpc.waits import Waits
from services.serving.admission import Admission, Ticket
from services.serving.ask import Delta, Event, Finished, Started
from services.serving.metrics import ModelMetrics
from services.serving.remote import failures
from services.serving.remote.asking import Question
from services.serving.remote.reading import Piece, Reading
from services.serving.remote.wire import Wire

# A reader that waits is told that the answer goes on, sooner than it would call that silence.
ALIVE_S = 2.0
# Pieces that wait for a slow reader; past that, the server waits as well.
PIECES_MAX = 64


class _Choice:
    """One answer in the making."""

    def __init__(self, index: int, admitted_s: float, reading: Reading) -> None:
        self.index = index
        self.reading = reading
        self.turn = asyncio.Event()
        self.admitted_s = admitted_s
        self.started_s: float | None = None
        self.first_s: float | None = None
        self.last_s = 0.0
        self.position = 0
        self.done = False

    def delta(self, piece: Piece, *, logprobs: bool) -> Delta:
        """A piece as the contract's next Delta."""
        position = self.position
        self.position += len(piece.ids)
        return Delta(
            self.index,
            position,
            piece.ids,
            piece.text,
            piece.logprobs if logprobs else [],
            piece.tokens if logprobs else (),
        )


# What a choice's own task tells: that the server took it, what came, its end, or why not.
_OPEN, _END = object(), object()
_News = tuple[_Choice, object]


class RemoteGenerations:
    """All requests to one model of one server. `is_well` says whether that answers at present."""

    def __init__(
        self,
        wire: Wire,
        admission: Admission,
        metrics: ModelMetrics,
        is_well: Callable[[], bool],
        clock: Callable[[], float],
        alive_s: float = ALIVE_S,
    ) -> None:
        self._wire = wire
        self._admission = admission
        self._metrics = metrics
        self._is_well = is_well
        self._clock = clock
        self._alive_s = alive_s

    @property
    def model(self) -> str:
        """What the server calls the model."""
        return self._wire.model

    async def generate(self, question: Question) -> AsyncIterator[Event]:
        """Yields Started, then Deltas, then one Finished for each choice.

        Closing the iterator at any point closes the connections. Raises ParleyError.
        """
        if not self._is_well():
            raise failures.away()
        now_s = self._clock()
        choices = [
            _Choice(index, now_s, Reading(self._wire.secrets)) for index in range(question.choices)
        ]
        # Places are counted, not tokens: how many of these fit is the server's to know.
        tickets = self._admission.enter([(1, choice.turn.set) for choice in choices])
        news: asyncio.Queue[_News] = asyncio.Queue(PIECES_MAX)
        tasks = [
            asyncio.create_task(self._relay(question, choice, ticket, news))
            for choice, ticket in zip(choices, tickets, strict=True)
        ]
        try:
            async with aclosing(self._events(question, choices, news)) as events:
                async for event in events:
                    yield event
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            # The last first: those that wait would else start as the others make room.
            for ticket in reversed(tickets):
                self._admission.leave(ticket)
            for choice in choices:
                if not choice.done:
                    self._metrics.cancelled()

    async def count(self, question: Question) -> dict[str, object]:
        """The server's whole answer to a question that is asked for its usage. Raises
        ParleyError."""
        if not self._is_well():
            raise failures.away()
        turn = asyncio.Event()
        (ticket,) = self._admission.enter([(1, turn.set)])
        try:
            await turn.wait()
            return await self._wire.post(question.path, question.body)
        finally:
            self._admission.leave(ticket)

    async def _events(
        self, question: Question, choices: list[_Choice], news: asyncio.Queue[_News]
    ) -> AsyncIterator[Event]:
        started, left = False, len(choices)
        while left:
            try:
                async with asyncio.timeout(self._alive_s if started else None):
                    choice, told = await news.get()
            except TimeoutError:
                if not self._is_well():
                    raise failures.broke("does not answer any more") from None
                for choice in choices:
                    if choice.first_s is not None and not choice.done:
                        yield choice.delta(Piece(), logprobs=False)
                continue
            if isinstance(told, Exception):
                raise told
            if told is _OPEN:
                if not started:
                    # Nobody knows the prompt's tokens before the server has counted them.
                    yield Started(0, repeatable=question.repeatable)
                started = True
            elif told is _END:
                left -= 1
                yield self._finish(choice)
            elif isinstance(told, Piece):
                yield choice.delta(told, logprobs=question.logprobs)

    async def _relay(
        self, question: Question, choice: _Choice, ticket: Ticket, news: asyncio.Queue[_News]
    ) -> None:
        """Brings one answer from the server."""
        try:
            await choice.turn.wait()
            choice.started_s = self._clock()
            self._metrics.queue.observe(choice.started_s - choice.admitted_s)
            await self._read(question, choice, news)
            self._admission.leave(ticket)
            await news.put((choice, _END))
        except Exception as error:
            if isinstance(error, Unavailable | Internal):
                self._metrics.failed()
            # Whoever waits for the answer raises it.
            await news.put((choice, error))

    async def _read(self, question: Question, choice: _Choice, news: asyncio.Queue[_News]) -> None:
        body = question.of_choice(choice.index)
        async with self._wire.stream(question.path, body) as chunks, aclosing(chunks):
            await news.put((choice, _OPEN))
            with Waits(self._wire.silence_s) as waits:
                while (chunk := await _next(chunks, choice, waits)) is not _END:
                    await self._pass(choice, choice.reading.take(chunk), news)
        await self._pass(choice, choice.reading.finish(), news)

    async def _pass(self, choice: _Choice, piece: Piece | None, news: asyncio.Queue[_News]) -> None:
        if piece is None:
            return
        now_s = self._clock()
        if choice.first_s is None:
            choice.first_s = now_s
            self._metrics.first(max(len(piece.ids), 1), now_s - choice.admitted_s)
        elif piece.ids:
            self._metrics.later(len(piece.ids), now_s - choice.last_s)
        choice.last_s = now_s
        await news.put((choice, piece))

    def _finish(self, choice: _Choice) -> Finished:
        choice.done = True
        reading, now_s, since_s = choice.reading, self._clock(), choice.admitted_s
        self._metrics.finished(
            reading.reason, reading.prompt_tokens, reading.count, now_s - since_s
        )
        return Finished(
            choice.index,
            reading.reason,
            reading.stop_string,
            reading.prompt_tokens,
            reading.count,
            queue_s=(choice.started_s or now_s) - since_s,
            first_token_s=(choice.first_s or now_s) - since_s,
            total_s=now_s - since_s,
        )


async def _next(chunks: AsyncIterator[object], choice: _Choice, waits: Waits) -> object:
    """The server's next chunk, or _END. Raises Unavailable when an answer that has begun brings
    none within the bound; before that, the server may still be at work on the prompt."""
    coming = anext(chunks, _END)
    if choice.first_s is None:
        return await coming
    try:
        return await waits.wait(coming)
    except TimeoutError:
        raise failures.broke("fell silent") from None
