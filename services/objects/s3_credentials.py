"""The keys of an S3 server, in the file format that every S3 program reads.

Knows the file alone, not who uses the keys.
"""

import configparser
from dataclasses import dataclass, field
from pathlib import Path

from services.rpc import settings

SECTION = "default"


@dataclass(frozen=True)
class S3Credentials:
    """One pair of keys; the secret one never shows in a log."""

    access_key: str
    secret_key: str = field(repr=False)


def read(path: Path) -> S3Credentials:
    """Reads the keys in `[default]` of an AWS credentials file that nobody else can read.

    Raises ValueError naming the file and the mend.
    """
    text = settings.secret(path)
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(text)
        keys = parser[SECTION]
        return S3Credentials(keys["aws_access_key_id"], keys["aws_secret_access_key"])
    except (configparser.Error, KeyError):
        # The parser's own words would quote the line, which may hold the secret.
        raise ValueError(
            f"{path} must hold aws_access_key_id and aws_secret_access_key under [{SECTION}]"
        ) from None
