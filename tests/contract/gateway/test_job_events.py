"""GET /api/v1/jobs/{id}/events: server-sent events that can be taken up again at any byte."""

import asyncio
import json
from collections.abc import AsyncIterator

import httpx
import pytest
from parley.jobs.v1 import jobs_pb2 as pb

from gateway.app import create_app
from gateway.routes import streams
from gateway.streams import watch
from services.rpc import errors
from services.rpc.channel import open_channel
from tests.fakes.facade import Facade, answering, running

PATH = "/api/v1/jobs/one/events"


def _play(facade: Facade) -> None:
    """A short life of a job."""
    jobs = facade.jobs
    jobs.add("one")
    jobs.tell("one", state=pb.JOB_STATE_RUNNING)
    jobs.tell("one", task=pb.JobTask(name="train", state=pb.TASK_STATE_RUNNING, attempts=1))
    jobs.tell("one", progress=pb.ProgressEvent(percent=40, message="Épochs\nof two"))
    jobs.tell("one", metrics=pb.MetricsEvent(step=1, values={"loss": 0.5}))
    jobs.tell("one", line=pb.LogLine(task="train", text="done"))
    jobs.tell("one", state=pb.JOB_STATE_SUCCEEDED)


def _events(text: str) -> list[tuple[str, str, dict]]:
    """What a reader of a stream gets: kind, last id, and data of each whole event."""
    found, last = [], ""
    for block in text.split("\n\n")[:-1]:
        fields = dict(line.split(": ", 1) for line in block.split("\n") if line[0] != ":")
        last = fields.get("id", last)
        if "data" in fields:
            found.append((fields["event"], last, json.loads(fields["data"])))
    return found


async def test_stream_has_the_job_its_events_and_its_end(facade: Facade) -> None:
    """Each event by its kind, with its revision as id; the job itself has no id."""
    _play(facade)
    reply = await facade.http.get(PATH)
    assert reply.headers["content-type"].startswith("text/event-stream")
    assert reply.headers["cache-control"] == "no-store"
    told = _events(reply.text)
    kinds = ["job", "state", "task", "progress", "metrics", "line", "state", "end"]
    assert [kind for kind, _, _ in told] == kinds
    assert [last for _, last, _ in told] == ["", "1", "2", "3", "4", "5", "6", "6"]
    assert told[3][2]["progress"] == {"percent": 40, "message": "Épochs\nof two"}
    assert told[-1][2]["state"] == "JOB_STATE_SUCCEEDED"


async def test_stream_cut_at_any_byte_goes_on_without_loss_or_repeat(facade: Facade) -> None:
    """Whole events before the cut, and those after the last id, are all events once."""
    _play(facade)
    whole = (await facade.http.get(PATH)).content
    wanted = [1, 2, 3, 4, 5, 6]
    rests: dict[str, list[int]] = {}
    for cut in range(len(whole) + 1):
        before = _events(whole[:cut].decode(errors="ignore"))
        last = before[-1][1] if before else ""
        if last not in rests:
            headers = {"last-event-id": last} if last else {}
            rest = _events((await facade.http.get(PATH, headers=headers)).text)
            rests[last] = [data["revision"] for kind, _, data in rest if kind not in ("job", "end")]
            assert rest[-1][0] == "end"
        seen = [data["revision"] for kind, _, data in before if kind not in ("job", "end")]
        assert seen + rests[last] == wanted, cut
    assert len(rests) == len(wanted) + 1


async def test_revision_in_the_query_is_where_it_begins(facade: Facade) -> None:
    """The header counts before it, for a browser sends the address unchanged."""
    _play(facade)
    told = _events((await facade.http.get(PATH, params={"revision": 4})).text)
    assert [kind for kind, _, _ in told] == ["job", "line", "state", "end"]
    headers = {"last-event-id": "5"}
    told = _events((await facade.http.get(f"{PATH}?revision=1", headers=headers)).text)
    assert [kind for kind, _, _ in told] == ["job", "state", "end"]


@pytest.mark.parametrize("drops", [[0], [2], [1, 0, 0, 3], [6]])
async def test_dropped_stream_of_the_service_is_not_seen(
    facade: Facade, monkeypatch: pytest.MonkeyPatch, drops: list[int]
) -> None:
    """It is taken up again after the last event, and the reader gets the same bytes."""
    monkeypatch.setattr(watch, "PAUSE_S", 0.001)
    _play(facade)
    whole = (await facade.http.get(PATH)).content
    facade.jobs.drops, facade.jobs.watched = list(drops), []
    assert (await facade.http.get(PATH)).content == whole
    assert len(facade.jobs.watched) == len(drops) + 1
    assert facade.jobs.watched == sorted(facade.jobs.watched)


