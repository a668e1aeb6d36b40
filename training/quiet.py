"""Keeps the libraries off the network and off the terminal while a model is made.

Knows nothing of models; use it before the first import of transformers.
"""

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_SETTINGS = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "TOKENIZERS_PARALLELISM": "false",
    # Threads that spin while they wait starve each other where two programs share two cores.
    "OMP_WAIT_POLICY": "PASSIVE",
}


@contextmanager
def without(package: str) -> Iterator[None]:
    """Within the block, libraries that can do without a package find that it is not installed.

    For a package that takes seconds to load and is not used. Does nothing once it is loaded.
    """
    if package in sys.modules:
        yield
        return
    sys.modules[package] = None  # type: ignore[assignment]  # says "absent" to the import system
    try:
        yield
    finally:
        del sys.modules[package]


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Within the block: no network, no progress bars, no warnings, no log line below an error."""
    before = {name: os.environ.get(name) for name in _SETTINGS}
    os.environ.update(_SETTINGS)
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
