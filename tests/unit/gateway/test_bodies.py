"""JSON that is read strictly."""

import pytest

from gateway.bodies import parse_json
from gateway.errors import ApiError

BROKEN = [
    b"",
    b"null",
    b"[]",
    b'"text"',
    b"{",
    b'{"a":NaN}',
    b'{"a":-Infinity}',
    b'{"a":"\xff"}',
    b'{"a":"\xed\xa0\x80"}',
    b'{"a":"\\ud800"}',
    b'{"\\udfff":1}',
    b'\xef\xbb\xbf{"a":1}',
    b'{"a":' * 1000 + b"1" + b"}" * 1000,
    b"[" * 1_000_000,
    b'{"a":' + b"9" * 10_000 + b"}",
    b'{"a":1} x',
]


@pytest.mark.parametrize("body", BROKEN, ids=range(len(BROKEN)))
def test_what_is_no_json_object_is_refused(body: bytes) -> None:
    """A 400 with a short message, whatever the bytes are."""
    with pytest.raises(ApiError) as caught:
        parse_json(body)
    assert (caught.value.status, caught.value.code) == (400, "invalid_json")
    assert len(caught.value.message) < 200


def test_text_of_every_kind_is_read() -> None:
    """NUL, pairs of surrogates and characters beyond the first plane are text."""
    assert parse_json(rb'{"a":"\u0000\ud83d\ude00"}') == {"a": "\0😀"}
