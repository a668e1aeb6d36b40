"""A promotion and a rollback under load: no stream fails, and none mixes two versions."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

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
    """Many streams at a time, begun again as they end, until it is stopped."""

    def __init__(self, client: openai.OpenAI, model: str, pool: ThreadPoolExecutor) -> None:
        self._client, self._model = client, model
        self._stop = threading.Event()
        self._begun = threading.Semaphore(0)
        self._rows = [pool.submit(self._ask_on) for _ in range(STREAMS)]

    def _ask_on(self) -> list[Answer]:
        answers = []
        while not self._stop.is_set():
            answers.append(ask(self._client, self._model))
            self._begun.release()
        return answers

    def await_answers(self, count: int) -> None:
        """Waits for so many more answers; fails when they do not come."""
        for _ in range(count):
            assert self._begun.acquire(timeout=60)

    def end(self) -> list[Answer]:
        """Lets the streams come to their ends. Raises what failed in one."""
        self._stop.set()
        return [answer for row in self._rows for answer in row.result(timeout=120)]


def first_token_s(client: openai.OpenAI, model: str, number: int, since_s: float) -> float:
    """Asks until a version's own token has come; gives the seconds from `since_s` to it."""
    found: list[Answer] = []

    def has_come() -> bool:
        found.append(ask(client, model, tokens=1))
        return found[-1].is_of(number)

    wait_until(has_come, f"a token of version {number}")
    return found[-1].first_s - since_s


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
    with product.sdk() as client, ThreadPoolExecutor(STREAMS) as pool:
        load = Load(client, talker, pool)
        load.await_answers(STREAMS)
        expected = {old: ask(client, f"{talker}@{old}").text}
        began_s = time.monotonic()
        promotion = product.promote(talker, new)
        record_property("promotion_s", first_token_s(client, talker, new, began_s))
        follow(product, promotion)
        expected[new] = ask(client, f"{talker}@{new}").text
        promoted_s = time.monotonic()
        load.await_answers(2 * STREAMS)
        began_back_s = time.monotonic()
        back = roll_back(product, talker)
        record_property("rollback_s", first_token_s(client, talker, old, began_back_s))
        follow(product, back)
        returned_s = time.monotonic()
        load.await_answers(2 * STREAMS)
        answers = load.end()
    record_property("streams", len(answers))
    assert expected[old] != expected[new]
    for answer in answers:
        number = int(answer.header)
        assert answer.is_of(number)
        assert answer.text == expected[number]
    between = [one for one in answers if promoted_s < one.began_s < began_back_s]
    after = [one for one in answers if one.began_s > returned_s]
    assert {one.header for one in between} == {str(new)}
    assert {one.header for one in after} == {str(old)}
    assert (back.number, product.champion(talker)) == (old, old)


def follow(product: Product, promotion: pb.Promotion) -> None:
    """Waits until the replica has it."""
    with product.registry() as known:
        known.follow(promotion.model, [promotion.number], promotion.revision, up.SILENT)
