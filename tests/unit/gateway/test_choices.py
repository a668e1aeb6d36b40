"""What a call says of a choice, and what of it is new."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parley.serving.v1 import model_serving_pb2 as pb

from gateway.choices import Choice, Intake
from services.rpc.errors import Internal

IDS = [7, 7, 8, 9, 7, 7]
# Text lags behind the tokens.
PIECES = ["", "a", "", "bc", "", "def"]
CUTS = st.lists(st.integers(0, len(IDS)), max_size=4).map(lambda cuts: sorted({0, *cuts, len(IDS)}))


def _deltas(cuts: list[int], first: int = 0) -> list[pb.Delta]:
    """The answer from a token on, in pieces."""
    bounds = [cut for cut in cuts if cut > first]
    return [
        pb.Delta(
            position=begin,
            token_ids=IDS[begin:end],
            text="".join(PIECES[begin:end]),
            logprobs=[pb.TokenLogprob(logprob=-one) for one in range(begin, end)],
        )
        for begin, end in zip([first, *bounds], bounds, strict=False)
    ]


def _finished(tokens: int = len(IDS)) -> pb.Finished:
    return pb.Finished(
        reason=pb.FINISH_REASON_STOP, usage=pb.Usage(completion_tokens=tokens), choice=0
    )


@given(CUTS, CUTS, st.integers(0, len(IDS)), st.booleans())
def test_two_calls_make_one_answer(
    first_cuts: list[int], second_cuts: list[int], lost: int, resumed: bool
) -> None:
    """However either of them cuts it, resumed or made again: nothing is missing or twice."""
    choice = Choice(2, keep_text=True)
    told = []
    intake = Intake(choice, resumed=False)
    for delta in _deltas(first_cuts):
        if delta.position + len(delta.token_ids) <= lost:
            told += [delta] * intake.take(delta)
    intake = Intake(choice, resumed=resumed)
    for delta in _deltas(second_cuts, len(choice.ids) if resumed else 0):
        told += [delta] * intake.take(delta)
    intake.finish(_finished())
    assert choice.ids == [one for delta in told for one in delta.token_ids] == IDS
    assert "".join(choice.texts) == "".join(delta.text for delta in told) == "".join(PIECES)
    assert [-one.logprob for delta in told for one in delta.logprobs] == list(range(len(IDS)))
    positions = [delta.position for delta in told]
    assert positions == sorted(positions)
    assert all(delta.choice == 2 for delta in told)
    assert choice.done


@pytest.mark.parametrize("position", [1, 3])
def test_gap_and_repeat_are_refused(position: int) -> None:
    """A resumed call begins where the answer ended, or is not believed."""
    choice = Choice(0)
    choice.ids = [1, 2]
    with pytest.raises(Internal, match="a gap"):
        Intake(choice, resumed=True).take(pb.Delta(position=position, token_ids=[1]))


def test_different_tokens_are_refused() -> None:
    """An answer that is made again must be the same one."""
    choice = Choice(0)
    choice.ids = [1, 2]
    with pytest.raises(Internal) as caught:
        Intake(choice, resumed=False).take(pb.Delta(token_ids=[1, 3]))
    assert caught.value.reason == "RESUME_DIVERGED"


def test_shorter_answer_is_refused() -> None:
    """One that is made again and ends before what was handed out."""
    choice = Choice(0)
    choice.ids = [1, 2]
    intake = Intake(choice, resumed=False)
    intake.take(pb.Delta(token_ids=[1]))
    with pytest.raises(Internal) as caught:
        intake.finish(_finished(1))
    assert caught.value.reason == "RESUME_DIVERGED"


def test_wrong_count_is_refused() -> None:
    """A usage that is of the last part only would be a wrong bill."""
    choice = Choice(0)
    choice.ids = [1, 2]
    intake = Intake(choice, resumed=True)
    intake.take(pb.Delta(position=2, token_ids=[3]))
    with pytest.raises(Internal, match="a wrong count"):
        intake.finish(_finished(1))
