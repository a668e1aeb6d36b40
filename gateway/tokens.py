"""One-time login tokens: an empty file for each, named by the token's SHA-256.

Using a token is removing its file, so that two cannot use the same one. Tokens are made by the
command that starts Parley, and are never logged.
"""

import hashlib
import time
from pathlib import Path

TOKEN_LIFE_S = 24 * 60 * 60
TOKEN_CHARS_MAX = 512


def consume(folder: Path, token: str) -> bool:
    """Uses `token` up; False when it is unknown, used or older than 24 h. Blocks for one unlink."""
    if not 0 < len(token) <= TOKEN_CHARS_MAX:
        return False
    path = folder / hashlib.sha256(token.encode(errors="replace")).hexdigest()
    try:
        made_s = path.stat().st_mtime
        path.unlink()
    except FileNotFoundError:
        return False
    return time.time() - made_s <= TOKEN_LIFE_S
