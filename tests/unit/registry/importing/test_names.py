"""Claims about file names from outside."""

import pytest

from services.registry.importing.names import check_name, is_skipped
from services.rpc.errors import InvalidArgument

GOOD = ["config.json", "model-00001-of-00002.safetensors", "LICENSE", "a+b.txt", "x_1.jinja"]
ESCAPES = [
    "", ".", "..", "../x.json", "a/b.json", "/etc/passwd.json", "..\\x.json", "C:\\x.json",
    "a\0.json", "%2e%2e.json", "a%2Fb.json", "a%5cb.json", "file:///x.json",
]  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_plain_names_of_known_kinds_pass(name: str):
    """What transformers writes has such names."""
    check_name(name)


@pytest.mark.parametrize("name", ESCAPES)
def test_no_name_leads_out(name: str):
    """However a separator is written, and whatever system reads it later."""
    with pytest.raises(InvalidArgument) as refusal:
        check_name(name)
    assert refusal.value.reason == "NAME_ESCAPES"


@pytest.mark.parametrize(("name", "skipped"), [(".git", True), ("..", False), ("..x", False)])
def test_only_hidden_entries_are_skipped(name: str, skipped: bool):
    """Two dots are never taken for a hidden name."""
    assert is_skipped(name) is skipped
