"""One request from its prompt to the end of its last answer.

Pure asyncio: tokens come from an `Engine`, places from `Admission`, time from a clock given in.
Knows no gRPC, no process and no file.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from itertools import count

from services.rpc.errors import (
    FailedPrecondition,
    Internal,
    InvalidArgument,
    ParleyError,
    Unavailable,
)
from services.serving.admission import Admission, Ticket
from services.serving.detokenizer import Detokenizer, StopScanner
from services.serving.engine import Engine, Format, Listener, Progress, Sampling, SequenceRequest
from services.serving.metrics import ModelMetrics
from services.serving.model import Model
from services.serving.prompts import Prompts

SEED_BITS = 63
# Formats that broke an engine are refused from then on; a bound, as each costs about 100 bytes.
BAD_FORMATS_MAX = 1000


@dataclass(frozen=True, slots=True)
class Ask:
    """What a request wants. `tokens_max` None takes what the context leaves; `seed` None a random
    one."""

    prompt_ids: Sequence[int]
    sampling: Sampling
    seed: int | None = None
    choices: int = 1
    tokens_max: int | None = None
    stop_strings: Sequence[str] = ()
    ignore_end: bool = False
    format: Format | None = None
    logprobs: bool = False
    resume_ids: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Started:
    """The request has its place."""

    prompt_tokens: int
    repeatable: bool


@dataclass(frozen=True, slots=True)
class Delta:
    """More of one choice."""

    choice: int
    position: int
    token_ids: list[int]
    text: str
    logprobs: list[float]


@dataclass(frozen=True, slots=True)
class Finished:
    """One choice is complete; times are seconds since admission."""

    choice: int
    reason: str
    stop_string: str
    prompt_tokens: int
    completion_tokens: int
    queue_s: float
    first_token_s: float
    total_s: float


Event = Started | Delta | Finished


class _Mailbox:
    """What the engine has for one request. Takes everything that has come since the last look."""

    def __init__(self) -> None:
        self._found: dict[int, Progress] = {}
        self._error: ParleyError | None = None
        self._arrived = asyncio.Event()

    def put(self, choice: int, progress: Progress) -> None:
        """Adds a step's tokens to what waits for the reader."""
        waiting = self._found.get(choice)
        if waiting is None:
            self._found[choice] = progress
        else:
            waiting.token_ids += progress.token_ids
            waiting.logprobs += progress.logprobs
            waiting.finish = progress.finish
        self._arrived.set()

    def fail(self, error: ParleyError) -> None:
        """Ends the request with an error once what came before it is read."""
        self._error = error
        self._arrived.set()

    async def take(self) -> dict[int, Progress]:
        """Waits for something and takes all of it. Raises the error given to `fail`."""
        await self._arrived.wait()
        self._arrived.clear()
        if not self._found and self._error is not None:
            raise self._error
        found, self._found = self._found, {}
        if self._error is not None:
            self._arrived.set()
        return found


