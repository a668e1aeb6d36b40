"""Checks data as training's own program does, at its seam: a line of JSON, and an exit status."""

import json
import sys
from pathlib import Path

ROWS_MIN = 2


def main() -> int:
    """The command line."""
    rows = Path(sys.argv[-1]).read_text(encoding="utf-8").splitlines()
    for number, row in enumerate(rows, 1):
        try:
            json.loads(row)
        except ValueError:
            print(json.dumps({"reason": "DATASET_INVALID", "message": f"line {number}: no JSON."}))
            return 1
    if len(rows) < ROWS_MIN:
        print(json.dumps({"reason": "DATASET_TOO_SMALL", "message": "There are too few rows."}))
        return 1
    print(json.dumps({"kind": "chat", "rows": len(rows)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
