"""Claims about keeping libraries quiet."""

import importlib.util
import logging
import os
import sys
import warnings

import pytest

from training.quiet import quiet_libraries, without


def test_libraries_are_kept_off_the_network_only_within_the_block(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The caller's environment and logging come back as they were."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.delenv("TRANSFORMERS_OFFLINE", raising=False)
    level = logging.root.manager.disable
    with quiet_libraries():
        assert os.environ["HF_HUB_OFFLINE"] == os.environ["TRANSFORMERS_OFFLINE"] == "1"
        assert not logging.getLogger("some.library").isEnabledFor(logging.WARNING)
    assert os.environ["HF_HUB_OFFLINE"] == "0"
    assert "TRANSFORMERS_OFFLINE" not in os.environ
    assert logging.root.manager.disable == level


def test_warnings_do_not_pass() -> None:
    """A library's warning does not reach the terminal, nor stop a test."""
    with quiet_libraries():
        warnings.warn("noise", UserWarning, stacklevel=1)


def test_a_package_is_away_only_within_the_block() -> None:
    """Who looks for it finds nothing; afterwards it can be imported as ever."""
    sys.modules.pop("colorsys", None)
    with without("colorsys"):
        assert importlib.util.find_spec("colorsys") is None
        with pytest.raises(ImportError):
            importlib.import_module("colorsys")
    assert importlib.import_module("colorsys").ONE_THIRD


def test_a_package_in_use_stays() -> None:
    """Nothing is taken from those who have it already."""
    with without("logging"):
        assert importlib.import_module("logging") is logging
