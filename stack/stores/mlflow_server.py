"""MLflow's tracking server in this one process: `python -m stack.stores.mlflow_server SOCKET
DATABASE_URI ARTIFACTS`.

`mlflow server` would load all of MLflow twice, and leave its second half behind when it is killed.
"""

import os
import socket
import sys
from pathlib import Path

DRAIN_S = 10
BACKLOG = 128


def main(path: str, database_uri: str, artifacts: str) -> None:
    """Makes or finds the tables, then serves until SIGTERM. The URI holds no password."""
    import uvicorn
    from mlflow import server

    os.environ[server.BACKEND_STORE_URI_ENV_VAR] = database_uri
    os.environ[server.REGISTRY_STORE_URI_ENV_VAR] = database_uri
    os.environ[server.ARTIFACT_ROOT_ENV_VAR] = artifacts
    from mlflow.server.handlers import initialize_backend_stores

    initialize_backend_stores(database_uri, database_uri, artifacts)
    from mlflow.server.fastapi_app import app

    config = uvicorn.Config(
        app,
        log_config=str(Path(server.__file__).with_name("uvicorn_log_config.yaml")),
        access_log=False,
        timeout_graceful_shutdown=DRAIN_S,
    )
    with listen(Path(path)) as opened:
        uvicorn.Server(config).run(sockets=[opened])


def listen(path: Path) -> socket.socket:
    """Opens the unix socket for its owner alone; uvicorn would let everybody in."""
    path.unlink(missing_ok=True)  # left behind by a process that was killed
    opened = socket.socket(socket.AF_UNIX)
    before = os.umask(0o177)
    try:
        opened.bind(str(path))
    finally:
        os.umask(before)
    opened.listen(BACKLOG)
    return opened


if __name__ == "__main__":
    main(*sys.argv[1:])
