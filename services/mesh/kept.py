"""The mesh's last state on disk, for a process that begins anew among replicas that go on."""

from pathlib import Path

import structlog
from pydantic import TypeAdapter

from services.mesh.state import MeshState

log = structlog.get_logger()

NAME = "state.kept"
_JSON = TypeAdapter(MeshState)


class Kept:
    """One state in a folder of its own owner."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME

    def read(self) -> MeshState | None:
        """The state that was written last; None where there is none that can be read."""
        try:
            return _JSON.validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            log.warning("state not read", error=str(error).splitlines()[0])
            return None

    def write(self, state: MeshState) -> None:
        """Writes a state, whole or not at all. One that cannot be written is only missed later."""
        part = self._path.with_suffix(".part")
        try:
            part.write_bytes(_JSON.dump_json(state))
            part.replace(self._path)
        except OSError as error:
            log.error("state not kept", error=str(error))
