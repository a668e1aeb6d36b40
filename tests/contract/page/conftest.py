"""The built page in Chromium, on a real facade with services behind it that follow a script."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext

from stack.environment.places import ROOT
from tests.e2e.page.conftest import browser  # noqa: F401 (a fixture)
from tests.e2e.page.driver import ChatPage
from tests.fakes.facade import Facade, make_settings, running

DIST = ROOT / "chat" / "dist"
WITHIN_S = 20.0


@dataclass
class Stage:
    """The facade, which lives in a thread of its own."""

    facade: Facade
    loop: asyncio.AbstractEventLoop

    def do(self, work: Callable[[], Any]) -> Any:
        """Runs `work` where the services live, and gives what it gives."""
        done: Future[Any] = Future()
        self.loop.call_soon_threadsafe(lambda: done.set_result(work()))
        return done.result(WITHIN_S)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A facade that serves the built page; the model says hello."""
    if not (DIST / "index.html").is_file():
        pytest.skip("the page is not built: npm ci && npm run build in chat/")
    ready: Future[Stage] = Future()
    stop = asyncio.Event()

    async def serve() -> None:
        settings = make_settings(tmp_path, chat_dir=DIST, keepalive_s=0.5)
        async with running(settings) as facade:
            ready.set_result(Stage(facade, asyncio.get_running_loop()))
            await stop.wait()

    # Ends what requests of a page that was closed have left, too.
    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    made = ready.result(WITHIN_S)
    try:
        yield made
    finally:
        made.loop.call_soon_threadsafe(stop.set)
        thread.join()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:  # noqa: F811
    """A browser context of its own."""
    context = browser.new_context(viewport={"width": 1200, "height": 800}, reduced_motion="reduce")
    yield context
    context.close()


@pytest.fixture
def chat(context: BrowserContext, stage: Stage) -> Iterator[ChatPage]:
    """The page with an empty conversation."""
    page = ChatPage(context.new_page())
    yield page.open(stage.facade.url)
    assert page.problems == []
    assert page.foreign_requests() == []
