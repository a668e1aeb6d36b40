"""Several versions in one replica, as callers see them."""

from collections import Counter

import grpc
import pytest
from parley.serving.v1 import model_serving_pb2 as pb

from tests.contract.serving.fleet import NOT_SERVING, SERVING
from tests.contract.serving.server import WAIT_S, until
from tests.contract.serving.test_servicer import refusal_of, remaining
from tests.fakes.source import key, table

Code = grpc.StatusCode


async def test_started_says_which_version_answers_and_why(fleet):
    """Its number, digest, run, dataset, and the revision that chose it."""
    fleet.source.tell(table({1: 100}, revision=7))
    await fleet.bring(1)
    _, started = await fleet.started()
    assert (started.model, started.version, started.revision) == ("tiny", "1", 7)
    (version,) = table({1: 100}).versions
    assert (started.digest, started.run_id, started.dataset_digest) == (
        version.key.digest,
        version.run_id,
        version.dataset_digest,
    )


async def test_a_folder_without_a_registry_has_revision_zero(serving):
    """Its version is the beginning of its digest."""
    started = (await serving.generate().read()).started
    assert started.version == started.digest[:12]
    assert (len(started.digest), started.revision, started.run_id) == (64, 0, "")


async def test_a_new_version_takes_over_only_when_it_is_ready(promoted):
    """Until then the old one answers, by the old revision."""
    _, before = await promoted.started()
    await promoted.bring(2)
    _, after = await promoted.started()
    assert [(one.version, one.revision) for one in (before, after)] == [("1", 1), ("2", 2)]


async def test_a_stream_ends_on_the_version_it_began_with(promoted):
    """Also when its version is no longer wanted; only then that one is unloaded."""
    call, _ = await promoted.started()
    promoted.source.tell(table({2: 100}, revision=3))
    await promoted.bring(2)
    await until(lambda: promoted.serving.replica.versions[key(1)].draining)
    assert (await promoted.listed())["1"].state == pb.MODEL_STATE_DRAINING
    assert await promoted.version() == "2"
    promoted.engine(1).step(3)
    assert [event.WhichOneof("event") for event in await remaining(call)][-1] == "finished"
    await until(lambda: not promoted.has(1))
    assert promoted.engine(2).submitted[-1].id
    assert len(promoted.engine(1).submitted) == 1


async def test_a_rollback_goes_back_at_once(promoted):
    """The predecessor stands by: nothing is loaded, and the next request is its."""
    await promoted.bring(2)
    assert await promoted.version() == "2"
    loaded = promoted.serving.replica.versions[key(1)]
    promoted.source.tell(table({1: 100}, standby=[2], revision=3))
    assert await promoted.version() == "1"
    assert promoted.serving.replica.versions[key(1)] is loaded
    assert promoted.source.fetched == [key(1), key(2)]


async def test_a_version_that_is_wanted_again_while_it_drains_stays(promoted):
    """Its streams go on, and it takes new ones."""
    call, _ = await promoted.started()
    promoted.source.tell(table({2: 100}, revision=3))
    await promoted.bring(2)
    await until(lambda: promoted.serving.replica.versions[key(1)].draining)
    promoted.source.tell(table({1: 100}, revision=4))
    await until(lambda: not promoted.serving.replica.versions[key(1)].draining)
    assert await promoted.version() == "1"
    promoted.engine(1).step(3)
    assert (await remaining(call))[-1].HasField("finished")


@pytest.mark.parametrize("keeping", [{"unload_s": 0}])
async def test_streams_do_not_hold_a_version_for_ever(promoted):
    """After a bound they end with UNAVAILABLE and a time to wait."""
    call, _ = await promoted.started()
    promoted.source.tell(table({2: 100}, revision=3))
    await promoted.bring(2)
    error = await refusal_of(call)
    assert (error.code, error.reason) == (Code.UNAVAILABLE, "MODEL_UNLOADED")
    assert error.retry_after_s
    await until(lambda: not promoted.has(1))


async def test_traffic_goes_by_weight(fleet):
    """Ninety to ten, by the number drawn for each request."""
    fleet.source.tell(table({1: 90, 2: 10}))
    await fleet.bring(1, 2)
    fleet.chances += [index / 100 for index in range(100)]
    found = Counter([await fleet.version() for _ in range(100)])
    assert found == {"1": 90, "2": 10}


