"""Giving feedback and reading it again."""

import asyncio

import pytest
from parley.jobs.v1 import feedback_pb2 as pb

from services.rpc.errors import InvalidArgument, NotFound
from tests.contract.feedback.worlds import World

DATASET = "d" * 64


async def test_a_word_is_kept_with_where_the_answer_came_from(world: World):
    """The version, its run and its dataset are known without asking anyone again."""
    answer = await world.answer(dataset_digest=DATASET)
    given = await world.give(answer, "Who?", "Ada.", reason="short")
    assert [given] == await world.entries()
    assert (given.model, given.version, given.given_by) == (world.model, 1, "ada")
    assert given.dataset_digest == DATASET
    assert given.run_id == await world.run_id(1)
    assert [turn.content for turn in given.conversation] == ["Who?", "Ada."]
    assert given.time.seconds > 0


async def test_the_later_word_takes_the_place_of_the_earlier(world: World):
    """One person has one word on one choice; others and other choices have their own."""
    answer = await world.answer()
    await world.give(answer, "Who?", "Ada.", reason="first")
    await world.give(answer, choice=1)
    await world.give(answer, as_="eve")
    last = await world.give(answer, good=False)
    found = await world.entries()
    assert found[0] == last
    assert (last.rating, last.reason, list(last.conversation)) == (pb.RATING_BAD, "", [])
    assert [(entry.given_by, entry.choice) for entry in found] == [
        ("ada", 0), ("eve", 0), ("ada", 1),
    ]  # fmt: skip


async def test_the_principal_is_believed_of_the_facade_alone(world: World):
    """Who calls through the facade is named by it; others cannot speak for anyone."""
    answer = await world.answer()
    request = pb.GiveFeedbackRequest(response_id=answer, rating=pb.RATING_GOOD)
    for client, given_by in (("gateway", "bob"), ("mallory", "mallory")):
        metadata = (("x-parley-client", client), ("x-parley-principal", "bob"))
        entry = (await world.stub.GiveFeedback(request, metadata=metadata)).entry
        assert entry.given_by == given_by


@pytest.mark.parametrize("response_id", ["no-id", "chatcmpl-1", "x\0y"])
async def test_what_is_no_answer_is_refused(world: World, response_id: str):
    """An id of another form is the caller's mistake."""
    with pytest.raises(InvalidArgument) as caught:
        await world.give(response_id)
    assert caught.value.reason == "INVALID_FIELD"


async def test_an_answer_that_nobody_gave_is_not_found(world: World):
    """Nothing is kept on answers of other places."""
    with pytest.raises(NotFound) as caught:
        await world.give("chatcmpl-000000000000-1-1-x")
    assert caught.value.reason == "ANSWER_NOT_FOUND"
    assert await world.entries() == []


async def test_a_text_that_cannot_be_kept_is_refused(world: World):
    """NUL, which PostgreSQL does not take, and conversations without end."""
    answer = await world.answer()
    for talk in (["a\0b", "c"], ["x" * 65536] * 17):
        with pytest.raises(InvalidArgument) as caught:
            await world.give(answer, *talk)
        assert caught.value.metadata == {"field": "conversation"}


async def test_a_bad_dataset_leads_to_the_feedback_on_its_answers(world: World):
    """From the dataset to what was said of every version made of it, and of no other."""
    bad = await world.answer("a", dataset_digest=DATASET)
    other = await world.answer("b", dataset_digest="e" * 64)
    again = await world.answer("c", dataset_digest=DATASET)
    for answer in (bad, other, again):
        await world.give(answer)
    found = await world.entries(dataset_digest=DATASET)
    assert [entry.response_id for entry in found] == [again, bad]
    assert [entry.response_id for entry in await world.entries(response_id=other)] == [other]
    assert await world.entries(model="another") == []


async def test_pages_hold_every_entry_once(world: World):
    """Page by page, newest first, also while more comes in."""
    answer = await world.answer()
    for choice in range(5):
        await world.give(answer, choice=choice)
    seen, token = [], ""
    while True:
        request = pb.ListFeedbackRequest(page_size=2, page_token=token, model=world.model)
        page = await world.ask("ListFeedback", request)
        seen += [entry.choice for entry in page.entries]
        await world.give(answer, choice=9)
        if not (token := page.next_page_token):
            break
    assert seen == [4, 3, 2, 1, 0]


async def test_a_page_of_long_conversations_fits_a_message(world: World):
    """What is too much for one answer comes on the next page."""
    answer = await world.answer()
    for choice in range(4):
        await world.give(answer, *["x" * 65000] * 8, choice=choice)
    page = await world.ask("ListFeedback", pb.ListFeedbackRequest())
    assert len(page.entries) == 1
    assert page.next_page_token


async def test_a_foreign_page_token_is_refused(world: World):
    """A token that this server did not make."""
    with pytest.raises(InvalidArgument):
        await world.entries(page_token="!")


async def test_words_at_the_same_time_leave_one(world: World):
    """A button that is pressed twice is one word, and neither call fails."""
    answer = await world.answer()
    given = await asyncio.gather(*(world.give(answer, reason=str(n)) for n in range(8)))
    (kept,) = await world.entries()
    assert kept in given
