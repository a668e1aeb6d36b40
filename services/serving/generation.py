"""One request from its prompt to the end of its last answer.

Pure asyncio: tokens come from an `Engine`, places from `Admission`, time from a clock given in.
Knows no gRPC, no process and no file.
"""

import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from itertools import count

from services.rpc.errors import Internal, InvalidArgument, ParleyError, Unavailable
from services.serving.admission import Admission, Ticket
from services.serving.ask import Ask, Delta, Event, Finished, Started, check
from services.serving.detokenizer import Detokenizer, StopScanner
from services.serving.engine import (
    SEED_BITS,
    Death,
    Engine,
    Listener,
    Progress,
    SequenceRequest,
    seed_behind,
)
from services.serving.formats import unusable
from services.serving.mailbox import Mailbox
from services.serving.metrics import ModelMetrics
from services.serving.model import Model
from services.serving.prompts import Prompts

# Formats that broke an engine are refused from then on. Only their hashes are kept.
BAD_FORMATS_MAX = 10_000


@dataclass(slots=True)
class _Choice:
    """One answer in the making."""

    index: int
    sequence: SequenceRequest
    mailbox: Mailbox
    detokenizer: Detokenizer
    scanner: StopScanner
    tokens: int
    admitted_s: float
    ticket: Ticket | None = None
    started_s: float | None = None
    first_token_s: float | None = None
    last_token_s: float = 0.0
    stop_string: str = ""
    done: bool = False


