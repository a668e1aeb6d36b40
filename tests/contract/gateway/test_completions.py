"""Completions as the official SDK sees them."""

import pytest

from tests.fakes.facade import Facade
from tests.fakes.serving import HELLO, MODEL

WHOLE = b"".join(HELLO).decode()


async def test_answer_in_one_piece(facade: Facade) -> None:
    """Text, reason and usage."""
    answer = await facade.sdk().completions.create(model=MODEL, prompt="Say hello.")
    assert answer.object == "text_completion"
    assert answer.id.startswith("cmpl-")
    assert (answer.choices[0].text, answer.choices[0].finish_reason) == (WHOLE, "stop")
    assert answer.usage and answer.usage.total_tokens == 2 + len(HELLO)


async def test_stream(facade: Facade) -> None:
    """Texts, then an empty one with the reason."""
    stream = await facade.sdk().completions.create(model=MODEL, prompt="a", stream=True)
    choices = [chunk.choices[0] async for chunk in stream]
    assert "".join(choice.text for choice in choices) == WHOLE
    assert (choices[-1].text, choices[-1].finish_reason) == ("", "stop")


@pytest.mark.parametrize("prompt", [[1, 2, 3], [[1, 2, 3]]])
async def test_token_ids_are_a_prompt(facade: Facade, prompt: list) -> None:
    """They reach the engine as they are."""
    await facade.post("/v1/completions", prompt=prompt)
    assert list(facade.serving.seen.requests[0].tokens.ids) == [1, 2, 3]


async def test_logprobs_are_parallel_lists(facade: Facade) -> None:
    """Tokens, numbers and offsets in the answer."""
    answer = await facade.sdk().completions.create(model=MODEL, prompt="a", logprobs=0)
    logprobs = answer.choices[0].logprobs
    assert logprobs and logprobs.tokens == [token.decode() for token in HELLO]
    assert logprobs.token_logprobs == [-0.5] * len(HELLO)
    assert logprobs.text_offset == [0, 5, 7, 10, 12]


async def test_prompt_that_is_too_long_is_blamed_by_its_name(facade: Facade) -> None:
    """Here it is `prompt`, not `messages`."""
    reply = await facade.post("/v1/completions", prompt=[1] * 1001)
    assert reply.json()["error"]["param"] == "prompt"
    assert reply.json()["error"]["code"] == "context_length_exceeded"
