"""Calls that list a bucket."""

from collections.abc import Mapping

from services.registry.conformance.calls import Calls
from services.registry.conformance.checks import done, same
from services.registry.conformance.wire import Answer, Wire

CALLS = Calls()
NAMES = ("list/a", "list/b/1", "list/b/2", "list/c", "list/d")


def _listed(wire: Wire, query: Mapping[str, str]) -> Answer:
    for name in NAMES:
        wire.put(name, b"1")
    return done(wire.send("GET", None, query={"list-type": "2", **query}))


def _full(wire: Wire, *names: str) -> list[str]:
    return [wire.prefix + name for name in names]


@CALLS.add("list with a prefix", needed=True)
def prefix(wire: Wire) -> None:
    """Lists in order what lies below a prefix."""
    answer = _listed(wire, {"prefix": f"{wire.prefix}list/"})
    same(answer.texts("Key"), _full(wire, *NAMES), "the list")


@CALLS.add("list with half a name as prefix", needed=False)
def half_prefix(wire: Wire) -> None:
    """Takes a prefix as letters, not as a folder."""
    answer = _listed(wire, {"prefix": f"{wire.prefix}li"})
    same(answer.texts("Key"), _full(wire, *NAMES), "the list")


@CALLS.add("list with a delimiter", needed=True)
def delimiter(wire: Wire) -> None:
    """Lists one level, folders apart."""
    answer = _listed(wire, {"prefix": f"{wire.prefix}list/", "delimiter": "/"})
    same(answer.texts("Key"), _full(wire, "list/a", "list/c", "list/d"), "the list")
    folders = [text for text in answer.texts("Prefix") if text.endswith("/b/")]
    same(folders, _full(wire, "list/b/"), "the folders")


@CALLS.add("list in pages", needed=True)
def pages(wire: Wire) -> None:
    """Goes on where the page before ended."""
    query = {"prefix": f"{wire.prefix}list/", "max-keys": "2"}
    answer, keys = _listed(wire, query), []
    for _ in NAMES:
        keys += answer.texts("Key")
        if answer.text("IsTruncated") != "true":
            break
        token = answer.text("NextContinuationToken")
        answer = _listed(wire, {**query, "continuation-token": token})
    same(keys, _full(wire, *NAMES), "the list")


@CALLS.add("list start-after", needed=False)
def start_after(wire: Wire) -> None:
    """Lists what comes after a key."""
    query = {"prefix": f"{wire.prefix}list/", "start-after": f"{wire.prefix}list/b/2"}
    same(_listed(wire, query).texts("Key"), _full(wire, "list/c", "list/d"), "the list")


@CALLS.add("list nothing", needed=True)
def nothing(wire: Wire) -> None:
    """Lists nothing where nothing is, and calls it no error."""
    same(_listed(wire, {"prefix": f"{wire.prefix}nowhere/"}).texts("Key"), [], "the list")
