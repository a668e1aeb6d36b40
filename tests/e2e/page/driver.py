"""The chat page as a person uses it: names of things on it, and nothing about how it is built."""

from urllib.parse import urlsplit

from playwright.sync_api import Locator, Page, expect

ANSWER_MS = 60_000


class ChatPage:
    """One open, signed-in page, which notes whatever it should never do."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.requested: list[str] = []
        self.problems: list[str] = []
        page.context.on("request", lambda request: self.requested.append(request.url))
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("dialog", lambda dialog: self.problems.append(f"dialog: {dialog.message}"))

    def open(self, url: str) -> "ChatPage":
        """Goes to an address, waits until the person can write, and returns itself."""
        self.page.goto(url)
        expect(self.composer).to_be_focused()
        return self

    @property
    def composer(self) -> Locator:
        return self.page.get_by_role("textbox", name="Message", exact=True)

    @property
    def transcript(self) -> Locator:
        return self.page.get_by_role("log", name="Conversation")

    @property
    def turns(self) -> Locator:
        return self.transcript.get_by_role("article")

    @property
    def answer(self) -> Locator:
        """The prose of the last answer."""
        return self.turns.last.locator(".prose")

    @property
    def problem(self) -> Locator:
        """What went wrong with the last answer."""
        return self.turns.last.get_by_role("group", name="Problem")

    @property
    def readout(self) -> Locator:
        return self.turns.last.get_by_role("list", name="About this answer")

    def button(self, name: str) -> Locator:
        """The last button of this name, which is the one of the last turn."""
        return self.page.get_by_role("button", name=name, exact=True).last

    def write(self, question: str) -> None:
        """Sends a message by the keyboard."""
        self.composer.fill(question)
        self.composer.press("Enter")

    def ask(self, question: str) -> None:
        """Sends a message and waits until the answer has ended, in whatever way."""
        turns = self.turns.count()
        self.write(question)
        expect(self.turns).to_have_count(turns + 1)
        self.settled()

    def settled(self) -> None:
        """Waits until no answer is in the making."""
        expect(self.transcript).to_have_attribute("aria-busy", "false", timeout=ANSWER_MS)

    def foreign_requests(self) -> list[str]:
        """Every request that left the page's own origin."""
        own = _origin(self.page.url)
        local = ("data:", "blob:", "about:")
        return [url for url in self.requested if not url.startswith(local) and _origin(url) != own]


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
