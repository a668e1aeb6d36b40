"""Answers whose engine dies in the middle, on the real servicer: the answer does not show it."""

import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from parley.serving.v1 import model_serving_pb2 as pb

from services.rpc.errors import Unavailable
from tests.contract.failover.replicas import Replicas, replicas
from tests.fakes.model import write_model

TOKENS = 24
GREEDY = pb.Sampling(temperature=0)
STOPPING = pb.Stopping(tokens_max=TOKENS)
SCHEMA = '{"type": "object"}'
KINDS = {
    "greedy": {"sampling": GREEDY, "logprobs": True},
    "seeded": {"sampling": pb.Sampling(temperature=1, seed=7), "logprobs": True},
    "seeded choices": {"sampling": pb.Sampling(temperature=1, seed=2**63 - 2), "choices": 3},
    "penalised": {"sampling": pb.Sampling(temperature=0, presence_penalty=1)},
    "schema": {"sampling": GREEDY, "output_format": pb.OutputFormat(json_schema=SCHEMA)},
    "regex": {"sampling": GREEDY, "output_format": pb.OutputFormat(regex="[a-z]*"), "choices": 2},
}


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder."""
    return write_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
async def pair(folder: Path, tmp_path: Path) -> AsyncIterator[Replicas]:
    """Two replicas of one model."""
    async with replicas(folder, tmp_path, 2) as made:
        yield made


def _stops(text: str) -> list[list[str]]:
    """Stop strings of an answer's text: none, each pair of characters in its second half."""
    middle = len(text) // 2
    return [[], *([text[at : at + 2]] for at in range(middle, len(text) - 2, 3))]


@pytest.mark.parametrize("kind", KINDS)
async def test_death_at_any_token_changes_nothing(pair: Replicas, kind: str) -> None:
    """Tokens, text, log probabilities, ends and counts are those of the undisturbed answer."""
    asked = {"stopping": STOPPING, **KINDS[kind]}
    whole = await pair.undisturbed(**asked)
    assert [len(ids) for ids in whole.ids] == [TOKENS] * asked.get("choices", 1)
    for tokens in range(TOKENS):
        for engine in pair.engines:
            engine.deaths = [tokens]
        answer = await pair.answer(**asked)
        assert answer == whole
        assert answer.migrations


async def test_death_within_a_stop_string_changes_nothing(pair: Replicas) -> None:
    """A stop string that begins before the death and ends after it ends the answer."""
    text = (await pair.undisturbed(sampling=GREEDY, stopping=STOPPING)).texts[0]
    for stops in _stops(text):
        stopping = pb.Stopping(tokens_max=TOKENS, stop_strings=stops)
        whole = await pair.undisturbed(sampling=GREEDY, stopping=stopping)
        for tokens in range(len(whole.ids[0])):
            pair.engines[0].deaths = [tokens]
            pair.engines[1].deaths = [tokens]
            assert await pair.answer(sampling=GREEDY, stopping=stopping) == whole


async def test_any_three_deaths_change_nothing(pair: Replicas) -> None:
    """However the deaths fall between the two replicas, and whatever was asked."""
    chance = random.Random(5)
    for _ in range(60):
        asked = {"stopping": STOPPING, **KINDS[chance.choice(list(KINDS))]}
        whole = await pair.undisturbed(**asked)
        deaths = [chance.randrange(TOKENS) for _ in range(3)]
        cut = chance.randrange(4)
        pair.engines[0].deaths, pair.engines[1].deaths = deaths[:cut], deaths[cut:]
        assert await pair.answer(**asked) == whole


async def test_a_sampled_answer_goes_on_behind_its_tokens(pair: Replicas) -> None:
    """Without a seed there is no one answer to keep to, but nothing is lost or said twice."""
    for engine in pair.engines:
        engine.deaths = [9]
    answer = await pair.answer(sampling=pb.Sampling(temperature=1), stopping=STOPPING, choices=2)
    assert [len(ids) for ids in answer.ids] == [TOKENS, TOKENS]
    later = pair.calls[1:]
    assert {call.model for call in later} == {f"{answer.started.model}@{answer.started.version}"}
    for call in later:
        held = list(call.resume_token_ids)
        assert held
        assert held in [ids[: len(held)] for ids in answer.ids]
    assert answer.ends == [(pb.FINISH_REASON_LENGTH, "", TOKENS)] * 2


async def test_an_unseeded_format_gets_a_seed(pair: Replicas) -> None:
    """Its answer can be made again only with one; nothing is resumed in the middle of a grammar."""
    for engine in pair.engines:
        engine.deaths = [9]
    asked = pb.OutputFormat(json_object=True)
    answer = await pair.answer(
        sampling=pb.Sampling(temperature=1), stopping=STOPPING, output_format=asked
    )
    assert len(answer.ids[0]) == TOKENS
    first, second = pair.calls[:2]
    assert first.sampling.seed == second.sampling.seed
    assert not second.resume_token_ids


async def test_the_fourth_death_ends_it(pair: Replicas) -> None:
    """Three migrations, then the engine's own words."""
    pair.engines[0].deaths, pair.engines[1].deaths = [2] * 4, [2] * 4
    with pytest.raises(Unavailable) as caught:
        await pair.answer(sampling=GREEDY, stopping=STOPPING)
    assert caught.value.reason == "ENGINE_DIED"
    assert len(pair.calls) == 4


async def test_one_replica_takes_its_answer_up_again(folder: Path, tmp_path: Path) -> None:
    """Where there is no other, the engine that was started again goes on."""
    async with replicas(folder, tmp_path, 1) as alone:
        whole = await alone.undisturbed(sampling=GREEDY, stopping=STOPPING)
        alone.engines[0].deaths = [3, 5, 0]
        assert await alone.answer(sampling=GREEDY, stopping=STOPPING) == whole
