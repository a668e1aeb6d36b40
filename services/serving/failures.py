"""What failed, why, and when it is tried again: after a while that doubles each time."""

import asyncio
from collections.abc import Callable, Container
from dataclasses import dataclass, field

from services.serving.wanted import Key

RETRY_S_MIN, RETRY_S_MAX = 1.0, 60.0
DOUBLINGS_MAX = 10
WORDS_MAX = 500


@dataclass(slots=True)
class Failures:
    """The failures of versions; `on_retry` is called when one may be tried again."""

    retry_s_min: float
    on_retry: Callable[[], None]
    # Kept while it is tried again, until it is cleared.
    details: dict[Key, str] = field(default_factory=dict)
    _counts: dict[Key, int] = field(default_factory=dict)
    _timers: dict[Key, asyncio.TimerHandle] = field(default_factory=dict)

    def add(self, key: Key, detail: str) -> float:
        """Takes a failure, and returns the seconds until it is tried again."""
        count = self._counts.get(key, 0)
        self.clear(key)
        retry_s = min(self.retry_s_min * 2 ** min(count, DOUBLINGS_MAX), RETRY_S_MAX)
        self.details[key] = detail[:WORDS_MAX]
        self._counts[key] = count + 1
        self._timers[key] = asyncio.get_running_loop().call_later(retry_s, self._retry, key)
        return retry_s

    def waits(self, key: Key) -> bool:
        """Whether it may not be tried again yet."""
        return key in self._timers

    def clear(self, key: Key) -> None:
        """Forgets a failure."""
        self.details.pop(key, None)
        self._counts.pop(key, None)
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()

    def keep_only(self, keys: Container[Key]) -> None:
        """Forgets those of all others."""
        for key in [key for key in self.details if key not in keys]:
            self.clear(key)

    def _retry(self, key: Key) -> None:
        del self._timers[key]
        self.on_retry()
