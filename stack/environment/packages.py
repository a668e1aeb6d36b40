"""Makes the Python environment and installs the pinned locks into it. Standard library only."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

from stack.environment import stamps
from stack.environment.places import Places
from stack.environment.steps import Steps
from stack.errors import Exit, StackError

INSTALL_TIMEOUT_S = 3600
CREATE_TIMEOUT_S = 180
# Room that must be free; measured: 5.7 GB installed, most of it torch, and 0.3 GB for Airflow.
FREE_BYTES_MIN = {"parley": 7 << 30, "airflow": 1 << 30}
PTH = "parley-checkout.pth"
UNFINISHED = "parley-unfinished"


def make(places: Places, locks: list[str], steps: Steps, whose: str = "Python") -> None:
    """Makes the environment hold exactly what `locks` pin. Safe to repeat and to interrupt."""
    if not usable(places):
        _check_room(places, FREE_BYTES_MIN[locks[0]])
        with steps.step(f"{whose} environment"):
            _create(places, steps)
    with steps.step(f"{whose} packages"):
        _install(places, locks, steps)
    (places.site_packages() / PTH).write_text(f"{places.root}\n", encoding="utf-8")
    stamps.write(places.stamp, **{lock: stamps.packages(places, lock) for lock in locks})


def usable(places: Places) -> bool:
    """Whether the environment's interpreter runs, is where it was made, and finds its packages."""
    code = "import sys, sysconfig; print(sys.prefix, sysconfig.get_paths()['purelib'], sep='\\n')"
    try:
        run = subprocess.run(
            [places.python, "-c", code], capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return False
    prefix, packages = run.stdout.splitlines()
    moved = stamps.read(places.stamp).get("venv", prefix) != prefix
    unfinished = (places.venv / UNFINISHED).exists()
    return not moved and not unfinished and Path(packages).is_dir()


def _check_room(places: Places, wanted: int) -> None:
    folder = next(parent for parent in [places.venv, *places.venv.parents] if parent.is_dir())
    free = shutil.disk_usage(folder).free
    if free < wanted:
        raise StackError(
            f"{folder} has {free / 1e9:.1f} GB free; {places.venv.name} takes about"
            f" {wanted / 1e9:.0f} GB.",
            mend="Make room, or set PARLEY_VENV to a folder on a larger disk.",
            code=Exit.SETUP,
        )


def _create(places: Places, steps: Steps) -> None:
    if places.venv.exists() and not (places.venv / "pyvenv.cfg").exists() and _foreign(places.venv):
        raise StackError(
            f"{places.venv} is there already and is no Python environment.",
            mend="Set PARLEY_VENV to another folder, or move that one away.",
            code=Exit.SETUP,
        )
    command = maker(places.venv)
    shutil.rmtree(places.venv, ignore_errors=True)
    places.venv.mkdir(parents=True)
    (places.venv / UNFINISHED).touch()
    steps.run(command, timeout_s=CREATE_TIMEOUT_S)
    stamps.write(places.stamp, venv=str(places.venv))
    (places.venv / UNFINISHED).unlink()


def _foreign(venv: Path) -> bool:
    return any(not path.name.startswith("parley-") for path in venv.iterdir())


def maker(venv: Path) -> list[str | Path]:
    """The command that makes an environment with what this machine has."""
    if importlib.util.find_spec("ensurepip") and importlib.util.find_spec("venv"):
        return [sys.executable, "-m", "venv", venv]
    if uv := shutil.which("uv"):
        return [uv, "venv", "--allow-existing", "--python", sys.executable, venv]
    if virtualenv := shutil.which("virtualenv"):
        return [virtualenv, "--python", sys.executable, venv]
    raise StackError(
        "This Python cannot make environments: its ensurepip is missing.",
        mend="On Debian and Ubuntu: apt install python3-venv. Elsewhere, put uv or virtualenv on"
        " PATH. Then run this again.",
        code=Exit.SETUP,
    )


def _install(places: Places, locks: list[str], steps: Steps) -> None:
    uv = installer(places) or _fetch_installer(places, steps)
    command = [uv, "pip", *_uv_command(places, locks)] if uv else _pip_command(places, locks)
    env = uv_settings(places) if uv else {}
    steps.run(command, timeout_s=INSTALL_TIMEOUT_S, env=env)


def _uv_command(places: Places, locks: list[str]) -> list[str | Path]:
    """In an environment that we made, what no lock names any more is removed, too."""
    python = ["--python", places.python, "--require-hashes"]
    if stamps.read(places.stamp).get("venv"):
        return ["sync", *python, *(places.lock(lock) for lock in ["setup", *locks])]
    return ["install", *python, "--no-deps", *_requirements(places, locks)]


def _pip_command(places: Places, locks: list[str]) -> list[str | Path]:
    pinned = ["--require-hashes", "--no-deps", *_requirements(places, locks)]
    return [*_pip(places), "install", *pinned]


def _requirements(places: Places, locks: list[str]) -> list[str | Path]:
    return [word for lock in locks for word in ("-r", places.lock(lock))]


def installer(places: Places) -> Path | str | None:
    """The uv to use: the environment's own, else the one on PATH."""
    own = places.venv / "bin" / "uv"
    return own if own.exists() else shutil.which("uv")


def _fetch_installer(places: Places, steps: Steps) -> Path | None:
    """Installs uv into the environment; None where it cannot be had, and pip serves as well."""
    try:
        steps.run(_pip_command(places, ["setup"]), timeout_s=CREATE_TIMEOUT_S)
    except StackError:
        return None
    return places.venv / "bin" / "uv"


def uv_settings(places: Places) -> dict[str, str]:
    """What uv must be told to install as this machine's pip would: its index and certificates."""
    asked = {}
    if not {"UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_CONFIG_FILE"} & os.environ.keys():
        asked["UV_DEFAULT_INDEX"] = "index-url"
    if "SSL_CERT_FILE" not in os.environ:
        asked["SSL_CERT_FILE"] = "cert"
    found = {name: _pip_option(_pip(places), option) for name, option in asked.items()}
    return {"UV_NO_PROGRESS": "1", **{name: value for name, value in found.items() if value}}


def _pip(places: Places) -> list[str | Path]:
    return [places.python, "-m", "pip", "--disable-pip-version-check", "--no-input"]


def _pip_option(pip: list[str | Path], option: str) -> str:
    for section in (":env:", "global"):
        run = subprocess.run(
            [*pip, "config", "get", f"{section}.{option}"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if run.returncode == 0:
            return run.stdout.strip()
    return ""