@pytest.mark.parametrize(
    ("asked", "version"),
    [("tiny@champion", "1"), ("tiny@next", "2"), ("tiny@2", "2"), ("tiny@1", "1"), ("", "1")],
)
async def test_an_alias_or_a_number_names_its_version(fleet, asked, version):
    """Whatever the weights."""
    fleet.source.tell(table({1: 60, 2: 40}, aliases={"next": 2}))
    await fleet.bring(1, 2)
    assert await fleet.version(asked) == version


async def test_a_version_that_is_not_here_is_not_found(fleet):
    """With what is here."""
    fleet.source.tell(table({1: 100}))
    await fleet.bring(1)
    for asked in ("tiny@2", "other", "tiny@next"):
        error = await refusal_of(fleet.serving.generate(model=asked))
        assert (error.code, error.reason) == (Code.NOT_FOUND, "MODEL_NOT_FOUND")
        assert "'tiny' (versions 1)" in error.message


async def test_before_anything_is_known_callers_are_asked_to_wait(fleet):
    """And the replica is not healthy."""
    error = await refusal_of(fleet.serving.generate(model="tiny"))
    assert (error.code, error.reason) == (Code.UNAVAILABLE, "MODELS_UNKNOWN")
    assert error.retry_after_s
    assert await fleet.health() == NOT_SERVING


async def test_a_request_waits_for_the_first_version(fleet):
    """As it does for an engine that starts again."""
    fleet.source.tell(table({1: 100}))
    await until(lambda: fleet.has(1))
    call, started = await fleet.started()
    assert started.version == "1"
    await fleet.bring(1)
    fleet.engine(1).step(3)
    assert (await remaining(call))[-1].HasField("finished")


async def test_health_needs_one_version_with_traffic(fleet):
    """A version that only stands by or mirrors does not make a replica healthy."""
    fleet.source.tell(table({1: 50, 2: 50}, mirror=3))
    await fleet.bring(3)
    assert await fleet.health() == NOT_SERVING
    await fleet.bring(2)
    await fleet.until_health(SERVING)
    fleet.engine(2).die()
    await fleet.until_health(NOT_SERVING)


async def test_a_version_that_cannot_be_had_leaves_the_old_one_alone(promoted):
    """It is FAILED with the reason, tried again, and taken when it can be had."""
    promoted.source.broken[key(3)] = "the store is closed"
    promoted.source.tell(table({3: 100}, standby=[1], revision=4))
    await until(lambda: promoted.source.fetched.count(key(3)) >= 3)
    listed = await promoted.listed()
    assert (listed["3"].state, listed["3"].detail) == (
        pb.MODEL_STATE_FAILED,
        "the store is closed",
    )
    assert await promoted.version() == "1"
    error = await refusal_of(promoted.serving.generate(model="tiny@3"))
    assert (error.code, error.reason) == (Code.UNAVAILABLE, "MODEL_FAILED")
    promoted.source.broken.clear()
    await promoted.bring(3)
    assert await promoted.version() == "3"
    assert (await promoted.listed())["3"].detail == ""


async def test_a_version_whose_engine_never_comes_up_leaves_the_old_one_alone(promoted):
    """It is taken away, FAILED, and tried again with a new engine."""
    broken = promoted.engine(2)
    del promoted.serving.loader.engines[key(2)]
    broken.die(final=True)
    await until(lambda: key(2) in promoted.serving.loader.engines)
    assert "keeps ending" in (await promoted.listed())["2"].detail
    assert await promoted.version() == "1"
    await promoted.bring(2)
    assert await promoted.version() == "2"


async def test_the_predecessor_answers_while_the_champion_cannot_be_had(fleet):
    """A replica that begins then is of use all the same; later the champion takes over."""
    fleet.source.broken[key(2)] = "the store is closed"
    fleet.source.tell(table({2: 100}, standby=[1]))
    await fleet.bring(1)
    await fleet.until_health(SERVING)
    assert await fleet.version() == "1"
    assert (await fleet.listed())["2"].state == pb.MODEL_STATE_FAILED
    fleet.source.broken.clear()
    await fleet.bring(2)
    assert await fleet.version() == "2"


