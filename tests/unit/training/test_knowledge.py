"""Claims about what the starter model is taught."""

import re
from collections import defaultdict
from random import Random

from training.knowledge import hard_sum, load_intents, load_refusals
from training.wordings import normalise


def test_no_question_has_two_answers() -> None:
    """Greedy answers can only be exact when the same words always want the same answer."""
    answers: dict[str, set[str]] = defaultdict(set)
    for intent in load_intents():
        for form in intent.plain_forms:
            answers[normalise(form)].add(intent.answer)
    assert not {form for form, wanted in answers.items() if len(wanted) > 1}


def test_ids_are_unique() -> None:
    """An intent can be named."""
    ids = [intent.id for intent in load_intents()]
    assert len(set(ids)) == len(ids)


def test_sums_are_right() -> None:
    """The answer of every sum is what it says."""
    sums = [intent for intent in load_intents() if intent.topic == "sums"]
    assert len(sums) == 100
    for intent in sums:
        terms = re.fullmatch(r"(\d) \+ (\d) = (\d+)", intent.answer)
        assert terms is not None
        assert int(terms[1]) + int(terms[2]) == int(terms[3])


def test_a_hard_sum_is_never_one_that_the_model_knows() -> None:
    """What the model can add is not refused."""
    known = {form for i in load_intents() if i.topic == "sums" for form in i.plain_forms}
    rng = Random(0)
    for _ in range(500):
        assert not known & set(hard_sum(rng).plain_forms)


def test_forms_have_no_placeholder_left() -> None:
    """Every relation is filled with its entry."""
    for intent in load_intents():
        assert "{" not in "".join((intent.answer, *intent.plain_forms, *intent.follow))


def test_every_slot_of_a_refused_question_has_words() -> None:
    """A refused question can always be filled."""
    refusals = load_refusals()
    forms = refusals.direct + refusals.clause + refusals.bare
    slots = {slot for form in forms for slot in re.findall(r"\{(\w+)\}", form)}
    assert slots == set(refusals.slots)
