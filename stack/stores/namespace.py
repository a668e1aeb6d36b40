"""Runs a program that refuses to run as root: `python -m stack.stores.namespace COMMAND ...`.

Root's process gets a user namespace of its own, in which its id is another one. Its files stay
root's outside. Standard library only.
"""

import ctypes
import os
import sys
from pathlib import Path

CLONE_NEWUSER = 0x10000000  # linux/sched.h
NOBODY = 65534
EXIT_REFUSED = 77  # EX_NOPERM of BSD's sysexits.h
WORDS = (
    "PostgreSQL does not run as root, and this machine does not let root have a user namespace "
    "({why})."
)
MEND = (
    "Start Parley as another user; or allow user namespaces (sysctl user.max_user_namespaces,\n"
    "kernel.unprivileged_userns_clone; in a container its seccomp profile); or name your own\n"
    "PostgreSQL in parley.toml."
)


def is_needed() -> bool:
    """Whether this user is root."""
    return os.geteuid() == 0


def wrapped(command: list[str]) -> list[str]:
    """The command line that runs `command`, through this module where that is needed."""
    launcher = [sys.executable, "-m", "stack.stores.namespace"] if is_needed() else []
    return [*launcher, *command]


def enter() -> None:
    """Moves this process into a namespace of its own. Raises OSError where that is refused."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWUSER) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    Path("/proc/self/setgroups").write_text("deny")
    for name in ("uid_map", "gid_map"):
        Path("/proc/self", name).write_text(f"{NOBODY} 0 1")


def main(command: list[str]) -> None:
    """Becomes `command`."""
    try:
        enter()
    except OSError as error:
        sys.stderr.write(f"{WORDS.format(why=error.strerror)}\n{MEND}\n")
        raise SystemExit(EXIT_REFUSED) from None
    os.execv(command[0], command)  # noqa: S606 (a list, no shell)


if __name__ == "__main__":
    main(sys.argv[1:])
