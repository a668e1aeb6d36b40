"""Checks data as training's own program does, at its seam: lines of JSON, what it says, its status.

`--rows-min N` is how many rows there must be, two by default. A line "die" has it end in silence.
"""

import argparse
import json
import sys
from pathlib import Path

DIE = "die"


def main() -> int:
    """The command line; other options of the program are taken and passed over."""
    parser = argparse.ArgumentParser()
    parser.add_argument("path", type=Path)
    parser.add_argument("--rows-min", type=int, default=2)
    told, _ = parser.parse_known_args()
    rows = [row for row in told.path.read_text(encoding="utf-8").splitlines() if row]
    for number, row in enumerate(rows, 1):
        if row == DIE:
            sys.exit("it died")
        if not is_object(row):
            words = f"line {number} is not a JSON object; write one on each line."
            return refuse("DATASET_INVALID", words)
    if len(rows) < told.rows_min:
        return refuse("DATASET_TOO_SMALL", "There are too few rows.")
    print(json.dumps({"kind": "messages", "rows": len(rows)}))
    return 0


def is_object(row: str) -> bool:
    """Whether a line is a JSON object."""
    try:
        return isinstance(json.loads(row), dict)
    except ValueError:
        return False


def refuse(reason: str, message: str) -> int:
    """Says why."""
    print(json.dumps({"reason": reason, "message": message}))
    return 1


if __name__ == "__main__":
    sys.exit(main())
