"""Ids of answers: what they say, and what is none."""

import pytest

from services.registry.lineage import Origin, read_origin


@pytest.mark.parametrize("kind", ["chatcmpl", "cmpl"])
def test_an_id_says_who_answered_and_when(kind: str):
    """Digits of the digest, number, revision."""
    assert read_origin(f"{kind}-0123456789ab-3-17-c0ffee") == Origin("0123456789ab", 3, 17)


@pytest.mark.parametrize(
    "response_id",
    [
        "",
        "chatcmpl-c0ffee",
        "chatcmpl-0123456789ab-3-17",
        "chatcmpl-0123456789ab-3-17-",
        "chatcmpl-0123456789AB-3-17-ff",
        "chatcmpl-0123456789a-3-17-ff",
        "chatcmpl-0123456789ab-0-17-ff",
        "chatcmpl-0123456789ab-03-17-ff",
        "chatcmpl-0123456789ab-3-0-ff",
        "chatcmpl-0123456789ab-9999999999-1-ff",
        "chatcmpl-0123456789ab-1-9999999999999999999-ff",
        "chatcmpl-0123456789ab-٣-17-ff",
        "chatcmpl-0123456789ab-3-17-ff\n",
        "xchatcmpl-0123456789ab-3-17-ff",
    ],
)
def test_what_is_no_such_id_is_not_read(response_id: str):
    """Nothing that only looks like one, nothing that a table could not hold."""
    assert read_origin(response_id) is None
