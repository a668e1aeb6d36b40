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
FREE_BYTES_MIN = 7 << 30  # measured: 5.7 GB installed, most of it torch
PTH = "parley-checkout.pth"


def make(places: Places, locks: list[str], steps: Steps) -> None:
    """Makes the environment hold exactly what `locks` pin. Safe to repeat and to interrupt."""
    if not usable(places):
        _check_room(places)
        with steps.step("Python environment"):
            _create(places, steps)
    with steps.step("Python packages"):
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
    return not moved and Path(packages).is_dir()


def _check_room(places: Places) -> None:
    folder = next(parent for parent in [places.venv, *places.venv.parents] if parent.is_dir())
    free = shutil.disk_usage(folder).free
    if free < FREE_BYTES_MIN:
        raise StackError(
            f"{folder} has {free / 1e9:.1f} GB free; the Python environment takes about 6 GB.",
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
    shutil.rmtree(places.venv, ignore_errors=True)
    steps.run(_maker(places.venv), timeout_s=CREATE_TIMEOUT_S)
    stamps.write(places.stamp, venv=str(places.venv))


def _foreign(venv: Path) -> bool:
    return any(not path.name.startswith("parley-") for path in venv.iterdir())


def _maker(venv: Path) -> list[str | Path]:
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
    requirements = [word for lock in locks for word in ("-r", str(places.lock(lock)))]
    pinned = ["--require-hashes", "--no-deps", *requirements]
    pip = [places.python, "-m", "pip", "--disable-pip-version-check", "--no-input"]
    uv = installer(places) or _fetch_installer(places, pip, steps)
    if uv:
        command = [uv, "pip", "install", "--python", places.python, *pinned]
        steps.run(command, timeout_s=INSTALL_TIMEOUT_S, env=_uv_settings(pip))
    else:
        steps.run([*pip, "install", *pinned], timeout_s=INSTALL_TIMEOUT_S)


def installer(places: Places) -> Path | str | None:
    """The uv to use: the environment's own, else the one on PATH."""
    own = places.venv / "bin" / "uv"
    return own if own.exists() else shutil.which("uv")


def _fetch_installer(places: Places, pip: list[str | Path], steps: Steps) -> Path | None:
    """Installs uv into the environment; None where it cannot be had, and pip serves as well."""
    lock = places.lock("setup")
    try:
        steps.run([*pip, "install", "--require-hashes", "-r", lock], timeout_s=CREATE_TIMEOUT_S)
    except StackError:
        return None
    return places.venv / "bin" / "uv"


def _uv_settings(pip: list[str | Path]) -> dict[str, str]:
    """What uv must be told to install as this machine's pip would: its index and certificates."""
    settings = {"UV_NO_PROGRESS": "1"}
    told = {"UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_CONFIG_FILE"} & os.environ.keys()
    for option, names in (
        ("index-url", [] if told else ["UV_DEFAULT_INDEX"]),
        ("cert", [] if "SSL_CERT_FILE" in os.environ else ["SSL_CERT_FILE"]),
    ):
        for name in names:
            if value := _pip_option(pip, option):
                settings[name] = value
    return settings


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
