"""What an engine has for one request, from the engine's steps to the request's reader.

Holds no more than the request's own tokens, whatever the reader's speed. Knows nothing of text.
"""

import asyncio

from services.rpc.errors import ParleyError
from services.serving.engine import Progress


class Mailbox:
    """What the engine has for one request. Takes everything that has come since the last look."""

    def __init__(self) -> None:
        self._found: dict[int, Progress] = {}
        self._error: ParleyError | None = None
        self._arrived = asyncio.Event()

    def put(self, choice: int, progress: Progress) -> None:
        """Adds a step's tokens to what waits for the reader."""
        waiting = self._found.get(choice)
        if waiting is None:
            self._found[choice] = progress
        else:
            waiting.token_ids += progress.token_ids
            waiting.logprobs += progress.logprobs
            waiting.finish = progress.finish
        self._arrived.set()

    def fail(self, error: ParleyError) -> None:
        """Ends the request with an error once what came before it is read. The first one counts."""
        self._error = self._error or error
        self._arrived.set()

    async def take(self) -> dict[int, Progress]:
        """Waits for something and takes all of it. Raises the error given to `fail`."""
        await self._arrived.wait()
        self._arrived.clear()
        if not self._found and self._error is not None:
            raise self._error
        found, self._found = self._found, {}
        if self._error is not None:
            self._arrived.set()
        return found
