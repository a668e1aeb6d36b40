"""Somebody who chats on and on, and writes down what fails."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import openai

from .product import FRANCE, STARTER, WAIT_S, Product


class Chats:
    """What came of the chats so far."""

    def __init__(self) -> None:
        self.failures: list[openai.OpenAIError] = []
        self.answers = 0
        self.stop = threading.Event()
        self._changed = threading.Condition()

    def ask_on(self, client: openai.OpenAI) -> None:
        """Asks until it is stopped."""
        while not self.stop.is_set():
            try:
                answer = client.chat.completions.create(model=STARTER, messages=FRANCE)
                assert "Paris" in answer.choices[0].message.content
            except openai.OpenAIError as error:
                self.failures.append(error)
                self.stop.wait(0.1)
            with self._changed:
                self.answers += 1
                self._changed.notify_all()

    def await_more(self, count: int) -> None:
        """Waits until so many more have ended."""
        with self._changed:
            wanted = self.answers + count
            assert self._changed.wait_for(lambda: self.answers >= wanted, WAIT_S)


@contextmanager
def chatting(product: Product) -> Iterator[Chats]:
    """Chats beside the block; fails when one chat of them did."""
    chats = Chats()
    with product.sdk() as client:
        thread = threading.Thread(target=chats.ask_on, args=(client,))
        thread.start()
        try:
            chats.await_more(1)
            yield chats
            chats.await_more(3)
        finally:
            chats.stop.set()
            thread.join(WAIT_S)
    assert not thread.is_alive()
    assert chats.failures == []
