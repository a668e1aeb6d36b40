"""A program that checks datasets as training's does, in few words: each line is to be an object."""

import json
import sys
from pathlib import Path


def main() -> None:
    """Prints what it found."""
    lines = Path(sys.argv[1]).read_bytes().split(b"\n")
    for number, line in enumerate(lines, 1):
        if line == b"die":
            sys.exit("it died")
        if line and not line.startswith(b"{"):
            words = f"line {number} is not a JSON object; write one on each line."
            print(json.dumps({"reason": "DATASET_INVALID", "message": words}))
            sys.exit(1)
    print(json.dumps({"kind": "messages", "rows": sum(1 for line in lines if line)}))


if __name__ == "__main__":
    main()
