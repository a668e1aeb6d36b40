"""The calls that make an answer: one for all its choices, and after a migration one for each.

Knows no retry and no deadline; whatever a call says goes through the `Intake` of its choice.
"""

import asyncio
from collections.abc import Sequence

import grpc
from parley.serving.v1 import model_serving_pb2 as pb

from gateway.choices import Choice, Intake, broken
from services.rpc import errors
from services.rpc.waits import Waits

Call = grpc.aio.UnaryStreamCall
Event = pb.GenerateResponse
# A complete answer's status follows its last event at once; past this nobody waits for it.
STATUS_WAIT_S = 1.0


class Part:
    """One Generate call, for some of an answer's choices."""

    def __init__(
        self, call: Call, choices: Sequence[Choice], *, resumed: bool, silence_s: float
    ) -> None:
        """`silence_s` is the longest wait for what comes next, where that is bounded."""
        self.call = call
        self._waits = Waits(silence_s)
        self._intakes = [Intake(choice, resumed=resumed) for choice in choices]
        # Choices wait in the replica's queue one by one.
        self._queued = len(choices)

    @property
    def done(self) -> bool:
        """Whether it has nothing more to bring."""
        return all(intake.choice.done for intake in self._intakes)

    async def started(self) -> pb.Started:
        """Waits for admission. Raises ParleyError."""
        event = await self._event(patient=True)
        if not event.HasField("started"):
            raise broken("no Started")
        return event.started

    async def next(self, *, patient: bool) -> Event:
        """What comes next, unchecked. Raises ParleyError.

        Unless it is `patient`: Unavailable, too, once nothing has come for `silence_s`, unless a
        choice still waits for its first token.
        """
        return await self._event(patient=patient or bool(self._queued))

    def take(self, event: Event) -> Event | None:
        """Checks what came and makes it the answer's own: None if all of it was handed out before.

        Raises Internal.
        """
        if event.HasField("delta"):
            return event if self._intake(event.delta.choice).take(event.delta) else None
        if not event.HasField("finished"):
            raise broken("an event of no kind")
        self._intake(event.finished.choice).finish(event.finished)
        return event

    def cancel(self) -> None:
        """Ends the call. Safe to repeat."""
        self.call.cancel()
        self._waits.close()

    async def close(self) -> None:
        """Takes the status of a complete answer, cancels any other. Never fails."""
        if self.done:
            try:
                async with asyncio.timeout(STATUS_WAIT_S):
                    await self.call.read()
            except (grpc.aio.AioRpcError, TimeoutError):
                pass
        self.cancel()

    def _intake(self, number: int) -> Intake:
        if number >= len(self._intakes):
            raise broken("a choice too many")
        intake = self._intakes[number]
        if not intake.heard:
            intake.heard = True
            self._queued -= 1
        return intake

    async def _event(self, *, patient: bool) -> Event:
        reading = self.call.read()
        try:
            event = await (reading if patient else self._waits.wait(reading))
        except grpc.aio.AioRpcError as error:
            raise errors.from_rpc_error(error) from None
        except TimeoutError:
            raise _silent() from None
        if event is grpc.aio.EOF:
            raise broken("an early end")
        return event


class Parts:
    """All calls of one answer; several are read at the same time."""

    def __init__(self) -> None:
        self._parts: list[Part] = []
        self._reading: dict[asyncio.Task[Event], Part] = {}

    def add(self, part: Part) -> None:
        """Takes one in."""
        self._parts.append(part)

    def remove(self, part: Part) -> None:
        """Forgets one that ended before it brought anything."""
        part.cancel()
        self._parts.remove(part)

    async def read(self, *, patient: bool) -> Event | None:
        """What any of them brings next; as `Part.next` and `Part.take`."""
        if len(self._parts) == 1 and not self._reading:
            (part,) = self._parts
            return part.take(await part.next(patient=patient))
        reading = self._reading
        for part in self._parts:
            if not part.done and part not in reading.values():
                reading[asyncio.create_task(part.next(patient=patient))] = part
        await asyncio.wait(reading, return_when=asyncio.FIRST_COMPLETED)
        task = next(task for task in reading if task.done())
        # Taken here only: what another call's end leaves behind was never handed out.
        return reading.pop(task).take(task.result())

    def drop(self) -> None:
        """Cancels all, whatever they have brought that was not read."""
        for task in self._reading:
            if not task.cancel() and not task.cancelled():
                task.exception()  # or asyncio would complain that nobody looked
        self._reading.clear()
        for part in self._parts:
            part.cancel()
        self._parts.clear()

    async def close(self) -> None:
        """Takes the status of those that are complete, cancels the others. Never fails."""
        if self._reading:
            self.drop()
        for part in self._parts:
            await part.close()


def _silent() -> errors.Unavailable:
    return errors.Unavailable(
        "The replica that was answering went silent. Ask again.", reason="REPLICA_SILENT"
    )
