"""How the calls of one generation are steered through the mesh: headers that it routes by.

They are hints. A mesh that does not read them, or cannot follow them, sends the call to any replica
that can answer.
"""

import grpc
from parley.serving.v1 import model_serving_pb2 as pb

from gateway.affinity import Affinity, Conversation, Seat, draw_of

MODEL = "x-parley-model"
DRAW = "x-parley-draw"
REPLICA = "x-parley-replica"
Pairs = tuple[tuple[str, str], ...]


class Steering:
    """The calls of one generation. Only the first prefers a replica: the others are made because
    one did not answer."""

    def __init__(self, affinity: Affinity, model: str, key: str | None) -> None:
        """`key` names the conversation; None or empty when the client did not."""
        self._affinity = affinity
        self._conversation = Conversation(model, draw_of(key)) if key else None
        self._seats: dict[grpc.aio.Call, Seat] = {}
        self._preferred = affinity.preferred(self._conversation)

    def headers(self, model: str) -> Pairs:
        """What the next call says to the mesh, for a request that names this model."""
        pairs = [(MODEL, model), (REPLICA, self._preferred or "")]
        if self._conversation is not None:
            pairs.append((DRAW, str(self._conversation.draw)))
        return tuple(pair for pair in pairs if _can_be_sent(pair[1]))

    def sent(self, call: grpc.aio.Call) -> None:
        """Counts a call until it is done."""
        seat = self._seats[call] = Seat(self._affinity, self._preferred)
        self._preferred = None
        call.add_done_callback(lambda _: seat.leave())

    def end(self) -> None:
        """Counts none of them any more, whether or not gRPC has told of their end."""
        for seat in self._seats.values():
            seat.leave()

    def begun(self, call: grpc.aio.Call, started: pb.Started) -> None:
        """Notes where a call came to. A replica without a name is nobody's."""
        if started.replica and not call.done():
            self._seats[call].move(started.replica)
        if started.replica:
            self._affinity.answers(self._conversation, started.replica)


def _can_be_sent(value: str) -> bool:
    """Whether a header can say it: gRPC refuses a call with any other."""
    return bool(value) and value.isascii() and value.isprintable() and value == value.strip()
