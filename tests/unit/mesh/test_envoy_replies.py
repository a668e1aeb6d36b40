"""Envoy's own answers speak the caller's language."""

import pytest

from services.mesh.replies import EDGE_REPLIES


def mappers_of(manager):
    """Each mapper under its status."""
    return {
        one["filter"]["status_code_filter"]["comparison"]["value"]["default_value"]: one
        for one in manager["local_reply_config"]["mappers"]
    }


@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 413, 421, 429, 431, 502, 503, 504])
def test_edge_answers_in_openais_shape(managers, status):
    """Message, type, param and code, as JSON, with words on what to do."""
    body = mappers_of(managers["edge"])[status]["body_format_override"]
    error = body["json_format"]["error"]
    assert body["content_type"] == "application/json"
    assert set(error) == {"message", "type", "param", "code"}
    assert error["param"] is None
    assert error["message"].count(".") >= 1


@pytest.mark.parametrize("status", [429, 503])
def test_what_may_pass_later_says_when(managers, status):
    """OpenAI's SDKs wait for Retry-After."""
    (header,) = mappers_of(managers["edge"])[status]["headers_to_add"]
    assert header["header"] == {"key": "retry-after", "value": "1"}


def test_codes_differ():
    """A program can tell the refusals apart."""
    codes = [reply.code for reply in EDGE_REPLIES]
    assert len(set(codes)) == len(codes)


@pytest.mark.parametrize("status", [401, 404, 503])
def test_mesh_answers_in_words(managers, status):
    """gRPC has its status; the message says what to do, and is no HTML or JSON."""
    text = mappers_of(managers["mesh"])[status]["body_format_override"]["text_format_source"]
    assert text["inline_string"][0].isalpha()
