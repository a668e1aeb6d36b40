"""Canaries under load: a good version becomes champion by itself; one that cannot be loaded, one
that is slow and one whose engine dies at each third token are rolled back, and touch no more of the
requests than their share."""

import json
import math
import shutil
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from typing import Self

import openai
import psutil
import pytest
from parley.registry.v1 import canary_pb2
from parley.registry.v1 import registry_pb2 as pb

from stack import keys, up
from stack.mesh import Unanswered
from stack.stores import s3
from tests.integration.serving.conftest import made_model

from .product import Product, wait_until

MODEL = "canaries"
CHAMPION, GOOD, LOST, SLOW, DYING = 1, 2, 3, 4, 5
STREAMS, TOKENS = 8, 64
SHARE = 25
# The slow one's layers, of which the others have two.
LAYERS = 24
STEP_S = 8
ROLLED_BACK_WITHIN_S = 60.0
DIES_AT_TOKEN = 3
DONE, ROLLED_BACK = pb.PROMOTION_STATE_DONE, pb.PROMOTION_STATE_ROLLED_BACK


@dataclass
class Tally:
    """What came of the requests: how many each version began to answer, and how many broke before
    that."""

    asked: int = 0
    answered: dict[int, int] = field(default_factory=dict)
    broken: int = 0

    def touched(self, number: int) -> int:
        """Requests that a version answered, and those that broke on their way."""
        return self.answered.get(number, 0) + self.broken


class Killer:
    """Ends the engine of one version with SIGKILL, as often as it is asked to."""

    def __init__(self, digest: str) -> None:
        self._digest = digest
        self._engine: psutil.Process | None = None

    def kill(self) -> None:
        """Ends the engine, if there is one now."""
        if self._engine is None or not self._engine.is_running():
            self._engine = next(filter(self._is_mine, psutil.process_iter()), None)
        with suppress(psutil.Error):
            if self._engine is not None:
                self._engine.kill()

    def _is_mine(self, process: psutil.Process) -> bool:
        """Whether it is the version's engine; others of this machine end while looked at."""
        try:
            words = process.cmdline()
        except psutil.Error:
            return False
        return "services.serving.openvino_worker" in words and self._digest in words[-1]


class Traffic:
    """Streams that are begun again as they end, until it is left. With a `killer`, the engine dies
    whenever an answer of the version `dying` comes to its third token, or beyond."""

    def __init__(self, client: openai.OpenAI, dying: int = 0, killer: Killer | None = None) -> None:
        self._client, self._dying, self._killer = client, dying, killer
        self._stop, self._lock = threading.Event(), threading.Lock()
        self.tally = Tally()

    def __enter__(self) -> Self:
        self._pool = ThreadPoolExecutor(STREAMS)
        self._rows = [self._pool.submit(self._ask_on) for _ in range(STREAMS)]
        return self

    def __exit__(self, *_: object) -> None:
        """Lets the streams come to their ends. Raises what no engine's death explains."""
        self._stop.set()
        for row in self._rows:
            row.result(timeout=120)
        self._pool.shutdown()

    def anew(self) -> Tally:
        """Counts anew from here; gives what was counted before."""
        with self._lock:
            before, self.tally = self.tally, Tally()
        return before

    def _ask_on(self) -> None:
        while not self._stop.is_set():
            with self._lock:
                self.tally.asked += 1
            try:
                raw = self._client.completions.with_raw_response.create(
                    model=MODEL, prompt="Hello there", max_tokens=TOKENS, temperature=0, stream=True
                )
            except openai.OpenAIError:
                if not self._dying:
                    raise
                with self._lock:
                    self.tally.broken += 1
                continue
            number = int(raw.headers["x-parley-version"])
            with self._lock:
                self.tally.answered[number] = self.tally.answered.get(number, 0) + 1
            self._read(number, raw.parse())

    def _read(self, number: int, chunks: Iterable[object]) -> None:
        """Reads an answer to its end. Raises OpenAIError, unless its engine was to die."""
        with suppress(openai.OpenAIError) if number == self._dying else nullcontext():
            for at, _ in enumerate(chunks, start=1):
                if number == self._dying and self._killer and at >= DIES_AT_TOKEN:
                    self._killer.kill()


