"""Which model of a server stands behind a replica."""

import pytest

from services.serving.remote.cards import Card, NoSuchModel, derived_version, find_card


def test_the_only_model_needs_no_name():
    """Parley's versions of it do not count."""
    listed = {"data": [{"id": "a", "owned_by": "parley", "parley": {"version": "3"}},
                       {"id": "a@3"}]}  # fmt: skip
    assert find_card(listed, "") == Card("a", "parley", "3", 0)


def test_a_model_is_found_by_its_name():
    """With its context, and a version that stays while its name and origin do."""
    listed = {"data": [{"id": "/m/llama", "max_model_len": 512, "root": "r"}, {"id": "b"}]}
    card = find_card(listed, "/m/llama")
    assert (card.short_name, card.context_tokens_max) == ("llama", 512)
    assert card.version == derived_version("/m/llama", "r") != derived_version("/m/llama")


@pytest.mark.parametrize(
    ("listed", "wanted"),
    [({}, ""), ({"data": 3}, ""), ({"data": [{"id": 3}, 4]}, ""),
     ({"data": [{"id": "a"}, {"id": "b"}]}, ""), ({"data": [{"id": "a"}]}, "b")],
)  # fmt: skip
def test_a_model_that_is_not_there_is_told_with_those_that_are(listed, wanted):
    """And with the setting to mend."""
    with pytest.raises(NoSuchModel, match="PARLEY_SERVING_REMOTE_MODEL"):
        find_card(listed, wanted)
