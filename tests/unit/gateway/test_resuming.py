"""What another replica is asked, so that an answer goes on."""

import pytest
from parley.serving.v1 import model_serving_pb2 as pb

from gateway.choices import Choice
from gateway.resuming import is_made_again, onward, resumable

STARTED = pb.Started(model="m", version="3")
FORMAT = pb.OutputFormat(json_object=True)


def _choice(index: int = 0) -> Choice:
    choice = Choice(index)
    choice.ids = [4, 5]
    return choice


@pytest.mark.parametrize(
    ("fields", "again"),
    [
        ({}, False),
        ({"sampling": pb.Sampling(temperature=0, seed=1)}, False),
        ({"sampling": pb.Sampling(temperature=1)}, False),
        ({"sampling": pb.Sampling(repetition_penalty=1.5)}, False),
        ({"sampling": pb.Sampling(seed=0)}, True),
        ({"sampling": pb.Sampling(temperature=0, frequency_penalty=-1)}, True),
        ({"sampling": pb.Sampling(presence_penalty=1)}, True),
        ({"output_format": FORMAT}, True),
    ],
)
def test_answer_is_resumed_where_that_is_the_same_answer(fields: dict, again: bool) -> None:
    """And made again where a grammar, a count or a row of random numbers would start anew."""
    asked = pb.GenerateRequest(text="x", choices=2, **fields)
    request = onward(asked, STARTED, _choice())
    assert is_made_again(asked) is again
    assert list(request.resume_token_ids) == ([] if again else [4, 5])
    assert (request.model, request.choices, request.text) == ("m@3", 1, "x")


def test_choice_keeps_its_own_seed() -> None:
    """Seeds follow each other, around the end of their range."""
    asked = pb.GenerateRequest(sampling=pb.Sampling(seed=2**63 - 1))
    assert [onward(asked, STARTED, _choice(i)).sampling.seed for i in (0, 1)] == [2**63 - 1, 0]


def test_what_must_be_made_again_has_a_seed() -> None:
    """The caller's, or one of ours; the caller's own request stays as it was."""
    asked = pb.GenerateRequest(output_format=FORMAT)
    assert resumable(asked).sampling.HasField("seed")
    assert not asked.sampling.HasField("seed")
    seeded = pb.GenerateRequest(output_format=FORMAT, sampling=pb.Sampling(seed=3))
    assert resumable(seeded).sampling.seed == 3
    plain = pb.GenerateRequest(sampling=pb.Sampling(temperature=1))
    assert not resumable(plain).sampling.HasField("seed")