@dataclass(slots=True)
class _Choice:
    """One answer in the making."""

    index: int
    sequence: SequenceRequest
    mailbox: _Mailbox
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
        self._running: dict[int, _Choice] = {}
        self._bad_formats: set[Format] = set()
        self._speed_since_s = clock()
        self._speed_tokens = 0

    def listener(self, on_change: Callable[[], None]) -> Listener:
        """What the engine tells; `on_change` hears of each start and death after we did."""

        def on_ready() -> None:
            self._admission.open()
            on_change()

        def on_death(broken: bool) -> None:
            self._on_death(broken)
            on_change()

        return Listener(self._on_progress, on_ready, on_death, self._on_refused)

    async def generate(self, ask: Ask) -> AsyncIterator[Event]:
        """Yields Started, then Deltas, then one Finished for each choice.

        Closing the iterator at any point gives every place and cache block back before the next
        step. Raises InvalidArgument, FailedPrecondition, ResourceExhausted, Unavailable.
        """
        tokens_max = self._check(ask)
        mailbox = _Mailbox()
        choices = self._choices(ask, tokens_max, mailbox)
        cost = len(ask.prompt_ids) + tokens_max
        tickets = self._admission.enter([(cost, self._starter(choice)) for choice in choices])
        for choice, ticket in zip(choices, tickets, strict=True):
            choice.ticket = ticket
        try:
            yield Started(
                len(ask.prompt_ids),
                repeatable=ask.sampling.temperature == 0 or ask.seed is not None,
            )
            left = len(choices)
            while left:
                for index, progress in (await mailbox.take()).items():
                    choice = choices[index]
                    delta = self._advance(choice, progress)
                    if delta is not None:
                        yield delta
                    if choice.done:
                        left -= 1
                        yield self._finish(choice, len(ask.prompt_ids), progress.finish)
        finally:
            for choice in choices:
                self._end(choice)

    def _check(self, ask: Ask) -> int:
        """Returns the most tokens of each answer, resumed ones included."""
        room = self._model.context_tokens_max - len(ask.prompt_ids)
        wanted = 1 if ask.tokens_max is None else ask.tokens_max
        if wanted > room:
            raise _too_long(len(ask.prompt_ids), ask.tokens_max, self._model.context_tokens_max)
        tokens_max = room if ask.tokens_max is None else ask.tokens_max
        highest = max((*ask.prompt_ids, *ask.resume_ids))
        if highest >= self._prompts.vocabulary_size:
            raise InvalidArgument(
                f"Token id {highest} is not in the model's vocabulary of "
                f"{self._prompts.vocabulary_size}.",
                reason="INVALID_FIELD",
                metadata={"field": "tokens.ids"},
            )
        if ask.format in self._bad_formats:
            raise InvalidArgument(
                "The output format cannot be used: the engine cannot compile it.",
                reason="OUTPUT_FORMAT_INVALID",
                metadata={"field": "output_format"},
            )
        if ask.resume_ids:
            _check_resume(ask, tokens_max)
        return tokens_max

    def _choices(self, ask: Ask, tokens_max: int, mailbox: _Mailbox) -> list[_Choice]:
        seed = secrets.randbits(SEED_BITS) if ask.seed is None else ask.seed
        admitted_s = self._clock()
        return [
            self._choice(ask, tokens_max, index, seed, mailbox, admitted_s)
            for index in range(ask.choices)
        ]

    def _choice(
        self, ask: Ask, tokens_max: int, index: int, seed: int, mailbox: _Mailbox, admitted_s: float
    ) -> _Choice:
        sequence = SequenceRequest(
            id=next(self._ids),
            prompt_ids=[*ask.prompt_ids, *ask.resume_ids],
            tokens_max=tokens_max - len(ask.resume_ids),
            sampling=replace(ask.sampling, seed=(seed + index) % (1 << SEED_BITS)),
            end_ids=() if ask.ignore_end else self._model.end_ids,
            format=ask.format,
            logprobs=ask.logprobs,
        )
        choice = _Choice(
            index,
            sequence,
            mailbox,
            Detokenizer(self._prompts.tokenizer),
            StopScanner(ask.stop_strings),
            len(ask.resume_ids),
            admitted_s,
        )
        # The caller has this text; what was held back of it then is held back again.
        choice.scanner.feed(choice.detokenizer.feed(ask.resume_ids))
        return choice

    def _starter(self, choice: _Choice) -> Callable[[], None]:
        def start() -> None:
            choice.started_s = self._clock()
            self._metrics.queue.observe(choice.started_s - choice.admitted_s)
            self._running[choice.sequence.id] = choice
            self._engine.submit(choice.sequence)

        return start

    def _advance(self, choice: _Choice, progress: Progress) -> Delta | None:
        """Takes new tokens into a choice and returns what to send."""
        self._measure(choice, len(progress.token_ids))
        position = choice.tokens
        choice.tokens += len(progress.token_ids)
        text = choice.detokenizer.feed(progress.token_ids)
        if progress.finish:
            text += choice.detokenizer.finish()
        text, choice.stop_string = choice.scanner.feed(text)
        if progress.finish and not choice.stop_string:
            text += choice.scanner.finish()
        choice.done = bool(progress.finish or choice.stop_string)
        if not progress.token_ids and not text:
            return None
        return Delta(choice.index, position, progress.token_ids, text, progress.logprobs)

    def _measure(self, choice: _Choice, tokens: int) -> None:
        now_s = self._clock()
        if not tokens:
            return
        if choice.first_token_s is None:
            choice.first_token_s = now_s
            self._metrics.first_token.observe(now_s - choice.admitted_s)
        else:
            self._metrics.inter_token.observe((now_s - choice.last_token_s) / tokens)
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
        if self._running.pop(choice.sequence.id, None) is not None:
            self._engine.cancel(choice.sequence.id)
            if not choice.done:
                self._metrics.cancelled()
        if choice.ticket is not None:
            self._admission.leave(choice.ticket)

    def _on_progress(self, progress: list[Progress]) -> None:
        for row in progress:
            choice = self._running.get(row.id)
            if choice is not None:
                self._speed_tokens += len(row.token_ids)
                choice.mailbox.put(choice.index, row)
        now_s = self._clock()
        if now_s - self._speed_since_s >= 1:
            self._admission.observe(self._speed_tokens, now_s - self._speed_since_s)
            self._speed_since_s, self._speed_tokens = now_s, 0

    def _on_death(self, broken: bool) -> None:
        self._admission.close()
        for choice in self._running.values():
            if broken and choice.sequence.format and choice.first_token_s is None:
                self._quarantine(choice.sequence.format)
            choice.mailbox.fail(
                Unavailable(
                    "The engine ended in mid-answer and is starting again. Ask again.",
                    reason="ENGINE_DIED",
                    retry_after_s=1,
                )
            )

    def _on_refused(self, sequence_id: int) -> None:
        choice = self._running.get(sequence_id)
        if choice is not None:
            choice.mailbox.fail(
                Internal("The engine would not take this request.", reason="ENGINE_REFUSED")
            )

    def _quarantine(self, form: Format) -> None:
        if len(self._bad_formats) < BAD_FORMATS_MAX:
            self._bad_formats.add(form)


def _check_resume(ask: Ask, tokens_max: int) -> None:
    against = {
        "several choices": ask.choices > 1,
        "an output format": ask.format is not None,
        "presence or frequency penalties": bool(
            ask.sampling.presence_penalty or ask.sampling.frequency_penalty
        ),
    }
    for what, asked in against.items():
        if asked:
            raise FailedPrecondition(
                f"An answer with {what} cannot be resumed; start it again.",
                reason="RESUME_UNSUPPORTED",
            )
    if len(ask.resume_ids) >= tokens_max:
        raise FailedPrecondition(
            "The answer to resume already has all of its tokens.", reason="RESUME_UNSUPPORTED"
        )


def _too_long(
    prompt_tokens: int, tokens_max: int | None, context_tokens_max: int
) -> InvalidArgument:
    answer = "" if tokens_max is None else f" and an answer of up to {tokens_max}"
    return InvalidArgument(
        f"This model's context holds {context_tokens_max} tokens, prompt and answer together. "
        f"The request has a prompt of {prompt_tokens} tokens{answer}. Make it shorter.",
        reason="CONTEXT_LENGTH_EXCEEDED",
        metadata={
            "prompt_tokens": str(prompt_tokens),
            "context_tokens_max": str(context_tokens_max),
        },
    )
