"""Which of a server's models stands behind a replica, and what is known of it. Pure."""

import hashlib
from dataclasses import dataclass
from typing import Any

from services.serving.model import VERSION_DIGITS

NAMES_MAX = 10


class NoSuchModel(Exception):
    """The server has no such model, or it is not said which; the words are for the operator."""


@dataclass(frozen=True, slots=True)
class Card:
    """A model as its server lists it; `context_tokens_max` 0 is not known."""

    name: str
    owner: object = None
    version: str = ""
    context_tokens_max: int = 0

    @property
    def short_name(self) -> str:
        """What to call it where nothing else is said: the last part of a path."""
        return self.name.rstrip("/").rpartition("/")[2]


def find_card(listed: dict[str, Any], wanted: str) -> Card:
    """The model called `wanted`, or the only one there is where that is empty.

    Raises NoSuchModel.
    """
    data = listed.get("data")
    entries = [one for one in data if isinstance(one, dict)] if isinstance(data, list) else []
    named = {one["id"]: one for one in entries if isinstance(one.get("id"), str) and one["id"]}
    # Parley lists a model's versions and aliases as well.
    names = [wanted] if wanted else [name for name in named if "@" not in name]
    if len(names) == 1 and names[0] in named:
        return _card(named[names[0]])
    there = ", ".join(sorted(named)[:NAMES_MAX]) or "none"
    what = f"no model {wanted!r}" if wanted else "not exactly one model"
    raise NoSuchModel(f"the server has {what}, but {there}; set PARLEY_SERVING_REMOTE_MODEL")


def _card(entry: dict[str, Any]) -> Card:
    ours = entry.get("parley")
    ours = ours if isinstance(ours, dict) else {}
    context = entry.get("max_model_len", ours.get("context_tokens_max"))
    version = ours.get("version")
    root = entry.get("root")
    return Card(
        name=entry["id"],
        owner=entry.get("owned_by"),
        version=version if isinstance(version, str) else derived_version(entry["id"], root),
        context_tokens_max=context if type(context) is int and 0 <= context < 1 << 32 else 0,
    )


def derived_version(name: str, root: object = None) -> str:
    """A version for a model of which only its name is known, and perhaps where it comes from."""
    known = "\n".join([name, root if isinstance(root, str) else ""])
    return hashlib.sha256(known.encode()).hexdigest()[:VERSION_DIGITS]
