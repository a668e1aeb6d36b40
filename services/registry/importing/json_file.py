"""JSON from outside: strict UTF-8, no key twice, and no word that would bring code along.

Knows no model.
"""

import json
from typing import Any

from services.registry.importing.refusals import refused

# Keys by which libraries load code from a folder or a hub.
CODE_KEYS = {
    "auto_map", "custom_code", "trust_remote_code", "custom_generate", "custom_pipelines",
    "loader_module",
}  # fmt: skip


def parse_object(name: str, text: bytes, reason: str = "INVALID_JSON") -> dict[str, Any]:
    """Parses the JSON object of the file `name`.

    Raises InvalidArgument with `reason` when it is none, and with CODE_IN_CONFIG when it names
    code. A vocabulary may hold any word, since each has a number for its value.
    """

    def take(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        taken = dict(pairs)
        if len(taken) < len(pairs):
            raise ValueError("a key comes twice")
        for key in CODE_KEYS & taken.keys():
            if type(taken[key]) is not int:
                raise _code(name, key)
        return taken

    try:
        parsed = json.loads(text.decode("utf-8"), object_pairs_hook=take)
    except (ValueError, RecursionError) as error:
        words = f"is not valid JSON: {str(error)[:100]}. Save the model again."
        raise refused(reason, name, words) from None
    if not isinstance(parsed, dict):
        raise refused(reason, name, "must hold one JSON object. Save the model again.")
    return parsed


def _code(name: str, key: str) -> Exception:
    return refused(
        "CODE_IN_CONFIG", name, f"names code to load ({key}), which is never run. Only models "
        "whose code transformers holds can be imported; if this is one, remove that key.",
    )  # fmt: skip
