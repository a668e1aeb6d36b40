"""Which version answers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.rpc.errors import InvalidArgument, NotFound, Unavailable
from services.serving.routing import Phase, choose, pick, settle
from services.serving.wanted import Route, state_from_json
from tests.fakes.source import key, state, table

READY, LOADING = Phase.READY, Phase.LOADING
ROUTES = [Route("1", 70), Route("2", 30)]
OLD, NEW = table({1: 100}), table({2: 100}, standby=[1], revision=2)


def phases(**by_number):
    """Phases by `v1=`, `v2=` and so on."""
    return {key(int(name[1:])): phase for name, phase in by_number.items()}


def version_for(asked, tables, known, chance=0.0):
    """The version that answers."""
    by_name = {one.model: one for one in tables}
    return choose(asked, by_name, state(*tables), known, chance).key.version


@given(st.floats(0, 1, exclude_max=True))
def test_the_same_chance_picks_the_same_by_weight(chance):
    """Seventy of a hundred go to the first."""
    assert pick(ROUTES, ["1", "2"], chance) == ("1" if chance * 100 < 70 else "2")


@given(st.floats(0, 1, exclude_max=True))
def test_only_usable_versions_are_picked(chance):
    """The shares of the others are spread."""
    assert pick(ROUTES, ["2", "9"], chance) == "2"
    assert pick(ROUTES, [], chance) is None


def test_the_new_table_counts_once_its_version_is_ready():
    """Until then the old one goes on; then it is switched as a whole."""
    wanted, tables = state(NEW), {"tiny": OLD}
    assert settle(tables, wanted, phases(v1=READY, v2=LOADING)) == {"tiny": OLD}
    assert settle(tables, wanted, phases(v1=READY, v2=Phase.FAILED)) == {"tiny": OLD}
    assert settle(tables, wanted, phases(v1=LOADING, v2=LOADING)) == {"tiny": OLD}
    assert settle(tables, wanted, phases(v1=READY, v2=READY)) == {"tiny": NEW}


def test_a_table_with_nothing_behind_it_is_replaced():
    """There is nothing to go on with."""
    assert settle({}, state(NEW), {}) == {"tiny": NEW}
    assert settle({"tiny": OLD}, state(NEW), phases(v1=Phase.BROKEN)) == {"tiny": NEW}


def test_what_stands_by_answers_where_nothing_else_can():
    """A replica that begins while the champion's files cannot be had; until they can."""
    cannot = phases(v1=READY, v2=Phase.FAILED)
    (fallen,) = settle({}, state(NEW), cannot).values()
    assert (fallen.routes, fallen.revision) == ((Route("1", 100),), NEW.revision)
    assert settle({"tiny": fallen}, state(NEW), cannot) == {"tiny": fallen}
    assert settle({"tiny": fallen}, state(NEW), phases(v1=READY, v2=READY)) == {"tiny": NEW}
    for phase in (LOADING, Phase.FETCHING, Phase.BROKEN):
        assert settle({}, state(NEW), phases(v1=READY, v2=phase)) == {"tiny": NEW}


def test_a_model_that_is_no_longer_wanted_has_no_table():
    """It is not served any more."""
    assert settle({"tiny": OLD}, state(), phases(v1=READY)) == {}


@pytest.mark.parametrize(
    ("asked", "version"),
    [
        ("", "2"),
        ("tiny", "2"),
        ("tiny@champion", "2"),
        ("tiny@2", "2"),
        ("tiny@1", "1"),
        ("tiny@last", "1"),
    ],
)
def test_a_name_an_alias_and_a_number_each_find_their_version(asked, version):
    """Versions without traffic too, if they are asked for."""
    spread = table({2: 100}, standby=[1], aliases={"last": 1})
    assert version_for(asked, [spread], phases(v1=READY, v2=READY)) == version


def test_a_version_that_loads_takes_no_share_beside_a_ready_one():
    """Its requests would wait for no reason."""
    spread = table({1: 90, 2: 10})
    assert version_for("tiny", [spread], phases(v1=LOADING, v2=READY)) == "2"
    assert version_for("tiny", [spread], phases(v1=LOADING, v2=LOADING)) == "1"


