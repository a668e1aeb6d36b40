"""python -m services.registry.conformance --endpoint URL --credentials FILE --bucket NAME

Exits with 1 when the server does not do something that Parley needs, and with 2 when
nothing could be found out.
"""

import argparse
import asyncio
import sys
from pathlib import Path

from services.objects import s3_credentials
from services.registry.conformance.report import as_json, as_table, examined
from services.rpc.errors import ParleyError

EXIT_NOT_EXAMINED = 2


def main() -> int:
    """Examines the server that the arguments name."""
    parser = argparse.ArgumentParser(prog="python -m services.registry.conformance")
    parser.add_argument("--endpoint", required=True, help="such as http://127.0.0.1:9000")
    parser.add_argument("--credentials", required=True, type=Path, help="an AWS credentials file")
    parser.add_argument("--bucket", required=True, help="a bucket that is there")
    parser.add_argument("--region", default="us-east-1")
    parser.add_argument("--json", action="store_true", help="for machines, instead of a table")
    asked = parser.parse_args()
    try:
        keys = s3_credentials.read(asked.credentials)
        found = asyncio.run(examined(asked.endpoint, asked.bucket, keys, asked.region))
    except (OSError, ValueError, ParleyError) as error:
        sys.stderr.write(f"parley: {error}\n")
        return EXIT_NOT_EXAMINED
    sys.stdout.write(as_json(found) if asked.json else as_table(found))
    return int(any(one.fails for one in found))


if __name__ == "__main__":
    raise SystemExit(main())
