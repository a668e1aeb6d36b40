"""Checks a dataset and says what it is, as one line of JSON.

    python -m training.check_data PATH      (- reads standard input)

Prints kind, rows, size_bytes and digest, and ends with 0; or reason and message, and ends with 1.
Cheap to start: it loads nothing but Python's own library.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from training.data.check import check
from training.errors import DataError


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m training.check_data", description="Check a dataset."
    )
    parser.add_argument("path", metavar="PATH", help="the file, or - for standard input")
    parser.add_argument(
        "--prompts", action="store_true", help="prompts to be answered: no answers are needed"
    )
    options = parser.parse_args()
    told, code = _check(options.path, for_training=not options.prompts)
    print(json.dumps(told), flush=True)
    return code


def _check(path: str, for_training: bool) -> tuple[dict[str, Any], int]:
    try:
        if path == "-":
            return check(sys.stdin.buffer, for_training).as_json(), 0
        with Path(path).open("rb") as stream:
            return check(stream, for_training).as_json(), 0
    except DataError as error:
        return {"reason": error.reason, "message": error.message}, 1
    except OSError as error:
        words = f"{path} cannot be read: {error.strerror}."
        return {"reason": "DATASET_NOT_FOUND", "message": words}, 1


if __name__ == "__main__":
    sys.exit(main())
