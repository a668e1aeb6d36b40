"""Runs all calls against one server and says what was found."""

import json
import secrets
from collections.abc import Sequence

from services.objects.object_store import S3ObjectStore
from services.objects.s3_credentials import S3Credentials
from services.registry.conformance import conditions, listing, multipart, objects, trust
from services.registry.conformance.calls import Calls, Found, tried
from services.registry.conformance.wire import Wire

ALL = Calls([*objects.CALLS, *listing.CALLS, *multipart.CALLS, *conditions.CALLS, *trust.CALLS])


async def examined(
    endpoint: str, bucket: str, keys: S3Credentials, region: str = "us-east-1"
) -> list[Found]:
    """Tries every call below a prefix of its own in the bucket, and removes what it stored."""
    prefix = f"parley-conformance-{secrets.token_hex(6)}/"
    wire = Wire(endpoint.rstrip("/"), region, bucket, prefix, keys)
    store = S3ObjectStore(endpoint, bucket, keys, region=region, timeout_s=10)
    try:
        # One after another, so that none meets another's objects; nothing else waits here.
        return [tried(call, wire) for call in ALL]
    finally:
        await store.remove_folder(prefix)
        store.close()


def as_table(found: Sequence[Found]) -> str:
    """A table in Markdown."""
    rows = [("call", "verdict", "Parley needs it"), ("---", "---", "---")]
    for one in found:
        verdict = f"{one.verdict}: {one.words}" if one.words else one.verdict
        rows.append((one.name, verdict.replace("|", "\\|"), "yes" if one.needed else ""))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]
    return "\n".join(lines) + "\n"


def as_json(found: Sequence[Found]) -> str:
    """The same for machines."""
    told = [
        {"call": one.name, "verdict": one.verdict, "words": one.words, "needed": one.needed}
        for one in found
    ]
    return json.dumps(told, indent=2, ensure_ascii=False) + "\n"
