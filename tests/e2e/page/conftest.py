"""Fixtures of the page's tests: a signed-in page that did nothing it must not, by the end.

From tests/e2e/conftest.py they need `browser` (Chromium of Playwright's sync API) and `login_url`,
a function that gives http://HOST:PORT/login?token=TOKEN with a fresh token at each call.
"""

import shutil
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, expect, sync_playwright

from .driver import ChatPage

LoginUrl = Callable[[], str]

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
# Chromium looks its maker's hosts up at every start; nothing here is for them.
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

expect.set_options(timeout=10_000)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """A headless Chromium; Playwright's event loop lasts no longer than these tests."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A browser context of its own: no cookie, no storage."""
    context = browser.new_context(viewport={"width": 1200, "height": 800})
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    yield context
    context.close()


@pytest.fixture
def stranger(context: BrowserContext) -> Iterator[ChatPage]:
    """A page of a browser that has not signed in."""
    page = ChatPage(context.new_page())
    yield page
    assert page.problems == []
    assert page.foreign_requests() == []


@pytest.fixture
def chat(stranger: ChatPage, login_url: LoginUrl) -> ChatPage:
    """A signed-in page with an empty conversation."""
    return stranger.open(login_url())