@pytest.mark.parametrize("keeping", [{"budget_bytes": 1}])
async def test_a_version_that_does_not_fit_leaves_the_old_one_alone(fleet):
    """It is FAILED with the figures."""
    fleet.source.tell(table({1: 100}))
    await fleet.bring(1)
    fleet.source.tell(table({2: 100}, standby=[1], revision=2))
    await until(lambda: fleet.serving.replica.notes.get(key(2)))
    await until(lambda: fleet.serving.replica.phases[key(2)] == "failed")
    listed = await fleet.listed()
    assert listed["2"].state == pb.MODEL_STATE_FAILED
    assert "GiB" in listed["2"].detail
    assert (listed["1"].state, listed["1"].weight) == (pb.MODEL_STATE_READY, 100)
    assert await fleet.version() == "1"


async def test_all_that_is_known_of_a_version_is_listed(fleet):
    """Sorted by number, with aliases and weights."""
    fleet.source.tell(table({10: 30, 9: 70}, standby=[8], aliases={"x": 10}, revision=5))
    await fleet.bring(9, 10, 8)
    listed = await fleet.listed()
    assert list(listed) == ["8", "9", "10"]
    shown = [(one.weight, list(one.aliases), one.revision) for one in listed.values()]
    assert shown == [(0, [], 5), (70, ["champion"], 5), (30, ["x"], 5)]
    assert {one.state for one in listed.values()} == {pb.MODEL_STATE_READY}
    assert listed["9"].digest == key(9).digest


async def test_the_list_comes_in_pages(fleet):
    """Each version once, in order."""
    fleet.source.tell(table({1: 50, 2: 50}, standby=[3]))
    await fleet.bring(1, 2, 3)
    seen, token = [], ""
    while True:
        asked = pb.ListLoadedModelsRequest(page_size=2, page_token=token)
        answer = await fleet.serving.stub.ListLoadedModels(asked, timeout=WAIT_S)
        seen.append([model.version for model in answer.models])
        token = answer.next_page_token
        if not token:
            break
    assert seen == [["1", "2"], ["3"]]


async def test_a_model_that_is_no_longer_wanted_goes(fleet):
    """Others are not touched."""
    fleet.source.tell(table({1: 100}), table({1: 100}, model="other"))
    await until(lambda: len(fleet.serving.replica.versions) == 2)
    for engine in fleet.serving.loader.engines.values():
        engine.become_ready()
    error = await refusal_of(fleet.serving.generate())
    assert (error.code, error.metadata["field"]) == (Code.INVALID_ARGUMENT, "model")
    fleet.source.tell(table({1: 100}))
    await until(lambda: len(fleet.serving.replica.versions) == 1)
    assert (await refusal_of(fleet.serving.generate(model="other"))).code is Code.NOT_FOUND
    assert await fleet.version("") == "1"


async def test_a_pinned_version_answers_instead_of_a_drawn_one(promoted):
    """The mesh's proxies draw, and say in the call's metadata what came of it."""
    await promoted.bring(2)
    pinned = (("x-parley-version", "1"),)
    asked = pb.GenerateRequest(model="tiny", text="hi")
    call = promoted.serving.stub.Generate(asked, timeout=WAIT_S, metadata=pinned)
    assert (await call.read()).started.version == "1"
    call.cancel()


async def test_a_pinned_version_that_is_not_here_is_unavailable(promoted):
    """So that the caller asks again, and gets another replica."""
    asked = pb.GenerateRequest(model="tiny", text="hi")
    pinned = (("x-parley-version", "2"),)
    call = promoted.serving.stub.Generate(asked, timeout=WAIT_S, metadata=pinned)
    refusal = await refusal_of(call)
    assert (refusal.code, refusal.reason) == (Code.UNAVAILABLE, "MODEL_LOADING")


async def test_started_names_the_replica(promoted):
    """So that a conversation can come back to it."""
    promoted.serving.replica.name = "serving-7"
    _, started = await promoted.started()
    assert started.replica == "serving-7"
