"""A promotion and a rollback under load: no stream fails, and none mixes two versions."""

import math
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Self

import openai
from parley.registry.v1 import registry_pb2 as pb

from stack import keys, up

from .product import Product, wait_until

STREAMS = 32
TOKENS = 100
# Not every prompt tells two networks of random weights apart.
PROMPT = "Hello there"


@dataclass(frozen=True)
class Answer:
    """One streamed answer: its version by the header, by each chunk's id, and its text."""

    header: str
    ids: frozenset[str]
    text: str
    began_s: float
    first_s: float

    def is_of(self, number: int) -> bool:
        """Whether everything in it names that version."""
        return {self.header, *(one.split("-")[2] for one in self.ids)} == {str(number)}


def ask(client: openai.OpenAI, model: str, tokens: int = TOKENS) -> Answer:
    """Streams one greedy answer. Raises OpenAIError where it fails."""
    began_s = time.monotonic()
    raw = client.completions.with_raw_response.create(
        model=model, prompt=PROMPT, max_tokens=tokens, temperature=0, stream=True
    )
    chunks, first_s = [], 0.0
    for chunk in raw.parse():
        first_s = first_s or time.monotonic()
        chunks.append(chunk)
    assert chunks[-1].choices[0].finish_reason in ("length", "stop")
    text = "".join(chunk.choices[0].text for chunk in chunks)
    ids = frozenset(chunk.id for chunk in chunks)
    return Answer(raw.headers["x-parley-version"], ids, text, began_s, first_s)


class Load:
    """Many streams at a time, begun again as they end, until it is left."""

    def __init__(self, client: openai.OpenAI, model: str, pool: ThreadPoolExecutor) -> None:
        self._client, self._model = client, model
        self._stop = threading.Event()
        self.answers: list[Answer] = []
        self._rows = [pool.submit(self._ask_on) for _ in range(STREAMS)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Lets the streams come to their ends. Raises what failed in one."""
        self._stop.set()
        for row in self._rows:
            row.result(timeout=120)

    def _ask_on(self) -> None:
        while not self._stop.is_set():
            self.answers.append(ask(self._client, self._model))

    def begun_between(self, first_s: float, last_s: float) -> list[Answer]:
        """The answers so far that were asked for in that time."""
        return [one for one in list(self.answers) if first_s < one.began_s < last_s]

    def first_token_s(self, number: int, since_s: float) -> float:
        """Seconds from `since_s` to a version's first token in a stream begun after that."""
        after = self.begun_between(since_s, math.inf)
        return min(one.first_s for one in after if one.is_of(number)) - since_s

    def await_begun_after(self, moment_s: float) -> None:
        """Waits for as many answers as there are streams, all asked for after that."""
        wait_until(
            lambda: len(self.begun_between(moment_s, math.inf)) >= STREAMS, "streams come to ends"
        )


def roll_back(product: Product, model: str) -> pb.Promotion:
    """Rolls a model back; returns at once."""
    request = pb.RollbackModelRequest(
        model=model,
        expected_champion=product.champion(model),
        reason="a test",
        request_id=keys.new_request_id(),
    )
    return product.call("RollbackModel", request).promotion


def test_no_stream_fails_or_mixes_through_promotion_and_rollback(
    product: Product, talker: str, record_property
):
    """Thirty-two streams run on. Each is wholly of the version that it names, new ones are the new
    champion's as soon as it answers, and a rollback brings the old one back."""
    old = product.champion(talker)
    new = 3 - old
    with (
        product.sdk() as client,
        ThreadPoolExecutor(STREAMS) as pool,
        Load(client, talker, pool) as load,
    ):
        load.await_begun_after(0)
        expected = {old: ask(client, f"{talker}@{old}").text}
        began_s = time.monotonic()
        follow(product, product.promote(talker, new))
        promoted_s = time.monotonic()
        expected[new] = ask(client, f"{talker}@{new}").text
        load.await_begun_after(promoted_s)
        began_back_s = time.monotonic()
        back = roll_back(product, talker)
        follow(product, back)
        returned_s = time.monotonic()
        load.await_begun_after(returned_s)
    record_property("streams", len(load.answers))
    record_property("promotion_s", load.first_token_s(new, began_s))
    record_property("rollback_s", load.first_token_s(old, began_back_s))
    assert expected[old] != expected[new]
    for answer in load.answers:
        number = int(answer.header)
        assert answer.is_of(number)
        assert answer.text == expected[number]
    # One that had no token yet when the rollback was asked for may be of either version.
    between = load.begun_between(promoted_s, began_back_s)
    answered = [one for one in between if one.first_s < began_back_s]
    after = load.begun_between(returned_s, math.inf)
    assert {one.header for one in answered} == {str(new)}
    assert {one.header for one in after} == {str(old)}
    assert (back.number, product.champion(talker)) == (old, old)


def follow(product: Product, promotion: pb.Promotion) -> None:
    """Waits until the replica has it."""
    with product.registry() as known:
        known.follow(promotion.model, [promotion.number], promotion.revision, up.SILENT)
