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
    loop, ready, stop = asyncio.new_event_loop(), Future[Facade](), asyncio.Event()

    async def serve() -> None:
        settings = make_settings(tmp_path, chat_dir=DIST, keepalive_s=0.5)
        async with running(settings) as facade:
            ready.set_result(facade)
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    try:
        yield Stage(ready.result(WITHIN_S), loop)
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


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
