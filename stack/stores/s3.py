"""Parley's own object store: rclone's S3 server over a folder, on a loopback port.

Buckets are folders and objects are files. rclone asks `s3_keys.py` for keys, so none is in its
arguments or environment.
"""

import sys
from pathlib import Path

from stack.home import Home, private_folder
from stack.plan import STORES, Probe, Program
from stack.ports import LOOPBACK
from stack.stores import s3_keys
from stack.stores.where import Stores

NAME = "s3"
# By name: PATH begins with the environment's own folder, and rclone splits this at spaces.
ASK_KEYS = f"python -S -m {s3_keys.__name__}"


def data_folder(home: Home) -> Path:
    """Where the buckets are."""
    return home.data / "s3"


def prepare(home: Home, bucket: str) -> None:
    """Makes the bucket. Safe to repeat."""
    private_folder(data_folder(home))
    private_folder(data_folder(home) / bucket)


def program(home: Home, port: int, stores: Stores) -> Program:
    """The server."""
    command = [str(Path(sys.executable).with_name("rclone")), "serve", "s3"]
    # No configuration file: the user's rclone.conf is none of ours.
    options = {"--config": "", "--addr": f"{LOOPBACK}:{port}", "--auth-proxy": ASK_KEYS}
    limits = {"--max-header-bytes": "32768", "--server-read-timeout": "10m"}
    flat = [word for pair in {**options, **limits}.items() for word in pair]
    return Program(
        name=NAME,
        wave=STORES,
        command=(*command, *flat),
        environment={
            s3_keys.CREDENTIALS: str(home.s3_credentials),
            s3_keys.FOLDER: str(data_folder(home)),
        },
        probes=(
            Probe(
                "s3", f"{stores.s3_endpoint}/{stores.s3_bucket}", key_file=str(home.s3_credentials)
            ),
        ),
    )
