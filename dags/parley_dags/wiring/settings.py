"""What the graphs read of their environment, once, when Airflow reads them.

Knows no graph. Everything else that a task needs is in the environment it inherits.
"""

import os
from datetime import timedelta


def _needed(name: str) -> str:
    value = os.environ.get(name, "")
    if not value:
        raise RuntimeError(f"{name} is not set: the graphs need it to start their tasks.")
    return value


# Parley's interpreter, which tasks run in.
PYTHON = _needed("PARLEY_DAGS_PYTHON")
# The checkout, where tasks find the `training` package.
ROOT = _needed("PARLEY_DAGS_ROOT")
# Longer than a restart of Airflow's api-server takes, so that one of those burns one try at most.
RETRY_DELAY = timedelta(seconds=float(os.environ.get("PARLEY_DAGS_RETRY_DELAY_S") or 90))
# The model that is measured each night.
NIGHTLY_MODEL = os.environ.get("PARLEY_DAGS_NIGHTLY_MODEL") or "parley-starter"
