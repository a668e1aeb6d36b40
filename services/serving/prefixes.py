"""Keeps the engine's prefix caching exact: what may not be read at once, what may not yet leave.

The engine keeps blocks of 32 tokens by what is in them, and mistakes three things (see the traps in
ARCHITECTURE.md). A block of a prompt that is half read counts as whole: so who leaves in the midst
of one waits for its first token. A block that is half full is lent to several prompts that go on
differently, and each writes into it: so of these one is read at a time. And a prompt that fills the
block that it was lent keeps it without a copy, while it is still lent as half full: so the next one
waits for a step more.

Pure: knows no engine. A content is the ids of a sequence's tokens, prompt and answer, as int32.
"""

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

BLOCK_TOKENS = 32
Tokens = NDArray[np.int32]


class Prefixes:
    """What the engine's sequences have read, and what half-full blocks it may have kept."""

    def __init__(self, ends_max: int) -> None:
        """Remembers the last `ends_max` contents that ended within a block."""
        self._ends_max = ends_max
        self._ends: OrderedDict[int, None] = OrderedDict()
        # Sequences without a token, in the order in which the engine reads them.
        self._reading: dict[int, Tokens] = {}
        # Prompts read in the last step that end with a block.
        self._closing: list[Tokens] = []
        # The contents of the others, as bytes.
        self._answering: dict[int, bytearray] = {}
        self._untouched: set[int] = set()
        self._brought: set[int] = set()

    def must_wait(self, prompt_ids: Sequence[int]) -> bool:
        """Whether a prompt could be lent a block that one being read is writing into."""
        prompt = np.asarray(prompt_ids, np.int32)
        others = (*self._reading.values(), *self._closing)
        return any(self._clash(prompt, other) for other in others)

    def started(self, sequence_id: int, prompt_ids: Sequence[int]) -> None:
        """Notes a sequence that was given to the engine."""
        prompt = np.asarray(prompt_ids, np.int32)
        self._reading[sequence_id] = prompt
        self._untouched.add(sequence_id)
        # The engine has a block for the prompt's end as soon as it begins to read it.
        self._remember(prompt.tobytes())
        # Its first block that is not whole may be one of an answer that has come just so far.
        for content in self._answering.values():
            if prompt.tobytes().startswith(content[:-4]):
                self._end(content)

    def stepped(self, brought: Sequence[tuple[int, Sequence[int], bool]]) -> None:
        """Notes a step: whose tokens it brought, and whether that was the last."""
        self._untouched.clear()
        self._brought.clear()
        self._closing.clear()
        for sequence_id, token_ids, ended in brought:
            if sequence_id in self._reading:
                prompt = self._reading.pop(sequence_id)
                if len(prompt) % BLOCK_TOKENS == 0 and not ended:
                    self._closing.append(prompt)
                self._answering[sequence_id] = bytearray(prompt.tobytes())
            self._answering[sequence_id] += np.asarray(token_ids, np.int32).tobytes()
            self._brought.add(sequence_id)
            if ended:
                self.left(sequence_id)

    def may_leave(self, sequence_id: int) -> bool:
        """Whether all that the engine has begun to read of a sequence is read.

        It reads prompts one after the other, so that only the first can be half read, and an answer
        only after it was put off.
        """
        if sequence_id in self._reading:
            return sequence_id in self._untouched or sequence_id != next(iter(self._reading))
        return sequence_id in self._brought

    def left(self, sequence_id: int) -> None:
        """Notes that a sequence is gone from the engine."""
        self._reading.pop(sequence_id, None)
        content = self._answering.pop(sequence_id, None)
        if content is not None:
            self._end(content)

    def _end(self, content: bytearray) -> None:
        # The last token was sampled, and not read any more.
        self._remember(bytes(content[:-4]))
        self._remember(bytes(content))

    def _remember(self, end: bytes) -> None:
        key = hash(end)
        self._ends[key] = None
        self._ends.move_to_end(key)
        while len(self._ends) > self._ends_max:
            self._ends.popitem(last=False)

    def _clash(self, prompt: Tokens, other: Tokens) -> bool:
        """Whether the two part within a block of which a beginning may have been kept."""
        length = min(len(prompt), len(other))
        differing = np.flatnonzero(prompt[:length] != other[:length])
        common = int(differing[0]) if len(differing) else length
        if common % BLOCK_TOKENS == 0 or common == len(prompt) == len(other):
            return False
        first = common - common % BLOCK_TOKENS + 1
        beginning = prompt[:first].tobytes()
        if any(content.startswith(beginning) for content in self._answering.values()):
            return True
        return any(hash(prompt[:end].tobytes()) in self._ends for end in range(first, common + 1))
