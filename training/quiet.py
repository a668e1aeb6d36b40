"""Keeps the libraries off the network and off the terminal while a model is made.

Knows nothing of models; use it before the first import of transformers.
"""

import logging
import os
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

_SETTINGS = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "TOKENIZERS_PARALLELISM": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "DO_NOT_TRACK": "true",
    "WANDB_ERROR_REPORTING": "false",
    "HF_DATASETS_OFFLINE": "1",
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
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with _switched(_SETTINGS), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


@contextmanager
def folders(work: Path, wandb: Path | None) -> Iterator[None]:
    """Within the block: what libraries keep comes to lie below these folders, not in the home.

    They have no other way to be told than the environment.
    """
    places = {"MPLCONFIGDIR": str(work / ".matplotlib")}
    if wandb is not None:
        names = ("CACHE_DIR", "DATA_DIR", "CONFIG_DIR", "ARTIFACT_DIR")
        places |= {f"WANDB_{name}": str(wandb / name.lower()) for name in names}
        places["WANDB_DIR"] = str(wandb)
    with _switched(places):
        yield


@contextmanager
def _switched(settings: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