async def test_events_come_when_they_happen_and_silence_is_kept_alive(settings_with) -> None:
    """Nothing waits for the end; between events there are comments."""
    async with running(settings_with(keepalive_s=0.05)) as facade:
        facade.jobs.add("one")
        async with facade.http.stream("GET", PATH) as reply:
            lines = reply.aiter_lines()
            await _until(lines, "event: job")
            await _until(lines, ": keep-alive")
            facade.jobs.tell("one", state=pb.JOB_STATE_RUNNING)
            await _until(lines, "id: 1")
            await _until(lines, ": keep-alive")
            facade.jobs.tell("one", state=pb.JOB_STATE_FAILED)
            await _until(lines, "event: end")


async def _until(lines: AsyncIterator[str], wanted: str) -> None:
    async with asyncio.timeout(5):
        async for line in lines:
            if line == wanted:
                return
    raise AssertionError(f"no {wanted}")


async def test_reader_that_leaves_ends_the_watch(facade: Facade) -> None:
    """The service is not asked again for one who is gone."""
    facade.jobs.add("one")
    async with facade.http.stream("GET", PATH) as reply:
        await _until(reply.aiter_lines(), "event: job")
    async with asyncio.timeout(5):
        while facade.jobs.watching:  # noqa: ASYNC110 (a number tells nobody that it moved)
            await asyncio.sleep(0.01)
    assert len(facade.jobs.watched) == 1


async def test_service_that_stays_away_ends_the_stream_with_a_problem(
    facade: Facade, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a problem, and without `end`: nobody takes it for the job's."""
    monkeypatch.setattr(watch, "PAUSE_S", 0.001)
    monkeypatch.setattr(watch, "DROPS_MAX", 3)
    _play(facade)
    facade.jobs.drops = [2] + [0] * 9
    told = _events((await facade.http.get(PATH)).text)
    assert [kind for kind, _, _ in told] == ["job", "state", "task", "problem"]
    assert (told[-1][2]["status"], told[-1][2]["reason"]) == (503, "GOING_AWAY")
    assert told[-1][2]["request_id"]


@pytest.mark.parametrize(
    ("path", "headers", "status", "reason"),
    [
        ("/api/v1/jobs/nobody/events", {}, 404, "JOB_NOT_FOUND"),
        (PATH, {"last-event-id": "one"}, 400, "INVALID_VALUE"),
        (f"{PATH}?revision=-1", {}, 400, "INVALID_TYPE"),
        (f"{PATH}?since=3", {}, 400, "UNKNOWN_FIELD"),
        (
            PATH,
            {"cookie": "parley_session=x", "sec-fetch-site": "cross-site"},
            403,
            "CROSS_ORIGIN",
        ),
    ],
)
async def test_refusal_before_the_stream_is_a_problem(
    facade: Facade, path: str, headers: dict[str, str], status: int, reason: str
) -> None:
    """With its status, for nothing was sent yet."""
    facade.jobs.add("one")
    reply = await facade.http.get(path, headers=headers)
    assert (reply.status_code, reply.json()["reason"]) == (status, reason)


async def test_service_that_is_away_at_first_is_a_503(facade: Facade) -> None:
    """The reader comes back by itself."""
    facade.jobs.refusals = [errors.Unavailable("Starting.", reason="STARTING")]
    reply = await facade.http.get(PATH)
    assert (reply.status_code, reply.headers["retry-after"]) == (503, "1")


async def test_watches_are_bounded(settings_with, monkeypatch: pytest.MonkeyPatch) -> None:
    """One too many is told to come back; one that ended makes room."""
    monkeypatch.setattr(streams, "WATCHES_MAX", 1)
    async with running(settings_with()) as facade:
        facade.jobs.add("one")
        async with facade.http.stream("GET", PATH) as reply:
            lines = reply.aiter_lines()
            await _until(lines, "event: job")
            refused = await facade.http.get(PATH)
            assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
            facade.jobs.tell("one", state=pb.JOB_STATE_SUCCEEDED)
            await _until(lines, "event: end")
        assert (await facade.http.get(PATH)).status_code == 200


async def test_draining_facade_ends_its_watches_at_once(facade: Facade) -> None:
    """Whole, and without `end` or `problem`: the reader goes on elsewhere."""
    facade.jobs.add("one")
    stopping = asyncio.Event()
    async with open_channel(facade.settings.mesh_address) as channel:
        app = create_app(facade.settings, channel, stopping=stopping)
        async with (
            answering(app) as url,
            httpx.AsyncClient(timeout=5) as http,
            http.stream("GET", url + PATH) as reply,
        ):
            lines = reply.aiter_lines()
            await _until(lines, "event: job")
            stopping.set()
            rest = [line async for line in lines if line.startswith(("event:", "data:"))]
    assert [line[:6] for line in rest] == ["data: "]