def test_a_number_that_is_not_in_force_yet_can_be_asked_for():
    """An alias goes by the table in force."""
    known = phases(v1=READY, v2=READY)
    choice = choose("tiny@2", {"tiny": OLD}, state(NEW), known, 0)
    assert (choice.key.version, choice.by_weight) == ("2", False)
    assert choose("tiny@champion", {"tiny": OLD}, state(NEW), known, 0).key.version == "1"


def test_what_a_proxy_has_chosen_by_weight_answers_as_if_by_weight():
    """The proxy drew; so the answer is mirrored, and says by which table."""
    both = phases(v1=READY, v2=READY)
    spread = table({1: 100, 2: 0}, revision=5)
    choice = choose("tiny", {"tiny": spread}, state(spread), both, 0, "2")
    assert (choice.key.version, choice.by_weight, choice.table.revision) == ("2", True, 5)


def test_a_proxy_may_know_the_new_table_before_it_is_in_force():
    """The version that it gives traffic to is ready here, and that is enough."""
    choice = choose("tiny", {"tiny": OLD}, state(NEW), phases(v1=READY, v2=READY), 0, "2")
    assert (choice.key.version, choice.table.revision) == ("2", 2)


@pytest.mark.parametrize("phase", [LOADING, Phase.FAILED, Phase.DRAINING, None])
def test_what_a_proxy_has_chosen_is_not_exchanged(phase):
    """Another replica has it: this one says so, and answers nothing else in its place."""
    known = phases(v1=READY, v2=phase)
    with pytest.raises(Unavailable, match="tiny@2"):
        choose("tiny", {"tiny": NEW}, state(NEW), known, 0, "2")


def test_a_caller_that_names_a_version_gets_that():
    """Whatever a proxy thinks that its alias means."""
    known = phases(v1=READY, v2=READY)
    assert choose("tiny@1", {"tiny": NEW}, state(NEW), known, 0, "2").key.version == "1"


@pytest.mark.parametrize("asked", ["other", "tiny@7", "tiny@other", "other@1", "@", "tiny@"])
def test_what_is_not_here_is_named_with_what_is(asked):
    """NOT_FOUND helps to ask for the right thing."""
    with pytest.raises(NotFound, match="'tiny' \\(versions 1\\)") as refused:
        version_for(asked, [OLD], phases(v1=READY))
    assert refused.value.reason == "MODEL_NOT_FOUND"


def test_no_name_is_refused_where_there_are_several_models():
    """With their names."""
    both = [OLD, table({1: 100}, model="other")]
    with pytest.raises(InvalidArgument, match="'other', 'tiny'"):
        version_for("", both, phases(v1=READY))


@pytest.mark.parametrize(
    ("phase", "reason"),
    [
        (None, "MODEL_LOADING"),
        (Phase.FETCHING, "MODEL_LOADING"),
        (Phase.STORED, "MODEL_LOADING"),
        (Phase.DRAINING, "MODEL_LOADING"),
        (Phase.FAILED, "MODEL_FAILED"),
    ],
)
@pytest.mark.parametrize("asked", ["tiny", "tiny@1"])
def test_what_may_be_here_soon_can_be_asked_for_again(asked, phase, reason):
    """UNAVAILABLE with a time to wait: another replica may have it."""
    known = {} if phase is None else phases(v1=phase)
    with pytest.raises(Unavailable) as refused:
        version_for(asked, [OLD], known)
    assert refused.value.reason == reason
    assert refused.value.retry_after_s


def test_before_the_first_state_nothing_is_said_to_be_missing():
    """Nobody knows yet."""
    with pytest.raises(Unavailable) as refused:
        choose("tiny", {}, None, {}, 0)
    assert refused.value.reason == "MODELS_UNKNOWN"


def test_a_state_comes_back_from_its_form_on_disk():
    """Whole."""
    one = state(table({1: 60, 2: 40}, mirror=3, standby=[4], aliases={"x": 4}, revision=9))
    assert state_from_json(one.to_json()) == one
