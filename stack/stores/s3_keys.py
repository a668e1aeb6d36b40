"""What rclone asks who a caller is: `python -m stack.stores.s3_keys`.

rclone writes the caller's access key id to standard input and reads the secret key that the
signature must be made with from standard output. Standard library only; told by two variables.
"""

import configparser
import json
import os
import sys
from pathlib import Path

CREDENTIALS = "PARLEY_S3_CREDENTIALS_FILE"
FOLDER = "PARLEY_S3_FOLDER"


def main() -> None:
    """Answers one question. An unknown caller gets no secret, which rclone refuses."""
    asked = json.load(sys.stdin)
    parser = configparser.RawConfigParser()
    parser.read_string(Path(os.environ[CREDENTIALS]).read_text(encoding="utf-8"))
    known = parser["default"]
    answer = {"type": "local", "_root": os.environ[FOLDER]}
    if asked.get("user") == known["aws_access_key_id"]:
        answer["_secret_access_key"] = known["aws_secret_access_key"]
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    main()
