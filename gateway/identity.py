"""What an answer tells of where it came from: its id, its fingerprint and its headers.

All are made from Started alone, so that nothing is stored on the way of a chat: the registry reads
the version and the revision of the deployment back out of the id.
"""

from parley.serving.v1 import model_serving_pb2 as pb

DIGITS = 12
_HEADERS = (
    (b"x-parley-model", "model"),
    (b"x-parley-version", "version"),
    (b"x-parley-run", "run_id"),
    (b"x-parley-dataset", "dataset_digest"),
)


def answer_id(prefix: str, started: pb.Started, unique: str) -> str:
    """The id of an answer: digest, number and revision of what answers, and what is unique."""
    return f"{prefix}{_digits(started)}-{_number(started)}-{started.revision}-{unique}"


def fingerprint(started: pb.Started) -> str:
    """What stays the same for as long as the same files answer."""
    return f"fp_{_digits(started)}"


def headers(started: pb.Started) -> list[tuple[bytes, bytes]]:
    """Response headers that name the model, its version, run and dataset, as far as known."""
    values = ((name, getattr(started, field)) for name, field in _HEADERS)
    return [(name, value.encode("latin-1", "replace")) for name, value in values if value]


def _digits(started: pb.Started) -> str:
    # A replica that serves a folder has no number and no revision: its version is the digest.
    return (started.digest or started.version)[:DIGITS]


def _number(started: pb.Started) -> int:
    return int(started.version) if started.revision and started.version.isdecimal() else 0
