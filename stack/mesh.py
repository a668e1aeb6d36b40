"""A service as the command line calls it: gRPC through the mesh listener, with an API key.

Knows no service, and no words but those of failures.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, Self

import grpc
from google.protobuf.message import Message

from services.rpc import errors
from services.rpc.channel import CLIENT_OPTIONS, call_metadata
from stack import keys, up
from stack.errors import StackError
from stack.home import Home
from stack.up import Running

CALL_S = 15.0
PAGES_MAX = 100


class Unanswered(StackError):
    """The service is away for now; the same call may be answered later."""


class Client:
    """A connection to one service, whose `name` is for people."""

    name: ClassVar[str] = "service"
    mends: ClassVar[Mapping[grpc.StatusCode, str]] = {}

    def __init__(self, address: str, api_key: str, stub: type[Any]) -> None:
        self._channel = grpc.insecure_channel(address, options=CLIENT_OPTIONS)
        self._stub = stub(self._channel)
        self._api_key = api_key

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()

    def call(self, rpc: str, request: Message) -> Any:
        """Makes one call. Raises StackError with the service's words, Unanswered without any."""
        with self.failures():
            return getattr(self._stub, rpc)(request, timeout=CALL_S, metadata=self._metadata())

    def pages(self, rpc: str, request: Any, field: str) -> list[Any]:
        """What all pages of a list hold. Raises StackError."""
        found: list[Any] = []
        for _ in range(PAGES_MAX):
            page = self.call(rpc, request)
            found.extend(getattr(page, field))
            request.page_token = page.next_page_token
            if not request.page_token:
                break
        return found

    @contextmanager
    def failures(self) -> Iterator[None]:
        """Puts failures of calls into words."""
        try:
            yield
        except grpc.RpcError as error:
            raise self._words(errors.from_rpc_error(error)) from None

    def _metadata(self) -> tuple[tuple[str, str], ...]:
        return call_metadata(keys.new_request_id(), self._api_key)

    def _words(self, error: errors.ParleyError) -> StackError:
        if error.code in _AWAY:
            words = error.message if errors.is_ours(error) else f"The {self.name} does not answer."
            return Unanswered(words, mend="See: ./parley status")
        if errors.is_ours(error):
            return StackError(error.message, mend=self.mends.get(error.code, ""))
        if error.reason in {code.name for code in _NONE_HERE}:
            words = f"This Parley has no {self.name}."
            return StackError(words, mend="Start one with: ./parley up")
        return StackError(
            f"The {self.name} could not be asked ({error.reason}).", mend="See: ./parley status"
        )


def caller(as_name: str | None) -> tuple[Home, Running, str]:
    """The running stack, and the key of `as_name` or else the common one.

    Raises StackError when no stack runs or there is no such key.
    """
    home = Home.find()
    running = up.require(home)
    key = keys.read(keys.client(home, as_name)) if as_name else running.api_key
    return home, running, key


_AWAY = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
_NONE_HERE = (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.UNKNOWN)
