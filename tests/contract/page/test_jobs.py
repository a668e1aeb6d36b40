"""The drawer of jobs: live while somebody looks, and plain about what came of them."""

from typing import Any

import pytest
from parley.jobs.v1 import jobs_pb2 as pb
from playwright.sync_api import Browser, Locator, expect

from tests.contract.page.conftest import Stage
from tests.e2e.page.driver import ChatPage
from tests.e2e.page.test_accessibility import assert_clean
from tests.fakes import jobs_service as fake

pytestmark = pytest.mark.slow


def _card(chat: ChatPage, name: str) -> Locator:
    heading = chat.page.get_by_role("heading", name=name, exact=True)
    return chat.page.get_by_role("list", name="Jobs").get_by_role("listitem").filter(has=heading)


def _spec(model: str) -> pb.JobSpec:
    return pb.JobSpec(finetune=pb.FinetuneSpec(model=model, dataset="/data.jsonl"))


def _fill(stage: Stage) -> None:
    """One job of each fate, and one that runs."""

    def work() -> None:
        jobs = stage.facade.jobs
        fake.succeed(jobs, jobs.add("1", _spec("champion"), submitted_by="ann").id)
        refused = {"promotion": pb.PROMOTION_OUTCOME_REFUSED, "promotion_reason": "0.4 < 0.5"}
        fake.succeed(jobs, jobs.add("2", _spec("worse"), submitted_by="bob").id, **refused)
        fake.fail(jobs, jobs.add("3", _spec("broken")).id)
        jobs.add("4", _spec("support"), submitted_by="ann")
        jobs.tell("4", state=pb.JOB_STATE_RUNNING)
        jobs.tell("4", task=pb.JobTask(name="train", state=pb.TASK_STATE_RUNNING))
        _step(stage, 1)

    stage.do(work)


def _step(stage: Stage, step: int) -> None:
    """One more step of the running job."""
    jobs, values = stage.facade.jobs, {"loss": 2.0 / step, "tokens_per_s": 1234.0}
    jobs.tell("4", metrics=pb.MetricsEvent(step=step, values=values))
    progress = pb.ProgressEvent(percent=20.0 * step, message=f"epoch {step}")
    jobs.tell("4", progress=progress)


def test_running_job_is_seen_live_to_its_end(chat: ChatPage, stage: Stage) -> None:
    """Progress, task and loss move as they are told, and the end says what came of it."""
    _fill(stage)
    chat.button("Jobs").click()
    card = _card(chat, "support")
    expect(card.get_by_role("progressbar")).to_have_attribute("value", "20")
    expect(card).to_contain_text("train: epoch 1")
    stage.do(lambda: _step(stage, 2))
    expect(card.get_by_role("progressbar")).to_have_attribute("value", "40")
    expect(card).to_contain_text("Loss 1.00, from 2.00, 1234 tokens/s")
    expect(card.locator("polyline")).to_be_attached()
    stage.do(lambda: fake.succeed(stage.facade.jobs, "4"))
    expect(card).to_contain_text("support@3 is the champion.")
    expect(card.get_by_role("progressbar")).to_be_hidden()


def test_ended_jobs_say_what_came_of_them(chat: ChatPage, stage: Stage) -> None:
    """Newest first, each in words."""
    _fill(stage)
    chat.button("Jobs").click()
    expect(_card(chat, "champion")).to_contain_text("champion@3 is the champion.")
    expect(_card(chat, "worse")).to_contain_text("worse@3 was not promoted: 0.4 < 0.5")
    expect(_card(chat, "broken")).to_contain_text("Failed in train: The loss became NaN.")
    names = chat.page.get_by_role("list", name="Jobs").get_by_role("heading")
    expect(names).to_have_text(["support", "broken", "worse", "champion"])
    expect(chat.page.get_by_role("dialog", name="Jobs")).to_contain_text("1 at work.")


def test_dropped_stream_goes_on_where_it_was(chat: ChatPage, stage: Stage) -> None:
    """No loss counts twice, also when the drawer was closed in between."""
    stage.do(lambda: stage.facade.jobs.drops.extend([2, 0, 1]))
    _fill(stage)
    chat.button("Jobs").click()
    expect(_card(chat, "support")).to_contain_text("Loss 2.00, from 2.00")
    chat.page.keyboard.press("Escape")
    stage.do(lambda: _step(stage, 2))
    chat.button("Jobs").click()
    expect(_card(chat, "support")).to_contain_text("Loss 1.00, from 2.00")
    line = _card(chat, "support").locator("polyline").get_attribute("points")
    assert line is not None and len(line.split()) == 2


def test_nothing_is_asked_while_nobody_looks(chat: ChatPage, stage: Stage) -> None:
    """Closing the drawer ends its streams."""
    _fill(stage)
    assert not [url for url in chat.requested if "/jobs" in url]
    chat.button("Jobs").click()
    expect(_card(chat, "support")).to_contain_text("epoch 1")
    chat.page.keyboard.press("Escape")
    expect(chat.button("Jobs")).to_be_focused()
    # A number tells nobody that it moved; the page gives the time to look again.
    for _ in range(200):
        if stage.do(lambda: stage.facade.jobs.watching) == 0:
            return
        chat.page.wait_for_timeout(25)
    raise AssertionError("a stream is still open")


def test_no_jobs_and_no_service_are_said(chat: ChatPage, stage: Stage) -> None:
    """With how to begin, or with what the service said."""
    chat.button("Jobs").click()
    dialog = chat.page.get_by_role("dialog", name="Jobs")
    expect(dialog).to_contain_text("./parley train")
    chat.page.keyboard.press("Escape")
    body = '{"detail": "Jobs are starting."}'
    chat.page.route("**/api/v1/jobs?*", lambda route: route.fulfill(status=503, body=body))
    chat.button("Jobs").click()
    expect(dialog).to_contain_text("Jobs are starting.")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 360, 320])
def test_drawer_has_no_violation(browser: Browser, stage: Stage, scheme: Any, width: int) -> None:
    """In both themes and at every width."""
    _fill(stage)
    size = {"width": width, "height": 740}
    context = browser.new_context(viewport=size, color_scheme=scheme, reduced_motion="reduce")
    try:
        chat = ChatPage(context.new_page()).open(stage.facade.url)
        assert_clean(chat.page, "header")
        chat.button("Jobs").click()
        expect(_card(chat, "support").locator("polyline")).to_be_attached()
        assert_clean(chat.page, "jobs")
    finally:
        context.close()
