"""Reads the table that docs/s3.md shows."""

from pathlib import Path

ROOT = Path(__file__).parents[3]


def measured(kind: str) -> dict[str, str]:
    """Each call's cell in the column of a server; nothing when the table has no such column."""
    lines = (ROOT / "docs/s3.md").read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line[:1] == "|"]
    if kind not in rows[0]:
        return {}
    column = rows[0].index(kind)
    return {row[0]: row[column] for row in rows[2:]}
