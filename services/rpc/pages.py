"""Pages of a list: how many entries one has, and the token that asks for the next."""

import base64
import json
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from services.rpc.errors import InvalidArgument

T = TypeVar("T")
Key = TypeVar("Key", str, int)

SIZE_DEFAULT = 100


class Paged(Protocol):
    """A request for a page."""

    page_size: int
    page_token: str


def read(request: Paged, kind: type[Key]) -> tuple[Key | None, int]:
    """Reads which entry the page before ended with, None at the beginning, and the page's size.

    Raises InvalidArgument when this server did not make the token.
    """
    size = request.page_size or SIZE_DEFAULT
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


def cut(found: Sequence[T], size: int, key: Callable[[T], str | int]) -> tuple[Sequence[T], str]:
    """Cuts one page off what was found, one more than `size`; returns it and the next token."""
    if len(found) <= size:
        return found, ""
    page = found[:size]
    return page, base64.urlsafe_b64encode(json.dumps(key(page[-1])).encode()).decode()
