"""Pages of a list: how many entries one has, and the token that asks for the next."""

import base64
import json
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Protocol, TypeVar

from google.protobuf.message import Message

from services.rpc.errors import InvalidArgument

M = TypeVar("M", bound=Message)
Key = TypeVar("Key", str, int)

SIZE_DEFAULT = 100
# Well below what a channel takes; one entry alone stays below it too.
BYTES_MAX = 512 << 10


class Paged(Protocol):
    """A request for a page."""

    page_size: int
    page_token: str


def read(
    request: Paged, kind: type[Key], size_default: int = SIZE_DEFAULT
) -> tuple[Key | None, int]:
    """Reads which entry the page before ended with, None at the beginning, and the page's size.

    Raises InvalidArgument when this server did not make the token.
    """
    size = request.page_size or size_default
    if not request.page_token:
        return None, size
    try:
        key = json.loads(base64.urlsafe_b64decode(request.page_token.encode("ascii")))
    except ValueError:
        key = None
    # A boolean is an int to Python, and no key of ours.
    if type(key) is not kind or (isinstance(key, int) and not 0 < key < 1 << 63):
        raise InvalidArgument(
            "This page token was not made by this server.",
            reason="INVALID_FIELD",
            metadata={"field": "page_token"},
        )
    return key, size


def cut(found: Sequence[M], size: int, key: Callable[[M], str | int]) -> tuple[Sequence[M], str]:
    """Cuts one page off what was found, one more than `size`; returns it and the next token.

    A page that would be too large for one message is cut shorter.
    """
    sizes = accumulate(one.ByteSize() for one in found)
    size = min(size, max(1, sum(bytes_ <= BYTES_MAX for bytes_ in sizes)))
    if len(found) <= size:
        return found, ""
    page = found[:size]
    return page, make_token(key(page[-1]))


def make_token(key: str | int) -> str:
    """Makes the token that asks for what comes after an entry."""
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode()