class Generations:
    """All requests to one model on one engine."""

    def __init__(
        self,
        model: Model,
        prompts: Prompts,
        engine: Engine,
        admission: Admission,
        metrics: ModelMetrics,
        clock: Callable[[], float],
    ) -> None:
        self._model = model
        self._prompts = prompts
        self._engine = engine
        self._admission = admission
        self._metrics = metrics
        self._clock = clock
        self._ids = count(1)
        # Choices that hold a place, from their admission to their end.
        self._live: dict[int, _Choice] = {}
        self._bad_formats: set[int] = set()
        self._gone = False
        self._speed_since_s = clock()
        self._speed_tokens = 0

    def listener(self, on_change: Callable[[], None]) -> Listener:
        """What the engine tells; `on_change` hears of each start and death after we did."""

        def on_ready() -> None:
            self._admission.open()
            on_change()

        def on_death(death: Death) -> None:
            self._on_death(death)
            on_change()

        return Listener(
            self._on_progress,
            on_ready,
            on_death,
            lambda sequence_id: self._fail(sequence_id, _refused()),
            lambda sequence_id: self._fail(sequence_id, _cache_full()),
        )

    async def generate(self, ask: Ask) -> AsyncIterator[Event]:
        """Yields Started, then Deltas, then one Finished for each choice.

        Closing the iterator at any point gives every place and cache block back before the next
        step. Raises InvalidArgument, FailedPrecondition, ResourceExhausted, Unavailable.
        """
        if self._gone:
            raise _unloaded()
        tokens_max = check(ask, self._model)
        if hash(ask.format) in self._bad_formats:
            raise _broke_engine()
        mailbox = Mailbox()
        choices = self._choices(ask, tokens_max, mailbox)
        ended = self._ended_before(ask, tokens_max, choices[0])
        if not ended:
            self._enter(choices, len(ask.prompt_ids) + tokens_max, resumed=bool(ask.resume_ids))
        try:
            yield Started(
                len(ask.prompt_ids),
                repeatable=ask.sampling.temperature == 0 or ask.seed is not None,
            )
            if ended:
                yield self._finish(choices[0], len(ask.prompt_ids), ended)
                return
            left = len(choices)
            while left:
                for index, progress in (await mailbox.take()).items():
                    choice = choices[index]
                    if choice.done:
                        # Sampled before the engine heard of the stop string.
                        continue
                    delta = self._advance(choice, progress)
                    if delta is not None:
                        yield delta
                    if choice.done:
                        left -= 1
                        yield self._finish(choice, len(ask.prompt_ids), progress.finish)
        except ParleyError:
            raise
        except Exception:
            # What was lost or refused is counted already; this is nobody's fault but ours.
            self._metrics.failed()
            raise
        finally:
            # The last first: those that wait would else start as the others make room.
            for choice in reversed(choices):
                self._end(choice)

    def abandon(self) -> None:
        """Ends what is on its way, since the engine will not be there any more."""
        self._gone = True
        self._admission.close()
        for choice in list(self._live.values()):
            if choice.ticket is None or not choice.ticket.left:
                self._lose(choice, _unloaded())

    def _enter(self, choices: list[_Choice], cost: int, *, resumed: bool) -> None:
        costs = [(cost, self._starter(choice)) for choice in choices]
        tickets = self._admission.enter(costs, resumed=resumed)
        for choice, ticket in zip(choices, tickets, strict=True):
            choice.ticket = ticket
            self._live[choice.sequence.id] = choice

    def _ended_before(self, ask: Ask, tokens_max: int, choice: _Choice) -> str:
        """Why an answer that is to be resumed has ended already, "" if it goes on."""
        ids = ask.resume_ids
        if choice.stop_string or (ids and not ask.ignore_end and ids[-1] in self._model.end_ids):
            return "stop"
        return "length" if len(ids) >= tokens_max else ""

    def _choices(self, ask: Ask, tokens_max: int, mailbox: Mailbox) -> list[_Choice]:
        seed = secrets.randbits(SEED_BITS) if ask.seed is None else ask.seed
        admitted_s = self._clock()
        return [
            self._choice(ask, tokens_max, index, seed, mailbox, admitted_s)
            for index in range(ask.choices)
        ]

    def _choice(
        self, ask: Ask, tokens_max: int, index: int, seed: int, mailbox: Mailbox, admitted_s: float
    ) -> _Choice:
        sequence = SequenceRequest(
            id=next(self._ids),
            prompt_ids=[*ask.prompt_ids, *ask.resume_ids],
            tokens_max=tokens_max - len(ask.resume_ids),
            sampling=replace(ask.sampling, seed=seed_behind(seed, index)),
            end_ids=() if ask.ignore_end else self._model.end_ids,
            format=ask.format,
            logprobs=ask.logprobs,
            repeatable=ask.seed is not None,
        )
        choice = _Choice(
            index,
            sequence,
            mailbox,
            Detokenizer(self._prompts.vocabulary),
            StopScanner(ask.stop_strings),
            len(ask.resume_ids),
            admitted_s,
        )
        # The caller has this text; what was held back of it then is held back again.
        for token_id in ask.resume_ids:
            _, choice.stop_string = choice.scanner.feed(choice.detokenizer.feed(token_id))
            if choice.stop_string:
                break
        return choice

    def _starter(self, choice: _Choice) -> Callable[[], None]:
        def start() -> None:
            choice.started_s = self._clock()
            self._metrics.queue.observe(choice.started_s - choice.admitted_s)
            if self._admission.running == 1:
                # An idle engine's seconds say nothing about its speed.
                self._speed_since_s, self._speed_tokens = choice.started_s, 0
            self._engine.submit(choice.sequence)

        return start

    def _advance(self, choice: _Choice, progress: Progress) -> Delta | None:
        """Takes new tokens into a choice and returns what to send."""
        text: list[str] = []
        used = 0
        for token_id in progress.token_ids:
            used += 1
            shown, choice.stop_string = choice.scanner.feed(choice.detokenizer.feed(token_id))
            text.append(shown)
            if choice.stop_string:
                # However many tokens came at once, the answer ends with the one that ended it.
                del progress.token_ids[used:], progress.logprobs[used:]
                break
        choice.done = bool(progress.finish or choice.stop_string)
        if choice.done:
            text.append(choice.scanner.finish())
        self._measure(choice, used)
        position = choice.tokens
        choice.tokens += used
        shown_text = "".join(text)
        if not used and not shown_text:
            return None
        return Delta(choice.index, position, progress.token_ids, shown_text, progress.logprobs)

    def _measure(self, choice: _Choice, tokens: int) -> None:
        now_s = self._clock()
        if not tokens:
            return
        if choice.first_token_s is None:
            choice.first_token_s = now_s
            self._metrics.first(tokens, now_s - choice.admitted_s)
        else:
            self._metrics.later(tokens, now_s - choice.last_token_s)
        choice.last_token_s = now_s

    def _finish(self, choice: _Choice, prompt_tokens: int, finish: str) -> Finished:
        self._end(choice)
        reason = "stop" if choice.stop_string else finish
        now_s = self._clock()
        self._metrics.finished(reason, prompt_tokens, choice.tokens, now_s - choice.admitted_s)
        since = choice.admitted_s
        return Finished(
            choice.index,
            reason,
            choice.stop_string,
            prompt_tokens,
            choice.tokens,
            queue_s=(choice.started_s or now_s) - since,
            first_token_s=(choice.first_token_s or now_s) - since,
            total_s=now_s - since,
        )

    def _end(self, choice: _Choice) -> None:
        """Gives back what a choice holds. Safe to repeat."""
        if self._live.pop(choice.sequence.id, None) is not None:
            self._engine.cancel(choice.sequence.id)
            if choice.started_s is not None:
                self._admission.ended(choice.tokens)
            if not choice.done:
                self._metrics.cancelled()
        if choice.ticket is not None:
            self._admission.leave(choice.ticket)

    def _on_progress(self, progress: list[Progress]) -> None:
        for row in progress:
            choice = self._live.get(row.id)
            if choice is not None:
                self._speed_tokens += len(row.token_ids)
                choice.mailbox.put(choice.index, row)
                if row.finish and choice.ticket is not None:
                    # The engine is done, even if the reader is slow to take what it made.
                    self._admission.leave(choice.ticket)
        now_s = self._clock()
        if now_s - self._speed_since_s >= 1:
            self._admission.observe(self._speed_tokens, now_s - self._speed_since_s)
            self._speed_since_s, self._speed_tokens = now_s, 0

    def _on_death(self, death: Death) -> None:
        """Ends what was in the engine. What waits goes on waiting, unless there is no hope."""
        self._admission.close()
        culprit = self._live.get(death.culprit) if death.culprit is not None else None
        if culprit is not None and len(self._bad_formats) < BAD_FORMATS_MAX:
            self._bad_formats.add(hash(culprit.sequence.format))
        for choice in list(self._live.values()):
            if choice.ticket is not None and choice.ticket.left:
                # Complete, though its reader has not come to that yet.
                continue
            if hash(choice.sequence.format) in self._bad_formats:
                self._lose(choice, _broke_engine())
            elif choice.started_s is not None or death.final:
                self._metrics.failed()
                self._lose(choice, _engine_died())

    def _fail(self, sequence_id: int, error: ParleyError) -> None:
        choice = self._live.get(sequence_id)
        if choice is not None:
            self._metrics.failed()
            self._lose(choice, error)

    def _lose(self, choice: _Choice, error: ParleyError) -> None:
        del self._live[choice.sequence.id]
        choice.mailbox.fail(error)
        if choice.ticket is not None:
            self._admission.leave(choice.ticket)


def _broke_engine() -> InvalidArgument:
    return unusable("the engine cannot compile it")


def _engine_died() -> Unavailable:
    return Unavailable(
        "The engine ended in mid-answer and is starting again. Ask again.",
        reason="ENGINE_DIED",
        retry_after_s=1,
    )


def _refused() -> Internal:
    return Internal("The engine would not take this request.", reason="ENGINE_REFUSED")


def _cache_full() -> Unavailable:
    return Unavailable(
        "The engine's cache was full, and this answer could not be gone on with. Ask again.",
        reason="CACHE_FULL",
        retry_after_s=1,
    )


def _unloaded() -> Unavailable:
    return Unavailable(
        "This version of the model was unloaded. Ask again.",
        reason="MODEL_UNLOADED",
        retry_after_s=1,
    )
