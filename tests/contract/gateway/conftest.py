"""A running facade for the tests of its wire."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from gateway.settings import GatewaySettings
from tests.fakes.facade import Facade, make_settings, running


@pytest.fixture
async def facade(tmp_path: Path) -> AsyncIterator[Facade]:
    """A facade with the settings of the tests."""
    async with running(make_settings(tmp_path)) as facade:
        yield facade


@pytest.fixture
def settings_with(tmp_path: Path) -> Callable[..., GatewaySettings]:
    """Makes settings that differ from the tests' in what is named."""
    return lambda **changes: make_settings(tmp_path, **changes)
