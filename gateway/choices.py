"""How far one choice of an answer has come: what its client was given, and whether it is whole.

Takes the Deltas of whichever call makes it, and hands on what is new in them. Positions must follow
one another; what is made again must be what was given. Pure.
"""

from parley.serving.v1 import model_serving_pb2 as pb

from services.rpc import errors

_REASONS = frozenset({pb.FINISH_REASON_STOP, pb.FINISH_REASON_LENGTH})


class Choice:
    """One choice. `ids` are the tokens that were handed on, `chars` counts their text's characters,
    and `texts` are its pieces where they are kept."""

    __slots__ = ("chars", "done", "first_s", "ids", "index", "texts")

    def __init__(self, index: int, *, keep_text: bool = False) -> None:
        self.index = index
        self.ids: list[int] = []
        self.chars = 0
        self.texts: list[str] | None = [] if keep_text else None
        self.done = False
        # When its first token came, by the caller's clock.
        self.first_s: float | None = None


class Intake:
    """One choice as one call makes it, from the token at `position` on."""

    __slots__ = ("_chars", "_position", "choice", "heard")

    def __init__(self, choice: Choice, *, resumed: bool) -> None:
        """A resumed call goes on behind what is there; any other begins at the beginning."""
        self.choice = choice
        # Whether the call has said anything of it.
        self.heard = False
        self._position = len(choice.ids) if resumed else 0
        self._chars = choice.chars if resumed else 0

    def take(self, delta: pb.Delta) -> bool:
        """Leaves of a Delta what is new, and says whether that is anything. Raises Internal."""
        choice, count = self.choice, len(delta.token_ids)
        if choice.done or delta.position != self._position:
            raise broken("a gap")
        self._position += count
        if self._position - count < len(choice.ids) or self._chars < choice.chars:
            self._drop_known(delta, self._position - count)
        self._chars += len(delta.text)
        choice.ids.extend(delta.token_ids)
        choice.chars += len(delta.text)
        if choice.texts is not None:
            choice.texts.append(delta.text)
        delta.choice = choice.index
        return bool(delta.token_ids or delta.text)

    def finish(self, finished: pb.Finished) -> None:
        """Takes the end of the choice. Raises Internal where it does not fit what came before."""
        choice = self.choice
        if choice.done or finished.reason not in _REASONS:
            raise broken("a wrong end")
        if self._position != len(choice.ids):
            raise diverged()
        if finished.usage.completion_tokens != len(choice.ids):
            raise broken("a wrong count of its tokens")
        finished.choice = choice.index
        choice.done = True

    def _drop_known(self, delta: pb.Delta, position: int) -> None:
        """Takes out of a Delta of an answer that is made again what was handed on before.

        The same tokens have the same text, so that it need not be compared, nor kept.
        """
        ids = self.choice.ids
        known = min(max(len(ids) - position, 0), len(delta.token_ids))
        if ids[position : position + known] != delta.token_ids[:known]:
            raise diverged()
        chars = min(self.choice.chars - self._chars, len(delta.text))
        self._chars += chars
        del delta.token_ids[:known], delta.logprobs[:known]
        delta.text = delta.text[chars:]
        delta.position += known


def broken(what: str) -> errors.Internal:
    """A stream that breaks the contract."""
    return errors.Internal(
        f"The answer's stream had {what}, so it cannot be trusted. Ask again.",
        reason="STREAM_BROKEN",
    )


def diverged() -> errors.Internal:
    """An answer that was made again, and became another one."""
    return errors.Internal(
        "The replica that was answering ended, and on another one the answer became a different "
        "one. Ask again.",
        reason="RESUME_DIVERGED",
    )
