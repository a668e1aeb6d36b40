"""From feedback to a dataset."""

import asyncio
import hashlib

import pytest
from parley.jobs.v1 import feedback_pb2 as pb

from services.rpc.errors import NotFound
from tests.contract.feedback.worlds import World


async def test_good_answers_and_corrections_become_rows(world: World):
    """A good answer is learnt, a bad one by its correction, and what is missing is counted."""
    answer = await world.answer()
    await world.give(answer, "Who?", "Ada.", choice=0)
    await world.give(answer, "Where?", "There.", choice=1, good=False, correction="Here.")
    await world.give(answer, "When?", "Now.", choice=2, good=False)
    await world.give(answer, choice=3)
    export = await world.export()
    assert world.rows(export.dataset.digest) == [
        [("user", "Where?"), ("assistant", "Here.")],
        [("user", "Who?"), ("assistant", "Ada.")],
    ]
    assert (export.dataset.rows, export.duplicates, export.unusable) == (2, 0, 2)


async def test_a_dataset_lies_under_the_digest_of_its_bytes(world: World):
    """Its digest, its size and its place are those of the object."""
    await world.give(await world.answer(), "Who?", "Ada.")
    dataset = (await world.export()).dataset
    data = world.stored(dataset.digest)
    assert hashlib.sha256(data).hexdigest() == dataset.digest
    assert dataset.size_bytes == len(data)
    assert dataset.uri == f"s3://parley/datasets/sha256/{dataset.digest}"


async def test_the_same_question_is_learnt_once_as_said_last(world: World):
    """Whoever asked it, and however it was typed."""
    answer = await world.answer()
    await world.give(answer, "Who was she?", "Eve.", as_="eve")
    await world.give(answer, " who  was SHE ", "Ada.", as_="ada")
    export = await world.export()
    assert world.rows(export.dataset.digest) == [[("user", "who  was SHE"), ("assistant", "Ada.")]]
    assert export.duplicates == 1


async def test_personal_data_are_left_out(world: World):
    """A row that holds some is no row, wherever in it they are; what is not learnt may."""
    answer = await world.answer()
    await world.give(answer, "Mail?", "To ada@example.org.", choice=0)
    await world.give(answer, "I am at 192.168.1.7", "Yes.", choice=1)
    await world.give(answer, "Pay?", "No.", choice=2, good=False, correction="4111111111111111")
    await world.give(answer, "Bad?", "+49 30 1234567", choice=3, good=False, correction="Better.")
    export = await world.export()
    assert world.rows(export.dataset.digest) == [[("user", "Bad?"), ("assistant", "Better.")]]
    assert export.personal == 3


async def test_the_same_feedback_makes_the_same_dataset(world: World):
    """In whatever order it came."""
    answer = await world.answer()
    talks = [(f"Question {number}?", f"Answer {number}.") for number in range(9)]
    digests = []
    for order in (talks, talks[::-1]):
        for choice, talk in enumerate(order):
            await world.give(answer, *talk, choice=choice)
        digests += [(await world.export()).dataset.digest for _ in range(2)]
    assert len(set(digests)) == 1


async def test_airflow_hears_of_it_unless_it_is_to_be_quiet(world: World):
    """With the model, the dataset, and who asked."""
    await world.give(await world.answer(), "Who?", "Ada.")
    await world.export(quiet=True)
    assert world.airflow.events == []
    digest = (await world.export()).dataset.digest
    assert world.airflow.events == [
        {"model": world.model, "dataset": f"sha256:{digest}", "submitted_by": "ada"}
    ]


async def test_feedback_that_teaches_nothing_is_not_found(world: World):
    """With how much there is of what; nothing is stored, and nobody hears of it."""
    await world.give(await world.answer(), "Mail?", "ada@example.org")
    with pytest.raises(NotFound) as caught:
        await world.export()
    assert caught.value.reason == "NO_FEEDBACK"
    assert caught.value.metadata == {"model": world.model, "personal": "1", "unusable": "0"}
    assert world.airflow.events == []
    with pytest.raises(NotFound):
        await world.ask("ExportFeedback", pb.ExportFeedbackRequest(model="another"))


async def test_the_newest_are_kept_where_there_is_no_room(world: World):
    """A dataset never grows beyond its bound."""
    answer = await world.answer()
    for choice in range(20):
        await world.give(answer, f"{choice}?", "x" * 65000, choice=choice)
    dataset = (await world.export()).dataset
    asked = {int(row[0][1].rstrip("?")) for row in world.rows(dataset.digest)}
    assert dataset.size_bytes <= 1 << 20
    assert asked == set(range(20 - len(asked), 20))


async def test_exports_at_the_same_time_make_one_dataset(world: World):
    """Two people who press the button at once."""
    await world.give(await world.answer(), "Who?", "Ada.")
    exports = await asyncio.gather(*(world.export() for _ in range(3)))
    assert len({export.dataset.digest for export in exports}) == 1


async def test_the_loop_closes(world: World):
    """Feedback is a dataset, of which a version is made, on whose answers there is feedback."""
    await world.give(await world.answer("a"), "Who?", "Ada.")
    digest = (await world.export()).dataset.digest
    answer = await world.answer("b", dataset_digest=digest)
    await world.give(answer, "Who?", "Eve.", good=False, as_="eve")
    (found,) = await world.entries(dataset_digest=digest)
    assert (found.response_id, found.version, found.given_by) == (answer, 2, "eve")
