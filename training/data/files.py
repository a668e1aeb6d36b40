"""Rows as a file in one fixed form, so that equal rows have an equal digest.

Knows nothing of where files are kept.
"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from training.data.lines import Lines
from training.data.rows import Row, read_rows


def load_rows(path: Path, for_training: bool = True) -> list[Row]:
    """All rows of a file. Raises DataError."""
    with path.open("rb") as stream:
        return list(read_rows(Lines(stream), for_training)[1])


def write_rows(rows: Iterable[Row], path: Path) -> str:
    """Writes rows and returns the SHA-256 of the file, which appears whole."""
    data = "".join(_form(row) for row in rows).encode()
    part = path.with_name(path.name + ".part")
    part.write_bytes(data)
    part.rename(path)
    return hashlib.sha256(data).hexdigest()


def hash_file(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _form(row: Row) -> str:
    """A line of JSON; plain text stays plain."""
    if not row.messages:
        return f"{row.answer}\n\n"
    messages = [{"content": words, "role": role} for role, words in row.messages]
    messages.append({"content": row.answer, "role": "assistant"})
    fields: dict[str, object] = {"messages": messages}
    if row.category:
        fields["category"] = row.category
    return json.dumps(fields, ensure_ascii=False, sort_keys=True) + "\n"
