"""Where the checkout, its environment and its page are. Standard library only."""

import os
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Places:
    """The folders of one checkout. `venv` may lie elsewhere: PARLEY_VENV says so."""

    root: Path
    venv: Path

    @classmethod
    def find(cls, root: Path = ROOT) -> "Places":
        """The places of this checkout, with PARLEY_VENV in force."""
        named = os.environ.get("PARLEY_VENV")
        return cls(root, Path(named).expanduser().absolute() if named else root / ".venv")

    @classmethod
    def running(cls) -> "Places":
        """The places of this checkout, with the environment that runs this process."""
        return cls(ROOT, Path(sys.prefix))

    @property
    def python(self) -> Path:
        """The environment's interpreter."""
        return self.venv / "bin" / "python"

    @property
    def airflow(self) -> "Places":
        """The same checkout with Airflow's environment, which lies beside ours."""
        return Places(self.root, self.venv.with_name(f"{self.venv.name}-airflow"))

    @property
    def stamp(self) -> Path:
        """What the environment was made from; written last."""
        return self.venv / "parley-stamp.json"

    @property
    def log(self) -> Path:
        """All that the set-up's programs said."""
        return self.venv / "parley-setup.log"

    @property
    def chat(self) -> Path:
        """The page's sources; `chat/dist` is the page."""
        return self.root / "chat"

    def site_packages(self) -> Path:
        """Where the environment's interpreter finds its packages.

        Raises FileNotFoundError when the environment is not there or is of another Python.
        """
        found = sorted(self.venv.glob("lib/python3.*/site-packages"))
        if not found:
            raise FileNotFoundError(f"{self.venv} holds no Python environment")
        return found[-1]

    def lock(self, name: str) -> Path:
        """A pinned lock: "setup", "parley", "test" or "airflow"."""
        return self.root / "requirements" / f"{name}.txt"

    def version(self) -> str:
        """Parley's version, from pyproject.toml."""
        with (self.root / "pyproject.toml").open("rb") as file:
            return str(tomllib.load(file)["project"]["version"])


def inside(places: Places) -> bool:
    """Whether this very process runs in the environment."""
    return Path(sys.prefix).resolve() == places.venv.resolve()
