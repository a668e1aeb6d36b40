"""Secrets of one Parley: its keys in files of their own, and one-time tokens for the chat page.

A secret is in a file of mode 0600 and nowhere else: not in arguments, environments or logs.
"""

import hashlib
import os
import re
import secrets
import time
import uuid
from pathlib import Path

from stack.errors import Exit, StackError
from stack.home import Home, check_private, private_folder

KEY_BYTES = 32
API_KEY_PREFIX = "sk-parley-"
LOGIN_TOKEN_SECONDS_MAX = 24 * 3600
CLIENTS_MAX = 256
_CLIENT_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
# Names that Parley itself goes by.
RESERVED = frozenset({"api", "page", "gateway", "local", "parley"})


def ensure(home: Home) -> None:
    """Makes the keys that are missing; refuses those that others can read. Safe to repeat."""
    for path, prefix in ((home.api_key, API_KEY_PREFIX), (home.page_key, ""), (home.mesh_key, "")):
        if not path.exists():
            write_private(path, f"{prefix}{secrets.token_urlsafe(KEY_BYTES)}\n")
        read(path)


def read(path: Path) -> str:
    """The secret in `path`. Raises StackError when it is missing, empty or open to others."""
    try:
        check_private(path)
        value = path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        raise StackError(f"{path} is missing.", mend="Make it with: ./parley up") from None
    if not value:
        raise StackError(f"{path} is empty.", mend=f"Make a new one with: rm {path} && ./parley up")
    return value


def write_private(path: Path, text: str) -> None:
    """Writes `text` to `path` with mode 0600, whole or not at all."""
    part = path.with_name(f"{path.name}.part-{os.getpid()}")
    part.unlink(missing_ok=True)
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    part.replace(path)


def clients(home: Home) -> dict[str, Path]:
    """The files of the clients' own keys, by the clients' names, sorted.

    Raises StackError when their folder is open to others.
    """
    if not home.clients.exists():
        return {}
    check_private(home.clients)
    found = (path for path in home.clients.iterdir() if _CLIENT_NAME.fullmatch(path.name))
    return {path.name: path for path in sorted(found) if ".part-" not in path.name}


def client(home: Home, name: str) -> Path:
    """The file of one client's key. Raises StackError when there is none of that name."""
    found = clients(home)
    if name not in found:
        there = ", ".join(found) or "none"
        raise StackError(
            f"There is no key of {name!r}. There are: {there}.",
            mend=f"Make it with: ./parley keys add {name}",
        )
    return found[name]


def add_client(home: Home, name: str) -> Path:
    """Makes a key for a client. Raises StackError for a name that is taken or cannot be one."""
    if not _CLIENT_NAME.fullmatch(name) or name in RESERVED or ".part-" in name:
        taken = ", ".join(sorted(RESERVED))
        raise StackError(
            f"{name!r} cannot be a client's name.",
            mend="A name has 1 to 63 small letters, digits, dots, dashes and underscores, begins "
            f"with a letter or digit, and is none of: {taken}.",
            code=Exit.USAGE,
        )
    if name in clients(home):
        raise StackError(
            f"There is a key of {name} already.",
            mend=f"Make a new one with: ./parley keys remove {name} && ./parley keys add {name}",
        )
    if len(clients(home)) >= CLIENTS_MAX:
        raise StackError(f"There are {CLIENTS_MAX} keys, and no more than that are taken.")
    private_folder(home.clients)
    path = home.clients / name
    write_private(path, f"{API_KEY_PREFIX}{secrets.token_urlsafe(KEY_BYTES)}\n")
    return path


def new_login_token(home: Home) -> str:
    """Makes a token that opens the chat page once, within 24 hours; clears away expired ones."""
    expired_s = time.time() - LOGIN_TOKEN_SECONDS_MAX
    for path in home.login_tokens.iterdir():
        if path.stat().st_mtime < expired_s:
            path.unlink(missing_ok=True)
    token = secrets.token_urlsafe(KEY_BYTES)
    write_private(home.login_tokens / hashlib.sha256(token.encode()).hexdigest(), "")
    return token


def new_request_id() -> str:
    """An id for one request, which the registry knows a repeat by."""
    return str(uuid.uuid4())