@pytest.fixture(scope="module")
def versions(product: Product) -> Iterator[Product]:
    """A champion, and a good, a lost, a slow and a dying version of one model. The lost one's files
    are gone from the bucket."""
    for number in (CHAMPION, GOOD, LOST, SLOW, DYING):
        folder = made_model(seed=number, layers=LAYERS if number == SLOW else 0)
        done = product.import_folder(MODEL, folder)
        assert (done.state, done.number) == (pb.IMPORT_STATE_DONE, number), done.message
    engine = product.version(MODEL, str(LOST)).engine_digest
    shutil.rmtree(s3.data_folder(product.home) / "parley" / "engines" / engine)
    promotion = product.promote(MODEL, CHAMPION)
    with product.registry() as known:
        known.follow(MODEL, [CHAMPION], promotion.revision, up.SILENT)
    yield product


def begin(product: Product, number: int, *steps: int) -> pb.Promotion:
    """Begins a canary."""
    canary = canary_pb2.Canary(steps=steps)
    canary.step_duration.FromSeconds(STEP_S)
    request = pb.PromoteModelVersionRequest(
        model=MODEL,
        number=number,
        expected_champion=product.champion(MODEL),
        reason="a test",
        request_id=keys.new_request_id(),
        canary=canary,
    )
    return product.call("PromoteModelVersion", request).promotion


def until_over(product: Product, begun: pb.Promotion) -> pb.Promotion:
    """Waits for a canary's end; gives the promotion."""
    request = canary_pb2.GetPromotionRequest(id=begun.id)
    found = begun

    def is_over() -> bool:
        # The registry may be dead just now.
        with suppress(Unanswered):
            found.CopyFrom(product.call("GetPromotion", request).promotion)
        return found.state != pb.PROMOTION_STATE_CANARY

    wait_until(is_over, "the canary ends")
    return found


def touched_max(asked: int) -> float:
    """So many of the requests may draw the canary's share, and be at work as it is rolled back."""
    share = SHARE / 100
    return asked * share + 4 * math.sqrt(asked * share * (1 - share)) + STREAMS


@pytest.mark.slow
def test_a_good_version_goes_to_the_end_by_itself(versions: Product, record_property):
    """No stream fails on its way, though the registry is killed; the alias follows in the end."""
    before = versions.champion(MODEL)
    with versions.sdk() as client, Traffic(client) as traffic:
        began_s = time.monotonic()
        begun = begin(versions, GOOD, SHARE, 50, 100)
        versions.kill("registry")
        over = until_over(versions, begun)
        took_s = time.monotonic() - began_s
        tally = traffic.anew()
    record_property("took_s", round(took_s, 1))
    record_property("asked", tally.asked)
    assert over.state == DONE, over.canary.verdict
    assert took_s > 3 * STEP_S - 1
    assert versions.champion(MODEL) == GOOD
    assert tally.answered[before] > 0 and tally.answered[GOOD] > 0
    wait_until(lambda: versions.version(MODEL, "champion").number == GOOD, "the alias follows")
    assert versions.drifts() == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "words"),
    [
        (LOST, "it failed on every replica"),
        (SLOW, "worse than the champion: "),
        (DYING, "answers failed"),
    ],
    ids=["unloadable", "slow", "dying"],
)
def test_a_bad_version_is_rolled_back(versions: Product, number: int, words: str, record_property):
    """Within a minute, with the figures in the audit, and little of the traffic touched."""
    champion = versions.champion(MODEL)
    killer = Killer(versions.version(MODEL, f"{number}").digest) if number == DYING else None
    dying = number if killer else 0
    with versions.sdk() as client, Traffic(client, dying, killer) as traffic:
        began_s = time.monotonic()
        over = until_over(versions, begin(versions, number, SHARE, 100))
        took_s = time.monotonic() - began_s
        tally = traffic.anew()
    record_property("took_s", round(took_s, 1))
    record_property("asked", tally.asked)
    record_property("touched", tally.touched(number))
    assert (over.state, versions.champion(MODEL)) == (ROLLED_BACK, champion)
    assert words in over.canary.verdict
    assert took_s < ROLLED_BACK_WITHIN_S
    assert tally.touched(number) <= touched_max(tally.asked)
    request = pb.ListAuditEntriesRequest(model=MODEL, page_size=1)
    (entry,) = versions.call("ListAuditEntries", request).entries
    assert (entry.action, entry.principal, entry.number) == ("rollback", "parley", number)
    evidence = json.loads(entry.evidence_json)
    assert {"canary", "champion", "limits", "weight"} <= evidence.keys()
    routes = versions.call("GetModel", pb.GetModelRequest(name=MODEL)).model.traffic.routes
    assert {route.number: route.weight for route in routes} == {champion: 100}
